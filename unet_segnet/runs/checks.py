"""Whether finished runs are whole, looked at before more is trained beside them."""

import zipfile

from experiments.saood2021.runs import read_run
from unet_segnet.errors import InputError, one_line
from unet_segnet.output.locks import HeldError
from unet_segnet.runs.folder import AGAIN, RunFolder, read_arrays, read_config, read_result

HISTORY = (
    "loss", "accuracy", "learning_rate", "validation_iteration", "validation_loss", "validation_accuracy",
    "epoch_seconds",
)  # fmt: skip
COUNTS = ("test_names", "test_confusion", "test_bf", "validation_names", "validation_confusion", "validation_bf")
FIRST_STUDY = {"history.npz": HISTORY, "counts.npz": COUNTS}
SECOND_STUDY = {
    "history.npz": ("loss", "validation_loss", "epoch_seconds", "validation_seconds"),
    "counts.npz": ("test_names", "test_volumes", "test_confusion", "validation_names", "validation_confusion"),
    "first_layer.npz": ("before", "after"),
}


def check_finished(folders: list[RunFolder], arrays: dict[str, tuple[str, ...]] = FIRST_STUDY) -> list[str]:
    """Look at all files of finished runs, and remove what a killed process left beside them.

    Arguments:
        folders: of finished runs.
        arrays: what the study's .npz files hold.

    Returns:
        The folders of those that have no network (model.keras), as runs that came in an archive may.

    Raises:
        InputError: a file is missing, damaged, or of another version.
    """
    without = []
    for folder in folders:
        status = _check(folder, arrays)
        _remove_left_over(folder)
        if status == "finished" and not folder.model.exists():
            without.append(str(folder.path))
    return without


def _check(folder: RunFolder, arrays: dict[str, tuple[str, ...]]) -> str:
    """How the run ended."""
    if arrays is FIRST_STUDY:
        _, result, _ = read_run(folder.path)  # whether counts and settings belong together
    else:
        result, _ = read_result(folder.path), read_config(folder.path)
    status = result["status"]
    for file, names in arrays.items():
        if status == "finished" or file == folder.history.name:  # one that diverged has no more
            read_arrays(folder.path / file, names)
    if folder.model.exists():
        try:
            with zipfile.ZipFile(folder.model) as archive:
                damaged = archive.testzip()
        except Exception as error:  # a damaged archive raises many kinds
            raise InputError(f"{folder.model}: is damaged ({one_line(error)}); {AGAIN}") from error
        if damaged:
            raise InputError(f"{folder.model}: is damaged ({damaged} in it); {AGAIN}")
    return status


def _remove_left_over(folder: RunFolder) -> None:
    if not folder.left_over():
        return
    try:
        with folder.lock():
            folder.remove_state()
    except (HeldError, OSError, InputError):  # it does no harm there
        return
