"""Get, examine and make data: `unet-segnet data fetch | check PATH | look PATH | manifest PATH --to FILE | phantom`."""

import argparse
import csv
import shlex
from collections.abc import Sequence
from pathlib import Path

from unet_segnet.commands.arguments import one_seed, positive
from unet_segnet.commands.cohort_options import lungs_option
from unet_segnet.data.fetch import BASE_URL
from unet_segnet.errors import InputError
from unet_segnet.output.console import HelpFormatter, reporter, run_command, summed_up, with_flags
from unet_segnet.output.files import whole_file
from unet_segnet.output.whole_folder import check_own, whole_folder


def fetch(options) -> int:
    """Download the released slices, masks and network; files whose hash fits are kept.

    Raises:
        InputError: see `unet_segnet.data.fetch.fetch_release`.
    """
    from unet_segnet.data.catalogue import RELEASED, data_root
    from unet_segnet.data.fetch import fetch_release, read_manifest

    to = options.to or data_root() / RELEASED
    downloaded, total = fetch_release(to, options.base_url, reporter(f"fetching to {to}")), len(read_manifest())
    print(f"{total} files in {to} ({downloaded} downloaded, {total - downloaded} kept), every SHA-256 fits")
    return 0


def check(options) -> int:
    """Print what a data set holds and what is wrong with it; 0 where it can be used, else 1.

    Raises:
        InputError: there is no data set, or the CSV file exists or cannot be written.
    """
    from unet_segnet.cohort.examine import examine_data

    table = options.csv
    if table is not None and table.exists() and not options.force:
        raise InputError(f"{table} exists: give another name, or --force to replace it")
    report = reporter("reading scans")
    place, found = examine_data(options.path, options.classes, options.lungs, options.orientation, report)
    print(place)
    for line in found.facts:
        print(f"  {line}")
    for title, class_names, pixels, image_pixels in found.sizes:
        print(f"\nclass sizes ({title})\n  {'class':14}{'pixel count':>14}{'image pixel count':>20}")
        for name, count, image_count in zip(class_names, pixels, image_pixels, strict=True):
            print(f"  {name:14}{count:14}{image_count:20}")
    _print_findings(found, options)
    if table is not None:
        _write_csv(table, found.rows)
    usable = (
        f"usable, with {len(found.warnings)} warning(s): see whether they are meant" if found.warnings else "usable"
    )
    verdict = f"{len(found.problems)} problem(s): mend them first" if found.problems else usable
    print(f"\n{verdict}")
    return 1 if found.problems else 0


def _print_findings(found, options) -> None:
    """Print what was mended, the warnings and the problems of an `Examination`, of each kind once."""
    for heading, lines in (
        ("mended on loading", found.mended),
        ("warnings", found.warnings),
        ("problems", found.problems),
    ):
        if lines:
            print(f"\n{heading}")
            for line in summed_up(lines):
                print(f"  {with_flags(line, options)}")


def look(options) -> int:
    """Write a page with pictures of every case, and what `check` finds in it; 0 where it can be used, else 1.

    Raises:
        InputError: there is no data set, none of its scans can be read, or the folder exists or cannot be written.
    """
    from unet_segnet.cohort.examine import examine_data
    from unet_segnet.commands.data_look import MARKS, Kept, names_in, write_look

    names = names_in(options.out)
    check_own(options.out, MARKS, names)
    if options.out.exists() and not options.force:
        raise InputError(f"{options.out}: is there already; give another folder with --out, or --force")
    with whole_folder(options.out, MARKS, names) as new:
        kept = Kept(new)
        scans = (options.path, options.classes, options.lungs, options.orientation)
        place, found = examine_data(*scans, reporter("reading scans"), kept.add)
        if not kept.cases:
            more = f" ({len(found.problems) - 1} more problems; see `unet-segnet data check`)"
            raise InputError(found.problems[0] + (more if found.problems[1:] else ""))
        write_look(kept, place, found, new, options)
    _print_findings(found, options)
    files = f"index.html, {MARKS[0]} and {len(kept.cases)} picture(s)"
    print(f"\n{len(found.problems)} problem(s) in {place}; written to {options.out}: {files}")
    return 1 if found.problems else 0


