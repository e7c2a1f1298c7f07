"""What a segmented scan was made from and with, so that the same command, started again, goes on with the others."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

from unet_segnet import __version__
from unet_segnet.commands.predict_inputs import MARKS, Item
from unet_segnet.errors import InputError
from unet_segnet.inference.lungs import AUTO, LUNGS, OWN
from unet_segnet.output.records import write_json
from unet_segnet.output.whole_folder import is_of_system

FORMAT = 4
FILE = MARKS[0]
ADVICE = "give another folder with --out, or --force"
MOVE = "move it elsewhere, or give another folder with --out"
AGAIN = "remove that folder to segment the scan again"


def settings(item: Item, options) -> dict:
    """All that determines a scan's results; files by their names and contents.

    Arguments:
        item: the scan.
        options: the command's, its window settled; `network_sha256` is that of the network that was loaded, whose file
            may be another by now.

    Raises:
        InputError: a file cannot be read.
    """
    from unet_segnet.networks.load import model_sha256

    return {
        "version of this program": __version__,
        "scan": _contents(item.path),
        "series": options.series,
        "network": options.network_sha256,
        "lungs": str(item.lungs) if item.lungs in LUNGS else _contents(Path(item.lungs)),
        "lung_network": model_sha256(OWN) if item.lungs == AUTO else None,
        "orientation": options.orientation,
        "truth": None if item.truth is None else _contents(item.truth),
        "classes": None if options.classes is None else _contents(options.classes),
        "window": [float(value) for value in options.window],
        "probabilities": options.probabilities,
        "tta": options.tta,
        "disagreement": options.disagreement,
    }


def write_settings(folder: Path, made_with: dict, problem: str | None = None) -> None:
    """Write them beside the results, with the SHA-256 of each file that is there.

    Arguments:
        folder: of the results.
        made_with: what `settings` gave.
        problem: why they are not compared with the truth that was given.
    """
    files = {file.name: _sha256(file) for file in sorted(folder.iterdir())}
    write_json(folder / FILE, {"format": FORMAT, "settings": made_with, "files": files, "problem": problem})


def read_problem(folder: Path) -> str | None:
    """Why results that are there and whole are not compared with the truth that was given; None where they are."""
    from unet_segnet.output.records import read_json

    return read_json(folder / FILE).get("problem")


def read_settings(folder: Path) -> dict:
    """What results were made with, and whether they are whole.

    Raises:
        InputError: they are damaged, or not known to be whole.
    """
    from unet_segnet.output.records import read_json

    try:
        found = read_json(folder / FILE)
    except InputError:
        raise InputError(f"{folder}: is there already, and its {FILE} cannot be read; {AGAIN}") from None
    files, made_with = found.get("files"), found.get("settings")
    if found.get("format") != FORMAT or not isinstance(files, dict) or not isinstance(made_with, dict):
        raise InputError(f"{folder}: is there already, made by another version; {AGAIN}")
    there = {file.name for file in folder.iterdir() if not is_of_system(file.name)} - {FILE}
    for name in sorted(there | files.keys()):
        if name not in files:
            raise InputError(f"{folder}: is there already, with another file, {name}; {MOVE}")
        if name not in there or _sha256(folder / name) != files[name]:
            raise InputError(f"{folder}: is there already, but its {name} is missing or was changed; {AGAIN}")
    return made_with


def check_settings(folder: Path, wanted: dict) -> None:
    """Hold results that are there against those asked for.

    Raises:
        InputError: they are others, or not whole.
    """
    found = read_settings(folder)
    different = sorted(key for key in found.keys() | wanted.keys() if found.get(key) != wanted.get(key))
    if different:
        raise InputError(f"{folder}: is there already, made with another {', '.join(different)}; {ADVICE}")


def _contents(path: Path) -> dict:
    """Where a file or a folder of slices lies, and its SHA-256; a folder's is that of the names and hashes of
    the files in it, at any depth; a header's goes with that of the file that has its values."""
    from unet_segnet.scans.itk import values_beside

    try:
        if path.is_file():
            values = values_beside(path)
            beside = {} if values is None else {"values": _sha256(values)}
            return {"path": str(path.resolve()), "sha256": _sha256(path), **beside}
        digest = hashlib.sha256()
        for name, file in sorted((file.relative_to(path).as_posix(), file) for file in _files_below(path)):
            digest.update(f"{name}\0{_sha256(file)}\0".encode(errors="surrogateescape"))
        return {"path": str(path.resolve()), "sha256": digest.hexdigest()}
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error


def _files_below(folder: Path) -> Iterator[Path]:
    """The files of a folder and of those in it, but for hidden ones and for results that lie among them.

    Raises:
        OSError: a folder cannot be read.
    """
    for path in folder.iterdir():
        if not path.name.startswith(".") and not all((path / mark).is_file() for mark in MARKS):
            is_folder = path.is_dir() and not path.is_symlink()  # which may lead back here
            yield from _files_below(path) if is_folder else [path] if path.is_file() else []


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
