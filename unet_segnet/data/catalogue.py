"""Data sets by name or path.

$UNET_SEGNET_DATA, or the user's cache folder where it is not set, holds data sets by name: `COVID19-DL`
(the 100 released slices), `medseg` (the same slices in Hounsfield units and nine volumes), `ct20`, or any
other in one of the two layouts. What a folder holds is recognised by what is in it, not by its name.
`phantom` needs no file.
"""

import os
from pathlib import Path

from unet_segnet.data.nifti import has_slices, read_medseg_slices, volume_names
from unet_segnet.data.png_tree import read_png_tree, tree_root
from unet_segnet.data.preprocess import DEFAULT_SIZE, DEFAULT_WINDOW, prepare
from unet_segnet.data.slices import BINARY_NAMES, Slices
from unet_segnet.errors import InputError
from unet_segnet.output.files import expanded

PHANTOM = "phantom"
RELEASED = "COVID19-DL"  # the slices that the first study's authors released
DEFAULT_NAMES = (RELEASED, "medseg")
PROBLEMS = ("binary", "multiclass")
WAYS_OUT = (
    "get the 100 released slices with `unet-segnet data fetch`, or give the path of a data set you have, or "
    "write a made-up one with `unet-segnet data phantom --to PATH`"
)


def data_root() -> Path:
    """The folder that holds data sets by name: $UNET_SEGNET_DATA, else the user's cache folder."""
    root = os.environ.get("UNET_SEGNET_DATA")
    if root:
        return Path(root)
    import pooch

    return Path(pooch.os_cache("unet_segnet"))


def find_data(data: str | None = None) -> Path:
    """The folder of a data set.

    Arguments:
        data: a name in the data root, or a path; None takes COVID19-DL, else medseg.

    Raises:
        InputError: there is no such folder; the message names the ways to get data.
    """
    root = data_root()
    if data is None:
        for name in DEFAULT_NAMES:
            if (root / name).is_dir():
                return root / name
        raise InputError(f"no data found in {root}: {WAYS_OUT}")
    # "./" and "../" are seen from where one is; the root itself is no data set.
    names = [] if data.startswith(".") or ".." in Path(data).parts else [root / data]
    for folder in [*names, expanded(data)] if data else []:
        if folder.is_dir():
            return folder
    raise InputError(f"no data set {data!r} in {root} and no folder of that path: {WAYS_OUT}")


def load_slices(
    data: str | None = None,
    problem: str | None = "multiclass",
    window: tuple[float, float] = DEFAULT_WINDOW,
    size: int = DEFAULT_SIZE,
) -> Slices:
    """Load labelled slices as the networks of the first study take them: lungs alone, 8 bit, `size` x `size`.

    Arguments:
        data: a name in $UNET_SEGNET_DATA (else the user's cache folder), the path of one data set, or
            "phantom"; None takes COVID19-DL, else medseg.
        problem: "multiclass" (C0..C3), "binary" (not infected, infected), or None: as the data set has it.
        window: (low, high) HU that become grey levels 0 and 255; no effect on images that are 8 bit.
        size: height and width, pixels.

    Returns:
        Slices; what was mended on loading stands in its `notes`.

    Raises:
        InputError: no such data set, a damaged one, one without labels, or classes that it does not tell
        apart.
    """
    if problem not in (*PROBLEMS, None):
        raise ValueError(f"problem must be one of {PROBLEMS}. Received: {problem!r}")
    if data == PHANTOM:
        from unet_segnet.data.phantom import phantom_slices

        slices = phantom_slices()
    else:
        slices = read_slices(find_data(data))
    if slices.labels is None:
        raise InputError(f"the data set {data} has no masks: training and scoring need them")
    if problem == "multiclass" and slices.class_names == BINARY_NAMES:
        raise InputError(f"the data set {data} tells infected from not infected only: use `problem` binary with it")
    slices = prepare(slices, window, size)
    return slices.binary() if problem == "binary" else slices


def read_slices(folder: Path, mend: bool = True) -> Slices:
    """Read the slices in `folder` as they are there, in whichever of the two layouts.

    Raises:
        InputError: the folder holds neither layout, or volumes only, or damaged files.
    """
    if tree_root(folder) is not None:
        return read_png_tree(folder, mend)
    if has_slices(folder):
        return read_medseg_slices(folder, mend)
    if volume_names(folder):
        raise InputError(f"{folder} holds volumes (rp_im) only: this needs slices (tr_im.nii.gz, tr_mask.nii.gz)")
    raise InputError(f"no data set in {folder}: expected dataset/im/256 with PNG files, or tr_im.nii.gz; {WAYS_OUT}")
