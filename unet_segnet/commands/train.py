"""Train on labelled scans of your own, or go on from a trained network, and test by patient.

    unet-segnet train --data DIR --net segnet --variant released
    unet-segnet train --data list.csv --init binary --epochs 5 --learning-rate 1e-4
    unet-segnet train --data DIR --net unet --folds 5

DIR holds images/, labels/ and perhaps lungs/ with equal names; a manifest (CSV: image,labels,lungs,patient,...) says
more. The same command started again skips what is finished and goes on with what is not. For research; not a medical
device, not for clinical use.
"""

import argparse
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from unet_segnet.cohort.network_plan import RECIPES, NetworkPlan, known_as, safe_name
from unet_segnet.commands.arguments import check_executor, dtype_of, machine_options, one_seed, positive
from unet_segnet.commands.cohort_options import add_size, check_own_options, load_own, own_parser, say
from unet_segnet.devices import DTYPES
from unet_segnet.errors import InputError
from unet_segnet.models.registry import NETWORKS, VARIANTS
from unet_segnet.output.console import import_keras, run_command
from unet_segnet.output.records import check_folder
from unet_segnet.runs.executors import share_machine

SHOWN = (
    *("scores.csv", "scores.md", "patients.csv", "patients.md", "slices.csv"),
    *("training.png", "segmentations.png"),
)


def main(arguments: Sequence[str] | None = None) -> None:
    """The command."""
    options = build_parser().parse_args(arguments)
    run_command(lambda: train(options))


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser, data = own_parser(
        "unet-segnet train",
        __doc__.splitlines()[0],
        "Slices train, validate or test as the manifest marks them, as --split FILE has it, or drawn by patient. A "
        "patient is never divided; a volume is a patient unless the manifest says otherwise.",
    )
    add_size(data)
    data.add_argument("--folds", type=positive, metavar="K", help="cross-validation by patient instead of one split")
    data.add_argument("--split-seed", type=one_seed, metavar="N", help="of the draw of patients; 0 if left out")
    data.add_argument(
        "--validation-share", type=float, metavar="S", help="of the patients, 0 for none; 0.10 if left out"
    )
    data.add_argument("--test-share", type=float, metavar="S", help="of the patients, 0 for none; 0.18 if left out")
    network = parser.add_argument_group("network")
    network.add_argument(
        "--net",
        metavar=f"{'|'.join(NETWORKS)}|ARCHITECTURE/ENCODER",
        help="which; with --init that of the file",
    )
    network.add_argument("--variant", choices=VARIANTS, help=f"of {', '.join(NETWORKS)}; paper if left out")
    network.add_argument(
        "--init", metavar="FILE|binary|multiclass", help="begin with this trained network (.keras, .mat)"
    )
    network.add_argument("--freeze", choices=("encoder",), help="leave this part of it as it is")
    network.add_argument("--encoder-weights", metavar="imagenet|FILE", help="begin a new network's encoder with these")
    training = parser.add_argument_group("training")
    training.add_argument(
        "--recipe",
        choices=RECIPES,
        default="grid",
        help="the first study's (weighted cross-entropy), or the second's (soft Dice, one kind of lesion)",
    )
    training.add_argument("--epochs", type=positive, help="passes over the training slices; 160, or 200 by compare")
    training.add_argument(
        "--learning-rate", type=float, help="of Adam in the first epochs; if left out, the network's own"
    )
    training.add_argument("--batch-size", type=positive, help="slices in a mini-batch; if left out, the network's own")
    training.add_argument(
        "--keep", choices=("best", "last"), default="last", help="the epoch of the least validation loss, or the last"
    )
    training.add_argument("--seed", type=one_seed, default=0, metavar="N", help="of everything random but the split")
    training.add_argument(
        "--dtype",
        choices=("auto", *DTYPES),
        default="auto",
        help="of a new network's layers; auto: what is fastest here",
    )
    machine = parser.add_argument_group("machine")
    machine_options(machine)
    return parser


