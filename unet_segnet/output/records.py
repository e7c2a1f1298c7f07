"""Where results go: looked at before the work, written whole or not at all."""

import json
import os
from pathlib import Path

from unet_segnet.errors import InputError
from unet_segnet.output.files import read_small, whole_file

INTENDED_USE = "research; not a medical device, not for clinical use"
"""What every result for a scan, and every network, says of itself."""


def check_folder(out: Path) -> None:
    """Refuse, before any work, an output folder that can neither be written nor made.

    Raises:
        InputError: what is there of its path is not a folder, or is closed to us.
    """
    existing = next(path for path in (out, *out.absolute().parents) if path.exists())
    if not existing.is_dir() or not os.access(existing, os.W_OK):
        raise InputError(f"{out}: cannot be written; give another folder with `out`")


def check_file(path: Path) -> None:
    """Refuse, before any work, a file that cannot be written.

    Raises:
        InputError: its folder does not exist or is closed to us, or it is a folder itself.
    """
    if path.is_dir() or not path.parent.is_dir() or not os.access(path.parent, os.W_OK):
        raise InputError(f"{path}: cannot be written; give a file in a folder that exists and is open to you")


def write_text(path: Path, text: str) -> None:
    """Write a text file whole or not at all.

    Raises:
        InputError: it cannot be written.
    """
    try:
        with whole_file(path) as temporary:
            temporary.write_text(text, encoding="utf-8")
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror}); give another place") from error


def write_json(path: Path, content: dict) -> None:
    """Write a JSON file whole or not at all; keys sorted, so that equal contents are equal files."""
    with whole_file(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def write_arrays(path: Path, arrays: dict) -> None:
    """Write arrays as .npz, whole or not at all."""
    import numpy as np

    with whole_file(path) as temporary:
        np.savez_compressed(temporary, **arrays)


def read_json(path: Path, advice: str = "restore the file") -> dict:
    """Read a JSON file that holds an object.

    Arguments:
        path: of the file.
        advice: what to do where it cannot be read, for the error's line.

    Raises:
        InputError: it is missing, damaged, too large, or not an object.
    """
    try:
        content = json.loads(read_small(path))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path}: cannot be read ({error}); {advice}") from error
    if not isinstance(content, dict):
        raise InputError(f"{path}: holds no settings; {advice}")
    return content
