"""The architectures of the second study: `DECODERS[name](pyramid, num_classes, seed)`, one a file.

A decoder knows of its encoder nothing but the pyramid, of which it needs the first `DEPTHS[name]` levels, and returns
logits at full resolution. Its layers are named as the modules of segmentation_models_pytorch.
"""

from unet_segnet.models.decoders.fpn import fpn
from unet_segnet.models.decoders.linknet import linknet
from unet_segnet.models.decoders.pspnet import pspnet
from unet_segnet.models.decoders.unet import unet

DECODERS = {"unet": unet, "linknet": linknet, "fpn": fpn, "pspnet": pspnet}
DEPTHS = {"unet": 5, "linknet": 5, "fpn": 5, "pspnet": 3}
CENTERED = ("unet",)  # take `center`: convolve first where the pyramid ends with a bare pooling