def train(options) -> int:
    """Load, divide, train what is not trained, test, print the tables and write them; returns the exit status."""
    share_machine(options.workers)
    check_executor(options)
    plan = check_options(options)
    import_keras()
    from unet_segnet.cohort.network_plan import begin_with, check_classes
    from unet_segnet.data.preprocess import DEFAULT_SIZE, DEFAULT_WINDOW
    from unet_segnet.inference.segmentation import slice_size
    from unet_segnet.models.registry import check_size

    known = begin_with(plan)
    size = options.size or (slice_size(known) if known else DEFAULT_SIZE)
    window = tuple(options.window or getattr(known, "window", DEFAULT_WINDOW))
    if known and slice_size(known) != size:
        raise InputError(f"{plan.init}: takes slices of {slice_size(known)}x{slice_size(known)}; leave --size out")
    if not known:
        check_size(plan.net, plan.variant or "paper", size)
    cohort = load_own(options, window, size)
    if plan.recipe == "compare" and cohort.slices.num_classes > 2:
        raise InputError("--recipe compare tells one kind of lesion from the rest; use it with --problem binary")
    check_classes(plan, known, cohort.slices.class_names)
    splits = make_splits(cohort, options)
    recipe = make_recipe(options, plan, known)
    check_splits(cohort, splits, plan, recipe.batch_size)
    notes = seen_before(plan, cohort, splits)

    from unet_segnet.cohort.training import KIND, OwnData, OwnJob, OwnSpec
    from unet_segnet.data.splits import write_splits
    from unet_segnet.runs.folder import RunFolder
    from unet_segnet.runs.loop import carry_out, print_counts, unfinished

    name = safe_name(cohort.name)
    description = {
        "name": name, "window": list(window), "size": size, "lungs": options.lungs, "orientation": options.orientation,
    }  # fmt: skip
    options.dtype_given, options.dtype = plan.init is not None or options.dtype != "auto", recipe.dtype
    folds = range(len(splits)) if options.folds or len(splits) > 1 else (None,)
    specs = [OwnSpec(name, plan.label, options.seed, fold) for fold in folds]
    jobs = [
        OwnJob(spec, plan, replace(recipe, dtype=dtype_of(options, spec)), split)
        for spec, split in zip(specs, splits, strict=True)
    ]
    own = OwnData(cohort, description)
    left = unfinished(jobs, own, options, KIND)
    print_counts(jobs, left, options)
    ended = carry_out(left, own, options)
    done = [job for job in jobs if RunFolder(options.out, job.spec).finished]
    if done:
        target = options.out / specs[0].tables
        target.mkdir(exist_ok=True)
        write_splits(target / "split.json", splits, cohort.slices.names, cohort.groups)
        if len(done) < len(jobs):
            notes.append(f"{len(jobs) - len(done)} of the {len(jobs)} trainings are not finished.")
        show(done, [RunFolder(options.out, job.spec).path for job in done], cohort, target, notes)
    return 0 if len(done) == len(jobs) else max(ended.status, 2)


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
        options.init,
        options.freeze,
        options.encoder_weights,
        options.keep,
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


def make_recipe(options, plan, known=None):
    """The recipe with what the options change; the network's own in the registry where they say nothing.

    `known` is the network that training begins with, or None.
    """
    from unet_segnet.devices import best_dtype
    from unet_segnet.training.class_weighted import Recipe
    from unet_segnet.training.soft_dice import EncoderRecipe

    dtype = options.dtype
    if dtype == "auto":
        dtype = "float32" if plan.init else best_dtype()
    changes = {"epochs": options.epochs, "learning_rate": options.learning_rate, "batch_size": options.batch_size}
    changes = {name: value for name, value in changes.items() if value is not None}
    if plan.recipe == "compare":
        return EncoderRecipe(dtype=dtype, **changes)
    net = known_as(known).rpartition("_")[0] if known else plan.net
    return Recipe(dtype=dtype, **{**(NETWORKS[net].recipe if net in NETWORKS else {}), **changes})


