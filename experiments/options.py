"""The options that all training commands share, and what follows from them."""

import argparse
import os
import textwrap
from dataclasses import dataclass
from pathlib import Path

from experiments.console import HelpFormatter
from experiments.files import check_folder
from unet_segnet.errors import InputError
from unet_segnet.processor import prefer_exact

NETS = ("segnet", "unet")
PROBLEMS = ("binary", "multiclass")
SIZE = 256  # height and width of the study's slices
EXPERIMENTS = range(1, 10)
SEEDS = range(2**31)
VARIANTS = ("paper", "released")
STREAMS = ("numpy", "matlab")
DTYPES = ("float32", "mixed_bfloat16")
BENCH_PARTS = (
    "peak", "step", "inference", "processor", "layers", "augmentation", "epoch", "memory", "metrics", "startup",
    "project",
)  # fmt: skip
BENCH_RIVALS = ("eager", "compile", "kept")
STUDY_PARTS = ("best", "grid", "folds", "seeds", "more")


def training_parser(prog: str, description: str, variants=VARIANTS, variant="paper") -> argparse.ArgumentParser:
    """A parser with the options of `grid` and `kfold`; `variants` and the default one of `--variant` can be others."""
    parser = argparse.ArgumentParser(prog=prog, description=description, formatter_class=HelpFormatter)
    study = parser.add_argument_group("study")
    study.add_argument(
        "--variant",
        choices=variants,
        default=variant,
        help="the networks that the article describes (SegNet on VGG16, U-Net of four levels), or those that "
        "its authors trained (both much smaller)",
    )
    study.add_argument("--seeds", type=integers(0, len(SEEDS)), default=(0,), metavar="0,1,2", help="one run for each")
    study.add_argument(
        "--stream",
        choices=STREAMS,
        default="numpy",
        help="where random numbers come from; matlab replays the authors' kernels, shuffles and augmentations",
    )
    study.add_argument("--epochs", type=positive, default=160, help="passes over the training slices")
    study.add_argument(
        "--validation",
        choices=("epoch", "matlab"),
        default="epoch",
        help="when the validation slices are looked at: once an epoch, or at iterations 1, 10, 20, ... as the "
        "authors did; it does not change the network",
    )
    study.add_argument(
        "--loss",
        choices=("weights", "pixels"),
        default="weights",
        help="what the cross-entropy is divided by: the sum of class weights (MATLAB) or the pixels (article, eq. 1)",
    )
    study.add_argument(
        "--encoder-weights",
        metavar="imagenet|FILE",
        help="start VGG16's encoder from these weights (SegNet, variant paper); random otherwise",
    )
    data = parser.add_argument_group("data")
    data.add_argument("--data", metavar="NAME|PATH|phantom", help="data set; by default the 100 slices, see README")
    data.add_argument(
        "--window",
        type=float,
        nargs=2,
        metavar=("LOW", "HIGH"),
        default=(-1100.0, 400.0),
        help="Hounsfield units that become grey levels 0 and 255; no effect on 8-bit slices",
    )
    data.add_argument(
        "--size", type=positive, default=SIZE, help="height and width to which slices are resized, pixels"
    )
    machine = parser.add_argument_group("machine")
    machine.add_argument("--out", type=Path, default=Path("runs"), help="folder of the runs")
    machine.add_argument("--force", action="store_true", help="throw finished or different runs away and train again")
    machine.add_argument("--workers", type=positive, default=1, help="trainings side by side")
    dtype_option(machine)
    return parser


