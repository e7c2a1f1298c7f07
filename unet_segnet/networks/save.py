"""Trained networks as files."""

import io
import zipfile
from pathlib import Path

from unet_segnet.errors import InputError
from unet_segnet.output.files import whole_file

WEIGHTS_MEMBER = "model.weights.h5"


def save_network(model, path: Path, facts: dict | None = None, half: bool = False) -> None:
    """Write a network as a .keras file, whole or not at all.

    Arguments:
        model: the `keras.Model`.
        path: the file.
        facts: see `unet_segnet.networks.facts`.
        half: store its weights in float16, in half the space; it is loaded as the float32 network that it is.

    Raises:
        InputError: this machine's clock is not set.
    """
    from unet_segnet.networks.facts import write_facts

    try:
        with whole_file(path) as temporary:
            model.save(temporary)
            if half:
                _halve(temporary)
            if facts is not None:
                write_facts(temporary, facts)
    except ValueError as error:
        if "1980" not in str(error):  # what a ZIP archive's dates begin with
            raise
        raise InputError(
            f"{path}: cannot be written while this machine's clock stands before 1980; set it, and start the same "
            "command again: what is finished is kept"
        ) from error


def _halve(path: Path) -> None:
    """Store the float32 arrays of a .keras file in float16."""
    import h5py

    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    content = io.BytesIO()
    with h5py.File(io.BytesIO(members[WEIGHTS_MEMBER])) as whole, h5py.File(content, "w") as halved:

        def copy(name, item):
            target = halved.create_dataset(name, data=_half(item[()])) if isinstance(item, h5py.Dataset) else None
            target = halved.require_group(name) if target is None else target
            target.attrs.update(item.attrs)

        halved.attrs.update(whole.attrs)
        whole.visititems(copy)
    members[WEIGHTS_MEMBER] = content.getvalue()
    with zipfile.ZipFile(path, "w") as archive:
        for name, member in members.items():
            archive.writestr(name, member)


def _half(array):
    return array.astype("float16") if array.dtype == "float32" else array
