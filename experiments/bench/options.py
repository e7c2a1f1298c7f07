"""The options of `python -m experiments.bench`."""

import argparse
from pathlib import Path

from experiments.bizopoulos2021.published import ARCHITECTURES, models
from experiments.saood2021.protocol import NETS
from unet_segnet.commands.arguments import choices, multiple_of_32, positive
from unet_segnet.devices import DTYPES
from unet_segnet.models.registry import VARIANTS
from unet_segnet.output.console import HelpFormatter

BENCH_PARTS = (
    "peak", "step", "inference", "processor", "encoders", "layers", "augmentation", "epoch", "memory", "metrics",
    "tool", "startup", "project",
)  # fmt: skip


BENCH_RIVALS = ("eager", "compile", "kept")

BENCH_NETWORKS = (
    "unet/resnet18", "unet/xception", "linknet/densenet121", "linknet/mobilenet_v2", "fpn/efficientnet-b0",
    "fpn/inceptionv4", "pspnet/vgg13", "unet/dpn68",
)  # fmt: skip
"""Of the second study: each architecture and each family of encoders at least once."""


def bench_parser(prog: str, description: str) -> argparse.ArgumentParser:
    """The parser of `bench`."""
    parser = argparse.ArgumentParser(prog=prog, description=description, formatter_class=HelpFormatter)
    parts = ",".join(BENCH_PARTS)
    parser.add_argument("--parts", type=choices(BENCH_PARTS), default=parts, metavar="step,...", help="what to measure")
    parser.add_argument("--repeats", type=positive, default=5, help="counted repetitions of each measurement")
    networks = parser.add_argument_group("networks")
    networks.add_argument("--nets", type=choices(NETS), metavar=",".join(NETS), help="which; both if left out")
    networks.add_argument(
        "--variants",
        type=choices(VARIANTS),
        default="released,paper",
        metavar="released,paper",
        help="see grid --help",
    )
    networks.add_argument(
        "--networks",
        type=encoder_networks,
        default=",".join(BENCH_NETWORKS),
        metavar="unet/resnet18,...",
        help="of the second study (encoders)",
    )
    networks.add_argument(
        "--dtypes",
        type=choices(DTYPES),
        metavar=",".join(DTYPES),
        help="data types; those that this machine has units for if left out",
    )
    networks.add_argument(
        "--against",
        type=choices(BENCH_RIVALS),
        metavar=",".join(BENCH_RIVALS),
        help="PyTorch as it is, by torch.compile, or with the memory setting of our training; by default as it is, on "
        "a GPU also compiled",
    )
    networks.add_argument("--batch", type=positive, default=4, help="slices in a mini-batch")
    networks.add_argument(
        "--paper-batch", type=positive, help="the same for variant paper; by default 2, or on a GPU as --batch"
    )
    networks.add_argument("--encoder-batch", type=positive, default=2, help="the same for the second study's networks")
    networks.add_argument(
        "--processes", type=positive, default=3, help="that measure each of them one after the other (encoders)"
    )
    networks.add_argument("--size", type=multiple_of_32, default=256, help="height and width of a slice, pixels")
    networks.add_argument(
        "--epoch-size",
        type=multiple_of_32,
        help="the same for whole epochs (epoch, memory); by default 96, or on a GPU as --size",
    )
    other = parser.add_argument_group("other")
    other.add_argument("--epochs", type=positive, default=20, help="epochs over which memory is watched (memory)")
    other.add_argument("--slices", type=positive, default=829, help="slices of 512x512 that are scored (metrics)")
    other.add_argument("--tool-slices", type=positive, default=200, help="slices of the scan that is segmented (tool)")
    other.add_argument("--tool-size", type=multiple_of_32, default=512, help="their height and width, pixels")
    other.add_argument(
        "--peak-size",
        type=positive,
        help="rows of the matrices that are multiplied (peak); by default 2048, or on a GPU 8192",
    )
    other.add_argument("--out", type=Path, default=Path("runs/bench"), help="where the tables go")
    other.add_argument("--readme", type=Path, help="also put the main tables between this file's markers")
    other.add_argument("--section", default="speed", metavar="NAME", help="the markers' name, one for each machine")
    other.add_argument("--force", action="store_true", help="replace the tables of an earlier call")
    return parser


def encoder_networks(text: str) -> tuple[str, ...]:
    """Parse "unet/resnet18,fpn/vgg11"."""
    names = tuple(dict.fromkeys(text.split(",")))
    known = {f"{architecture}/{encoder}" for architecture, encoder in models()}
    for name in names:
        if name not in known:
            raise argparse.ArgumentTypeError(
                f"expected ARCHITECTURE/ENCODER, such as unet/resnet18, with one of {', '.join(ARCHITECTURES)} and an "
                f"encoder of the second study, got {name!r}"
            )
    return names