def manifest(options) -> int:
    """Write a manifest of a data set, with what a folder alone does not say.

    Raises:
        InputError: there is no such data, an option applies to nothing in it or is no orientation, or the file exists
            or cannot be written.
    """
    from dataclasses import replace

    from unet_segnet.cohort.cases import cases_for_manifest, class_file
    from unet_segnet.cohort.manifest import write_manifest
    from unet_segnet.data.catalogue import find_data
    from unet_segnet.scans.orientation import parse_orientation

    to = options.to
    if to.suffix != ".csv":
        raise InputError(f"{to}: expected the name of a .csv file")
    if to.exists() and not options.force:
        raise InputError(f"{to} exists: give another name, or --force to replace it")
    folder = find_data(options.path)
    for orientation in filter(None, (options.orientation, options.volume_orientation)):
        parse_orientation(orientation)
    slices, volumes, left_out, notes = cases_for_manifest(folder, options.slices_per_patient)
    if not volumes and (options.volume_orientation or options.test == "volumes"):
        option = "--volume-orientation" if options.volume_orientation else "--test volumes"
        raise InputError(f"{folder}: {option} is for the volumes in rp_im/, and there are none; leave it out")
    if not slices and options.test == "slices":
        raise InputError(f"{folder}: --test slices leaves out the volumes in rp_im/, and there is nothing else")
    of_volumes = options.volume_orientation or options.orientation
    cases = [
        replace(case, orientation=orientation, part="test" if options.test == kind else "")
        for kind, orientation, found in (("slices", options.orientation, slices), ("volumes", of_volumes, volumes))
        for case in found
    ]
    try:
        write_manifest(to, cases)
    except OSError as error:
        raise InputError(f"cannot write {to} ({error.strerror}): choose another place") from error
    check_it = f"unet-segnet data check {shlex.quote(str(to))}"
    for line in (*(f"not listed: {line}" for line in summed_up(left_out)), *notes):
        print(f"note: {line}")
    if unlabelled := sum(case.labels is None for case in cases):
        print(f"note: {unlabelled} of {len(cases)} scans have no labels; name them in the column labels")
    classes = class_file(folder)
    if classes is not None and classes.resolve().parent != to.resolve().parent:
        print(f"note: {classes} is looked for beside the table; copy it there, or give it with --classes")
        check_it += f" --classes {shlex.quote(str(classes))}"
    print(f"{len(cases)} scans in {to}; look through it, then `{check_it}`")
    return 0


def phantom(options) -> int:
    """Write the phantom in the MedSeg NIfTI layout.

    Raises:
        InputError: the folder holds slices already, or cannot be written, or the size is too small.
    """
    from unet_segnet.data.nifti import has_slices
    from unet_segnet.data.phantom import write_phantom

    to, size = options.to, options.size
    if has_slices(to) and not options.force:
        raise InputError(f"{to} holds slices already: choose another folder, or --force to replace them")
    try:
        write_phantom(to, num_slices=options.slices, seed=options.seed, size=size)
    except OSError as error:
        raise InputError(f"cannot write to {to} ({error.strerror}): choose another folder") from error
    print(f"{options.slices} phantom slices of {size}x{size} in {to}; use them with --data {shlex.quote(str(to))}")
    return 0


def _write_csv(path: Path, rows: list[dict]) -> None:
    try:
        with whole_file(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, fieldnames=list(rows[0]) if rows else ["set", "slice"])
            writer.writeheader()
            writer.writerows(rows)
    except OSError as error:
        raise InputError(f"cannot write {path} ({error.strerror}): choose another place") from error
    print(f"\none row for each slice written to {path}")


