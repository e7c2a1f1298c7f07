"""One process at a time on a folder of results; a killed process leaves no lock behind."""

import contextlib
import errno
import json
import os
import platform
import time
from collections.abc import Iterator
from pathlib import Path

from unet_segnet.errors import InputError
from unet_segnet.output.files import read_small
from unet_segnet.output.records import write_json

FULL = (errno.ENOSPC, errno.EDQUOT)


class HeldError(InputError):
    """Another process works on this folder."""


@contextlib.contextmanager
def alone(folder: Path, lock: Path) -> Iterator[None]:
    """A context in which this process alone works on a folder.

    Arguments:
        folder: for messages.
        lock: file that is locked; beside it, with the ending .json, stands who holds it.

    Raises:
        HeldError: another process does, on entering.
        InputError: the lock cannot be written.
        OSError: the disk is full.
    """
    from filelock import FileLock, Timeout

    holder = lock.with_name(f"{lock.name}.json")
    with contextlib.ExitStack() as held:
        try:
            lock.parent.mkdir(parents=True, exist_ok=True)
            held.enter_context(FileLock(lock, timeout=0))
            write_json(holder, {"process": os.getpid(), "machine": platform.node(), "since": time.ctime()})
        except Timeout:
            who = _read(holder)
            raise HeldError(
                f"{folder}: process {who.get('process', '?')} on {who.get('machine', '?')} works on it since "
                f"{who.get('since', '?')}; wait for it, or stop it"
            ) from None
        except OSError as error:
            if error.errno in FULL:
                raise
            raise InputError(
                f"{folder}: cannot be written ({error.strerror}); give another folder with `out`"
            ) from error
        held.callback(_remove, holder)
        yield


def _read(holder: Path) -> dict:
    try:
        who = json.loads(read_small(holder))
    except (OSError, ValueError, RecursionError):  # not written yet, or damaged
        return {}
    return who if isinstance(who, dict) else {}


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.unlink(missing_ok=True)
