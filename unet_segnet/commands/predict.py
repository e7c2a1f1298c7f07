"""Segment scans: labels with the scan's own geometry, severity figures, a picture and a page to look at.

    unet-segnet predict scan.nii.gz --out segmented
    unet-segnet predict PATIENTS/* --out segmented --truth TRUTH

Inputs: NIfTI volumes or slices (.nii, .nii.gz), PNG, TIFF or JPEG slices, folders of such slices, folders of one DICOM
series. For research; not a medical device, not for clinical use.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from unet_segnet.commands.arguments import check_scan_options, result_options, scan_options
from unet_segnet.commands.predict_settings import MARKS, check_settings, read_settings, settings, write_settings
from unet_segnet.errors import InputError, printable
from unet_segnet.inference.lungs import AUTO, LUNGS
from unet_segnet.output.console import HelpFormatter, reporter, run_command, with_flags
from unet_segnet.output.records import check_folder
from unet_segnet.output.whole_folder import check_own, sweep, whole_folder


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
        help="scans: NIfTI volumes or slices, PNG, TIFF or JPEG slices, folders of these or of one DICOM series",
    )
    parser.add_argument(
        "--model",
        default="binary",
        metavar="binary|multiclass|FILE",
        help="the project's network for infected or not, the one for four classes, or a .keras or .mat file",
    )
    parser.add_argument(
        "--lungs",
        default=AUTO,
        metavar=f"{'|'.join(LUNGS)}|FILE",
        help="where the lungs are: found by their HU; everywhere; found by the lungmask package; or marked in a file",
    )
    scan_options(parser)
    parser.add_argument(
        "--truth",
        type=Path,
        metavar="FILE|DIR",
        help="true labels; in a folder, by the scan's name. Their values mean what they did in the labels that an own "
        "network was trained on",
    )
    parser.add_argument("--probabilities", action="store_true", help="write the probability of each class too")
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
    from unet_segnet.scans import find_scans, scan_name

    check_options(options)
    found = list(dict.fromkeys(scan for path in options.inputs for scan in find_scans(path)))
    targets = {path: options.out / scan_name(path) for path in found}
    if len(set(targets.values())) < len(targets):
        twice = next(t for t in targets.values() if list(targets.values()).count(t) > 1)
        raise InputError(f"two inputs are called {twice.name}: segment them with different --out folders")
    for path, target in targets.items():
        if target.name.startswith(".") or target == options.out:  # what is unfinished has such names
            raise InputError(f"{path}: has no name that its results could have; rename it")
        check_own(target, MARKS)
    there = {} if options.force else {path: target for path, target in targets.items() if target.exists()}
    for target in there.values():
        read_settings(target)

    from unet_segnet.output.console import import_keras

    import_keras()
    from unet_segnet.data.preprocess import DEFAULT_WINDOW
    from unet_segnet.inference.segmentation import names_of_classes, slice_size
    from unet_segnet.networks.load import load_model

    model = load_model(options.model)
    try:
        slice_size(model)
        names_of_classes(model)
    except InputError as error:
        raise InputError(f"{options.model}: {error}") from error
    options.window = tuple(options.window or getattr(model, "window", DEFAULT_WINDOW))
    for path, target in there.items():
        check_settings(target, settings(path, options))
    failed = 0
    for number, (path, target) in enumerate(targets.items(), start=1):
        try:
            if target.exists() and not options.force:  # since before, or by another process meanwhile
                check_settings(target, settings(path, options))
                sweep(target)
                print(f"{target.name}: is there already, made from this scan with these settings", flush=True)
                continue
            line = _one(path, target, model, options, f"{number}/{len(targets)} {target.name}")
        except InputError as error:
            failed += 1
            print(f"error: {with_flags(error, options)}", file=sys.stderr, flush=True)
        else:
            print(line, flush=True)
    if failed:
        print(printable(f"{failed} of {len(targets)} scans failed; the others are in {options.out}"), file=sys.stderr)
    return 0 if not failed else 2 if failed == len(targets) else 1


def check_options(options) -> None:
    """Refuse what cannot work before anything heavy begins.

    Raises:
        InputError: the window, orientation, lung mask or output folder is no good.
    """
    check_scan_options(options)
    if options.lungs not in LUNGS and not Path(options.lungs).exists():
        raise InputError(f"{options.lungs}: no such lung mask; expected {', '.join(LUNGS)} or a file")
    if options.truth is not None and not options.truth.exists():
        raise InputError(f"{options.truth}: no such file or folder of true labels")
    check_folder(options.out)


def _one(path: Path, target: Path, model, options, label: str) -> str:
    """Segment one scan into its folder; returns a line about it."""
    from unet_segnet.commands.predict_outputs import compare_with, find_truth, has_own_values, summary_line, write_case
    from unet_segnet.inference.segmentation import segment
    from unet_segnet.scans import read_scan

    made_with = settings(path, options)  # of the files as they are before they are read
    scan = read_scan(path)
    truth = find_truth(options.truth, path) if options.truth else None
    if options.truth and truth is None:
        print(
            printable(f"note: {target.name}: no file of that name in {options.truth}; it is compared with none"),
            file=sys.stderr,
        )
    with whole_folder(target, MARKS) as new:  # from here on, so that a second process learns who is at it
        if target.exists() and not options.force:
            raise InputError(f"{target}: another process made it meanwhile; give another folder with --out, or --force")
        result = segment(
            scan,
            model,
            lungs=options.lungs,
            orientation=options.orientation,
            window=options.window,
            batch_size=options.batch_size,
            probabilities=options.probabilities,
            report=reporter(label),
        )
        label_values = getattr(model, "label_values", None)
        if not has_own_values(label_values, len(result.class_names)):
            label_values = None
        elif truth:
            meant = ", ".join(f"{value} = {result.class_names[index]}" for value, index in sorted(label_values.items()))
            print(
                printable(f"note: {target.name}: true values are taken as the network learnt them: {meant}"),
                file=sys.stderr,
            )
        comparison = compare_with(truth, result, options.orientation, label_values) if truth else None
        write_case(result, comparison, target.name, new, options)
        write_settings(new, made_with)
    return summary_line(target.name, result, comparison)
