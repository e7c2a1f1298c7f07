"""The two ends that the networks of the first study share."""

import keras

from unet_segnet.layers import Softmax


def grey_input(input_shape, mean, channels=1):
    """Input of grey levels 0..255, less the mean (in float32: bfloat16 would round it), repeated to `channels`."""
    inputs = keras.Input(input_shape, name="ImageInputLayer")
    x = keras.layers.Rescaling(1.0, offset=-float(mean), dtype="float32", name="zerocenter")(inputs)
    if channels > 1:
        x = keras.layers.Concatenate(dtype="float32", name="grey_to_rgb")([x] * channels)
    return inputs, x


def classifier(x, name="softmax"):
    """Softmax over the classes, in float32 whatever the data type of the network."""
    return Softmax(dtype="float32", name=name)(x)
