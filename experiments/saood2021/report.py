"""Puts the parts of the report together: which tables and figures there are, under which heading."""

from collections.abc import Iterator
from dataclasses import replace

from experiments.reporting.content import Report, SliceView, sections
from experiments.reporting.tallies import verdict_counts, verdict_lines
from experiments.saood2021.evidence import Evidence
from experiments.saood2021.figures import scores as figures
from experiments.saood2021.protocol import NETS, PROBLEMS, U_NET_VERSUS_SEGNET, VARIANTS
from experiments.saood2021.published import BEST_EXPERIMENT
from experiments.saood2021.tables import comparisons, stopping
from experiments.saood2021.tables import data as tables
from experiments.saood2021.tables.batches import batches_table
from experiments.saood2021.tables.errata import errata_table
from experiments.saood2021.tables.summary import summary_table
from experiments.saood2021.tables.with_authors import paired_table
from experiments.saood2021.verdicts.claims import verdicts
from unet_segnet.output.tabular import Table
from unet_segnet.runs.provenance import commit
from unet_segnet.web.viewer import TRUTH

# Heading -> how the names of its tables and figures begin, in the order of the page.
SECTIONS = {
    "The data": ("table1", "figure1", "figure2"),
    "The networks": ("table2", "figure3"),
    "Binary segmentation": ("spread_table3", "spread_table4", "table3", "table4"),
    "Four classes": ("spread_table5", "spread_table6", "table5", "table6"),
    "Five folds": ("table7",),
    "Training": ("trainings", "figure4", "batches"),
    "What the networks look for": ("figure5",),
    "Slice by slice": ("contours", "dice", "confusion", "agreement"),
    "How sure": ("seeds", "stopping", "paired", "intervals", "networks", "folds", "selection"),
    "Slips of the article": ("errata",),
}


PROBLEM_NAMES = {"binary": "Infected or not", "multiclass": "Four classes"}


def make_report(evidence: Evidence) -> Report:
    """Everything that the evidence allows, and what is missing."""
    made = compute_tables(evidence)
    drawn = figures.figures(evidence)
    # Spread first: what single trainings can carry.
    names = sorted([*made, *(f.name for f in drawn)], key=lambda name: not name.startswith("spread"))
    return Report(
        U_NET_VERSUS_SEGNET,
        verdicts(evidence),
        made,
        drawn,
        evidence.data,
        (*evidence.missing, *figures.missing_figures(evidence)),
        _provenance(evidence),
        sections(names, SECTIONS),
        tuple(slice_views(evidence)),
    )


def slice_views(evidence: Evidence) -> Iterator[SliceView]:
    """The test slices for each problem that a network was trained for; without networks, the labels alone."""
    if evidence.slices is None or evidence.slices.labels is None:
        return
    from unet_segnet.data import paper_split
    from unet_segnet.plots import CLASS_COLOURS

    test = evidence.slices.subset(paper_split(len(evidence.slices)).test)
    solved = [problem for problem in PROBLEMS if any(net.problem == problem for net in evidence.networks)]
    for problem in solved or ["multiclass"]:
        slices = test.binary() if problem == "binary" else test
        layers = {TRUTH: slices.labels}
        for net in evidence.networks:
            if net.problem == problem:
                layers[net.label if net.label not in layers else f"{net.label} ({net.key})"] = net.predictions
        yield SliceView(problem, PROBLEM_NAMES[problem], slices, layers, CLASS_COLOURS[: len(slices.class_names)])


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
        found[f"stopping_test_{variant}"] = stopping.last_epochs(evidence, variant)
    found["batches"] = batches_table(evidence.side, evidence.data)
    found["networks_authors"] = comparisons.released_comparison()
    found["paired_authors"] = paired_table(evidence)
    found["selection"] = comparisons.selection_table(evidence)
    found["agreement"] = tables.agreement_table(evidence)
    found["errata"] = errata_table(evidence)
    return {name: table for name, table in found.items() if table is not None}


def _provenance(evidence: Evidence) -> tuple[str, ...]:
    """Where the report comes from; the same whenever the same report is made again: no time, no machine."""
    runs = (*evidence.runs, *evidence.pretrained, *evidence.side)
    own, pretrained = sum(run.committed for run in runs), len(evidence.pretrained)
    apart = f" {pretrained} of them from pretrained encoders, in rows and tables of their own." if pretrained else ""
    apart += f" {len(evidence.side)} of them of the side study, in a table of their own." if evidence.side else ""
    lines = [
        f"unet_segnet at commit {commit() or 'unknown'}.",
        f"{len(runs)} finished runs: {own} of the project's own results, {len(runs) - own} others.{apart}",
    ]
    if evidence.slices is not None:
        lines.append(f"Data: {evidence.data}, SHA-256 of slices and labels {evidence.slices.sha256()}.")
    return tuple(lines)


def main_text(report: Report, evidence: Evidence) -> str:
    """What fits on one screen, in Markdown: the article's best configurations, and how many claims hold."""
    return f"{summary_table(evidence).to_markdown()}\n{verdict_counts(report)}\n"


def results_text(report: Report, evidence: Evidence) -> str:
    """The verdicts, and of the tables what was trained, in Markdown."""
    runs = evidence.runs
    planned = {
        (run.variant, run.net, run.problem, run.experiment, run.fold)
        for run in (finished.counts for finished in runs)
        if run.net in NETS and (run.fold is None or run.experiment == BEST_EXPERIMENT[run.net, run.problem])
    }
    are, more = "is" if len(planned) == 1 else "are", len(runs) - len(planned)
    further = f", and {more} with other seeds, streams or configurations" if more else ""
    lines = [
        f"{len(planned)} of the 112 trainings of the article's protocol (56 for each variant) {are} finished{further}; "
        "losses and pixel counts are in `experiments/results/`. What they, the released files and the article's own "
        "tables say about its claims:",
        "",
        *verdict_lines(report),
        "",
    ]
    if "trainings" in report.tables:
        lines.append(report.tables["trainings"].to_markdown())
    kinds = {True: ("table3", "table4", "table5", "table6"), False: ("table7",)}
    trained = {
        f"{kind}_{run.counts.problem}_{run.counts.variant}" for run in runs for kind in kinds[run.counts.fold is None]
    }
    for name, table in report.tables.items():
        if name in trained or "_pretrained" in name:
            if "runs" in table.columns:  # configurations that did not run are left out here
                number = table.columns.index("runs")
                table = replace(table, rows=tuple(row for row in table.rows if row[number] != 0))
            lines.append(table.to_markdown())
    lines += [table.to_markdown() for name, table in report.tables.items() if name.startswith(("stopping", "batches"))]
    return "\n".join(lines)
