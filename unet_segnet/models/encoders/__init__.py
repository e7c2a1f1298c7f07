"""The encoders of the second study: `ENCODERS[name](inputs, depth=5)`, one family a file.

An encoder is a function of an image (batch, height, width, channels), height and width multiples of 2**depth, and the
`depth` of its pyramid. It returns a dict from "P1", features at half resolution, to "P<depth>", at 1/2**depth, and
builds nothing that "P<depth>" does not need. Its layers are named as the modules of segmentation_models_pytorch's
encoder of that name, "encoder-" in front and "-" for ".".

Adding an encoder is one file with a dict `ENCODERS` and one line here.
"""

from unet_segnet.models.encoders import densenet, dpn, efficientnet, inception, mobilenet, resnet, vgg, xception

ENCODERS = {
    **vgg.ENCODERS,
    **resnet.ENCODERS,
    **densenet.ENCODERS,
    **mobilenet.ENCODERS,
    **dpn.ENCODERS,
    **xception.ENCODERS,
    **inception.ENCODERS,
    **efficientnet.ENCODERS,
}
BARE_ENDS = frozenset(vgg.ENCODERS)  # whose last level is a bare pooling
