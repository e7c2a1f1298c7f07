"""Every layer and activation of our own, registered with Keras as unet_segnet>NAME, so that saved networks find it.

The plain versions use `keras.ops` and run on each backend; measured faster forms under TensorFlow stand beside them and
are tested equal to them.
"""

from unet_segnet.layers.activation import swish
from unet_segnet.layers.backend import PACKAGE
from unet_segnet.layers.convolution import Conv2D, Conv2DTranspose, DepthwiseConv2D, GroupedConv2D
from unet_segnet.layers.normalisation import BatchNormalization, GroupNormalization, Softmax
from unet_segnet.layers.pooling import MaxPooling2D, MaxUnpooling2D, PaddedMaxPooling2D
from unet_segnet.layers.resampling import AdaptiveAveragePooling2D, BilinearResizing

__all__ = [
    "PACKAGE",
    "AdaptiveAveragePooling2D",
    "BatchNormalization",
    "BilinearResizing",
    "Conv2D",
    "Conv2DTranspose",
    "DepthwiseConv2D",
    "GroupNormalization",
    "GroupedConv2D",
    "MaxPooling2D",
    "MaxUnpooling2D",
    "PaddedMaxPooling2D",
    "Softmax",
    "swish",
]
