"""U-Net and SegNet for COVID-19 lung CT: the networks, losses, recipes and scores of two studies.

Importing this package imports nothing heavy, downloads nothing and configures nothing; submodules are
imported when they are used (`from unet_segnet.models import build_model`).
"""

__version__ = "0.1.0"
