"""Tables 1 to 7 and Figures 1 to 5 of 'U-Net versus SegNet', ours beside the published, with a verdict on each claim.

    python -m experiments.report                  from the project's own results
    python -m experiments.report --runs runs      and from runs of your own

Nothing is trained. What has not run is said to be missing. `python -m experiments.compare report` does the same for the
second study.
"""

from experiments.reporting.command import report_parser, write_study_report
from unet_segnet.output.console import run_command


def main() -> None:
    """The command."""
    data = "data set; by default the 100 slices, see experiments/README.md"
    options = report_parser("python -m experiments.report", __doc__.splitlines()[0], "report", data).parse_args()
    run_command(lambda: report(options), options)


def report(options) -> None:
    """Make the report that the options ask for."""
    from experiments.saood2021.evidence import collect
    from experiments.saood2021.protocol import U_NET_VERSUS_SEGNET
    from experiments.saood2021.report import main_text, make_report, results_text

    texts = {"main": main_text, "results": results_text}
    write_study_report(options, U_NET_VERSUS_SEGNET, texts, collect, make_report)


if __name__ == "__main__":
    main()
