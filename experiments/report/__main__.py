"""Tables 1 to 7 and Figures 1 to 5 of 'U-Net versus SegNet', ours beside the published, with a verdict on each claim.

    python -m experiments.report                  from the project's own results
    python -m experiments.report --runs runs      and from runs of your own

Nothing is trained. What has not run is said to be missing.
"""

import argparse
import textwrap
from pathlib import Path

from experiments.console import HelpFormatter, Progress, run_command
from experiments.readme import check_markers, replace_between


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(
        prog="python -m experiments.report",
        description=__doc__.splitlines()[0],
        formatter_class=HelpFormatter,
    )
    parser.add_argument("--runs", type=Path, help="folder of runs, beside the project's own results")
    parser.add_argument("--data", metavar="NAME|PATH", help="data set; by default the 100 slices, see README")
    parser.add_argument("--out", type=Path, default=Path("report"), help="folder of the report")
    parser.add_argument("--readme", type=Path, help="also put verdicts and tables between this file's markers")
    parser.add_argument("--force", action="store_true", help="replace --out even if it holds the other study's report")
    options = parser.parse_args()
    run_command(lambda: report(options))


def report(options) -> None:
    """Collect, compute, draw and write; the folder appears whole or not at all."""
    from experiments.report.write import check_out, readme_text, write_report

    check_out(options.out, options.force)
    if options.readme:
        check_markers(options.readme, "results")
    bar = Progress(3, "report")
    from experiments.report.assemble import make_report
    from experiments.report.collect import collect

    evidence = collect(options.runs, options.data)
    bar.update(1, f"{len(evidence.runs)} runs read")
    made = make_report(evidence)
    bar.update(2, "tables, figures and verdicts made")
    write_report(made, options.out)
    if options.readme:
        replace_between(options.readme, "results", readme_text(made))
    bar.update(3, "written")
    for verdict in made.verdicts:
        print(textwrap.fill(f"{verdict.verdict}: {verdict.claim}", 100, subsequent_indent="  "))
    for sentence in made.evidence.missing:
        print(textwrap.fill(f"missing: {sentence}", 100, subsequent_indent="  "))
    print(f"written to {options.out}: index.html, {len(made.tables)} tables, {len(made.figures)} figures")


if __name__ == "__main__":
    main()