def make_splits(cohort, options) -> list:
    """One split, or one per fold: from a file, from the manifest's marks, or drawn by patient.

    Raises:
        InputError: too few patients, a patient that is marked twice, or a file that does not fit or tests a slice
            twice.
    """
    import numpy as np

    from unet_segnet.data.splits import (
        PARTS,
        TEST_SHARE,
        VALIDATION_SHARE,
        Split,
        grouped_folds,
        grouped_split,
        read_splits,
    )

    groups, seed = np.asarray(cohort.groups), options.split_seed or 0
    if options.split is not None:
        splits = read_splits(options.split, cohort.slices.names, cohort.groups)
        twice = [
            index for index, times in Counter(i for split in splits for i in split.test.tolist()).items() if times > 1
        ]
        if twice:
            raise InputError(
                f"{options.split}: {cohort.slices.names[twice[0]]} is tested in two folds; expected each slice at most "
                "once, or one fold a file"
            )
        held = {index for index, part in enumerate(cohort.parts) if part == "test"}
        learnt = held & {index for split in splits for part in (split.train, split.validation) for index in part}
        if learnt:
            say(f"WARNING: {options.split} trains on {len(learnt)} slices that {cohort.source} marks test")
        return splits
    marked = {part: np.flatnonzero(np.asarray(cohort.parts) == part) for part in ("", *PARTS)}
    shares = {"validation": options.validation_share, "test": options.test_share}
    for first in PARTS:
        for second in ("", *PARTS):
            shared = set(groups[marked[first]]) & set(groups[marked[second]])
            if first != second and shared:
                raise InputError(
                    f"{cohort.source}: patient {min(shared)} is marked {first}, and elsewhere {second or 'not'}; "
                    "expected one part for each patient"
                )
    if options.folds:
        if len(marked["test"]):
            say(
                f"note: {len(marked['test'])} slices marked test take no part in the folds; see unet_segnet.commands.evaluate"
            )
        if again := len(marked["train"]) + len(marked["validation"]):
            say(f"note: {again} slices marked train or validation are divided anew: each fold tests some of them")
        rest = np.flatnonzero(np.asarray(cohort.parts) != "test")
        share = VALIDATION_SHARE if shares["validation"] is None else shares["validation"]
        folds = grouped_folds(groups[rest], options.folds, seed, share)
        return [Split(*(rest[getattr(fold, part)] for part in PARTS)) for fold in folds]
    for part, usual in (("validation", VALIDATION_SHARE), ("test", TEST_SHARE)):
        if len(marked[part]) and shares[part] is not None:
            raise InputError(f"--{part}-share: {cohort.source} marks its {part} data; leave the option out")
        if shares[part] is None:
            shares[part] = 0 if len(marked[part]) else usual
    rest = marked[""]
    drawn = Split(*(np.zeros(0, np.int64) for _ in PARTS))
    if len(rest):
        drawn = grouped_split(groups[rest], seed, **shares)
    return [Split(*(np.sort(np.concatenate([marked[part], rest[getattr(drawn, part)]])) for part in PARTS))]


def check_splits(cohort, splits, plan, batch_size: int) -> None:
    """Say how large the parts are; refuse what leaks or leaves too little to train on or to choose the best epoch by.

    Raises:
        InputError: it does.
    """
    from unet_segnet.cohort.copies import find_copies
    from unet_segnet.cohort.training import training_part
    from unet_segnet.data.splits import PARTS

    names, groups = cohort.slices.names, cohort.groups
    copies = find_copies(cohort.slices.images, groups)
    for number, split in enumerate(splits, 1):
        part_of = {int(index): part for part in PARTS for index in getattr(split, part)}
        sizes = [
            f"{part} {len(getattr(split, part))} slices of {len({groups[index] for index in getattr(split, part)})}"
            for part in PARTS
        ]
        say(f"{'split' if len(splits) == 1 else f'fold {number}'}: {', '.join(sizes)} patients")
        for pair in copies:
            parts = [part_of.get(index) for index in pair]
            if None not in parts and parts[0] != parts[1]:
                which = [f"{names[index]} ({groups[index]}, {part})" for index, part in zip(pair, parts, strict=True)]
                raise InputError(
                    f"{cohort.source}: slices {' and '.join(which)} are the same picture: a leak; mend the data, see "
                    "`unet-segnet data check`"
                )
        if (plan.keep == "best" or plan.recipe == "compare") and not len(split.validation):
            raise InputError(
                "the best epoch is chosen on validation slices, and there are none; use --keep last with grid"
            )
        if (usable := len(training_part(cohort, split).slices)) < batch_size:  # now, not after the folds before
            raise InputError(
                f"{cohort.source}: {usable} training slices do not fill one mini-batch of {batch_size}; use more "
                "slices, or a smaller --batch-size"
            )


