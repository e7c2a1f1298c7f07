"""How the verdicts of a report are summed up: how many of each, what they rest on, and all of them as a table."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from experiments.reporting.content import VERDICTS, Report, Verdict
from unet_segnet.output.tabular import Table

COUNTED = {
    "replicates": ("replicates", "replicate"),
    "does not replicate": ("does not replicate", "do not replicate"),
    "misprint or slip": ("is a misprint or slip", "are misprints or slips"),
    "cannot be decided": ("cannot be decided", "cannot be decided"),
}


@dataclass(frozen=True)
class Tally:
    """How many claims have a verdict.

    Attributes:
        verdict: one of VERDICTS.
        number: of claims.
        words: what they do, to be read after the number.
        rests_on: what these verdicts rest on, or wait for, in words -> how many.
    """

    verdict: str
    number: int
    words: str
    rests_on: dict[str, int]

    @property
    def kinds(self) -> list[str]:
        """Such as "3 reproduced by training here" or "7 for want of trainings", the most frequent first."""
        return [f"{number} {kind}" for kind, number in sorted(self.rests_on.items(), key=lambda item: -item[1])]


def tallies(verdicts: Sequence[Verdict]) -> list[Tally]:
    """One for each verdict that some claim has, in the order of VERDICTS."""
    found = []
    for verdict in VERDICTS:
        if of := [one for one in verdicts if one.verdict == verdict]:
            rests_on = Counter(one.rests_on for one in of if one.rests_on)
            if trainings := sum(one.by_training for one in of):
                rests_on["for want of trainings"] = trainings
            found.append(Tally(verdict, len(of), COUNTED[verdict][len(of) != 1], dict(rests_on)))
    return found


def verdict_counts(report: Report) -> str:
    """How many claims have which verdict, and what these rest on, in Markdown."""
    told = [
        f"{of.number} {of.words}" + (f" ({', '.join(of.kinds)})" if of.kinds else "") for of in tallies(report.verdicts)
    ]
    return f"**Of {len(report.verdicts)} claims: {'; '.join(told)}.**"


def verdict_lines(report: Report) -> list[str]:
    """How many claims have which verdict, and a table of them in Markdown, what replicates first."""
    verdicts = sorted(report.verdicts, key=lambda verdict: VERDICTS.index(verdict.verdict))
    rows = (f"| {of.verdict} | {of.rests_on} | {of.claim} |" for of in verdicts)
    return [verdict_counts(report), "", "| verdict | rests on | claim |", "|---|---|---|", *rows]


def verdict_table(report: Report) -> Table:
    """The verdicts as a table."""
    columns = ("name", "verdict", "rests_on", "claim", "quote", "source", "evidence", "decides")
    rows = tuple(tuple(getattr(verdict, column) for column in columns) for verdict in report.verdicts)
    return Table("Claims of the article, and what became of them.", columns, rows)
