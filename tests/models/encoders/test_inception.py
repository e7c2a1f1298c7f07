"""What Inception-v4 alone has."""

import keras
import numpy as np

from unet_segnet.models.encoders import inception


def test_inception_averages_what_is_inside_the_image():
    inputs = keras.Input((4, 5, 1))
    model = keras.Model(inputs, inception._average(inputs, "a"))
    image = np.arange(20.0, dtype="float32").reshape(4, 5)
    expected = [[image[max(0, r - 1) : r + 2, max(0, c - 1) : c + 2].mean() for c in range(5)] for r in range(4)]
    np.testing.assert_allclose(model.predict_on_batch(image[None, ..., None])[0, ..., 0], expected, rtol=1e-6)