def seen_before(plan, cohort, splits) -> list[str]:
    """A note where the network that training begins with was trained on test slices."""
    if plan.init is None:
        return []
    from unet_segnet.cohort.seen import seen_slices
    from unet_segnet.networks.find import find_model

    seen = set(seen_slices(find_model(plan.init)[1], cohort))
    known = sum(len(seen & set(split.test.tolist())) for split in splits)
    if not known:
        return []
    say(f"WARNING: {plan.init} was trained on {known} of the test slices")
    return [f"{Path(plan.init).name} was trained on {known} of the test slices: the scores are too high."]


def show(jobs, folders, cohort, target: Path, notes: list[str]) -> None:
    """Print the scores of the test slices with these notes, write them into `target`, and draw the first run."""
    import numpy as np

    from unet_segnet.cohort.training import KIND
    from unet_segnet.measures.baselines import evaluate_baselines
    from unet_segnet.measures.patient_scores import Method, ScoredSlices, score_tables, slice_table
    from unet_segnet.output.tabular import write_tables
    from unet_segnet.runs.reading import read_run

    tested, confusions, baselines, drawn = [], [], [], None
    notes = list(notes)
    for job, folder in zip(jobs, folders, strict=True):
        run = read_run(folder, KIND)
        result, counts = run.result, run.counts
        if counts is None:
            notes.append(f"{folder.name} diverged in epoch {result.get('epoch', '?')} and is left out.")
            continue
        if result.get("missing_classes"):
            notes.append(f"{folder.name}: {', '.join(result['missing_classes'])} is on no training slice: not learnt.")
        if result.get("one_class_only"):
            notes.append(f"{folder.name} predicts one class only and is in the table as it is.")
        if len(job.split.test):
            drawn = drawn or (job, folder)
            parts = [cohort.slices.subset(part) for part in (job.split.train, job.split.test)]
            baselines.append(evaluate_baselines(*parts))
            tested += job.split.test.tolist()
            confusions.append(counts["test_confusion"])
    for folder in folders:
        print(f"network: {folder / 'model.keras'}")
    if not confusions:
        say(" ".join(["no test slices: nothing is scored.", *notes]))
        _remove_others(target, [])
        return
    part = cohort.subset(tested)
    about = ScoredSlices(part.slices.names, part.groups, part.num_unknown, part.slices.class_names, jobs[0].spec.data)
    methods = [Method(jobs[0].spec.network, np.concatenate(confusions))]
    for of_folds in zip(*baselines, strict=True):
        text = of_folds[0].description if len(of_folds) == 1 else "fitted on the training slices of each fold"
        methods.append(Method(of_folds[0].name, np.concatenate([one.test_confusion for one in of_folds]), text))
    files = write_tables(score_tables(about, methods, notes), target)
    slice_table(about, methods[0]).to_csv(target / "slices.csv")
    files += ["slices.csv", "split.json", *draw(*drawn, cohort, target)]
    _remove_others(target, files)
    say(f"written to {target}: {', '.join(files)}")


def _remove_others(target: Path, files: list[str]) -> None:
    """Remove what is shown there of a run that --force threw away, once this one's own files are written."""
    for name in set(SHOWN) - set(files):
        (target / name).unlink(missing_ok=True)


def draw(job, folder: Path, cohort, target: Path) -> list[str]:
    """Draw the training curves of a run and its segmentation of up to six test slices; returns the files' names."""
    from unet_segnet.commands.evaluate import draw as draw_slices
    from unet_segnet.commands.evaluate import most_lesion
    from unet_segnet.inference.prediction import predict
    from unet_segnet.networks.load import load_model
    from unet_segnet.plots import save_figure, training_curves
    from unet_segnet.runs.folder import read_arrays
    from unet_segnet.training.class_weighted import HISTORY_KEYS

    title = f"{folder.parent.name}, {folder.name}"
    files = []
    if job.plan.recipe == "grid":
        save_figure(training_curves(read_arrays(folder / "history.npz", HISTORY_KEYS), title), target / "training.png")
        files.append("training.png")
    test = cohort.slices.subset(job.split.test)
    shown = test.subset(most_lesion(test.labels))
    found = predict(load_model(folder / "model.keras"), shown.images)
    draw_slices(shown, found, title, target / "segmentations.png")
    return [*files, "segmentations.png"]
