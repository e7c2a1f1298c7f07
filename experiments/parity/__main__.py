"""Does the study do what MATLAB did? Held against the authors' own networks, curves and confusion matrices.

python -m experiments.parity network FILE.mat      a released network on the authors' test slices
python -m experiments.parity replay --net segnet --experiment 1 --iterations 24
python -m experiments.parity all                   every check, into experiments/results/parity.csv
python -m experiments.parity table                 that table into experiments/results/README.md
"""

import argparse
import json
from pathlib import Path

from experiments import RESULTS
from experiments.reporting.readme import replace_between
from experiments.saood2021.options import problem_option
from experiments.saood2021.protocol import EXPERIMENTS, NETS
from unet_segnet.commands.arguments import positive
from unet_segnet.errors import InputError
from unet_segnet.output.console import HelpFormatter, Progress, import_keras, run_command
from unet_segnet.output.records import check_file, write_text
from unet_segnet.processor import prefer_exact

README = RESULTS / "README.md"


def network(options) -> int:
    """Print what a network does on the authors' test slices, beside what is known of it."""
    if options.json:
        check_file(options.json)
    from experiments.parity import network as report
    from experiments.saood2021.matlab_facts import are_released

    loaded, slices = report.load_network_and_slices(options.file, options.data)
    from unet_segnet.data import median_frequency_weights, paper_split

    print_notes(slices)
    evaluation = report.evaluate(loaded, slices.subset(paper_split(len(slices)).test))
    released, run = None, "not looked for, as these are not the slices of the study"
    if are_released(slices):
        released = report.find_released_run(options.file, evaluation)
        run = f"{released.net}, experiment {released.experiment}, by {released.found_by}" if released else "none known"
    weights = median_frequency_weights(slices.labels, slices.num_classes)
    print(f"network        {options.file}: {len(loaded.layers)} layers, {loaded.model.count_params()} parameters")
    print(f"released run   {run}")
    print(f"classes        {', '.join(loaded.class_names)}")
    print(f"class weights  {_numbers(loaded.class_weights)} (from these slices: {_numbers(weights)})")
    print(f"input mean     {_numbers(loaded.mean)}")
    for table in (report.confusion_table, report.image_table, report.score_table):
        print(f"\n{table(evaluation, released).to_text()}", end="")
    if options.json:
        write_text(options.json, _to_json(report.to_json(evaluation, released)))
    return 0


def replay(options) -> int:
    """Train the first iterations of one of the authors' runs again and print both losses."""
    for path in filter(None, (options.json, options.csv)):
        check_file(path)
    from experiments.parity import replay as parity_replay
    from unet_segnet.data import load_slices

    slices = load_slices(options.data, options.problem)
    print_notes(slices)
    run = (options.net, options.experiment, options.iterations, slices)
    epochs = parity_replay.epochs_for(*run)
    if options.csv:
        parity_replay.read_csv(options.csv)  # refuse another file before the work
    import_keras()
    progress = Progress(epochs, f"replaying {options.net}, experiment {options.experiment}: epochs")
    done = parity_replay.replay(*run, report=progress.update)
    print(parity_replay.replay_table(done).to_text(), end="")
    if options.json:
        write_text(options.json, _to_json(done.to_json()))
    if options.csv:
        write_text(options.csv, parity_replay.csv_with(parity_replay.read_csv(options.csv), done))
    return 0


def check_all(options) -> int:
    """Make every check; 1 if one fails."""
    from experiments.parity import checks as parity_checks
    from unet_segnet.runs.provenance import begin, provenance

    started = begin()
    csv, provenance_file = options.out / "parity.csv", options.out / "parity.json"
    material = parity_checks.Material.of(options.data)
    if not options.quick:
        make_folder(options.out)
        check_file(csv)
    import_keras()
    checks = parity_checks.make_checks(material, options.quick)
    table = parity_checks.parity_table(checks)
    print(f"\n{table.to_text()}", end="")
    failed = [check.name for check in checks if not check.passed]
    if not options.quick:
        table.to_csv(csv)
        write_text(provenance_file, _to_json({"checks": len(checks), "failed": failed, **provenance(started)}))
        print(f"written to {csv}")
    return 1 if failed else 0