def study_parser(prog: str, description: str) -> argparse.ArgumentParser:
    """The parser of `study`: that of `grid` and `kfold`, with what to train of the whole and what to do instead."""
    parser = training_parser(prog, description, ("released", "paper", "both"), "both")
    plan = parser.add_argument_group("plan")
    plan.add_argument(
        "--parts",
        type=choices(STUDY_PARTS),
        default="best,grid,folds,seeds",
        metavar="best,grid,folds,seeds,more",
        help="the best configurations of Tables 4 and 6; all nine; the five folds; the best ones with the second and "
        "further --seeds; all else with them",
    )
    plan.add_argument("--net", choices=NETS, help="one network; both where it is left out")
    plan.add_argument("--problem", choices=PROBLEMS, help="one problem; both where it is left out")
    plan.add_argument(
        "--budget",
        type=_minutes,
        metavar="MINUTES",
        help="start nothing that would not be finished so many minutes after the command began",
    )
    plan.add_argument("--dry-run", action="store_true", help="print the plan and do nothing")
    instead = parser.add_argument_group("instead of training")
    instead.add_argument(
        "--pack",
        type=Path,
        metavar="FILE",
        help="put all finished runs in --out into FILE, a zip archive (several of them above 16 MiB: FILE-1, FILE-2), "
        "with the weights of the best run of each released network and problem",
    )
    instead.add_argument(
        "--merge", type=Path, nargs="+", metavar="FILE", help="take the runs in such archives into --out"
    )
    return parser


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
    networks.add_argument("--size", type=multiple_of_32, default=256, help="height and width of a slice, pixels")
    networks.add_argument(
        "--epoch-size",
        type=multiple_of_32,
        help="the same for whole epochs (epoch, memory); by default 96, or on a GPU as --size",
    )
    other = parser.add_argument_group("other")
    other.add_argument("--epochs", type=positive, default=20, help="epochs over which memory is watched (memory)")
    other.add_argument("--slices", type=positive, default=829, help="slices of 512x512 that are scored (metrics)")
    other.add_argument(
        "--peak-size",
        type=positive,
        help="rows of the matrices that are multiplied (peak); by default 2048, or on a GPU 8192",
    )
    other.add_argument("--out", type=Path, default=Path("runs/bench"), help="where the tables go")
    other.add_argument("--readme", type=Path, help="also put the main tables between this file's markers")
    other.add_argument("--force", action="store_true", help="replace the tables of an earlier call")
    return parser


def determinism_parser(prog: str, description: str) -> argparse.ArgumentParser:
    """The parser of `determinism`."""
    parser = argparse.ArgumentParser(prog=prog, description=description, formatter_class=HelpFormatter)
    parser.add_argument("--nets", type=choices(NETS), default=",".join(NETS), metavar=",".join(NETS), help="which")
    parser.add_argument("--size", type=multiple_of_32, default=128, help="height and width of a slice, pixels")
    parser.add_argument("--epochs", type=positive, default=4, help="of each training")
    parser.add_argument("--out", type=Path, default=Path("runs/determinism.csv"), help="CSV file for the table")
    parser.add_argument("--readme", type=Path, help="also put the table between this file's markers")
    parser.add_argument("--force", action="store_true", help="replace the table of an earlier call")
    return parser


def choices(allowed):
    def parse(text):
        values = tuple(dict.fromkeys(text.split(",")))
        if not set(values) <= set(allowed):
            raise argparse.ArgumentTypeError(f"expected some of {', '.join(allowed)}, got {text!r}")
        return values

    return parse


def problem_option(parser: argparse.ArgumentParser) -> None:
    """Add --problem."""
    parser.add_argument(
        "--problem", choices=PROBLEMS, default="binary", help="infected or not, or the four classes C0..C3"
    )


def experiments_option(text: str) -> tuple[int, ...]:
    """Parse "4,7" into configurations of Table 2."""
    return integers(EXPERIMENTS.start, EXPERIMENTS.stop)(text)


def _minutes(text):
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


def one_seed(text):
    """Parse one seed, small enough for every library that draws by it."""
    value = int(text) if text.isdecimal() else -1
    if value not in SEEDS:
        raise argparse.ArgumentTypeError(f"expected a whole number from 0 to {SEEDS[-1]}, got {text!r}")
    return value


@dataclass(frozen=True)
class LoadedData:
    """The slices of a study and how they are called.

    Attributes:
        slices: ready for the networks.
        name: of the data set, for titles.
        description: for a run's configuration.
    """

    slices: object
    name: str
    description: dict


