"""Scores of own data: pooled, per patient and per slice, with intervals over patients, beside the baselines."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from unet_segnet.measures import metrics
from unet_segnet.measures.statistics import FEWEST_UNITS, bootstrap_interval, bootstrap_mean
from unet_segnet.output.tabular import Table

ALL_LESIONS = "all lesions"
SCORES = {"Dice": metrics.dice, "sensitivity": metrics.sensitivity, "specificity": metrics.specificity}


@dataclass(frozen=True, eq=False)
class Method:
    """What one way of segmenting counted.

    Attributes:
        name: how tables call it.
        confusion: (num_slices, K, K) pixels, rows the truth.
        description: a sentence for the notes, or "".
    """

    name: str
    confusion: np.ndarray
    description: str = ""


@dataclass(frozen=True, eq=False)
class ScoredSlices:
    """The slices that were scored.

    Attributes:
        names: of the slices.
        groups: (num_slices,) the patient of each, or its own name.
        num_unknown: slices of unknown patients.
        class_names: background first.
        data: name of the data set.
    """

    names: Sequence[str]
    groups: Sequence[str]
    num_unknown: int
    class_names: Sequence[str]
    data: str

    @property
    def lesions(self) -> tuple[str, ...]:
        """Names of what is scored: each lesion class, and all of them together where there are several."""
        several = len(self.class_names) > 2
        return (*self.class_names[1:], *((ALL_LESIONS,) if several else ()))


def lesion_counts(confusion: np.ndarray) -> np.ndarray:
    """(num_slices, num_lesions, 2, 2) pixels of each lesion against the rest, ordered as `ScoredSlices.lesions`."""
    num_classes = confusion.shape[-1]
    members = [[k] for k in range(1, num_classes)] + ([list(range(1, num_classes))] if num_classes > 2 else [])
    counts = np.zeros((len(confusion), len(members), 2, 2), np.int64)
    for index, classes in enumerate(members):
        inside = np.isin(np.arange(num_classes), classes)
        for row, truth in enumerate((~inside, inside)):
            for column, found in enumerate((~inside, inside)):
                counts[:, index, row, column] = confusion[:, truth][:, :, found].sum(axis=(1, 2))
    return counts


def _scores(counts: np.ndarray) -> np.ndarray:
    """(..., number of SCORES) of counts (..., 2, 2): the lesion's."""
    return np.stack([score(counts)[..., 1] for score in SCORES.values()], axis=-1)


def score_tables(tested: ScoredSlices, methods: Sequence[Method], notes: Sequence[str] = ()) -> dict[str, Table]:
    """Tables by file name: "scores" of all methods, and "patients" of the first one, where patients are known."""
    patients = list(dict.fromkeys(tested.groups))
    rows = []
    for method in methods:
        rows += _summary_rows(method, tested, patients)
    tables = {"scores": _summary(tested, methods, patients, rows, notes)}
    if tested.num_unknown < len(tested.names):
        tables["patients"] = _patients(tested, methods, patients)
    return tables


def _per_patient(counts, tested, patients):
    index = {patient: number for number, patient in enumerate(patients)}
    summed = np.zeros((len(patients), *counts.shape[1:]), counts.dtype)
    np.add.at(summed, [index[group] for group in tested.groups], counts)
    return summed


def _summary_rows(method: Method, tested: ScoredSlices, patients):
    counts = lesion_counts(method.confusion)
    of_patients = _per_patient(counts, tested, patients)
    of_slices = _scores(counts)
    defined = ~np.isnan(of_slices)
    of_each = _scores(of_patients)
    num_defined = (~np.isnan(of_each)).sum(axis=0)  # of the units that are drawn: the others do not vary a score
    sums = _per_patient(np.stack([np.where(defined, of_slices, 0.0), defined], axis=-1), tested, patients)

    def mean(total):
        return np.divide(total[..., 0], total[..., 1], out=np.full(total.shape[:-1], np.nan), where=total[..., 1] > 0)

    intervals = {
        "all pixels": bootstrap_interval(of_patients, _scores),
        "mean of patients": bootstrap_mean(of_each),
        "mean of slices": bootstrap_interval(sums, mean),
    }
    if tested.num_unknown == len(tested.names):
        del intervals["mean of patients"]
    for number, lesion in enumerate(tested.lesions):
        for over, interval in intervals.items():
            row = [method.name, lesion, over]
            for score in range(len(SCORES)):
                row += _cells(interval, (number, score), num_defined[number, score])
            yield tuple(row)