def readme_table(options) -> int:
    """Put the table of `all` between the markers of a README."""
    from experiments.parity.checks import read_parity_table

    markdown = read_parity_table(options.results / "parity.csv").to_markdown()
    replace_between(options.readme, "parity", markdown)
    print(f"table of {options.results / 'parity.csv'} written into {options.readme}")
    return 0


def print_notes(slices) -> None:
    """Say what was mended on loading."""
    for note in slices.notes:
        print(f"note: {note}", flush=True)


def make_folder(path: Path) -> None:
    """Make a folder where there is none.

    Raises:
        InputError: it cannot be made.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{path}: cannot be made ({error.strerror}); give another folder with --out") from error


def _to_json(content: dict) -> str:
    return json.dumps(content, indent=1, allow_nan=False) + "\n"


def _numbers(values) -> str:
    """A number, a few, or none as text; an image of them by its mean."""
    import numpy as np

    if values is None:
        return "none"
    values = np.ravel(values)
    return " ".join(f"{value:.8g}" for value in values) if len(values) < 9 else f"{values.mean():.8g} on average"


def build_parser() -> argparse.ArgumentParser:
    """The command line of `python -m experiments.parity`."""
    parser = argparse.ArgumentParser(
        prog="python -m experiments.parity",
        description="Hold the study against what MATLAB gave: the authors' networks, curves and tables.",
        epilog="Exit status: 0 done or all checks passed, 1 a check failed, 2 bad input.",
    )
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="network|replay|all|table")

    def add_verb(name, command, text):
        verb = verbs.add_parser(name, help=text, description=text, formatter_class=HelpFormatter)
        verb.set_defaults(command=command)
        return verb

    verb = add_verb("network", network, "a network trained in MATLAB, on the authors' test slices")
    verb.add_argument("file", type=Path, metavar="FILE.mat", help="one DAGNetwork or SeriesNetwork of 2 or 4 classes")
    verb.add_argument("--json", type=Path, metavar="OUT", help="write the figures to this file")
    _data_option(verb)

    verb = add_verb("replay", replay, "the first iterations of one of the authors' runs, drawn from MATLAB's stream")
    verb.add_argument("--net", choices=NETS, required=True, help="which network")
    problem_option(verb)
    verb.add_argument(
        "--experiment",
        type=int,
        choices=EXPERIMENTS,
        required=True,
        metavar="K",
        help="configuration of Table 2, 1 to 9",
    )
    verb.add_argument("--iterations", type=positive, default=24, metavar="N", help="how many")
    verb.add_argument("--json", type=Path, metavar="OUT", help="write the losses to this file")
    verb.add_argument("--csv", type=Path, metavar="FILE", help="add the losses to this table of replays")
    _data_option(verb)

    verb = add_verb("all", check_all, "every check, printed and written as parity.csv")
    verb.add_argument("--out", type=Path, default=RESULTS, metavar="DIR", help="folder of parity.csv and parity.json")
    verb.add_argument("--quick", action="store_true", help="without the replay, and without writing")
    _data_option(verb)

    verb = add_verb("table", readme_table, "write the table of `all` into a README, between its markers")
    verb.add_argument("--results", type=Path, default=RESULTS, metavar="DIR", help="folder of parity.csv")
    verb.add_argument("--readme", type=Path, default=README, metavar="FILE", help="Markdown file with the markers")
    return parser


def _data_option(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("--data", metavar="NAME|PATH", help="data set; by default the 100 slices of the study")


def main(argv: list[str] | None = None) -> None:
    """The command."""
    prefer_exact()
    options = build_parser().parse_args(argv)
    run_command(lambda: options.command(options), options)


if __name__ == "__main__":
    main()
