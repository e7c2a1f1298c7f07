"""Table II and Figures 2 to 8 of the second study, ours beside the published, with a verdict on each claim.

    python -m experiments.compare report                          from the project's own results
    python -m experiments.compare report --runs runs --data ct20  and from runs of your own, with pictures

Nothing is trained. What has not run is said to be missing.
"""

from experiments.reporting.command import report_parser, write_study_report
from unet_segnet.output.console import run_command

# Heading -> how the names of its tables and figures begin, in the order of the page.
SECTIONS = {
    "The data": ("figure2",),
    "Table II": ("table2", "errata"),
    "Slices without lesions, and volumes": ("empty", "scores", "volumes"),
    "Predicted masks": ("figure3", "figure7"),
    "Dice and parameters": ("figure4", "correlations"),
    "Training": ("figure5", "figure8"),
    "Architectures, encoders, initialisations": ("figure6", "architectures", "order", "encoders", "gains"),
}


def main(arguments: list[str] | None = None) -> None:
    """The command `python -m experiments.compare report`."""
    data = "data set with the test volumes, for Figures 2, 3 and 7"
    prog = "python -m experiments.compare report"
    options = report_parser(prog, __doc__.splitlines()[0], "report-compare", data).parse_args(arguments)
    run_command(lambda: report(options), options)


def report(options) -> None:
    """Make the report that the options ask for."""
    from experiments.bizopoulos2021.evidence import collect
    from experiments.bizopoulos2021.protocol import COMPREHENSIVE_COMPARISON
    from experiments.reporting.tallies import verdict_counts, verdict_lines

    texts = {
        "compare-main": lambda made, _: f"{verdict_counts(made)}\n",
        "compare": lambda made, _: "\n".join([*verdict_lines(made), ""]),
    }
    write_study_report(options, COMPREHENSIVE_COMPARISON, texts, collect, make_report)


def make_report(evidence):
    """Everything that the evidence allows, and what is missing: an `experiments.reporting.content.Report`."""
    from experiments.bizopoulos2021.figures.scores import figures
    from experiments.bizopoulos2021.protocol import COMPREHENSIVE_COMPARISON
    from experiments.bizopoulos2021.tables.analysis import analysis_tables
    from experiments.bizopoulos2021.tables.errata import errata_table
    from experiments.bizopoulos2021.tables.scores import score_tables
    from experiments.bizopoulos2021.tables.table2 import table_two
    from experiments.bizopoulos2021.verdicts.claims import verdicts
    from experiments.reporting.content import Report, sections

    tables = {
        **table_two(evidence),
        "errata": errata_table(),
        **score_tables(evidence),
        **analysis_tables(evidence),
    }
    drawn, missing = figures(evidence)
    return Report(
        COMPREHENSIVE_COMPARISON,
        verdicts(evidence),
        tables,
        drawn,
        evidence.data,
        (*evidence.missing, *missing),
        _provenance(evidence),
        sections([*tables, *(figure.name for figure in drawn)], SECTIONS),
    )


def _provenance(evidence) -> tuple[str, ...]:
    """Where the report comes from; the same whenever the same report is made again: no time, no machine."""
    from unet_segnet.runs.provenance import commit

    hashes = sorted({str(run.config.get("data", {}).get("sha256", "")) for run in evidence.runs} - {""})
    return (
        f"unet_segnet at commit {commit() or 'unknown'}.",
        f"{len(evidence.runs)} finished runs, 600 in the article; its figures stand in "
        "`experiments/reference/bizopoulos2021`.",
        *(f"Data of the runs: SHA-256 {value}." for value in hashes),
    )
