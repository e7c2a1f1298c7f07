"""Whether files that came from elsewhere are a whole run: believed in nothing, checked before memory is taken."""

import io
import json
import re
import stat
import zipfile
from dataclasses import dataclass, fields
from pathlib import PurePosixPath

import numpy as np

from experiments.saood2021.counts import CLASS_NAMES
from experiments.saood2021.protocol import STUDIES
from experiments.saood2021.runs import KIND, RunSpec, check_last_epochs, check_settings
from unet_segnet.data.splits import PARTS
from unet_segnet.measures.metrics import global_accuracy
from unet_segnet.networks.facts import MEMBER as FACTS
from unet_segnet.output.npz import check_members, read_npz
from unet_segnet.runs.reading import check_config, check_result

MIB = 2**20
LIMIT = 16 * MIB  # of an archive
# In the order of writing: the result last, for its presence means that the run is whole. Bytes at most.
FILES = {
    "config.json": MIB,
    "history.npz": 8 * MIB,
    "counts.npz": 8 * MIB,
    "last_epochs.npz": 8 * MIB,
    "model.keras": LIMIT,
    "result.json": MIB,
}
MODEL_FILES = {"metadata.json", "config.json", "model.weights.h5"}  # and FACTS, where it was saved with them
MAX_MEMBERS = 10_000
PER_ITERATION = ("loss", "accuracy", "learning_rate")
PER_VALIDATION = ("validation_iteration", "validation_loss", "validation_accuracy")
# Study, variant, problem and network, which alone may hold more than letters; the run; its file.
MEMBER = re.compile(rf"((?:{'|'.join(STUDIES)})/[a-z]+-[a-z]+-[\w-]+/[a-z0-9-]+)/([a-z_]+\.[a-z]+)", re.ASCII)


class UnsoundError(ValueError):
    """A file that is not what it should be: `name` of the file, `reason` in a few words."""

    def __init__(self, name: str, reason: str):
        shown = name if name.isprintable() else ascii(name)
        super().__init__(f"{shown[:150]}: {' '.join(reason.split())[:200]}")


@dataclass(frozen=True)
class PackedRun:
    """A finished run whose files have been checked.

    Attributes:
        spec: which run.
        files: content by file name; model.keras only where it is taken along.
        accuracy: mean global accuracy over the test slices, None where the training diverged.
    """

    spec: RunSpec
    files: dict[str, bytes]
    accuracy: float | None

    @property
    def folder(self) -> str:
        """Its folder below the output folder, with forward slashes."""
        return (self.spec.group / self.spec.name).as_posix()

    def agrees(self, other: "PackedRun") -> bool:
        """Whether both are the same run, the network apart where one of them came without it."""
        return all(
            self.files.get(name) == other.files.get(name)
            for name in FILES
            if name != "model.keras" or (name in self.files and name in other.files)
        )


def check_run(folder: str, files: dict[str, bytes]) -> PackedRun:
    """Check that these files are a whole run that belongs into this folder.

    Raises:
        UnsoundError: naming the file and what is wrong with it.
    """

    def checked(name, check, *arguments):
        if name not in files:
            raise UnsoundError(folder, f"is not a whole run, it has no {name}")
        if len(files[name]) > FILES[name]:
            raise UnsoundError(f"{folder}/{name}", f"has {len(files[name])} bytes, more than {FILES[name]}")
        try:
            return check(files[name], *arguments)
        except Exception as error:  # whatever a made-up file provokes is that file's fault
            raise UnsoundError(f"{folder}/{name}", str(error) or type(error).__name__) from error

    config = checked("config.json", _checked_config)
    spec = RunSpec(**{field.name: config[field.name] for field in fields(RunSpec)})
    if PurePosixPath(spec.group, spec.name) != PurePosixPath(folder):
        raise UnsoundError(f"{folder}/config.json", f"is that of {(spec.group / spec.name).as_posix()}")
    status = checked("result.json", _checked_result)
    checked("history.npz", _check_history)
    if status == "diverged":
        if extra := files.keys() & {"counts.npz", "last_epochs.npz", "model.keras"}:
            raise UnsoundError(f"{folder}/{min(extra)}", "does not belong to a run that diverged")
        return PackedRun(spec, files, None)
    confusion = checked("counts.npz", _checked_confusion, config)
    if "last_epochs.npz" in files:
        checked("last_epochs.npz", _check_last_epochs, config, confusion)
    if "model.keras" in files:
        checked("model.keras", _check_model)
    return PackedRun(spec, files, float(global_accuracy(confusion["test"]).mean()))


