"""What both studies' report commands do: collect, compute, draw, write."""

import argparse
import textwrap
from collections.abc import Callable, Mapping
from pathlib import Path

from experiments.reporting.content import Report, Study
from experiments.reporting.readme import places_in, replace_between
from experiments.reporting.write import check_out, write_report
from unet_segnet.cohort.training import KIND, STUDY
from unet_segnet.output.console import HelpFormatter, Progress

TABLE = "scores.md"  # of what is trained or evaluated on one's own data
MOST = 6  # tables that are listed


def report_parser(prog: str, description: str, out: str, data: str) -> argparse.ArgumentParser:
    """The options of a report.

    Arguments:
        prog, description: of the command.
        out: folder of the report where none is given.
        data: what --data is for.
    """
    parser = argparse.ArgumentParser(prog=prog, description=description, formatter_class=HelpFormatter)
    parser.add_argument("--runs", type=Path, help="folder of runs, beside the project's own results")
    parser.add_argument("--data", metavar="NAME|PATH", help=data)
    parser.add_argument("--out", type=Path, default=Path(out), help="folder of the report")
    parser.add_argument(
        "--readme",
        type=Path,
        nargs="+",
        default=(),
        metavar="FILE",
        help="also put the texts between these files' markers",
    )
    parser.add_argument("--force", action="store_true", help="replace --out even if it holds the other study's report")
    return parser


def write_study_report(
    options, study: Study, texts: Mapping[str, Callable], collect: Callable, make_report: Callable
) -> None:
    """Collect, compute, draw and write; the folder appears whole or not at all.

    Arguments:
        options: of `report_parser`.
        study: the article that is repeated.
        texts: name of the markers in a README -> gives the text between them from the report and the evidence.
        collect: gives the evidence from the options' `runs` and `data`.
        make_report: gives the `Report` from the evidence.
    """
    check_out(options.out, options.force, study)
    places = [(readme, name) for readme in options.readme for name in places_in(readme, texts)]
    bar = Progress(3, "report")
    evidence = collect(options.runs, options.data)
    bar.update(1, f"{len(evidence.runs)} runs read")
    made: Report = make_report(evidence)
    bar.update(2, "tables, figures and verdicts made")
    write_report(made, options.out)
    for readme, name in places:
        replace_between(readme, name, texts[name](made, evidence))
    bar.update(3, "written")
    for verdict in made.verdicts:
        print(textwrap.fill(f"{verdict.verdict}: {verdict.claim}", 100, subsequent_indent="  "))
    for sentence in made.missing:
        print(textwrap.fill(f"missing: {sentence}", 100, subsequent_indent="  "))
    print(f"written to {options.out}: index.html, {len(made.tables)} tables, {len(made.figures)} figures")
    if options.runs is not None and (line := results_on_own_data(options.runs)):
        print(textwrap.fill(line, 100, subsequent_indent="  ", break_on_hyphens=False, break_long_words=False))


def results_on_own_data(runs: Path) -> str | None:
    """A line on what `unet-segnet train` and `evaluate` left in a folder of runs, which is in no article's table.

    Returns:
        How many there are and where their tables are; None where there are none.
    """
    evaluations = sorted(path.parent for path in runs.rglob("evaluation.json"))
    counts = ((len(KIND.folders(runs)), "training"), (len(evaluations), "evaluation"))
    said = " and ".join(f"{number} {noun}{'s' * (number != 1)}" for number, noun in counts if number)
    if not said:
        return None
    tables = [*sorted(runs.glob(f"{STUDY}/*/*/{TABLE}")), *(folder / TABLE for folder in evaluations)]
    listed = ", ".join(map(str, tables[:MOST])) + (f" and {len(tables) - MOST} more" if tables[MOST:] else "")
    where = f"their tables are {listed}" if tables else "they have no tables, for no test slices were scored"
    return f"not in this report: {said} on data of your own; {where}"
