"""Score a trained network on labelled scans: another hospital's, or your own that it has not seen.

    unet-segnet evaluate binary --data DIR --out evaluation
    unet-segnet evaluate runs/own/list-released-unet/seed0 --data list.csv --out evaluation

MODEL is a .keras file, a network trained in MATLAB (.mat), the folder of a run, that of all folds of a training, whose
probabilities are averaged, or binary or multiclass for the first study's. For research; not a medical device, not for
clinical use.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from unet_segnet.commands.arguments import positive, result_options
from unet_segnet.commands.cohort_options import check_own_options, load_own, own_parser
from unet_segnet.data.splits import PARTS, read_splits
from unet_segnet.errors import InputError
from unet_segnet.networks.find import find_model, load_found
from unet_segnet.output.console import Progress, import_keras, run_command, say, with_flags
from unet_segnet.output.records import INTENDED_USE, check_folder
from unet_segnet.output.whole_folder import check_own, whole_folder

MARKS = ("evaluation.json",)  # of results, which may be replaced
FILES = ("slices.csv", "counts.npz", *MARKS, "segmentations.png")
TABLES = ("scores", "patients", "domain")
NAMES = (*FILES, *(f"{table}.{kind}" for table in TABLES for kind in ("csv", "md")))  # of all that results may hold


def main(arguments: Sequence[str] | None = None) -> None:
    """The command."""
    options = build_parser().parse_args(arguments)
    run_command(lambda: evaluate(options), options)


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser, data = own_parser(
        "unet-segnet evaluate",
        __doc__,
        "Scores are counted at the network's size; `unet-segnet predict --truth` counts at the scan's own.",
    )
    parser.add_argument(
        "model",
        metavar="MODEL",
        help="binary, multiclass, a .keras or .mat file, the folder of a run or of folds, or hf://USER/NAME (Hugging "
        "Face hub)",
    )
    data.add_argument(
        "--part",
        choices=("all", *PARTS),
        help="of a manifest's marks, or of --split; by default test where any is marked, else all",
    )
    data.add_argument("--fold", type=positive, metavar="N", help="of --split, by default the first")
    result_options(parser, "folder of the results")
    return parser


def evaluate(options) -> None:
    """Load, predict, print the tables, and write them."""
    check_own_options(options)
    if options.fold is not None and options.split is None:
        raise InputError("--fold is one of a file's; give it with --split FILE")
    check_folder(options.out)
    _check_free(options)
    import_keras()
    import numpy as np

    from unet_segnet.cohort.conventions import pair_classes
    from unet_segnet.cohort.copies import copies_text, find_copies
    from unet_segnet.cohort.domain import describe, differences, released_domain, released_thresholds
    from unet_segnet.cohort.seen import seen_slices
    from unet_segnet.data.catalogue import RELEASED
    from unet_segnet.data.preprocess import DEFAULT_WINDOW
    from unet_segnet.inference.find_lungs import unlike_learnt
    from unet_segnet.inference.prediction import mirrors_of
    from unet_segnet.inference.segmentation import names_of_classes
    from unet_segnet.measures.metrics import confusion_matrices
    from unet_segnet.measures.patient_scores import Method, ScoredSlices, domain_table, score_tables, slice_table
    from unet_segnet.networks.load import check_takes_grey, slice_size
    from unet_segnet.output.records import write_arrays, write_json
    from unet_segnet.output.tabular import write_tables
    from unet_segnet.runs.pictures import draw_slices
    from unet_segnet.runs.provenance import begin, provenance

    started = begin()
    path, facts = find_model(options.model)
    if path.endswith(".mat"):
        say("note: a network trained in MATLAB is taken for one of the authors', trained on the released slices")
    model = load_found(path, facts)
    check_takes_grey(model, path)
    origin = facts.get("data") or "unknown data"
    if facts.get("data") == RELEASED and "trained_on" not in facts:
        origin = f"a part of {RELEASED}; described are all its slices"
    if facts.get("data") == RELEASED:
        facts = {"thresholds": released_thresholds(model.output_shape[-1]), "trained_on": released_domain(), **facts}
    window = tuple(options.window or facts.get("window") or DEFAULT_WINDOW)
    class_names = tuple(facts.get("class_names") or names_of_classes(model))
    if len(class_names) != model.output_shape[-1]:
        raise InputError(f"{path}: its run names {len(class_names)} classes, it tells {model.output_shape[-1]} apart")
    model.class_names, model.mirror_axes = class_names, tuple(facts.get("mirror_axes") or ())
    mirrors, members = mirrors_of(model, options.tta), getattr(model, "names", ())
    cohort = load_own(options, window, slice_size(model))
    chosen = chosen_slices(cohort, options)
    pairing = pair_classes(class_names, cohort.classes)
    seen = len(set(seen_slices(facts, cohort)) & set(chosen))
    cohort = cohort.subset(chosen)
    say(f"scored: {len(cohort)} slices")
    with whole_folder(options.out, MARKS, NAMES) as new:  # from here on, so that a second process learns who is at it
        _check_free(options)
        found = predicted(model, cohort.slices.images, options.batch_size, Path(options.model).name, mirrors)
        slices, (predictions, *of_members), notes = same_classes(cohort.slices, found, pairing)
        if members:
            notes += [f"{note}." for note in model.notes]
        if options.tta:
            notes.append(f"Probabilities are means over each slice and {len(mirrors) - 1} mirror images of it.")
        for note in notes[len(pairing.notes) :]:
            say(f"note: {note}")
        if seen:
            who = "networks of this ensemble were" if members else "the network was"
            say(f"WARNING: {who} trained on {seen} of these slices")
            notes.append(f"{who[0].upper()}{who[1:]} trained on {seen} of these slices: the scores are too high.")
            if members:
                notes.append(f"Each fold's network on patients that it had not seen: {model.tables / 'scores.csv'}.")
                say(f"note: {notes[-1]}")
        if copies := find_copies(cohort.slices.images, cohort.groups):
            told = copies_text(copies, cohort.slices.names, cohort.patients)
            notes.append(f"{told}: what is shown twice counts twice; expected each once.")
            say(f"WARNING: {notes[-1]}")
        learnt = facts.get("learnt_from")
        shown = [cohort.facts[case].shown for case in cohort.cases]
        if learnt and (others := [of for of in shown if of != learnt]):
            line = unlike_learnt(learnt, others[0], f"{len(others)} of these {len(shown)} slices show")
            line = with_flags(line, options)
            say(f"WARNING: {line}")
            notes.append(f"{line[0].upper()}{line[1:]}.")
        if len(only := np.unique(predictions)) == 1:
            notes.append(f"The network calls every pixel {slices.class_names[only[0]]}: it tells nothing apart.")
        tested = ScoredSlices(slices.names, cohort.groups, cohort.num_unknown, slices.class_names, cohort.name)
        network, *baselines = methods_of(slices, predictions, facts)
        alone = [
            Method(name, confusion_matrices(slices.labels, of, slices.num_classes))
            for name, of in zip(members, of_members, strict=True)
        ]
        methods = [network, *alone, *baselines]
        origin += f" ({members[0]})" if members else ""
        tables = {
            **score_tables(tested, methods, notes),
            "domain": domain_table(differences(facts.get("trained_on"), describe(cohort)), origin, cohort.name),
        }
        about = {
            "network": str(options.model),
            "network_sha256": model.sha256,
            "data": str(cohort.source),
            "data_sha256": slices.sha256(),
            "methods": [method.name for method in methods],
            "notes": list(cohort.notes),
            "for": INTENDED_USE,
            **provenance(started),
        }
        counts = {"names": np.asarray(slices.names), "patients": np.asarray(cohort.groups)}
        counts |= {f"confusion_{number}": method.confusion for number, method in enumerate(methods)}
        files = write_tables(tables, new)
        slice_table(tested, methods[0]).to_csv(new / "slices.csv")
        write_arrays(new / "counts.npz", counts)
        write_json(new / "evaluation.json", about)
        draw_slices(slices, predictions, f"{Path(options.model).name} on {cohort.name}", new / "segmentations.png")
    say(f"written to {options.out}: {', '.join([*files, *FILES])}")


def _check_free(options) -> None:
    check_own(options.out, MARKS, NAMES)
    if options.out.exists() and not options.force:
        raise InputError(f"{options.out}: is there already; give another folder with --out, or --force")


def chosen_slices(cohort, options) -> list[int]:
    """Indices of the slices that are scored.

    Raises:
        InputError: there are none.
    """
    if options.split is not None:
        splits = read_splits(options.split, cohort.slices.names, cohort.groups)
        fold = options.fold or 1
        if fold > len(splits):
            raise InputError(f"{options.split}: has {len(splits)} folds; --fold {fold} is none of them")
        split = splits[fold - 1]
        parts = PARTS if options.part == "all" else (options.part or "test",)
        chosen = sorted(int(index) for part in parts for index in getattr(split, part))
    else:
        part = options.part or ("test" if "test" in cohort.parts else "all")
        chosen = [index for index, marked in enumerate(cohort.parts) if part in ("all", marked)]
    if not chosen:
        raise InputError(f"{cohort.source}: no slice is marked {options.part or 'test'}; expected some, or --part all")
    return chosen


def predicted(model, images, batch_size: int, label: str, mirrors):
    """(1, num_slices, height, width) class indices of a network, with progress; of an ensemble, those of each of its
    networks alone after it."""
    import numpy as np

    from unet_segnet.inference.prediction import of_members

    bar, found = Progress(len(images), label), []
    for start in range(0, len(images), batch_size):
        batch = images[start : start + batch_size]
        short = batch_size - len(batch) if len(images) > batch_size else 0  # one shape, one compilation
        padded = np.pad(batch, ((0, short), (0, 0), (0, 0)))
        each = of_members(model, padded, mirrors)[:, : len(batch)]
        if not np.isfinite(each).all():
            raise InputError(f"the network {model.name} gives probabilities that are no numbers; train it again")
        whole = each.mean(axis=0, keepdims=True)
        answers = whole if len(each) == 1 else np.concatenate([whole, each])
        found.append(np.argmax(answers, axis=-1).astype(np.uint8))
        bar.update(start + len(batch))
    return np.concatenate(found, axis=1)


def same_classes(slices, predictions, pairing):
    """Slices and predictions with the classes that both have, and notes on the matching.

    Arguments:
        slices: of the data.
        predictions: class indices of the network, or of several.
        pairing: `unet_segnet.cohort.conventions.Pairing`.
    """
    from dataclasses import replace

    same = replace(slices, labels=pairing.of_labels[slices.labels], class_names=pairing.names)
    return same, pairing.of_network[predictions], list(pairing.notes)


def methods_of(slices, predictions, facts: dict) -> list:
    """The network and the baselines, as `unet_segnet.measures.patient_scores.Method`."""
    from unet_segnet.measures.baselines import GREY_LEVELS, classify, evaluate_baselines
    from unet_segnet.measures.metrics import confusion_matrices
    from unet_segnet.measures.patient_scores import Method

    def counted(found):
        return confusion_matrices(slices.labels, found, slices.num_classes)

    background, fitted = evaluate_baselines(slices, slices)
    methods = [
        Method("network", counted(predictions)),
        Method(background.name, background.test_confusion, background.description),
    ]
    thresholds = facts.get("thresholds")
    if thresholds and all(0 <= level <= GREY_LEVELS for level in thresholds):
        if slices.num_classes == 2:
            thresholds = thresholds[:1]
        if len(thresholds) == slices.num_classes - 1 and sorted(thresholds) == list(thresholds):
            text = f"grey levels from {', '.join(map(str, thresholds))}; fitted on what the network was trained on"
            methods.append(Method("grey threshold", counted(classify(slices.images, tuple(thresholds))), text))
    text = f"{fitted.description.split(';')[0]}; fitted on the scored slices themselves, no threshold does better"
    methods.append(Method("best threshold", fitted.test_confusion, text))
    return methods
