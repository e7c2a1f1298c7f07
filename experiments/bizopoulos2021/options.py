"""The options of `python -m experiments.compare`."""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

from experiments.bizopoulos2021.protocol import EPOCHS, SELECTORS, SIZE
from experiments.bizopoulos2021.published import EXPERIMENTS
from unet_segnet.commands.arguments import (
    SEEDS,
    choices,
    dtype_option,
    integers,
    machine_options,
    multiple_of_32,
    positive,
)
from unet_segnet.errors import InputError, one_line
from unet_segnet.output.console import HelpFormatter

PLAN = Path(__file__).with_name("plan.csv")  # the study on small slices of the data at hand
PLAN_COLUMNS = ("part", "experiment", *SELECTORS, "data", "test", "size", "epochs", "seeds", "dtype")


def compare_parser(description: str, exit_on_error: bool = True) -> argparse.ArgumentParser:
    """The command's parser; it can raise `argparse.ArgumentError` instead of ending the process."""
    parser = argparse.ArgumentParser(
        prog="python -m experiments.compare",
        description=description,
        epilog="`python -m experiments.compare report --help` tells of tables and figures.",
        formatter_class=HelpFormatter,
        exit_on_error=exit_on_error,
    )
    study = parser.add_argument_group("study")
    study.add_argument(
        "--plan",
        type=Path,
        metavar="FILE",
        help="what a CSV file asks for, row by row, such as experiments/bizopoulos2021/plan.csv; options that are "
        "given beside it go before what its rows say",
    )
    study.add_argument(
        "--experiment",
        type=choices(EXPERIMENTS),
        default=",".join(EXPERIMENTS),
        metavar=",".join(EXPERIMENTS),
        help="what is to be found: the lungs, lesions in the whole slice, or lesions with all but the lungs blanked",
    )
    study.add_argument(
        "--only",
        type=selection,
        default={},
        metavar="architecture=fpn,unet,encoder=resnet18",
        help="these networks; where one of the two is left out, all: unet, linknet, fpn, pspnet on 25 encoders",
    )
    study.add_argument(
        "--encoder-weights",
        type=lambda text: tuple(dict.fromkeys(text.split(","))),
        default="none",
        metavar="none,imagenet|FILE",
        help="what the encoder starts from: random numbers, published weights, or a .safetensors or .keras file",
    )
    study.add_argument("--init", metavar="FILE", help="start the whole network from one of this study (.keras)")
    study.add_argument("--seeds", type=integers(0, len(SEEDS)), default="0", metavar="0,1,2", help="one run for each")
    study.add_argument("--epochs", type=positive, default=EPOCHS, help="passes over the training slices")
    study.add_argument(
        "--loss",
        choices=("image", "batch"),
        default="image",
        help="soft Dice of each slice (article, eq. 1), or pooled over the mini-batch as in the code since 2021",
    )
    data = parser.add_argument_group("data")
    data.add_argument(
        "--data",
        metavar="NAME|PATH|phantom",
        help="data set in MedSeg's layout with slices and volumes; by default the one by the name medseg, see "
        "experiments/README.md",
    )
    data.add_argument(
        "--test",
        metavar="NAME|PATH|phantom",
        help="data set whose volumes test, where --data is to give the slices that train alone; then --data may also "
        "be the 100 slices of the first study, for lesion_b",
    )
    data.add_argument(
        "--size",
        type=multiple_of_32,
        default=SIZE,
        help="height and width to which slices are resized, and at which they are scored, pixels",
    )
    data.add_argument(
        "--normalise",
        choices=("hu", "minmax"),
        help="(HU + 500) / 500, or each slice from 0 to 1; by default the former for Hounsfield units",
    )
    machine = parser.add_argument_group("machine")
    machine_options(machine)
    dtype_option(machine)
    machine.add_argument("--dry-run", action="store_true", help="print the plan and do nothing")
    return parser


def planned_options(file: Path, given: list[str]) -> list[tuple[str, argparse.Namespace]]:
    """A plan's rows, each as the options of the command that it stands for, and its part.

    Arguments:
        file: CSV with the columns of `PLAN_COLUMNS`; values as the options of these names take them.
        given: arguments of the command, which go before those of the rows.

    Raises:
        InputError: a file that cannot be read, or a row that no command could be.
    """
    try:
        with file.open(newline="", encoding="utf-8") as stream:
            rows = list(csv.DictReader(stream))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{file}: cannot be read ({one_line(error)}); give a plan, such as {PLAN}") from error
    planned = []
    for number, row in enumerate(rows, 2):
        try:
            if set(row) != set(PLAN_COLUMNS) or not all(row.values()):
                raise ValueError(f"expected a value for each of {', '.join(PLAN_COLUMNS)}")
            only = ",".join(f"{name}={row[name]}" for name in SELECTORS)
            others = [f"--{name}={row[name]}" for name in PLAN_COLUMNS if name not in ("part", *SELECTORS)]
            planned.append((row["part"], compare_parser("", False).parse_args([f"--only={only}", *others, *given])))
        except (argparse.ArgumentError, ValueError, AttributeError) as error:
            raise InputError(f"{file}: line {number}: {one_line(error)}; see {PLAN}") from error
    if not planned:
        raise InputError(f"{file}: plans no training; give a plan, such as {PLAN}")
    return planned


def selection(text: str) -> dict[str, tuple[str, ...]]:
    """Parse "architecture=fpn,unet,encoder=resnet18": a part without a name belongs to the name before it."""
    found: dict[str, list[str]] = {}
    key = None
    for part in text.split(","):
        name, equals, value = part.rpartition("=")
        key = name if equals else key
        if key not in SELECTORS or not value:
            raise argparse.ArgumentTypeError(
                f"expected {' or '.join(f'{name}=...' for name in SELECTORS)} with commas between, got {text!r}"
            )
        found.setdefault(key, []).append(value)
    return {key: tuple(dict.fromkeys(values)) for key, values in found.items()}
