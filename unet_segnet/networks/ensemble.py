"""Several networks as one: those of a cross-validation's folds, whose probabilities are averaged.

SegNets are the exception, for their scores are cut off at 0 by a ReLU: where such a network sees no lesion, all classes
have equal probabilities and the first is taken. A mean of 1/2 from four networks and of 0.9 from the fifth would be a
lesion, so that together they would mark whatever one of them marks. They vote instead.
"""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from unet_segnet.errors import InputError, some
from unet_segnet.networks.hub import check_half
from unet_segnet.output.records import read_json

NETWORK = "model.keras"  # in the folder of a finished run
FOLD, FOLDS = "fold{fold}-seed{seed}", "folds-seed{seed}"  # folders of a fold, and of what all folds show together
EQUAL = {  # what networks must have in common, and how messages call it
    "input_shape": "slices",
    "output_shape": "probabilities",
    "class_names": "classes",
    "window": "window",
    "label_values": "label values",
    "takes": "kind of input",
    "learnt_from": "part of the slices learnt from",
    "threshold": "threshold",
    "temperature": "temperature",
    "mirror_axes": "mirror images learnt from",
}


@dataclass(frozen=True)
class Folds:
    """The trained networks of a cross-validation.

    Attributes:
        files: theirs, in the order of the folds.
        diverged: the folds without a network, because their training diverged.
        tables: the folder with the scores of each fold's network on the patients that it had not seen.
    """

    files: tuple[Path, ...]
    diverged: tuple[str, ...]
    tables: Path


def networks_in(folder: str | os.PathLike) -> Path | Folds:
    """The network of a run's folder, or of the only run in a folder of runs; or those of a cross-validation.

    Arguments:
        folder: of a run; of all runs of a network, as `unet-segnet train` wrote it; or the one in it with the tables
            of all folds (`FOLDS`).

    Raises:
        InputError: it holds no network, several that do not belong together, or folds that are not finished.
    """
    folder = Path(folder)
    if (folder / NETWORK).is_file():
        return folder / NETWORK
    if match := re.fullmatch(FOLDS.format(seed=r"(\d+)"), folder.resolve().name):
        return _folds(folder.resolve().parent if folder.name in ("", "..") else folder.parent, match[1])
    within = [path.name for path in folder.iterdir() if path.is_dir()]
    runs = sorted(name for name in within if (folder / name / NETWORK).is_file())
    fold = re.compile(FOLD.format(fold=r"\d+", seed=r"(\d+)"))
    seeds = {match[1] for match in map(fold.fullmatch, within) if match}
    if len(seeds) == 1 and all(map(fold.fullmatch, runs)):
        return _folds(folder, *seeds)
    if not runs:
        check_half(folder)
        raise InputError(f"{folder}: no network in this folder ({NETWORK}); expected the folder of a finished run")
    if len(runs) > 1:
        together = sorted(FOLDS.format(seed=seed) for seed in seeds)
        more = f", or {' or '.join(together)} for all folds of one seed" if together else ""
        raise InputError(
            f"{folder}: holds the networks of {len(runs)} runs ({some(runs, 6)}); give one of these folders{more}"
        )
    return folder / runs[0] / NETWORK


def _folds(group: Path, seed: str) -> Folds:
    """The networks of all folds of a seed: as many as the split has, each trained on its part of it."""
    tables = group / FOLDS.format(seed=seed)
    split = tables / "split.json"
    again = "start the same training again to finish it, or give the folder of one fold"
    if not split.is_file():
        raise InputError(
            f"{group}: its cross-validation has not come to its end (no {tables.name}/split.json); {again}"
        )
    parts = read_json(split).get("folds")
    if not isinstance(parts, list) or not parts:
        raise InputError(f"{split}: names no folds; restore the file")
    folders = [group / FOLD.format(fold=number, seed=seed) for number in range(1, len(parts) + 1)]
    if open_ := [folder.name for folder in folders if not (folder / "result.json").is_file()]:
        raise InputError(f"{group}: {', '.join(open_)} of {len(folders)} folds not finished; {again}")
    files, diverged = [], []
    for folder, part in zip(folders, parts, strict=True):
        if read_json(folder / "config.json").get("split") != part:
            raise InputError(f"{folder}: was trained on other slices than {split} says; {again}")
        if read_json(folder / "result.json").get("status") == "diverged":
            diverged.append(folder.name)
        elif not (folder / NETWORK).is_file():
            raise InputError(f"{folder}: is without its network ({NETWORK}); restore it, or train this fold again")
        else:
            files.append(folder / NETWORK)
    if len(files) < 2:
        raise InputError(f"{group}: {len(files)} of {len(folders)} folds have a network, the others diverged")
    return Folds(tuple(files), tuple(diverged), tables)


