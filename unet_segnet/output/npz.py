"""Arrays out of .npz files that are believed in nothing: sizes are checked before memory is taken."""

import io
import zipfile

import numpy as np

from unet_segnet.output.files import open_archive

EXPANDED = 64 * 2**20  # bytes that the members of an .npz or .keras file may declare together


def read_npz(file, names, only: bool = False) -> dict[str, np.ndarray]:
    """Named arrays of an .npz file.

    Arguments:
        file: path, or a stream in memory.
        names: of the arrays.
        only: refuse a file that holds more than these.

    Raises:
        ValueError: its sizes contradict each other or are too large, it holds other than numbers and text, or, with
            `only`, other arrays. KeyError: one is missing. A damaged file raises what `zipfile` does.
    """
    with zipfile.ZipFile(file) if isinstance(file, io.BytesIO) else open_archive(file) as saved:
        members = saved.infolist()
        if only:
            check_members(members, {f"{name}.npy" for name in names})
        else:
            _check_sizes(members)
        return {name: _array(saved.read(f"{name}.npy")) for name in names}


def check_members(members: list[zipfile.ZipInfo], names) -> None:
    """Whether an archive has these members, each once, and they are of a size and kind to be read.

    Raises:
        ValueError: it has others, they are too large, or compressed in an unknown way.
    """
    if sorted(member.filename for member in members) != sorted(names):
        raise ValueError(f"expected nothing but {', '.join(sorted(names))} in it")
    _check_sizes(members)


def _check_sizes(members):
    if (declared := sum(member.file_size for member in members)) > EXPANDED:
        raise ValueError(f"declares {declared} bytes, more than {EXPANDED}")
    if any(member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) for member in members):
        raise ValueError("compressed in an unknown way")


def _array(content):
    stream = io.BytesIO(content)
    version = np.lib.format.read_magic(stream)
    read_header = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}[version]
    shape, fortran, dtype = read_header(stream)
    if dtype.hasobject or dtype.kind not in "ifuU":
        raise ValueError(f"holds {dtype}, expected numbers or names")
    count = 1
    for length in shape:
        count *= length
    if min(shape, default=0) < 0 or stream.tell() + count * dtype.itemsize != len(content):
        raise ValueError(f"an array of shape {shape} does not fit its {len(content)} bytes")
    if count == 0:
        return np.zeros(shape, dtype)
    return np.frombuffer(content, dtype, offset=stream.tell()).reshape(shape, order="F" if fortran else "C")
