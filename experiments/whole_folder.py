"""A folder of results that appears whole or not at all."""

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from unet_segnet.errors import InputError


@contextlib.contextmanager
def whole_folder(out: Path) -> Iterator[Path]:
    """Give a temporary folder beside `out` to write into; when all went well it takes the place of `out`.

    Whatever happens on the way, `out` is what it was before, or the new folder.

    Raises:
        InputError: it cannot be written.
    """
    out = Path(out).absolute()
    new, old = (out.with_name(f".{out.name}.{kind}.{os.getpid()}.tmp") for kind in ("new", "old"))
    try:
        new.mkdir(parents=True)
        yield new
        if out.exists():
            out.rename(old)
        new.rename(out)
    except OSError as error:
        raise InputError(f"{out}: cannot be written ({error.strerror or error}); give another --out") from error
    finally:
        if old.exists() and not out.exists():
            old.rename(out)
        shutil.rmtree(new, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)
