"""Segment scans: labels with the scan's own geometry, severity figures, a picture and a page to look at.

    unet-segnet predict scan.nii.gz --out segmented
    unet-segnet predict patients --out segmented --truth labels

Inputs: DICOM series, NIfTI, MetaImage and NRRD, PNG, TIFF or JPEG slices and folders of such slices; folders of these
at any depth, such as one of each patient. For research; not a medical device, not for clinical use.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from unet_segnet.commands.arguments import check_scan_options, result_options, scan_options
from unet_segnet.commands.predict_inputs import MARKS, Item, find_items
from unet_segnet.commands.predict_settings import (
    check_settings,
    read_problem,
    read_settings,
    settings,
    write_settings,
)
from unet_segnet.errors import InputError, printable, some
from unet_segnet.inference.lungs import AUTO, LUNGS
from unet_segnet.networks.find import find_model, load_found
from unet_segnet.networks.hub import hub_file, is_hub
from unet_segnet.output.console import HelpFormatter, import_keras, reporter, run_command, say, with_flags
from unet_segnet.output.records import check_folder
from unet_segnet.output.whole_folder import check_own, sweep, whole_folder
from unet_segnet.processor import return_large_arrays

WITHOUT_SCORES = "segmented all the same, without scores"


def main(arguments: Sequence[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(
        prog="unet-segnet predict",
        description=__doc__,
        formatter_class=HelpFormatter,
    )
    parser.add_argument(
        "inputs",
        type=Path,
        nargs="+",
        metavar="INPUT",
        help="scans: DICOM series, NIfTI, MetaImage, NRRD, PNG, TIFF or JPEG slices; or folders of them at any depth",
    )
    parser.add_argument(
        "--model",
        default="lesions",
        metavar="lesions|binary|multiclass|FILE|DIR|hf://USER/NAME",
        help="the network of lesions for scans of any origin; the first study's, for infected or not or for four "
        "classes; a .keras or .mat file; the folder of a run, or of `train --folds` with the networks of all folds, "
        "which are averaged; or one of the Hugging Face hub",
    )
    parser.add_argument(
        "--lungs",
        default=AUTO,
        metavar=f"{'|'.join(LUNGS)}|FILE|DIR|hf://USER/NAME",
        help="where the lungs are: found by Hounsfield units and a network; everywhere; found by the lungmask package; "
        "or marked in a file, in a folder by the scan's name; or found by a network of yours (.keras)",
    )
    scan_options(parser)
    parser.add_argument(
        "--series",
        metavar="NAME",
        help="of DICOM, the series to take: its number, its UID or a part of its description; by default the axial CT "
        "series with the most slices, projections (MIP) aside",
    )
    parser.add_argument(
        "--truth",
        type=Path,
        metavar="FILE|DIR",
        help="true labels; in a folder, by the scan's name",
    )
    parser.add_argument(
        "--classes",
        type=Path,
        metavar="FILE",
        help="CSV: value,name; what the values of the true labels mean. By default classes.csv or dataset.json beside "
        "them, or what they did in the labels that an own network was trained on; else it is recognised",
    )
    parser.add_argument("--probabilities", action="store_true", help="write the probability of each class too")
    parser.add_argument(
        "--disagreement",
        action="store_true",
        help="write where the networks of train --folds disagree too: the standard deviation of their probabilities of "
        "lesion",
    )
    result_options(parser, "folder of the results, one folder in it per scan")
    options = parser.parse_args(arguments)
    run_command(lambda: predict(options), options)


def predict(options) -> int:
    """Segment every input; what fails is reported and skipped, and so is what an earlier call has done.

    Returns:
        The exit status: 1 if some failed, 2 if all.

    Raises:
        InputError: nothing can be done at all: no network, no scan, no place to write, or other results there.
    """
    options.lungs = str(hub_file(options.lungs)) if is_hub(options.lungs) else options.lungs
    check_options(options)
    options.model, facts = find_model(options.model)
    found = find_items(options.inputs, options.lungs, options.truth, options.out)
    items, problems = found.items, found.problems
    if not items and len(problems) == 1:
        raise InputError(problems[0])
    targets = {item: options.out / item.name for item in items}
    for item, target in targets.items():
        if target.name.startswith(".") or target == options.out:  # what is unfinished has such names
            raise InputError(f"{item.path}: has no name that its results could have; rename it")
        check_own(target, MARKS)
    there = {} if options.force else {item: target for item, target in targets.items() if target.exists()}
    for target in there.values():
        read_settings(target)
    for note in found.notes:
        print(printable(f"note: {note}"), file=sys.stderr)
    for problem in problems:
        _tell(problem, options)
    for problem in found.unscored.values():
        _tell(f"{problem} ({WITHOUT_SCORES})", options)
    without = [item.name for item in items if item.truth is None and item.name not in found.unscored]
    without = [] if options.truth is None else without
    if without:
        text = f"{options.truth}: no true labels by the name of {some(without, 6)}; {WITHOUT_SCORES}"
        if len(without) == len(items):
            _tell(text, options)
        else:
            print(printable(f"note: {text}"), file=sys.stderr)
            without = []
    if items:
        model = _load(options, facts)
        for item, target in there.items():
            check_settings(target, settings(item, options))
    failed, unscored = len(problems), 0
    for number, (item, target) in enumerate(targets.items(), start=1):
        try:
            if target.exists() and not options.force:  # since before, or by another process meanwhile
                check_settings(target, settings(item, options))
                sweep(target)
                print(f"{target.name}: is there already, made from this scan with these settings", flush=True)
                problem = read_problem(target)
                if problem:
                    _tell(problem, options)
            else:
                problem = _one(item, target, model, options, f"{number}/{len(targets)} {target.name}")
        except InputError as error:
            failed += 1
            _tell(error, options)
        else:
            unscored += problem is not None or item.name in without or item.name in found.unscored
    return _conclude(failed, unscored, len(items) + len(problems), options)


def _conclude(failed: int, unscored: int, number: int, options) -> int:
    """Say how many of the inputs failed, and give the exit status."""
    if failed == number and number > 1:
        print(f"all {number} inputs failed: nothing was segmented", file=sys.stderr)
    elif failed and number > 1:
        print(printable(f"{failed} of {number} inputs failed; the others are in {options.out}"), file=sys.stderr)
    if unscored:
        what = "it was" if number == 1 else f"{unscored} of {number} scans were"
        print(f"{what} segmented, but not compared with the truth", file=sys.stderr)
    return 2 if failed == number else 1 if failed or unscored else 0


def _tell(problem: object, options) -> None:
    """Print what went wrong with an input; of the same thing once more, the file alone."""
    text = with_flags(problem, options)
    where, _, what = text.partition(": ")
    if what and what == getattr(options, "told", None):
        text = f"{where}: as before"
    options.told = what
    print(f"error: {text}", file=sys.stderr, flush=True)


def check_options(options) -> None:
    """Refuse what cannot work before anything heavy begins.

    Raises:
        InputError: the window, orientation, lung mask, truth, classes or output folder is no good.
    """
    check_scan_options(options)
    if options.lungs not in LUNGS and not Path(options.lungs).exists():
        raise InputError(f"{options.lungs}: no such lung mask; expected {', '.join(LUNGS)}, a file or a folder")
    if options.truth is not None and not options.truth.exists():
        raise InputError(f"{options.truth}: no such file or folder of true labels")
    if options.classes is not None and options.truth is None:
        raise InputError("--classes says what the values of true labels mean: give them with --truth")
    if options.classes is not None and not options.classes.is_file():
        raise InputError(f"{options.classes}: no such file of classes")
    check_folder(options.out)


def _load(options, facts: dict):
    """The network, with the names of its classes and its window; the window and meaning of labels are settled.

    Raises:
        InputError: it cannot be loaded, or takes or gives something else than slices and classes.
    """
    import_keras()
    return_large_arrays()
    from unet_segnet.cohort.classes import Classes, read_classes
    from unet_segnet.commands.predict_truth import class_file_near
    from unet_segnet.data.preprocess import DEFAULT_WINDOW
    from unet_segnet.inference.prediction import mirrors_of
    from unet_segnet.inference.segmentation import names_of_classes
    from unet_segnet.networks.load import slice_size

    model = load_found(options.model, facts)
    options.network_sha256 = model.sha256
    model.mirror_axes, model.learnt_from = tuple(facts.get("mirror_axes") or ()), facts.get("learnt_from")
    try:
        slice_size(model)
        names = facts.get("class_names") or names_of_classes(model)
        if len(names) != model.output_shape[-1]:
            raise InputError(f"its run names {len(names)} classes, it tells {model.output_shape[-1]} apart")
        model.class_names = tuple(names)
        mirrors_of(model, options.tta)
    except InputError as error:
        raise InputError(f"{options.model}: {error}") from error
    if options.disagreement and not hasattr(model, "members"):
        raise InputError(
            f"{options.model}: one network; --disagreement is for several, give the folder of a train --folds"
        )
    if options.window and getattr(model, "takes", None):
        raise InputError(f"{options.model}: takes {model.takes}, to which no window matters; leave --window out")
    # Of networks to which it does not matter it is what pictures are drawn in.
    options.window = tuple(options.window or facts.get("window") or getattr(model, "window", DEFAULT_WINDOW))
    options.network_window = None if getattr(model, "takes", None) else options.window
    learnt = getattr(model, "label_values", None)
    options.meaning = None if learnt is None else Classes(model.class_names, learnt)
    if options.classes is None and options.truth is not None:
        options.classes = class_file_near(options.truth)
    if options.classes is not None:
        classes = read_classes(options.classes)
        options.meaning = replace(classes, notes=(f"classes: by {options.classes.name}", *classes.notes))
    return model


def _one(item: Item, target: Path, model, options, label: str) -> str | None:
    """Segment one scan into its folder and print a line about it; returns what was wrong with its true labels."""
    from unet_segnet.commands.predict_outputs import summary, write_case
    from unet_segnet.commands.predict_truth import compare_with, read_truth
    from unet_segnet.inference.segmentation import prepare, segment
    from unet_segnet.networks.load import CHANGED
    from unet_segnet.scans import read_scan, scan_name

    made_with = settings(item, options)  # of the files as they are before they are read
    scan = read_scan(item.path, series=options.series)
    if options.series is not None and not scan.files:
        raise InputError(f"{item.path}: is no DICOM; --series chooses among the series of one")
    prepared = prepare(scan, item.lungs, options.orientation)
    truth = problem = None
    if item.truth is not None:
        try:
            of_network = options.classes is None
            truth = read_truth(item.truth, prepared, model.class_names, options.meaning, of_network)
            if scan_name(item.truth) != item.name:  # matched by what the names share, or by the folder
                truth = replace(truth, notes=(f"truth: from {item.truth.name}", *truth.notes))
        except InputError as error:
            problem = str(error)
            _tell(f"{problem} ({WITHOUT_SCORES})", options)
    if settings(item, options) != made_with:
        raise InputError(f"{item.path}: {CHANGED}")
    with whole_folder(target, MARKS) as new:  # from here on, so that a second process learns who is at it
        if target.exists() and not options.force:
            raise InputError(f"{target}: another process made it meanwhile; give another folder with --out, or --force")
        result = segment(
            prepared,
            model,
            window=options.network_window,
            batch_size=options.batch_size,
            probabilities=options.probabilities,
            report=reporter(label),
            tta=options.tta,
            disagreement=options.disagreement,
        )
        compared = None if truth is None else (compare_with(truth, result), truth)
        problems = (f"truth: not compared: {with_flags(problem, options)}",) if problem else ()
        notes = (*(with_flags(note, options) for note in result.notes), *(truth.notes if truth else ()), *problems)
        notes = write_case(result, notes, compared, target.name, new, options)
        write_settings(new, made_with, problem)
    print(summary(target.name, result, compared and compared[0]), flush=True)
    _say_notes([note for note in notes if note not in problems], options)
    return problem


def _say_notes(notes: list[str], options) -> None:
    """Print what was assumed about a scan, unless it is what was said of the one before."""
    if notes == getattr(options, "said", None):
        print("  notes: as above", flush=True)
    else:
        for warning in (note for note in notes if note.startswith("WARNING")):
            say(f"  {warning}")
        say(f"  notes: {'; '.join(note for note in notes if not note.startswith('WARNING'))}")
    options.said = notes