def _cells(interval, at, count):
    """Estimate and limits; no limits from few units that have a score."""
    estimate, low, high = (float(np.asarray(values)[at]) for values in (interval.estimate, interval.low, interval.high))
    return (estimate, low, high) if count >= FEWEST_UNITS else (estimate, math.nan, math.nan)


def _columns():
    return tuple(f"{score}: {part}" for score in SCORES for part in ("value", "low", "high"))


def _summary(tested, methods, patients, rows, notes) -> Table:
    known = not tested.num_unknown
    own_notes = [
        "low, high: 95 % interval, "
        + ("patients" if known else "slices")
        + " drawn with replacement (BCa). all pixels: of the pixels of all slices together; mean of patients, of "
        "slices: of their own scores, those that are undefined (no lesion, none found) left out."
    ]
    if not known:
        own_notes.append(
            f"{tested.num_unknown} of {len(tested.names)} slices are of unknown patients and count as one each: if "
            "several are of one patient, the intervals are too narrow."
        )
    pairs = [pair for row in rows for pair in zip(row[3::3], row[4::3], strict=True)]
    if any(math.isnan(low) > math.isnan(value) for value, low in pairs):
        what = "patients" if known else "slices"
        own_notes.append(f"Fewer than {FEWEST_UNITS} {what} have a score without interval: too few to know its spread.")
    own_notes += [f"{method.name}: {method.description}." for method in methods if method.description]
    of = f"{len(patients)} patient{'s' if len(patients) > 1 else ''}, " if known else ""
    title = f"Scores on {tested.data}, {of}{len(tested.names)} slices, counted at the network's size."
    return Table(title, ("method", "lesion", "over", *_columns()), tuple(rows), (*own_notes, *notes))


def _patients(tested: ScoredSlices, methods, patients) -> Table:
    """The first method's scores of each patient's pixels, with intervals over the patient's slices."""
    counts = [lesion_counts(method.confusion)[:, -1] for method in methods]
    groups = np.asarray(tested.groups)
    rows = []
    for patient in patients:
        own = groups == patient
        interval = bootstrap_interval(counts[0][own], _scores)
        defined = (~np.isnan(_scores(counts[0][own]))).sum(axis=0)
        cells = [cell for score, number in enumerate(defined) for cell in _cells(interval, (score,), number)]
        others = [float(_scores(of[own].sum(axis=0))[0]) for of in counts[1:]]
        share = float(100 * counts[0][own, 1].sum() / counts[0][own].sum())
        rows.append((patient, int(own.sum()), share, *cells, *others))
    return Table(
        f"Scores of each patient, {tested.lesions[-1]}, {methods[0].name} on {tested.data}.",
        ("patient", "slices", "lesion, %", *_columns(), *(f"Dice: {method.name}" for method in methods[1:])),
        tuple(rows),
        (
            f"low, high: 95 % interval over the patient's own slices, where {FEWEST_UNITS} or more have the score; "
            "neighbours are alike, so it is rather too narrow. lesion: share of all pixels.",
        ),
    )


def slice_table(tested: ScoredSlices, method: Method) -> Table:
    """A row per slice and lesion: true and predicted pixels and scores."""
    counts = lesion_counts(method.confusion)
    scores = _scores(counts)
    rows = [
        (name, group, lesion, int(pixels[1].sum()), int(pixels[:, 1].sum()), *map(float, of_slice))
        for name, group, of_lesions, scores_of in zip(tested.names, tested.groups, counts, scores, strict=True)
        for lesion, pixels, of_slice in zip(tested.lesions, of_lesions, scores_of, strict=True)
    ]
    columns = ("slice", "patient", "lesion", "true pixels", "predicted pixels", *SCORES)
    return Table(f"Each slice of {tested.data}, {method.name}.", columns, tuple(rows))


def domain_table(differences, trained_on: str, data: str) -> Table:
    """What sets the data apart from what the network was trained on.

    Arguments:
        differences: of `unet_segnet.cohort.domain.differences`.
        trained_on, data: names of the two data sets.
    """
    rows = tuple((found.fact, found.trained_on, found.here, found.remark) for found in differences)
    differ = [found.fact for found in differences if found.remark]
    note = (
        f"What differs: {'; '.join(differ)}. Scores on such data say how the network does there, not how it was made."
        if differ
        else "Nothing of this is far apart; what cannot be seen here (scanner, disease, who annotated) may be."
    )
    return Table(
        f"What the network was trained on ({trained_on}), and {data}.",
        ("fact", "trained on", "here", "remark"),
        rows,
        (note,),
    )