def cuts_scores(model) -> bool:
    """Whether a network's scores pass a ReLU before its softmax, as SegNet's do."""
    import keras

    if not isinstance(model, keras.Model):
        return False
    into_softmax = getattr(model.layers[-1], "input", None)
    return isinstance(getattr(into_softmax, "_keras_history", (None,))[0], keras.layers.ReLU)


def as_votes(probabilities: np.ndarray) -> np.ndarray:
    """(..., num_classes) float32: 1 for the most probable class, the first of equals, and 0 for the others.

    What is no number stays none.
    """
    num_classes = probabilities.shape[-1]
    votes = np.eye(num_classes, dtype=np.float32)[np.argmax(probabilities, axis=-1)]
    votes[~np.isfinite(probabilities).all(axis=-1)] = np.nan
    return votes


class Ensemble:
    """Networks of one kind as one that gives the mean of their probabilities, or the shares of their votes.

    Stands where a `keras.Model` is applied: it has `predict_on_batch`, `input_shape`, `output_shape`, `name` and what
    `load_model` tells of a network (`class_names`, `window`, ...), which its members have in common.

    Arguments:
        members: `keras.Model`s that give class probabilities.
        names: of the members.
        source: where they come from, for messages.
        left_out: names of folds that have no network.
        tables: see `Folds`; or None.

    Attributes:
        votes: whether the shares of votes are given (`cuts_scores`), not the mean of the probabilities.

    Raises:
        InputError: the members do not fit each other.
    """

    def __init__(
        self,
        members: Sequence,
        names: Sequence[str],
        source: str,
        left_out: Sequence[str] = (),
        tables: Path | None = None,
    ):
        self.members, self.names, self.name = tuple(members), tuple(names), source
        self.left_out, self.tables = tuple(left_out), tables
        self.votes = any(map(cuts_scores, self.members))
        first = self.members[0]
        for key, what in EQUAL.items():
            value = getattr(first, key, None)
            for member, name in zip(self.members[1:], names[1:], strict=True):
                if (other := getattr(member, key, None)) != value:
                    raise InputError(
                        f"{source}: {name} does not fit {names[0]}: other {what} ({other}, not {value}); expected the "
                        "networks of one cross-validation"
                    )
            if value is not None:
                setattr(self, key, value)

    def predict_on_batch(self, images: np.ndarray) -> np.ndarray:
        """(batch, height, width, num_classes) float32: the mean of the members' probabilities, or of their votes.

        Arguments:
            images: (batch, height, width, 1) as each of the members takes them.
        """
        return self.answers([member.predict_on_batch(images) for member in self.members]).mean(axis=0)

    def answers(self, probabilities: Sequence[np.ndarray]) -> np.ndarray:
        """(num_members, ...) float32: what the mean is taken of, from the probabilities of each member."""
        each = np.asarray(probabilities, np.float32)
        return as_votes(each) if self.votes else each

    @property
    def notes(self) -> tuple[str, ...]:
        """What a result of it is to say, one line each."""
        what = "the votes" if self.votes else "the mean of the probabilities"
        text = f"network: {what} of {len(self.members)} networks ({', '.join(self.names)})"
        why = "networks: they vote, for SegNets' scores are cut off at 0, and means would mark what a single one marks"
        return (
            text,
            *((why,) if self.votes else ()),
            *(f"network: {name} is left out, its training diverged" for name in self.left_out),
        )


def common_facts(facts: Sequence[dict]) -> dict:
    """What is known of an ensemble, from the facts (`unet_segnet.networks.facts`) of its members.

    The slices are those of all members, the grey thresholds the medians of theirs, all else is the first one's.
    """
    common = dict(facts[0])
    if slices := [mark for of in facts for mark in of.get("slices") or ()]:
        common["slices"] = list(dict.fromkeys(slices))
    thresholds = [of.get("thresholds") for of in facts]
    if all(thresholds) and len(set(map(len, thresholds))) == 1:
        common["thresholds"] = np.rint(np.median(thresholds, axis=0)).astype(int).tolist()
    return common
