"""Files that appear whole or not at all, and files that are read without trust in their size."""

import contextlib
import hashlib
import io
import math
import os
import platform
import re
import stat
import zipfile
from collections.abc import Iterator
from pathlib import Path

from unet_segnet.errors import InputError

MAX_SMALL_BYTES = 2**24
MAX_DIRECTORY_BYTES = 2**22  # of a zip archive; some forty thousand members


@contextlib.contextmanager
def whole_file(path: str | os.PathLike) -> Iterator[Path]:
    """Give a temporary file name beside `path`, with its endings; when all went well it takes the place of `path`.

    What a process of this machine that was killed left there of the same file is removed.
    """
    path = Path(path)
    machine = re.sub(r"[^A-Za-z0-9-]", "", platform.node())[:32]
    _sweep(path, machine)
    temporary = path.with_name(f".{machine}.{os.getpid()}.tmp.{path.name}")
    try:
        yield temporary
        _to_disk(temporary)
        os.replace(temporary, path)
    finally:
        with contextlib.suppress(OSError):  # the first error is the one to tell of
            temporary.unlink(missing_ok=True)


def reserve(path: Path, size: int) -> None:
    """Make sure that a file of `size` bytes has room; for libraries that end badly where a disk fills up on the way.

    Raises:
        OSError: it has none.
    """
    if hasattr(os, "posix_fallocate"):
        try:
            with open(path, "wb") as stream:
                os.posix_fallocate(stream.fileno(), 0, size)
        except OSError as error:
            error.filename = str(path)
            raise


def _sweep(path: Path, machine: str) -> None:
    name = re.compile(rf"\.{machine}\.(\d+)\.tmp\.{re.escape(path.name)}")
    with contextlib.suppress(OSError):
        for entry in os.listdir(path.parent):
            if (found := name.fullmatch(entry)) and not _alive(int(found[1])):
                (path.parent / entry).unlink(missing_ok=True)


def _alive(process: int) -> bool:
    if os.name != "posix":  # to ask is to end it elsewhere
        return True
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:
        return True
    return True


def _to_disk(path: Path) -> None:
    """Have the system write the file out, so that not even a power cut leaves its name with nothing behind it."""
    with open(path, "rb+") as stream:
        os.fsync(stream.fileno())


def read_small(path: str | os.PathLike, limit: int = MAX_SMALL_BYTES) -> bytes:
    """The content of a file that has to be small.

    Raises:
        OSError: it cannot be read.
        ValueError: it is larger than `limit` bytes, or no plain file (to read a pipe is to wait for a writer).
    """
    with open(path, "rb", opener=_without_waiting) as stream:
        if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
            raise ValueError("no plain file")
        content = stream.read(limit + 1)
    if len(content) > limit:
        raise ValueError(f"larger than {limit} bytes")
    return content


def _without_waiting(path, flags):
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


class _DirectoryReader(io.FileIO):
    """Lets `zipfile` read its directory, which it does in one piece, only where that is small."""

    limit: float = MAX_DIRECTORY_BYTES

    def read(self, size=-1):
        if size > self.limit:
            raise zipfile.BadZipFile(f"its directory takes {size} bytes, expected at most {self.limit}")
        return super().read(size)


@contextlib.contextmanager
def open_archive(path: str | os.PathLike) -> Iterator[zipfile.ZipFile]:
    """Open a zip archive to read it, unless it lists more files than any of this project's.

    Raises:
        OSError, zipfile.BadZipFile, and what else `zipfile` raises on damaged archives.
    """
    with _DirectoryReader(path, opener=_without_waiting) as stream, zipfile.ZipFile(stream) as archive:
        stream.limit = math.inf
        yield archive


def check_text(name: str) -> None:
    """Refuse the name of a file that cannot be written into tables and pages.

    Raises:
        InputError: it is not UTF-8.
    """
    try:
        name.encode()
    except UnicodeEncodeError as error:
        raise InputError(f"{os.fsencode(name)!r}: this name is not UTF-8; rename the file or folder") from error


def expanded(path: str | Path) -> Path:
    """The path with a ~ at its beginning replaced by the user's folder.

    Raises:
        InputError: there is no such user.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise InputError(f"{path}: there is no such user; expected a path") from error


def weights_sha256(path: str | Path) -> str:
    """SHA-256 of a file with weights, in hexadecimal digits.

    Raises:
        InputError: it cannot be read.
    """
    try:
        with Path(path).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); expected a file with weights") from error