def build_parser() -> argparse.ArgumentParser:
    """The command line of `unet-segnet data`."""
    parser = argparse.ArgumentParser(
        prog="unet-segnet data",
        description="Get the released slices, examine any data set, list its scans, or write the phantom.",
        epilog="Exit status: 0 done or usable, 1 a checked data set has problems, 2 bad input or no network.",
    )
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="fetch|check|look|manifest|phantom")

    def add_verb(command, text, **more):
        verb = verbs.add_parser(command.__name__, help=text, formatter_class=HelpFormatter, **more)
        verb.set_defaults(command=command)
        return verb

    verb = add_verb(
        fetch,
        "download the 100 released slices (CC0, 5 MB)",
        description="Download the CC0 release of github.com/adnan-saood/COVID19-DL, file by file from one pinned "
        "commit: 100 slices with their masks, the raw masks and one trained network. Each file's SHA-256 is checked; "
        "what fits is kept, so an interrupted fetch goes on where it stopped.",
        epilog="The MedSeg files (tr_im.nii.gz, rp_im/ and their masks, in Hounsfield units) are to be downloaded by "
        "hand from medicalsegmentation.com/covid19 into a folder medseg beside COVID19-DL.",
    )
    verb.add_argument(
        "--to",
        type=Path,
        metavar="DIR",
        help="folder to fill; by default COVID19-DL in $UNET_SEGNET_DATA, else in the user's cache folder, where every "
        "command finds it",
    )
    verb.add_argument("--base-url", default=BASE_URL, metavar="URL", help="of the release, or of a mirror")

    verb = add_verb(
        check,
        "examine a data set",
        description="Say what a data set holds and what is wrong with it. Of your own scans (a folder in a known "
        "layout, or a manifest): which layout it is, files without a partner, geometry that does not match, unknown "
        "label values, labels of another scan, scans unlike the others, and slices that stand under two patients' "
        "names. Of a released layout (PNG tree, MedSeg NIfTI): sizes, values and units, unknown labels, empty masks, "
        "class sizes as in the article's Table 1, and slices whose mask does not fit their image; two masks that stand "
        "in each other's place are found by that, and every command puts them back on loading.",
        epilog="Exit status: 0 usable, 1 problems that loading does not mend, 2 no such data set.",
    )
    _scans(verb)
    verb.add_argument("--csv", type=Path, metavar="FILE", help="write one row for each slice to FILE")
    verb.add_argument("--force", action="store_true", help="replace FILE if it exists")

    verb = add_verb(
        look,
        "pictures of every scan of a data set, with what check finds in it",
        description="Look before you train: write a page (index.html) and a picture (PNG) of every scan, with slices "
        "across its lungs, the contours of labels and lungs on them, and how often each grey level is in both. Beside "
        "it stands what `check` finds in that scan. Slices are shown as the networks take them, of 256x256 and in the "
        "usual window, and with what is not lung.",
        epilog="Exit status: 0 usable, 1 shown, with problems that loading does not mend, 2 no such data set, or "
        "nothing of it can be read.",
    )
    _scans(verb)
    verb.add_argument("--out", type=Path, default=Path("look"), metavar="DIR", help="folder of the page")
    verb.add_argument("--force", action="store_true", help="replace a page that is there")

    verb = add_verb(
        manifest,
        "list the scans of a folder in a CSV file, to say more about them",
        description="Write a manifest (image, labels, lungs, patient, slices, orientation, part) of a folder of "
        "scans, with their labels where its layout is known, or of one in MedSeg's layout, where it divides the slices "
        "among patients. Edit it where it knows less than you; train, evaluate and check take it as their data.",
    )
    verb.add_argument("path", help="a name in $UNET_SEGNET_DATA, or a folder")
    verb.add_argument("--to", type=Path, required=True, metavar="FILE", help="the manifest, a .csv file")
    verb.add_argument(
        "--slices-per-patient", type=positive, metavar="N", help="every N slices of tr_im, in order, are one patient's"
    )
    verb.add_argument("--orientation", metavar="HOW", help="how the arrays lie, as for predict")
    verb.add_argument("--volume-orientation", metavar="HOW", help="the same of the volumes (rp_im), if it differs")
    verb.add_argument("--test", choices=("volumes", "slices"), help="mark these as test data, never trained on")
    verb.add_argument("--force", action="store_true", help="replace FILE if it exists")

    verb = add_verb(
        phantom,
        "write the built-in phantom as NIfTI files",
        description="Write a made-up chest CT (Hounsfield units, labels C0..C3, lung masks) in the MedSeg NIfTI "
        "layout: --data DIR reads it as it reads real data.",
    )
    verb.add_argument("--to", type=Path, required=True, metavar="DIR", help="folder to write, made if needed")
    verb.add_argument("--slices", type=positive, default=100, metavar="N", help="number of slices")
    verb.add_argument("--seed", type=one_seed, default=0, metavar="N", help="of the phantom")
    verb.add_argument("--size", type=positive, default=512, metavar="PIXELS", help="height and width, 32 or more")
    verb.add_argument("--force", action="store_true", help="replace slices that are in DIR")
    return parser


def _scans(verb: argparse.ArgumentParser) -> None:
    """Add which data set is examined, and how its scans are read."""
    verb.add_argument("path", help="a name in $UNET_SEGNET_DATA (COVID19-DL, medseg), a folder, or a manifest (.csv)")
    verb.add_argument("--classes", type=Path, metavar="FILE", help="CSV with the columns value,name; own scans")
    lungs_option(verb)
    verb.add_argument("--orientation", metavar="HOW", help="of own scans, as for predict")


def main(arguments: Sequence[str] | None = None) -> None:
    """The command."""
    options = build_parser().parse_args(arguments)
    run_command(lambda: data(options), options)


def data(options) -> int:
    """Run one verb; returns the exit status."""
    return options.command(options)
