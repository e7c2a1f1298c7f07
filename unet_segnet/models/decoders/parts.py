"""What several decoders share."""

from unet_segnet.layers.resampling import upsample_bilinear
from unet_segnet.models.encoders.blocks import batch_norm, convolution, relu


def convolution_bn_relu(x, filters, kernel_size, name):
    """Convolution, batch normalisation, ReLU: modules 0, 1 and 2 of `name`."""
    x = convolution(x, filters, kernel_size, f"{name}-0", initial="he_uniform")
    return relu(batch_norm(x, f"{name}-1"), f"{name}-2")


def segmentation_head(x, num_classes, kernel_size, upsampling=1):
    """Logits at full resolution: a convolution with bias, then bilinear upsampling (in float32) by that factor."""
    x = convolution(x, num_classes, kernel_size, "segmentation_head-0", use_bias=True, initial="glorot_uniform")
    return upsample_bilinear(x, upsampling, "segmentation_head-1", dtype="float32")
