"""He-normal kernels drawn from a given stream of normal numbers, the same ones on every backend."""

import keras
import numpy as np


def he_normal(fan_in) -> keras.initializers.Initializer:
    """Normal numbers with variance 2 / fan_in, not truncated: MATLAB R2020a's 'he' initialiser.

    Arguments:
        fan_in: number of inputs of one output element: kernel height * width * input channels. Keras would count
            a transposed convolution's output channels instead.
    """
    return keras.initializers.RandomNormal(stddev=float(np.sqrt(2.0 / fan_in)))


def draw_kernels(model: keras.Model, draw) -> None:
    """Replace the kernels by numbers from a stream, in the order of the layers.

    Arguments:
        model: whose kernels have `he_normal` as their initialiser.
        draw: function of a shape that returns standard normal numbers of that shape.

    Raises:
        ValueError: a kernel has another initialiser.
    """
    for layer in model.layers:
        if hasattr(layer, "kernel"):
            if not isinstance(layer.kernel_initializer, keras.initializers.RandomNormal):
                raise ValueError(
                    "kernel_initializer must be he_normal(fan_in), whose numbers all backends share. "
                    f"Received: {type(layer.kernel_initializer).__name__} of layer {layer.name}"
                )
            kernel = np.asarray(draw(tuple(layer.kernel.shape))) * layer.kernel_initializer.stddev
            layer.kernel.assign(kernel.astype("float32"))
