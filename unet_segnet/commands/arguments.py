"""How the words of a command line are read, and the options that several commands share."""

import argparse
import importlib.util
from pathlib import Path

from unet_segnet.data.preprocess import DEFAULT_WINDOW
from unet_segnet.devices import DTYPES
from unet_segnet.errors import InputError
from unet_segnet.output.records import check_folder
from unet_segnet.runs.executors import EXECUTORS
from unet_segnet.scans.orientation import NAMED_AXES, parse_orientation

SEEDS = range(2**31)
LARGEST_HU = 1e6  # of a window; what is infinite, or not finite once it is scaled in float32, is no grey level


def choices(allowed):
    def parse(text):
        values = tuple(dict.fromkeys(text.split(",")))
        if not set(values) <= set(allowed):
            raise argparse.ArgumentTypeError(f"expected some of {', '.join(allowed)}, got {text!r}")
        return values

    return parse


def minutes(text):
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"expected minutes above 0, got {text!r}")
    return value


def integers(low, high):
    def parse(text):
        try:
            values = tuple(dict.fromkeys(int(part) for part in text.split(",")))
        except ValueError:
            raise argparse.ArgumentTypeError(f"expected whole numbers with commas between, got {text!r}") from None
        if any(not low <= value < high for value in values):
            raise argparse.ArgumentTypeError(f"expected numbers from {low} to {high - 1}, got {text!r}")
        return values

    return parse


def multiple_of_32(text):
    value = positive(text)
    if value % 32:
        raise argparse.ArgumentTypeError(f"expected a multiple of 32, got {text!r}")
    return value


def positive(text):
    try:
        value = int(text)
    except ValueError:
        value = 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number above 0, got {text!r}")
    return value


def not_negative(text):
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"expected a whole number of 0 or more, got {text!r}")
    return int(text)


def one_seed(text):
    """Parse one seed, small enough for every library that draws by it."""
    value = int(text) if text.isdecimal() else -1
    if value not in SEEDS:
        raise argparse.ArgumentTypeError(f"expected a whole number from 0 to {SEEDS[-1]}, got {text!r}")
    return value


def scan_options(group) -> None:
    """Add the options on how a scan's array becomes slices: --orientation, --window."""
    names = [*NAMED_AXES]
    group.add_argument(
        "--orientation",
        metavar="HOW",
        help=f"how arrays lie, whatever their geometry says: {names[0]} (as the 100 slices), {', '.join(names[1:])}, "
        "or three letters such as LPS",
    )
    group.add_argument(
        "--window",
        type=float,
        nargs=2,
        metavar=("LOW", "HIGH"),
        help="HU of black and white; by default as a given network was trained, else {:g} {:g}".format(*DEFAULT_WINDOW),
    )


def check_scan_options(options) -> None:
    """Refuse what no scan can be read by.

    Raises:
        InputError: the window is the wrong way round or not finite, or the orientation is none.
    """
    if options.window is not None:
        low, high = options.window
        if not low < high:
            raise InputError(f"--window {low:g} {high:g}: the second must be the larger")
        if low < -LARGEST_HU or high > LARGEST_HU:
            raise InputError(f"--window {low:g} {high:g}: expected Hounsfield units, such as -1100 400")
    if options.orientation is not None:
        parse_orientation(options.orientation)


def result_options(parser, out: str) -> None:
    """Add the options of the commands that apply a network: --tta, --batch-size, --out, --force.

    Arguments:
        parser: to add them to.
        out: what --out is.
    """
    parser.add_argument(
        "--tta",
        action="store_true",
        help="test-time augmentation: average over mirror images of each slice, where the network learnt from such",
    )
    parser.add_argument("--batch-size", type=positive, default=4, metavar="N", help="slices at a time")
    parser.add_argument("--out", type=Path, required=True, help=out)
    parser.add_argument("--force", action="store_true", help="replace results that are there")


