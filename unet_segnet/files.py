"""Files that appear whole or not at all."""

import contextlib
import os
import platform
import re
from collections.abc import Iterator
from pathlib import Path

from unet_segnet.errors import InputError


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


def expanded(path: str | Path) -> Path:
    """The path with a ~ at its beginning replaced by the user's folder.

    Raises:
        InputError: there is no such user.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise InputError(f"{path}: there is no such user; expected a path") from error
