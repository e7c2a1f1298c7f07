"""The options that all training commands share, and what follows from them."""

import argparse
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from experiments.saood2021 import protocol
from experiments.saood2021.protocol import (
    EPOCHS,
    EXPERIMENTS,
    LAST_EPOCHS,
    NETS,
    PARTS,
    PROBLEMS,
    SIZE,
    STREAMS,
    configurations,
    length,
)
from experiments.saood2021.runs import Job
from unet_segnet.commands.arguments import (
    SEEDS,
    check_machine,
    choices,
    dtype_of,
    dtype_option,
    integers,
    machine_options,
    minutes,
    not_negative,
    positive,
)
from unet_segnet.data.preprocess import DEFAULT_WINDOW
from unet_segnet.errors import InputError
from unet_segnet.models.registry import NETWORKS, VARIANTS, check_size
from unet_segnet.output.console import HelpFormatter, import_keras, say
from unet_segnet.output.records import check_folder
from unet_segnet.processor import prefer_exact


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
    study.add_argument("--epochs", type=positive, default=EPOCHS, help="passes over the training slices")
    study.add_argument(
        "--validation",
        choices=("epoch", "matlab"),
        default="epoch",
        help="when the validation slices are looked at: once an epoch, or at iterations 1, 10, 20, ... as the "
        "authors did; it does not change the network",
    )
    study.add_argument(
        "--last-epochs",
        type=not_negative,
        default=LAST_EPOCHS,
        metavar="N",
        help="count test and validation slices after each of the last N epochs, which shows how much a result owes to "
        "the last one; it does not change the network",
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
        help="start the encoder from these weights, where a network has such a one; random otherwise",
    )
    data = parser.add_argument_group("data")
    data.add_argument(
        "--data", metavar="NAME|PATH|phantom", help="data set; by default the 100 slices, see experiments/README.md"
    )
    data.add_argument(
        "--window",
        type=float,
        nargs=2,
        metavar=("LOW", "HIGH"),
        default=DEFAULT_WINDOW,
        help="Hounsfield units that become grey levels 0 and 255; no effect on 8-bit slices",
    )
    data.add_argument(
        "--size", type=positive, default=SIZE, help="height and width to which slices are resized, pixels"
    )
    machine = parser.add_argument_group("machine")
    machine_options(machine)
    dtype_option(machine, "; float32, the reference, where MATLAB's stream is replayed")
    return parser


def study_parser(prog: str, description: str) -> argparse.ArgumentParser:
    """The parser of `study`: that of `grid` and `kfold`, with what to train of the whole and what to do instead."""
    parser = training_parser(prog, description, (*protocol.VARIANTS, "both"), "both")
    parser.set_defaults(epochs=None, size=None)  # the plan's: `experiments.saood2021.plan.settle_lengths`
    plan = parser.add_argument_group("plan")
    plan.add_argument(
        "--parts",
        type=choices(PARTS),
        default="best,grid,folds,seeds",
        metavar="best,grid,folds,seeds,more",
        help="the best configurations of Tables 4 and 6; all nine; the five folds; the best ones with the second and "
        "further --seeds; all else with them",
    )
    plan.add_argument(
        "--plan",
        type=Path,
        metavar="FILE",
        help="the trainings of a CSV file in its order, such as experiments/saood2021/plan.csv, instead of all that "
        "--variant, --parts, --net, --problem and --seeds choose",
    )
    plan.add_argument("--net", choices=NETS, help="one network; both where it is left out")
    plan.add_argument("--problem", choices=PROBLEMS, help="one problem; both where it is left out")
    plan.add_argument(
        "--budget",
        type=minutes,
        metavar="MINUTES",
        help="start nothing that would not be finished so many minutes after the command began",
    )
    plan.add_argument(
        "--skip-published",
        action="store_true",
        help="leave out the trainings that experiments/results holds, whatever their settings were",
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


def problem_option(parser: argparse.ArgumentParser) -> None:
    """Add --problem."""
    parser.add_argument(
        "--problem", choices=PROBLEMS, default="binary", help="infected or not, or the four classes C0..C3"
    )


def experiments_option(text: str) -> tuple[int, ...]:
    """Parse "4,7" into configurations of Table 2."""
    return integers(EXPERIMENTS.start, EXPERIMENTS.stop)(text)


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


def load_data(options, problems: tuple[str, ...]) -> dict[str, LoadedData]:
    """Load the slices that the options name, once for all problems, and say what was mended in them.

    Raises:
        InputError: there are none, or they are damaged.
    """
    from unet_segnet.data import load_slices
    from unet_segnet.data.catalogue import PHANTOM, find_data

    name = PHANTOM if options.data == PHANTOM else find_data(options.data).resolve().name
    together = len(problems) > 1
    slices = load_slices(options.data, "multiclass" if together else problems[0], tuple(options.window), options.size)
    for note in slices.notes:
        say(f"note: {note}")
    description = {"name": name, "window": list(options.window), "size": options.size}
    return {
        problem: LoadedData(slices.binary() if together and problem == "binary" else slices, name, description)
        for problem in problems
    }


def make_job(options, spec, split) -> Job:
    """A run of a configuration of Table 2, with what the options change.

    Raises:
        InputError: the network has no such configuration.
    """
    import_keras()
    from unet_segnet.training.class_weighted import Recipe

    setting = configurations(spec.net).get(spec.experiment)
    if setting is None:
        have = ", ".join(map(str, configurations(spec.net)))
        raise InputError(f"{spec.net} has no configuration {spec.experiment}; it has {have}: name others with --only")
    epochs, drop_period = length(spec.study, spec.net, spec.experiment, options.epochs, Recipe.drop_period)
    recipe = Recipe(
        learning_rate=setting.initial_learning_rate,
        batch_size=setting.mini_batch,
        epochs=epochs,
        drop_period=drop_period,
        loss_normalisation=options.loss,
        validation=options.validation,
        dtype=dtype_of(options, spec),
    )
    return Job(spec, recipe, split, options.last_epochs)


def check_options(options, networks: Iterable[tuple[str, str]]) -> None:
    """Refuse what cannot work before anything heavy begins.

    Arguments:
        options: the command's.
        networks: name and variant of each that is to be trained.

    Raises:
        InputError: slices of this size do not fit these networks, the encoder weights do not belong to them or are
            not there, or the output folder cannot be written.
    """
    check_machine(options)
    if options.stream == "matlab" and options.dtype != "mixed_bfloat16":
        prefer_exact()  # bfloat16 is not exact anyway, and without oneDNN's kernels an epoch takes minutes
    check_folder(options.out)
    import_keras()
    networks = tuple(dict.fromkeys(networks))
    for net, variant in networks:
        check_size(net, variant, options.size)
    weights = options.encoder_weights
    if weights is not None:
        able = dict.fromkeys(net for net, variant in networks if variant in NETWORKS[net].pretrained)
        if not able:
            known = ", ".join(
                f"{of.name} of variant {variant}" for of in NETWORKS.values() for variant in of.pretrained
            )
            raise InputError(f"--encoder-weights: none of these networks has such an encoder, which {known} has")
        if weights != "imagenet" and not Path(weights).is_file():
            raise InputError(f"{weights}: no such file; expected Keras weights of the encoder, or imagenet")
        for net in able:
            NETWORKS[net].pretrained_kernels(weights)


def weights_for(options, net: str, variant: str) -> str | None:
    """What a network's encoder starts from: the options' weights where it can."""
    return options.encoder_weights if variant in NETWORKS[net].pretrained else None