def dtype_option(group, more: str = "") -> None:
    """Add --dtype, with more to say of it."""
    group.add_argument(
        "--dtype",
        choices=("auto", *DTYPES),
        default="auto",
        help="of the layers; auto: a run that was begun keeps its own, a new one takes mixed_bfloat16 where the "
        f"machine has units for it, else float32{more}",
    )


def settle_dtype(options, fixed: str | None = None) -> None:
    """Put the data type that `--dtype auto` stands for on this machine into the options, and say which.

    `options.dtype_given` tells afterwards whether it is settled for all runs, whatever they were begun in.

    Arguments:
        options: the command's.
        fixed: the one that there is no choice from, or None.
    """
    from unet_segnet.output.console import import_keras

    import_keras()
    from unet_segnet.devices import best_dtype
    from unet_segnet.runs.provenance import device_name

    if fixed is not None:
        options.dtype = fixed
    options.dtype_given = options.dtype != "auto"
    if not options.dtype_given:
        replay = getattr(options, "stream", None) == "matlab"
        options.dtype = "float32" if replay else best_dtype()
    print(f"{options.dtype} on {device_name()}", flush=True)


def dtype_of(options, spec) -> str:
    """The data type of a run: as given, else in which it was begun, which may be another machine's, else as settled.

    Raises:
        InputError: a replay was begun in bfloat16, and this process has settled on the kernels for float32.
    """
    from unet_segnet.runs.folder import RunFolder

    folder = RunFolder(options.out, spec)
    begun = None if options.dtype_given or options.force else folder.dtype()
    if begun == "mixed_bfloat16" and getattr(spec, "stream", None) == "matlab" and not folder.finished:
        raise InputError(f"{folder.path}: was begun in bfloat16; go on with it by --dtype mixed_bfloat16")
    return begun or options.dtype


def machine_options(group) -> None:
    """Add the options on where runs lie, what shows them and what carries them out: --out, --force, --tensorboard,
    --workers, --executor."""
    group.add_argument("--out", type=Path, default=Path("runs"), help="folder of the runs")
    group.add_argument("--force", action="store_true", help="throw finished or different runs away and train again")
    group.add_argument(
        "--tensorboard",
        type=Path,
        metavar="DIR",
        help="write losses to be looked at with `tensorboard --logdir DIR`, a folder for each run "
        "(requirements-tensorboard.txt)",
    )
    group.add_argument("--workers", type=positive, default=1, metavar="N", help="trainings side by side")
    group.add_argument(
        "--executor",
        choices=EXECUTORS,
        default="local",
        help="what carries the trainings out: this machine, or Ray (requirements-ray.txt) at $RAY_ADDRESS, where that "
        "is not set in --workers processes of this machine",
    )
    group.add_argument(
        "--gpus-per-run",
        type=_share,
        metavar="N",
        help="of --executor ray, such as 0.5; by default one if there are any",
    )


def check_machine(options) -> None:
    """Refuse options of `machine_options` that cannot work before anything heavy begins.

    Raises:
        InputError: --gpus-per-run without Ray; --tensorboard without that package, or a folder that cannot be written.
    """
    if options.tensorboard is not None:
        if importlib.util.find_spec("tensorboard") is None:
            raise InputError(
                "--tensorboard needs the package tensorboard, not installed here; `pip install tensorboard` (versions: "
                "requirements-tensorboard.txt)"
            )
        try:
            check_folder(options.tensorboard)
        except InputError:
            raise InputError(f"--tensorboard {options.tensorboard}: cannot be written; give another folder") from None
    if options.gpus_per_run is not None and options.executor != "ray":
        raise InputError("--gpus-per-run is for Ray to give: use it with --executor ray")


def _share(text):
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf") or (value > 1 and value != int(value)):
        raise argparse.ArgumentTypeError(f"expected a part of a GPU or a whole number of them, got {text!r}")
    return value
