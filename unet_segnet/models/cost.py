"""What a network costs to compute."""

import math

import keras


def multiply_adds(model: keras.Model) -> tuple[int, int]:
    """Multiply-adds of the convolutions for one slice: of inference, and of a training step.

    A step does each convolution three times (output, gradient of the kernel, gradient of the input), the first one
    twice: nobody asks for the gradient of the slice. Additions of biases, normalisation and the like are not
    counted.

    Arguments:
        model: a functional network with fixed height and width.

    Returns:
        (inference, training step).
    """
    forward = []
    for layer in model.layers:
        if isinstance(layer, keras.layers.Conv2DTranspose):
            pixels = layer.input.shape[1:3]  # each input pixel meets each element of the kernel
        elif isinstance(layer, keras.layers.Conv2D | keras.layers.DepthwiseConv2D):
            pixels = layer.output.shape[1:3]
        else:
            continue
        forward.append(math.prod(pixels) * math.prod(layer.kernel.shape))
    return sum(forward), 3 * sum(forward) - forward[0]
