"""A folder of results that appears whole or not at all."""

import contextlib
import os
import shutil
from collections.abc import Collection, Iterator
from pathlib import Path

from unet_segnet.errors import InputError
from unet_segnet.output.locks import alone
from unet_segnet.output.records import read_json

SYSTEM_FILES = (".ds_store", "thumbs.db", "desktop.ini")  # of macOS and Windows, in lower case


def check_own(out: Path, marks: tuple[str, ...], names: Collection[str] | None = None) -> None:
    """Refuse to replace a folder that is not results of the command's own, such as that of the scan itself, or that
    holds files which were added to them.

    Arguments:
        out: the folder; it may be empty or missing.
        marks: names of files, of which a folder of such results holds one at least.
        names: of all that the command writes; None: those that a JSON file of the marks lists under "files", and any
            where none does.

    Raises:
        InputError: it is something else, or cannot be replaced.
    """
    out = Path(out)
    try:
        if os.path.ismount(out):
            raise InputError(f"{out}: is a mount point, which cannot be replaced; give a folder in it with `out`")
        foreign = out.exists() and not any((out / mark).is_file() for mark in marks) and any(out.iterdir())
        added = _added(out, marks, names)
    except OSError as error:
        raise InputError(f"{out}: cannot be written ({error.strerror or error}); give another `out`") from error
    if foreign:
        raise InputError(
            f"{out}: holds something other than results of this command (no {' or '.join(marks)}) and is never "
            "replaced, not even with `force`; give another folder with `out`"
        )
    if added:
        raise InputError(
            f"{out}: holds {added[0]!r:.99}, which this command did not write and never removes, not even with "
            "`force`; move it elsewhere, or give another folder with `out`"
        )


def is_of_system(name: str) -> bool:
    """Whether a file is one that systems leave where a folder was looked at."""
    return name.startswith("._") or name.lower() in SYSTEM_FILES


def _added(out: Path, marks: tuple[str, ...], names: Collection[str] | None) -> list[str]:
    """What lies in results and is none of their own files; nothing where nobody knows these."""
    for mark in marks if names is None else ():
        with contextlib.suppress(InputError, OSError):
            listed = read_json(out / mark).get("files") if mark.endswith(".json") else None
            names = listed if names is None and isinstance(listed, dict) else names
    if names is None or not out.exists():
        return []
    return sorted(
        path.name for path in out.iterdir() if path.name not in {*names, *marks} and not is_of_system(path.name)
    )


@contextlib.contextmanager
def whole_folder(out: Path, marks: tuple[str, ...], names: Collection[str] | None = None) -> Iterator[Path]:
    """Give a temporary folder beside `out` to write into; when all went well it takes the place of `out`.

    Whatever happens on the way, `out` is what it was before, or the new folder; after a kill it is so from the next
    time on. Until the end no other process can do the same.

    Arguments:
        out: the folder; a link leads to the one that is replaced.
        marks, names: see `check_own`.

    Raises:
        HeldError: another process does.
        InputError: it cannot be written, or must not be replaced.
    """
    out = Path(out).resolve()
    new, old, lock = _beside(out)
    made = [folder for folder in out.parents if not folder.exists()]
    try:
        with alone(out, lock):
            try:
                _tidy(out, new, old)
                check_own(out, marks, names)
                new.mkdir()
                yield new
                if out.exists():
                    out.rename(old)
                new.rename(out)
            finally:
                with contextlib.suppress(OSError):
                    _tidy(out, new, old)
                    lock.unlink()
    except OSError as error:
        raise InputError(f"{out}: cannot be written ({error.strerror or error}); give another `out`") from error
    finally:
        with contextlib.suppress(OSError):
            for folder in made:
                folder.rmdir()


def sweep(out: Path) -> None:
    """Clear away what a killed process left beside a folder that it had finished, unless another works there."""
    out = Path(out).resolve()
    new, old, lock = _beside(out)
    if any(path.exists() for path in (new, old, lock)):
        with contextlib.suppress(InputError, OSError), alone(out, lock):
            _tidy(out, new, old)
            lock.unlink()


def _beside(out: Path) -> list[Path]:
    return [out.with_name(f".{out.name}.{kind}") for kind in ("new", "old", "lock")]


def _tidy(out: Path, new: Path, old: Path) -> None:
    if old.exists() and not out.exists():
        old.rename(out)
    for folder in (new, old):
        if folder.exists():
            shutil.rmtree(folder)
