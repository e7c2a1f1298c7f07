"""U-Net and SegNet for COVID-19 lung CT: the networks, losses, recipes and scores of two studies.

Importing this package imports nothing heavy, downloads nothing and configures nothing; submodules are
imported when they are used (`from unet_segnet.models import build_model`). For those who only want a scan segmented:

    from unet_segnet import load_model, segment

    result = segment("scan.nii.gz", load_model("lesions"))
    print(result.severity.involvement().share)
"""

__version__ = "0.3.0.dev0"
__all__ = ["load_model", "segment"]
_LATE = {"load_model": "unet_segnet.networks.load", "segment": "unet_segnet.inference.segmentation"}


def __getattr__(name: str):
    if name in _LATE:
        import importlib

        return getattr(importlib.import_module(_LATE[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*globals(), *__all__]
