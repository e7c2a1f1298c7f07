"""A training by the first study's recipe, on made slices and a network small enough to follow."""

import keras
import numpy as np

from unet_segnet.layers import BatchNormalization, MaxPooling2D, MaxUnpooling2D
from unet_segnet.models import build_model
from unet_segnet.models.initialisation import draw_kernels, he_normal
from unet_segnet.models.parts import classifier, grey_input
from unet_segnet.training.class_weighted import Recipe, train
from unet_segnet.training.streams import NumpyStream

WEIGHTS = np.array([0.54, 7.13])


def toy_slices(num_slices=10, size=16, seed=0):
    """A bright disc to be found on a dark, noisy slice."""
    generator = np.random.default_rng(seed)
    rows, columns = np.mgrid[:size, :size]
    centres = generator.uniform(4, size - 4, (num_slices, 2))
    labels = np.stack([(rows - r) ** 2 + (columns - c) ** 2 < 9 for r, c in centres]).astype(np.uint8)
    images = np.clip(generator.normal(50, 15, labels.shape) + 100 * labels, 0, 255).astype(np.uint8)
    return images, labels


def build(net="small", dropout=0.5):
    """A builder for `train`: one of the study's networks, or one with a layer of each kind that compiles fast."""
    if net != "small":
        return lambda **random: build_model(net, variant="released", input_shape=(16, 16, 1), **random)

    def small(mean, draw=None, seed=0):
        inputs, x = grey_input((16, 16, 1), mean)
        x = keras.layers.Conv2D(8, 3, padding="same", kernel_initializer=he_normal(9))(x)
        x = keras.layers.ReLU()(BatchNormalization(epsilon=1e-5)(x))
        x, indices = MaxPooling2D()(x)
        x = keras.layers.Dropout(dropout, seed=seed)(x)
        x = keras.layers.Conv2D(8, 3, padding="same", kernel_initializer=he_normal(72))(x)
        x = keras.layers.ReLU()(BatchNormalization(epsilon=1e-5)(x))
        x = MaxUnpooling2D()([x, indices])
        x = keras.layers.Conv2D(2, 3, padding="same", kernel_initializer=he_normal(72))(x)
        model = keras.Model(inputs, classifier(x))
        if draw:
            draw_kernels(model, draw)
        return model

    return small


def run(net="small", recipe=None, **options):
    images, labels = toy_slices()
    recipe = recipe or Recipe(batch_size=4, epochs=3)
    options = {"stream": NumpyStream(0), **options}
    return train(build(net), images[:8], labels[:8], images[8:], labels[8:], WEIGHTS, recipe, **options)


def weights_of(model):
    return [keras.ops.convert_to_numpy(weight) for weight in model.weights]
