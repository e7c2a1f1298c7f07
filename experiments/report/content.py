"""What the report is made from, and what it is made of: the types that its parts hand to each other.

finished runs + data + published numbers -> Evidence -> tables, verdicts, figures -> Report -> files
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from experiments.tables import RunCounts
from experiments.tabular import Table

VERDICTS = ("replicates", "does not replicate", "cannot be decided")


@dataclass(frozen=True)
class Study:
    """The article that a report repeats.

    Attributes:
        title: of the report's page.
        article: authors, title, journal, identifier.
        generator: marks the page, so that a report replaces only an older one of the same study.
    """

    title: str
    article: str
    generator: str


U_NET_VERSUS_SEGNET = Study(
    "U-Net versus SegNet on COVID\N{NON-BREAKING HYPHEN}19 lung CT: the study repeated",
    "Saood A, Hatem I. COVID-19 lung CT image segmentation using deep learning methods: U-Net versus SegNet. "
    "BMC Medical Imaging 21, 19 (2021). doi:10.1186/s12880-020-00529-5",
    "unet_segnet report",
)
COMPREHENSIVE_COMPARISON = Study(
    "Four architectures, 25 encoders: lungs and COVID\N{NON-BREAKING HYPHEN}19 lesions on CT, the study repeated",
    "Bizopoulos P, Vretos N, Daras P. Comprehensive comparison of deep learning models for lung and COVID-19 lesion "
    "segmentation in CT scans. arXiv:2009.06412v2 (2021)",
    "unet_segnet comparison report",
)


@dataclass(frozen=True)
class FinishedRun:
    """One finished training.

    Attributes:
        counts: its per-slice confusion matrices and what distinguishes it.
        config: what determined it (`config.json`).
        result: how it came about (`result.json`: versions, device, seconds).
        folder: where its files are; `history.npz` among them.
        committed: True where it is one of the project's own results, False where it comes from --runs.
    """

    counts: RunCounts
    config: dict
    result: dict
    folder: Path
    committed: bool

    @property
    def dtype(self) -> str | None:
        """The data type of its layers, where that is known."""
        from experiments.runs import dtype_in

        return dtype_in(self.config)

    @property
    def weights(self) -> Path | None:
        """The trained network, where it was kept."""
        path = self.folder / "model.keras"
        return path if path.is_file() else None

    def history(self) -> dict[str, np.ndarray]:
        """Loss, accuracy and learning rate per iteration, validation (`unet_segnet.training.HISTORY_KEYS`)."""
        from experiments.runs import read_arrays
        from unet_segnet.training import HISTORY_KEYS

        return read_arrays(self.folder / "history.npz", HISTORY_KEYS)


@dataclass(frozen=True)
class Network:
    """A trained network whose weights are at hand, and what it predicts.

    Attributes:
        key: for file names, such as "own-segnet-binary" or "authors-segnet-binary".
        label: for captions, such as "SegNet exp. 4, ours" or "SegNet exp. 4, the authors'".
        net: "segnet" or "unet".
        problem: "binary" or "multiclass".
        load: gives the `keras.Model` (images of 0..255 in, class probabilities out).
        predictions: (18, 256, 256) uint8 class index of the test slices, in the order of the split.
    """

    key: str
    label: str
    net: str
    problem: str
    load: Callable[[], object]
    predictions: np.ndarray


@dataclass(frozen=True)
class Evidence:
    """All that the report may draw on.

    Attributes:
        runs: finished runs of the grid (`counts.fold` is None) and of the five folds.
        slices: the 100 slices with labels of four classes, or None where no data was found.
        data: the data set's name, for titles.
        networks: those whose weights are at hand; needs slices.
        missing: what could not be had, a sentence each, and what would bring it.
        folder: of the data set, or None.
    """

    runs: tuple[FinishedRun, ...]
    slices: object | None
    data: str
    networks: tuple[Network, ...] = ()
    missing: tuple[str, ...] = ()
    folder: Path | None = None

    def grid(self, problem: str, variant: str) -> list[FinishedRun]:
        """Runs of the grid of one problem and variant."""
        return [run for run in self.runs if run.counts.fold is None and self._is(run, problem, variant)]

    def folds(self, problem: str, variant: str) -> list[FinishedRun]:
        """Runs of the five folds of one problem and variant."""
        return [run for run in self.runs if run.counts.fold is not None and self._is(run, problem, variant)]

    @staticmethod
    def _is(run: FinishedRun, problem: str, variant: str) -> bool:
        return (run.counts.problem, run.counts.variant) == (problem, variant)


@dataclass(frozen=True)
class Verdict:
    """One claim of the paper, held against the evidence.

    Attributes:
        name: short, for anchors: "segnet-wins-binary".
        claim: the claim in one sentence, in our words.
        source: where the paper says it.
        verdict: one of VERDICTS.
        evidence: what was computed, one or two sentences with the numbers in them.
        decides: what would decide it; empty where it is decided.
    """

    name: str
    claim: str
    source: str
    verdict: str
    evidence: str
    decides: str = ""

    def __post_init__(self):
        if self.verdict not in VERDICTS:
            raise ValueError(f"verdict must be one of {VERDICTS}. Received: {self.verdict!r}")


@dataclass(frozen=True)
class Figure:
    """A figure of the report.

    Attributes:
        name: of its files, such as "figure4_training".
        title: short, such as "Figure 4. Training accuracy and loss".
        caption: data, runs, seeds and n, in full sentences.
        figure: the `matplotlib.figure.Figure`.
        alt: what it shows, for those who cannot see it.
    """

    name: str
    title: str
    caption: str
    figure: object
    alt: str


@dataclass(frozen=True)
class Report:
    """Everything that is written out.

    Attributes:
        verdicts: one per claim.
        tables: by file name, in order.
        figures: in order.
        evidence: what it was made from: the first study's `Evidence`, whose slices and networks feed the slice
            viewer, or that of another study with `data` and `missing` of the same kind.
        provenance: lines about how the report came about (commit, data, number of runs).
        sections: heading -> names of the tables and figures below it, in order.
        study: the article that it repeats.
    """

    verdicts: tuple[Verdict, ...]
    tables: dict[str, Table]
    figures: tuple[Figure, ...]
    evidence: Evidence | Any
    provenance: tuple[str, ...]
    sections: dict[str, tuple[str, ...]] = field(default_factory=dict)
    study: Study = U_NET_VERSUS_SEGNET


def sections(names: Sequence[str], headings: Mapping[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
    """Heading -> the tables and figures below it, in the order given; every name is under one heading.

    Arguments:
        names: of all tables and figures.
        headings: heading -> how the names below it begin, in the order of the page; those with none are left out.

    Raises:
        ValueError: a name that no heading takes.
    """
    placed = {heading: tuple(name for name in names if name.startswith(starts)) for heading, starts in headings.items()}
    left = set(names).difference(*placed.values())
    if left:
        raise ValueError(f"no section of the report takes {sorted(left)}")
    return {heading: under for heading, under in placed.items() if under}
