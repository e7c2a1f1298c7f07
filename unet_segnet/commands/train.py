"""Train on labelled scans of your own, or go on from a trained network, and test by patient.

    unet-segnet train --data DIR --net segnet --variant released
    unet-segnet train --data list.csv --init binary --epochs 5 --learning-rate 1e-4
    unet-segnet train --data DIR --net unet --folds 5

DIR holds images/, labels/ and perhaps lungs/ with equal names; a manifest (CSV: image,labels,lungs,patient,...) says
more. The same command started again skips what is finished and goes on with what is not. For research; not a medical
device, not for clinical use.
"""

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from unet_segnet.cohort.network_plan import RECIPES, NetworkPlan, known_as, safe_name
from unet_segnet.commands.arguments import (
    check_machine,
    dtype_of,
    dtype_option,
    machine_options,
    one_seed,
    positive,
    settle_dtype,
)
from unet_segnet.commands.cohort_options import check_own_options, load_own, own_parser
from unet_segnet.data.preprocess import DEFAULT_SIZE, DEFAULT_WINDOW
from unet_segnet.data.splits import TEST_SHARE, VALIDATION_SHARE, write_splits
from unet_segnet.errors import InputError
from unet_segnet.models.registry import NETWORKS, VARIANTS, check_size
from unet_segnet.networks.find import find_model
from unet_segnet.output.console import import_keras, run_command, say
from unet_segnet.output.records import check_folder
from unet_segnet.runs.executors import share_machine


def main(arguments: Sequence[str] | None = None) -> None:
    """The command."""
    options = build_parser().parse_args(arguments)
    run_command(lambda: train(options), options)


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser, data = own_parser(
        "unet-segnet train",
        __doc__,
        "Slices train, validate or test as the manifest marks them, as --split FILE has it, or drawn by patient. A "
        "patient is never divided; a volume is a patient unless the manifest says otherwise.",
    )
    data.add_argument(
        "--size",
        type=positive,
        metavar="PIXELS",
        help=f"height and width of a slice; {DEFAULT_SIZE}, or that of a given network",
    )
    data.add_argument("--folds", type=positive, metavar="K", help="cross-validation by patient instead of one split")
    data.add_argument("--split-seed", type=one_seed, metavar="N", help="of the draw of patients; 0 if left out")
    for part, share in (("validation", VALIDATION_SHARE), ("test", TEST_SHARE)):
        data.add_argument(
            f"--{part}-share",
            type=float,
            metavar="S",
            help=f"of the patients, 0 for none; {share:.2f} if left out and the manifest marks none",
        )
    network = parser.add_argument_group("network")
    network.add_argument(
        "--net",
        metavar=f"{'|'.join(NETWORKS)}|ARCHITECTURE/ENCODER",
        help="which, such as unet or unet/resnet18; with --init that of the file",
    )
    network.add_argument(
        "--variant",
        choices=VARIANTS,
        help=f"of {' and '.join(NETWORKS)}: as their article describes them, or as its authors trained them, much "
        f"smaller; {VARIANTS[0]} if left out",
    )
    network.add_argument(
        "--init",
        metavar="FILE|DIR|binary|multiclass|hf://USER/NAME",
        help="begin with this trained network (.keras, .mat, the folder of a run, one on the Hugging Face hub)",
    )
    network.add_argument("--freeze", choices=("encoder",), help="leave this part of it as it is")
    network.add_argument("--encoder-weights", metavar="imagenet|FILE", help="begin a new network's encoder with these")
    training = parser.add_argument_group("training")
    training.add_argument(
        "--recipe",
        choices=RECIPES,
        default=RECIPES[0],
        help="the first study's (weighted cross-entropy), or the second's (soft Dice, one kind of lesion)",
    )
    training.add_argument(
        "--epochs", type=positive, metavar="N", help="passes over the training slices; 160, or 200 by compare"
    )
    training.add_argument(
        "--learning-rate",
        type=float,
        metavar="RATE",
        help="of Adam in the first epochs; if left out, the network's own",
    )
    training.add_argument(
        "--batch-size",
        type=positive,
        metavar="N",
        help="slices in a mini-batch; if left out, the network's own",
    )
    training.add_argument(
        "--keep",
        choices=("best", "last"),
        default="last",
        help="the epoch of the least validation loss, which --recipe compare always keeps, or the last",
    )
    training.add_argument("--seed", type=one_seed, default=0, metavar="N", help="of everything random but the split")
    machine = parser.add_argument_group("machine")
    machine_options(machine)
    dtype_option(machine)
    return parser


