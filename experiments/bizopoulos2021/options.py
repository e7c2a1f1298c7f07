"""The options of `python -m experiments.compare`."""

from __future__ import annotations

import argparse

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
from unet_segnet.output.console import HelpFormatter


def compare_parser(description: str) -> argparse.ArgumentParser:
    """The command's parser."""
    parser = argparse.ArgumentParser(
        prog="python -m experiments.compare",
        description=description,
        epilog="`python -m experiments.compare report --help` tells of tables and figures.",
        formatter_class=HelpFormatter,
    )
    study = parser.add_argument_group("study")
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
