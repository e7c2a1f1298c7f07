"""Puts the parts of the report together: which tables and figures there are, under which heading."""

from dataclasses import replace

from experiments.options import PROBLEMS
from experiments.provenance import commit
from experiments.report import comparisons, figures, stopping, tables
from experiments.report.content import Evidence, Report, sections
from experiments.report.errata import errata_table
from experiments.report.trainings import VARIANTS
from experiments.report.verdicts import verdicts
from experiments.tabular import Table

# Heading -> how the names of its tables and figures begin, in the order of the page.
SECTIONS = {
    "The data": ("table1", "figure1", "figure2"),
    "The networks": ("table2", "figure3"),
    "Binary segmentation": ("table3", "table4"),
    "Four classes": ("table5", "table6"),
    "Five folds": ("table7",),
    "Training": ("trainings", "figure4"),
    "What the networks look for": ("figure5",),
    "Slice by slice": ("contours", "dice", "confusion", "agreement"),
    "How sure": ("intervals", "networks", "folds", "seeds", "stopping", "selection"),
    "Slips of the article": ("errata",),
}


def make_report(evidence: Evidence) -> Report:
    """Everything that the evidence allows, and what is missing."""
    made = compute_tables(evidence)
    drawn = figures.figures(evidence)
    evidence = replace(evidence, missing=(*evidence.missing, *figures.missing_figures(evidence)))
    return Report(
        verdicts(evidence),
        made,
        drawn,
        evidence,
        _provenance(evidence),
        sections([*made, *(f.name for f in drawn)], SECTIONS),
    )


def compute_tables(evidence: Evidence) -> dict[str, Table]:
    """Every table, by file name."""
    found = {**tables.paper_tables(evidence), "trainings": tables.trainings_table(evidence)}
    for problem in PROBLEMS:
        for variant in VARIANTS:
            suffix = f"{problem}_{variant}"
            found[f"intervals_{suffix}"] = comparisons.score_intervals(evidence, problem, variant)
            found[f"networks_{suffix}"] = comparisons.network_comparison(evidence, problem, variant)
            found[f"folds_{suffix}"] = comparisons.fold_comparison(evidence, problem, variant)
            found[f"seeds_{suffix}"] = comparisons.seed_spread(evidence, problem, variant)
    for variant in VARIANTS:
        found[f"stopping_{variant}"] = stopping.last_quarter(evidence, variant)
    found["networks_authors"] = comparisons.released_comparison()
    found["selection"] = comparisons.selection_table(evidence)
    found["agreement"] = tables.agreement_table(evidence)
    found["errata"] = errata_table(evidence)
    return {name: table for name, table in found.items() if table is not None}


def _provenance(evidence: Evidence) -> tuple[str, ...]:
    """Where the report comes from; the same whenever the same report is made again: no time, no machine."""
    own = sum(run.committed for run in evidence.runs)
    lines = [
        f"unet_segnet at commit {commit() or 'unknown'}.",
        f"{len(evidence.runs)} finished runs: {own} of the project's own results, {len(evidence.runs) - own} others.",
    ]
    if evidence.slices is not None:
        lines.append(f"Data: {evidence.data}, SHA-256 of slices and labels {evidence.slices.sha256()}.")
    return tuple(lines)
