"""The options that `train` and `evaluate` share: which scans, and how they become slices."""

import argparse
from pathlib import Path

from unet_segnet.commands.arguments import check_scan_options, scan_options
from unet_segnet.errors import InputError
from unet_segnet.inference.lungs import AUTO, LUNGS
from unet_segnet.output.console import HelpFormatter, reporter, say


def own_parser(prog: str, description: str, epilog: str) -> tuple[argparse.ArgumentParser, argparse._ArgumentGroup]:
    """A parser with the options of the data, and the group that they stand in."""
    parser = argparse.ArgumentParser(
        prog=prog,
        description=description,
        epilog=epilog,
        formatter_class=HelpFormatter,
    )
    data = parser.add_argument_group("data")
    data.add_argument(
        "--data",
        required=True,
        metavar="DIR|FILE",
        help="a folder of scans and labels (images/ and labels/, nnU-Net, a folder for each patient, ...), a manifest "
        "(.csv), or the name of a data set in $UNET_SEGNET_DATA",
    )
    data.add_argument(
        "--classes",
        type=Path,
        metavar="FILE",
        help="CSV: value,name; by default classes.csv beside the data, or nnU-Net's dataset.json",
    )
    data.add_argument(
        "--problem",
        choices=("binary", "own"),
        default="own",
        help="binary: all lesions are one class; own: the data's classes",
    )
    lungs_option(data)
    scan_options(data)
    data.add_argument(
        "--split",
        type=Path,
        metavar="FILE",
        help="a split that was written before (split.json), by the names of slices",
    )
    return parser, data


def lungs_option(group) -> None:
    """Add --lungs."""
    group.add_argument("--lungs", choices=LUNGS, default=AUTO, help="of scans that come without a lung mask")


def check_own_options(options) -> None:
    """Refuse what cannot work before anything is read.

    Raises:
        InputError: the window is the wrong way round, the orientation is none, or a named file is not there.
    """
    check_scan_options(options)
    for option in ("classes", "split"):
        path = getattr(options, option)
        if path is not None and not path.is_file():
            raise InputError(f"--{option} {path}: no such file")


def load_own(options, window, size: int):
    """Load the scans that the options name, and say what was recognised in them.

    Arguments:
        options: the command's.
        window: HU of grey levels 0 and 255.
        size: height and width of the slices.

    Returns:
        `unet_segnet.cohort.load.Cohort`.

    Raises:
        InputError: see `unet_segnet.cohort.load.load_cohort`.
    """
    from unet_segnet.cohort.load import load_cohort

    cohort = load_cohort(
        *(options.data, options.classes, options.lungs, options.orientation),
        *(window, size, reporter("reading scans")),
    )
    if options.problem == "binary":
        lesions = cohort.classes.names[1:]
        cohort = cohort.binary()
        if len(lesions) > 1:
            say(f"note: {', '.join(lesions)} are taken together as infected")
    known = len(set(cohort.patients) - {None})
    say(f"{len(cohort)} slices of {len(cohort.facts)} scans, {known} patients, from {cohort.source}")
    for note in cohort.notes:
        say(note if note.startswith("WARNING") else f"note: {note}")
    if cohort.num_unknown:
        say(
            f"WARNING: nobody knows whose {cohort.num_unknown} of the slices are: slices of one patient may stand on "
            "both sides of a split, and scores may be too high; name patients in a manifest"
        )
    return cohort
