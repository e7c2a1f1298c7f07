"""The commands that are put through faults: how each is called on tiny phantom data, and what its result is.

They find their inputs in one folder, the home: data/ and volumes/ (slices, and volumes, with labels), scans/,
model.keras, runs/; results go to out/.
To add a command: one entry in `COMMANDS`.
"""

import csv
import gzip
import hashlib
import io
import json
import re
import shutil
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[2]
UNCOUNTED = ("lock", "lock.json")  # who works on a run
# What a run is not determined by: when and where it ran, and how long it took.
FREE_ARRAYS = "seconds"  # at the end of the names of arrays
KEPT_OF_RESULT = ("status", "input_mean", "class_weights", "parameters", "one_class_only", "threads", "best_epoch")
TINY = ["--variant", "released", "--size", "32", "--data", "data", "--out", "out"]
SEGNET = ["--net", "segnet", "--problem", "binary"]


@dataclass(frozen=True)
class Command:
    """A command under test; it runs in the home.

    Attributes:
        module: a verb of `unet-segnet`, or a command of `experiments`.
        arguments: of the command line.
        finished: glob patterns below out/ of what is finished: a folder that has a match is never to change.
        inputs: folder that it reads.
        needs: commands whose result it begins with.
        several_lines: whether it goes on after one fault and tells of each in a line.
        again: what the next start is given too, of a command that does not go on by itself.
    """

    module: str
    arguments: tuple[str, ...]
    finished: tuple[str, ...]
    inputs: str = "data"
    needs: str | None = None
    several_lines: bool = False
    again: tuple[str, ...] = ()


RUNS = ("grid/*/*/result.json", "kfold/*/*/result.json", "compare/*/*/*/result.json")
COMMANDS = {
    "grid": Command("grid", (*SEGNET, *TINY, "--only", "4,5", "--epochs", "3"), RUNS, several_lines=True),
    "kfold": Command("kfold", (*SEGNET, *TINY, "--epochs", "1"), RUNS, several_lines=True),
    "compare": Command(
        "compare",
        ("--experiment", "lung", "--only", "architecture=pspnet,encoder=resnet18", "--epochs", "3", "--size", "32",
         "--data", "volumes", "--out", "out"),
        RUNS, "volumes", several_lines=True,
    ),
    "predict": Command(
        "predict", ("scans", "--model", "model.keras", "--lungs", "none", "--out", "out"), ("*/index.html",), "scans",
        several_lines=True,
    ),
    "study": Command(
        "study", (*SEGNET, *TINY, "--parts", "best", "--epochs", "3"), RUNS, needs="grid", several_lines=True
    ),
    "look": Command("data", ("look", "volumes", "--out", "out"), (), "volumes", again=("--force",)),
    "report": Command("report", ("--runs", "runs", "--out", "out"), (), "runs"),
}  # fmt: skip
COMMITTED_RUN = "grid/released-binary-segnet/exp4-seed0-matlab"


def write_inputs(home: Path) -> None:
    """Twenty slices and three scans of the phantom, and a run that the report takes for one of its own."""
    import nibabel

    from unet_segnet.data.phantom import phantom_slices, write_phantom

    write_phantom(home / "data", num_slices=20, seed=1, size=64)
    write_phantom(home / "volumes", num_slices=10, seed=1, size=48, volumes=2, volume_slices=3)
    (home / "scans").mkdir()
    for number in (1, 2, 3):
        slices = phantom_slices(4, seed=number, size=64)
        array = np.moveaxis(slices.images.astype(np.int16), 0, 2)
        nibabel.save(nibabel.Nifti1Image(array, np.diag([-0.7, -0.7, 5.0, 1.0])), home / "scans" / f"scan{number}.nii")
    shutil.copytree(ROOT / "experiments" / "results" / COMMITTED_RUN, home / "runs" / COMMITTED_RUN)


def finished(out: Path, command: Command) -> dict[str, tuple]:
    """Files of all that is finished: relative path -> digest and time of change.

    A run that was killed between its result and its last step still has a state, which nobody needs and the next start
    clears away.
    """
    folders = {match.parent.relative_to(out) for pattern in command.finished for match in out.glob(pattern)}
    return {
        name: found
        for name, found in files_below(out).items()
        if any(folder in Path(name).parents and not folder.name.startswith(".") for folder in folders)
        and not Path(name).name.startswith("state.")
        and ".tmp." not in name
    }


def files_below(out: Path) -> dict[str, tuple]:
    """Relative path -> digest and time of change of the files in a folder."""
    found = {}
    for path in sorted(out.rglob("*")):
        if path.is_file() and path.name not in UNCOUNTED:
            found[path.relative_to(out).as_posix()] = _digest(path.read_bytes()), path.stat().st_mtime_ns
    return found


def result(out: Path) -> dict[str, str]:
    """What a command has made: relative path -> digest of what does not depend on when and where it was made."""
    paths = sorted(path for path in out.rglob("*") if path.is_file() and path.name not in UNCOUNTED)
    # A run's own picture is there where it took long enough.
    paths = [path for path in paths if path.name != "training.png" or not (path.parent / "config.json").exists()]
    return {path.relative_to(out).as_posix(): _digest(_lasting(path)) for path in paths}


def _lasting(path: Path) -> bytes:
    content = path.read_bytes()
    if path.name == "result.json":
        found = json.loads(content)
        return json.dumps({key: found.get(key) for key in KEPT_OF_RESULT}).encode()
    if path.name == "index.html":  # what it says of its origin: a row of faults.py's table makes the checkout "-dirty",
        # and a run that was removed is taken from the committed ones
        return re.sub(rb"at commit [\w-]+|\d+ finished runs: [^<]+", b"", content)
    if path.name == "history.csv":
        rows = list(csv.DictReader(io.StringIO(content.decode())))
        return json.dumps([{key: row[key] for key in row if not key.endswith(FREE_ARRAYS)} for row in rows]).encode()
    if path.suffix == ".gz":
        return gzip.decompress(content)
    if path.suffix == ".npz":
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            return _bytes_of({name: arrays[name] for name in arrays.files if not name.endswith(FREE_ARRAYS)})
    if path.suffix == ".keras":
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return _bytes_of(weights_of(archive.read("model.weights.h5")))
    return content


def weights_of(content: bytes) -> dict[str, np.ndarray]:
    """The arrays of an HDF5 file by their path in it."""
    import h5py

    found = {}
    with h5py.File(io.BytesIO(content)) as file:
        file.visititems(lambda name, item: found.update({name: item[()]}) if isinstance(item, h5py.Dataset) else None)
    return found


def _bytes_of(arrays: dict[str, np.ndarray]) -> bytes:
    return b"".join(
        f"{name} {arrays[name].dtype} {arrays[name].shape} ".encode() + arrays[name].tobytes()
        for name in sorted(arrays)
    )


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
