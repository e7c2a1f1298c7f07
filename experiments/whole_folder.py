"""A folder of results that appears whole or not at all."""

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

from experiments.locks import alone
from unet_segnet.errors import InputError


@contextlib.contextmanager
def whole_folder(out: Path) -> Iterator[Path]:
    """Give a temporary folder beside `out` to write into; when all went well it takes the place of `out`.

    Whatever happens on the way, `out` is what it was before, or the new folder; after a kill it is so from the next
    time on. Until the end no other process can do the same.

    Raises:
        HeldError: another process does.
        InputError: it cannot be written.
    """
    out = Path(out).absolute()
    new, old, lock = _beside(out)
    made = [folder for folder in out.parents if not folder.exists()]
    try:
        with alone(out, lock):
            try:
                _tidy(out, new, old)
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
        raise InputError(f"{out}: cannot be written ({error.strerror or error}); give another --out") from error
    finally:
        with contextlib.suppress(OSError):
            for folder in made:
                folder.rmdir()


def sweep(out: Path) -> None:
    """Clear away what a killed process left beside a folder that it had finished, unless another works there."""
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
