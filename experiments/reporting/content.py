"""What a report is made of: the types that its parts hand to each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from unet_segnet.output.tabular import Table

VERDICTS = ("replicates", "does not replicate", "misprint or slip", "cannot be decided")
BASES = {  # what a decided verdict rests on -> as it is said where the claim holds, and where not
    "training": ("reproduced by training here", "not reproduced by training here"),
    "side study": ("supported by a side study on small slices here", "denied by a side study on small slices here"),
    "replication": ("supported by a conceptual replication here", "denied by a conceptual replication here"),
    "tables": ("consistent with the article's own tables", "at odds with the article's own tables"),
    "release": ("argued from the release", "argued from the release"),
}


@dataclass(frozen=True)
class Study:
    """The article that a report repeats.

    Attributes:
        title: of the report's page.
        article: authors, title, journal, identifier.
        generator: marks the page, so that a report replaces only an older one of the same study: "unet_segnet report"
            or "unet_segnet ... report".
    """

    title: str
    article: str
    generator: str


@dataclass(frozen=True)
class Verdict:
    """One claim of the paper, held against the evidence.

    Attributes:
        name: short, for anchors: "segnet-wins-binary".
        claim: the claim in one sentence, in our words.
        quote: the article's own words.
        source: where the paper says it.
        verdict: one of VERDICTS.
        basis: one of BASES, what a decided verdict rests on; empty where nothing decides.
        evidence: what was computed, one or two sentences with the numbers in them.
        decides: what would decide it; empty where it is decided.
        by_training: whether trainings of ours would.
    """

    name: str
    claim: str
    quote: str
    source: str
    verdict: str
    basis: str
    evidence: str
    decides: str = ""
    by_training: bool = False

    def __post_init__(self):
        if self.verdict not in VERDICTS:
            raise ValueError(f"verdict must be one of {VERDICTS}. Received: {self.verdict!r}")
        if (self.verdict == VERDICTS[-1]) != (not self.basis) or self.basis not in ("", *BASES):
            raise ValueError(f"basis must be one of {list(BASES)}, or empty if undecided. Received: {self.basis!r}")

    @property
    def rests_on(self) -> str:
        """What it rests on, in words; empty where nothing decides."""
        return BASES[self.basis][self.verdict != VERDICTS[0]] if self.basis else ""


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
class SliceView:
    """Slices to look through one by one, with contours.

    Attributes:
        name: for anchors, such as "binary".
        heading: above it.
        slices: `unet_segnet.data.slices.Slices`.
        layers: label -> (num_slices, height, width) uint8 classes, the truth first.
        colours: of the classes, background first.
    """

    name: str
    heading: str
    slices: object
    layers: Mapping[str, np.ndarray]
    colours: Sequence[str]


@dataclass(frozen=True)
class Report:
    """Everything that is written out.

    Attributes:
        study: the article that it repeats.
        verdicts: one per claim.
        tables: by file name, in order.
        figures: in order.
        data: the data set's name.
        missing: what could not be had, a sentence each, and what would bring it.
        provenance: lines about how the report came about (commit, data, number of runs).
        sections: heading -> names of the tables and figures below it, in order.
        views: slice viewers.
    """

    study: Study
    verdicts: tuple[Verdict, ...]
    tables: dict[str, Table]
    figures: tuple[Figure, ...]
    data: str
    missing: tuple[str, ...]
    provenance: tuple[str, ...]
    sections: dict[str, tuple[str, ...]] = field(default_factory=dict)
    views: tuple[SliceView, ...] = ()


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
