"""Weights of a stranger's network, looked at before they are read.

HDF5, which holds the weights in a .keras file, has known faults by which a crafted file reaches memory that is not its
own: CVE-2025-44904 needs chunks, CVE-2025-2308 a filter, CVE-2025-2309 numbers that are converted as they are read,
CVE-2025-6269 and CVE-2026-17572 the newer kinds of file. TensorFlow 2.21 demands an h5py without the corrections. Keras
writes none of these things, so that a file with one of them is not Keras'. Nor does it write arrays that the file only
claims to hold, for which a reader takes as much memory as they claim, or links, which may lead to other files.
"""

import io
from pathlib import Path

import h5py

from unet_segnet.errors import InputError

# The superblock that h5py writes unasked: signature, five versions of 0, addresses and lengths of 8 bytes; nothing at
# the address of its extension (which leads to the newer kinds of content), nor of a driver's block.
FIRST_KIND = b"\x89HDF\r\n\x1a\n" + bytes(5) + b"\x08\x08"
ELSEWHERE, NOWHERE = (slice(32, 40), slice(48, 56)), b"\xff" * 8
LAYOUTS = (h5py.h5d.CONTIGUOUS, h5py.h5d.COMPACT)


def check_plain(content: bytes, path: Path) -> None:
    """Refuse weights that are stored otherwise than by Keras: whole arrays of numbers as processors have them, each in
    the file itself.

    Arguments:
        content: of the HDF5 file.
        path: of the network, for the error.

    Raises:
        InputError: they are, or the content is no HDF5 file.
    """
    if not content.startswith(FIRST_KIND) or any(content[place] != NOWHERE for place in ELSEWHERE):
        raise InputError(
            f"{path}: its weights are not an HDF5 file as Keras writes it; save the network with Keras again"
        )

    def wrong_link(name, link):
        return None if isinstance(link, h5py.HardLink) else (name, "a link to another place")

    def wrong_item(name, item):
        if not isinstance(item, h5py.Dataset):
            return None
        if not _plain(item):
            return name, "in chunks, packed or of an odd type"
        is_there = item.id.get_storage_size() == item.nbytes <= len(content)
        return None if is_there else (name, f"claimed to take {item.nbytes} bytes that are not there")

    with h5py.File(io.BytesIO(content), "r") as file:
        wrong = file.visititems_links(wrong_link) or file.visititems(wrong_item)  # h5py's own walk must not raise
    if wrong:
        raise InputError(
            f"{path}: weights {wrong[0]!r:.99} are {wrong[1]}, as Keras stores none; save the network with Keras again"
        )


def _plain(dataset: h5py.Dataset) -> bool:
    stored = dataset.id.get_create_plist()
    as_read = h5py.h5t.py_create(dataset.dtype)
    return (
        stored.get_layout() in LAYOUTS
        and not stored.get_external_count()
        and not stored.get_nfilters()
        and dataset.id.get_type().equal(as_read)
    )