def _checked_config(content):
    config = _json(content)
    check_config(config)
    expected = {"format", *(field.name for field in fields(RunSpec)), "recipe", "data", "split", "backend"}
    if config.get("encoder_weights") not in (None, "imagenet"):
        expected.add("encoder_weights_sha256")
    if different := config.keys() ^ expected:
        raise ValueError(f"lacks or has too much: {', '.join(sorted(different))}")
    if any(isinstance(config[name], dict | list) for name in (field.name for field in fields(RunSpec))):
        raise ValueError("a setting of the run is no single value")
    check_settings(config)
    weights, recipe, split = (config[key] for key in ("encoder_weights", "recipe", "split"))
    allowed = {
        "study": config["study"] in KIND.studies,
        "fold": (config["fold"] is None) == (config["study"] != "kfold"),
        "encoder_weights": weights is None or isinstance(weights, str),
        "encoder_weights_sha256": isinstance(config.get("encoder_weights_sha256", ""), str),
        "recipe": isinstance(recipe, dict) and all(_is_count(recipe.get(key)) for key in ("epochs", "batch_size")),
        "data": isinstance(config["data"], dict),
        "split": isinstance(split, dict) and set(split) == set(PARTS) and all(map(_is_names, split.values())),
        "backend": isinstance(config["backend"], str),
    }
    if wrong := [name for name, right in allowed.items() if not right]:
        raise ValueError(f"impossible value of {', '.join(wrong)}")
    return config


def _is_count(value):
    return type(value) is int and value > 0


def _is_names(value):
    return isinstance(value, list) and all(isinstance(name, str) for name in value)


def _checked_result(content):
    result = _json(content)
    check_result(result)
    status, seconds, threads = (result.get(key) for key in ("status", "seconds", "threads"))
    if status == "diverged" and type(result.get("epoch")) is not int:
        raise ValueError("does not say in which epoch it diverged")
    if type(seconds) not in (int, float) or not 0 <= seconds < 1e9 or not _is_count(threads):
        raise ValueError("impossible seconds or threads")
    return status


def _json(content):
    value = json.loads(content)
    if not isinstance(value, dict):
        raise ValueError("holds no settings")
    return value


def _check_history(content):
    arrays = read_npz(io.BytesIO(content), KIND.history, only=True)
    if any(array.ndim != 1 or array.dtype.kind not in "if" for array in arrays.values()):
        raise ValueError("expected rows of numbers")
    if any(len({len(arrays[name]) for name in names}) > 1 for names in (PER_ITERATION, PER_VALIDATION)):
        raise ValueError("its rows differ in length")
    seconds = arrays["epoch_seconds"]
    if not (np.isfinite(seconds).all() and (seconds >= 0).all()):
        raise ValueError("impossible seconds of an epoch")


def _checked_confusion(content, config):
    arrays = read_npz(io.BytesIO(content), KIND.counts, only=True)
    num_classes = len(CLASS_NAMES[config["problem"]])
    for part in PARTS[1:]:
        names, confusion, scores = (arrays[f"{part}_{kind}"] for kind in ("names", "confusion", "bf"))
        if names.dtype.kind not in "U" or names.tolist() != config["split"][part]:
            raise ValueError(f"its {part} slices are not those of config.json")
        if confusion.dtype.kind not in "iu" or confusion.shape != (len(names), num_classes, num_classes):
            raise ValueError(f"expected a matrix of {num_classes} classes for each of the {part} slices")
        if (confusion < 0).any() or scores.dtype.kind != "f" or scores.shape != (len(names),):
            raise ValueError(f"impossible counts or scores of the {part} slices")
    if not len(arrays["test_names"]):
        raise ValueError("no test slice was counted")
    return {part: arrays[f"{part}_confusion"] for part in PARTS[1:]}


def _check_last_epochs(content, config, confusion):
    arrays = read_npz(io.BytesIO(content), KIND.optional["last_epochs.npz"], only=True)
    check_last_epochs(arrays, confusion)
    if arrays["epoch"][-1] > config["recipe"]["epochs"]:
        raise ValueError(f"counts epochs beyond the training's {config['recipe']['epochs']}")


def _check_model(content):
    # What is in it is checked when it is loaded: by Keras, in safe mode, and by `read_facts`.
    with zipfile.ZipFile(io.BytesIO(content)) as saved:
        check_members(saved.infolist(), MODEL_FILES | ({FACTS} & set(saved.namelist())))


def checked_members(members, archive_size):
    """(folder, file name, member) of each, after looking at names, kinds and sizes of all."""
    if len(members) > MAX_MEMBERS:
        raise UnsoundError(members[MAX_MEMBERS].filename, f"is one of {len(members)} members, more than {MAX_MEMBERS}")
    found: dict[tuple[str, str], zipfile.ZipInfo] = {}
    for member in members:
        name = member.orig_filename
        if name.startswith(("/", "\\")) or ".." in re.split(r"[/\\]", name) or re.match(r"[A-Za-z]:", name):
            raise UnsoundError(name, "leads out of the folder")
        if stat.S_IFMT(member.external_attr >> 16) not in (0, stat.S_IFREG):
            raise UnsoundError(name, "is a link or another special file")
        match = MEMBER.fullmatch(name)
        if not match or match[2] not in FILES:
            raise UnsoundError(name, "is no file of a run")
        if match.groups() in found:
            raise UnsoundError(name, "is there twice")
        if member.file_size > FILES[match[2]]:
            raise UnsoundError(name, f"declares {member.file_size} bytes, more than {FILES[match[2]]}")
        if member.compress_type != zipfile.ZIP_STORED or member.compress_size != member.file_size:
            raise UnsoundError(name, "is compressed, which `study --pack` never does")
        found[match.groups()] = member
    if sum(member.file_size for member in members) > archive_size:
        raise UnsoundError(members[0].filename, "and the others declare more bytes than the archive has")
    return [(folder, name, member) for (folder, name), member in found.items()]
