"""He-normal kernels drawn from a given stream of normal numbers, the same ones on every backend."""

import keras
import numpy as np
from keras import ops


@keras.saving.register_keras_serializable(package="unet_segnet")
class HeNormal(keras.initializers.Initializer):
    """Normal numbers with variance 2 / fan_in, not truncated (MATLAB R2020a's 'he' initialiser).

    Arguments:
        fan_in: number of inputs of one output element: kernel height * width * input channels.
        draw: function of a shape that returns standard normal numbers of that shape. A loaded model, whose
            kernels are replaced anyway, has none and draws from a generator of its own.
    """

    def __init__(self, fan_in, draw=None):
        self.fan_in = fan_in
        self.draw = draw or np.random.default_rng(0).standard_normal

    def __call__(self, shape, dtype=None):
        kernel = np.asarray(self.draw(shape)) * np.sqrt(2.0 / self.fan_in)
        return ops.convert_to_tensor(kernel.astype("float32"), dtype=dtype)

    def get_config(self):
        return {"fan_in": self.fan_in}


def he_normal(fan_in, draw) -> HeNormal:
    """The initialiser of one layer's kernel."""
    return HeNormal(fan_in, draw)
