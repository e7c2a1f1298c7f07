"""Data sets by name or path: $UNET_SEGNET_DATA, or the user's cache folder, holds them by name."""

import os
from pathlib import Path

from unet_segnet.data.png_tree import read_png_tree, tree_root
from unet_segnet.data.slices import Slices
from unet_segnet.errors import InputError

RELEASE = "COVID19-DL"


def data_root() -> Path:
    """The folder that holds data sets by name: $UNET_SEGNET_DATA, else the user's cache folder."""
    root = os.environ.get("UNET_SEGNET_DATA")
    if root:
        return Path(root)
    import pooch

    return Path(pooch.os_cache("unet_segnet"))


def load_slices(data: str | None = None, problem: str = "multiclass") -> Slices:
    """Lung-masked 8-bit slices of a data set, by name or path."""
    folder = Path(data) if data and Path(data).is_dir() else data_root() / (data or RELEASE)
    if tree_root(folder) is None:
        raise InputError(f"no data set in {folder}")
    slices = read_png_tree(folder)
    return slices.binary() if problem == "binary" else slices