def load_data(options, problem: str) -> LoadedData:
    """Load the slices that the options name, and say once what was mended in them.

    Raises:
        InputError: there are none, or they are damaged.
    """
    from unet_segnet.data import load_slices
    from unet_segnet.data.catalogue import PHANTOM, find_data

    name = PHANTOM if options.data == PHANTOM else find_data(options.data).resolve().name
    slices = load_slices(options.data, problem, tuple(options.window), options.size)
    for note in slices.notes:
        print(textwrap.fill(f"note: {note}", 100, subsequent_indent="  "), flush=True)
    return LoadedData(slices, name, {"name": name, "window": list(options.window), "size": options.size})


def dtype_option(parser) -> None:
    """Add --dtype."""
    parser.add_argument(
        "--dtype",
        choices=("auto", *DTYPES),
        default="auto",
        help="of the layers; auto leaves a run that was begun as it is, takes mixed_bfloat16 where the machine has "
        "units for it, but float32, the reference, where MATLAB's stream is replayed",
    )


def settle_dtype(options) -> None:
    """Put the data type that `--dtype auto` stands for on this machine into the options, and say which.

    `options.dtype_given` tells afterwards whether the user chose it.
    """
    from experiments.console import import_keras

    import_keras()
    from experiments.provenance import device_name
    from unet_segnet.devices import best_dtype

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
    from experiments.runs import RunFolder

    folder = RunFolder(options.out, spec)
    begun = None if options.dtype_given or options.force else folder.dtype()
    if begun == "mixed_bfloat16" and getattr(spec, "stream", None) == "matlab" and not folder.finished:
        raise InputError(f"{folder.path}: was begun in bfloat16; go on with it by --dtype mixed_bfloat16")
    return begun or options.dtype


def make_recipe(options, spec):
    """The `Recipe` of a run's configuration of Table 2, with what the options change.

    Raises:
        InputError: the network has no such configuration.
    """
    from experiments import published
    from experiments.console import import_keras

    import_keras()
    from unet_segnet.training import Recipe

    setting = published.hyperparameters(spec.net).get(spec.experiment)
    if setting is None:
        raise InputError(
            f"{spec.net} has no configuration {spec.experiment} in Table 2 (experiments/reference/saood2021/"
            "table2_hyperparameters.csv); name others with --only, or add it there"
        )
    return Recipe(
        learning_rate=setting.initial_learning_rate,
        batch_size=setting.mini_batch,
        epochs=options.epochs,
        loss_normalisation=options.loss,
        validation=options.validation,
        dtype=dtype_of(options, spec),
    )


def check_options(options, nets: tuple[str, ...]) -> None:
    """Refuse what cannot work before anything heavy begins.

    Raises:
        InputError: slices of this size do not fit these networks, the encoder weights do not belong to them or are
            not there, or the output folder cannot be written.
    """
    if options.workers > 1:
        # Read when the backend is imported: no process, this one included, may take the whole accelerator.
        os.environ.update(TF_FORCE_GPU_ALLOW_GROWTH="true", XLA_PYTHON_CLIENT_PREALLOCATE="false")
    if options.stream == "matlab" and options.dtype != "mixed_bfloat16":
        prefer_exact()  # bfloat16 is not exact anyway, and without oneDNN's kernels an epoch takes minutes
    check_folder(options.out)
    if options.size != SIZE:
        _check_size(options, nets)
    weights = options.encoder_weights
    if weights is not None:
        if options.variant == "released" or "segnet" not in nets:
            raise InputError(
                "--encoder-weights belongs to SegNet's VGG16 encoder: use it with --net segnet, variant paper"
            )
        if weights != "imagenet" and not Path(weights).is_file():
            raise InputError(f"{weights}: no such file; expected Keras weights of VGG16 without its top, or imagenet")
        from experiments.console import import_keras

        import_keras()
        from unet_segnet.models.segnet import vgg16_kernels

        vgg16_kernels(weights)


def _check_size(options, nets) -> None:
    from experiments.console import import_keras

    import_keras()
    from experiments.own_networks import check_size

    for variant in VARIANTS if options.variant == "both" else (options.variant,):
        for net in nets:
            check_size(net, variant, options.size)
