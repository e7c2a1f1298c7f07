"""Table II and Figures 2 to 8 of the second study, ours beside the published, with a verdict on each claim.

    python -m experiments.compare report                          from the project's own results
    python -m experiments.compare report --runs runs --data ct20  and from runs of your own, with pictures

Nothing is trained. What has not run is said to be missing.
"""

import argparse
import textwrap
from pathlib import Path

from experiments.console import HelpFormatter, Progress, run_command
from experiments.readme import check_markers, replace_between

# Heading -> how the names of its tables and figures begin, in the order of the page.
SECTIONS = {
    "The data": ("figure2",),
    "Table II": ("table2",),
    "Slices without lesions, and volumes": ("empty", "scores", "volumes"),
    "Predicted masks": ("figure3", "figure7"),
    "Dice and parameters": ("figure4", "correlations"),
    "Training": ("figure5", "figure8"),
    "Architectures, encoders, initialisations": ("figure6", "architectures", "encoders", "gains"),
}


def main(arguments: list[str] | None = None) -> None:
    """The command `python -m experiments.compare report`."""
    parser = argparse.ArgumentParser(
        prog="python -m experiments.compare report",
        description=__doc__.splitlines()[0],
        formatter_class=HelpFormatter,
    )
    parser.add_argument("--runs", type=Path, help="folder of runs, beside the project's own results")
    parser.add_argument("--data", metavar="NAME|PATH", help="data set with the test volumes, for Figures 2, 3 and 7")
    parser.add_argument("--out", type=Path, default=Path("report-compare"), help="folder of the report")
    parser.add_argument("--readme", type=Path, help="also put the verdicts between this file's markers")
    parser.add_argument("--force", action="store_true", help="replace --out even if it holds the other study's report")
    options = parser.parse_args(arguments)
    run_command(lambda: report(options))


def report(options) -> None:
    """Collect, compute, draw and write; the folder appears whole or not at all."""
    from experiments.report.content import COMPREHENSIVE_COMPARISON
    from experiments.report.write import check_out, verdict_lines, write_report

    check_out(options.out, options.force, COMPREHENSIVE_COMPARISON)
    if options.readme:
        check_markers(options.readme, "compare")
    bar = Progress(3, "report")
    from experiments.compare.collect import collect

    evidence = collect(options.runs, options.data)
    bar.update(1, f"{len(evidence.runs)} runs read")
    made = make_report(evidence)
    bar.update(2, "tables, figures and verdicts made")
    write_report(made, options.out)
    if options.readme:
        replace_between(options.readme, "compare", "\n".join([*verdict_lines(made), ""]))
    bar.update(3, "written")
    for verdict in made.verdicts:
        print(textwrap.fill(f"{verdict.verdict}: {verdict.claim}", 100, subsequent_indent="  "))
    for sentence in made.evidence.missing:
        print(textwrap.fill(f"missing: {sentence}", 100, subsequent_indent="  "))
    print(f"written to {options.out}: index.html, {len(made.tables)} tables, {len(made.figures)} figures")


def make_report(evidence):
    """Everything that the evidence allows, and what is missing: an `experiments.report.content.Report`."""
    from dataclasses import replace

    from experiments.compare.analysis import analysis_tables
    from experiments.compare.figures import figures
    from experiments.compare.scores import score_tables
    from experiments.compare.tables import table_two
    from experiments.compare.verdicts import verdicts
    from experiments.report.content import COMPREHENSIVE_COMPARISON, Report, sections

    tables = {**table_two(evidence), **score_tables(evidence), **analysis_tables(evidence)}
    drawn, missing = figures(evidence)
    return Report(
        verdicts(evidence),
        tables,
        drawn,
        replace(evidence, missing=(*evidence.missing, *missing)),
        _provenance(evidence),
        sections([*tables, *(figure.name for figure in drawn)], SECTIONS),
        COMPREHENSIVE_COMPARISON,
    )


def _provenance(evidence) -> tuple[str, ...]:
    """Where the report comes from; the same whenever the same report is made again: no time, no machine."""
    from experiments.provenance import commit

    hashes = sorted({str(run.config.get("data", {}).get("sha256", "")) for run in evidence.runs} - {""})
    return (
        f"unet_segnet at commit {commit() or 'unknown'}.",
        f"{len(evidence.runs)} finished runs, 600 in the article; its figures stand in "
        "`experiments/reference/bizopoulos2021`.",
        *(f"Data of the runs: SHA-256 {value}." for value in hashes),
    )