def train(options) -> int:
    """Load, divide, train what is not trained, test, print the tables and write them; returns the exit status."""
    share_machine(options.workers)
    check_machine(options)
    plan = check_options(options)
    import_keras()
    from unet_segnet.cohort.network_plan import begin_with, check_classes
    from unet_segnet.cohort.recipes import dtype_of_network, make_recipe
    from unet_segnet.cohort.splits import check_splits, sizes_text
    from unet_segnet.networks.load import slice_size

    known = begin_with(plan)
    size = options.size or (slice_size(known) if known else DEFAULT_SIZE)
    window = tuple(options.window or getattr(known, "window", DEFAULT_WINDOW))
    if known and slice_size(known) != size:
        raise InputError(f"{plan.init}: takes slices of {slice_size(known)}x{slice_size(known)}; leave --size out")
    if not known:
        check_size(plan.net, plan.variant or VARIANTS[0], size)
    cohort = load_own(options, window, size)
    if plan.recipe == "compare" and cohort.slices.num_classes > 2:
        raise InputError("--recipe compare tells one kind of lesion from the rest; use it with --problem binary")
    check_classes(plan, known, cohort.slices.class_names)
    splits = make_splits(cohort, options)
    for number, split in enumerate(splits, 1):
        say(f"{'split' if len(splits) == 1 else f'fold {number}'}: {sizes_text(cohort, split)}")
    settle_dtype(options, dtype_of_network(known) if known else None)
    changes = {name: getattr(options, name) for name in ("epochs", "learning_rate", "batch_size")}
    recipe = make_recipe(plan, options.dtype, known and known_as(known), **changes)
    check_splits(cohort, splits, recipe.batch_size, plan.keep == "best" or plan.recipe == "compare")
    notes = seen_before(plan, cohort, splits)

    from unet_segnet.cohort.training import KIND, OwnData, OwnJob, OwnSpec
    from unet_segnet.commands.train_outputs import show
    from unet_segnet.runs.folder import RunFolder
    from unet_segnet.runs.loop import carry_out, print_counts, unfinished
    from unet_segnet.runs.reading import read_run

    name = safe_name(cohort.name)
    description = {
        "name": name, "window": list(window), "size": size, "lungs": options.lungs, "orientation": options.orientation,
    }  # fmt: skip
    folds = range(len(splits)) if options.folds or len(splits) > 1 else (None,)
    specs = [OwnSpec(name, plan.label, options.seed, fold) for fold in folds]
    jobs = [
        OwnJob(spec, plan, replace(recipe, dtype=dtype_of(options, spec)), split)
        for spec, split in zip(specs, splits, strict=True)
    ]
    own = OwnData(cohort, description)
    left = unfinished(jobs, own, options, KIND)
    print_counts(jobs, left, options)
    carry_out(left, own, options)
    done = [job for job in jobs if RunFolder(options.out, job.spec).finished]
    if done:
        target = options.out / specs[0].tables
        target.mkdir(exist_ok=True)
        write_splits(target / "split.json", splits, cohort.slices.names, cohort.groups)
        if len(done) < len(jobs):
            notes.append(f"{len(jobs) - len(done)} of the {len(jobs)} trainings are not finished.")
        folders = [RunFolder(options.out, job.spec).path for job in done]
        show(done, folders, cohort, target, notes)
        done = [job for job, folder in zip(done, folders, strict=True) if read_run(folder, KIND).counts is not None]
    return 0 if len(done) == len(jobs) else 2  # what diverged has no network and no scores


def check_options(options) -> NetworkPlan:
    """Refuse what cannot work before anything heavy begins.

    Raises:
        InputError: options that do not go together, or an output folder that cannot be written.
    """
    check_own_options(options)
    check_folder(options.out)
    plan = NetworkPlan(
        options.net,
        options.variant,
        options.recipe,
        None if options.init is None else find_model(options.init)[0],
        options.freeze,
        options.encoder_weights,
        "best" if options.recipe == "compare" else options.keep,
    )
    plan.check()
    if options.learning_rate is not None and not 0 < options.learning_rate < 1:
        raise InputError(f"--learning-rate {options.learning_rate:g}: expected a number between 0 and 1")
    drawn_by = ("--folds", "--split-seed", "--validation-share", "--test-share")
    given = [option for option in drawn_by if getattr(options, option[2:].replace("-", "_")) is not None]
    if options.split is not None and given:
        raise InputError(f"--split {options.split}: says which slice is in which part; leave {', '.join(given)} out")
    if options.folds is not None and options.test_share is not None:
        raise InputError("--folds: the folds test each patient once; leave --test-share out")
    if options.init is not None and options.dtype != "auto":
        raise InputError("--dtype belongs to new networks; one of --init keeps its own")
    return plan


def make_splits(cohort, options) -> list:
    """One split, or one per fold: from a file, from the manifest's marks, or drawn by patient.

    Raises:
        InputError: see `unet_segnet.cohort.splits`.
    """
    from unet_segnet.cohort.splits import draw_folds, draw_split, splits_from_file

    seed, notes = options.split_seed or 0, []
    if options.split is not None:
        splits, notes = splits_from_file(options.split, cohort)
    elif options.folds:
        splits, notes = draw_folds(cohort, options.folds, seed, options.validation_share)
    else:
        splits = [draw_split(cohort, seed, options.validation_share, options.test_share)]
    for note in notes:
        say(note)
    return splits


def seen_before(plan: NetworkPlan, cohort, splits) -> list[str]:
    """A note where the network that training begins with was trained on test slices."""
    if plan.init is None:
        return []
    from unet_segnet.cohort.seen import seen_slices

    seen = set(seen_slices(find_model(plan.init)[1], cohort))
    known = sum(len(seen & set(split.test.tolist())) for split in splits)
    if not known:
        return []
    say(f"WARNING: {plan.init} was trained on {known} of the test slices")
    return [f"{Path(plan.init).name} was trained on {known} of the test slices: the scores are too high."]
