"""Get, examine and make data: `unet-segnet data fetch | check PATH | manifest PATH --to FILE | phantom`."""

import argparse
import csv
import shlex
from collections.abc import Sequence
from pathlib import Path

from unet_segnet.commands.arguments import one_seed, positive
from unet_segnet.errors import InputError
from unet_segnet.output.console import Progress, run_command
from unet_segnet.output.files import whole_file

COMMIT = "77f0e029eda602a014d914a3fa4c7a59036325ba"
BASE_URL = f"https://raw.githubusercontent.com/adnan-saood/COVID19-DL/{COMMIT}/"
ATTEMPTS = 3


def fetch(to: Path, base_url: str = BASE_URL) -> int:
    """Download the released slices, masks and network into `to`; files whose hash fits are kept.

    Raises:
        InputError: the network fails, a file's SHA-256 is not the manifest's, or a file cannot be written.
    """
    import logging

    import pooch
    import requests

    pooch.get_logger().setLevel(logging.ERROR)  # the progress bar says it all
    manifest = read_manifest()
    source = pooch.create(path=to, base_url=base_url.rstrip("/") + "/", registry=manifest, retry_if_failed=ATTEMPTS - 1)
    downloader = pooch.HTTPDownloader(timeout=30)
    kept = 0
    bar = Progress(len(manifest), f"fetching to {to}")
    for number, name in enumerate(manifest, 1):
        kept += pooch.core.download_action(to / name, manifest[name])[0] == "fetch"
        try:
            source.fetch(name, downloader=downloader)
        except requests.exceptions.RequestException as error:
            raise InputError(
                f"cannot download {source.get_url(name)} ({_reason(error)}): check the network and start "
                f"the same command again, what was downloaded is kept"
            ) from error
        except ValueError as error:  # pooch: the hash
            raise InputError(
                f"{source.get_url(name)} is not the released file (its SHA-256 differs) and was not "
                f"kept: start the same command again, or check what stands between you and the source"
            ) from error
        except OSError as error:
            raise InputError(f"cannot write {to / name} ({error.strerror}): choose another folder") from error
        bar.update(number, name)
    print(f"{len(manifest)} files in {to} ({len(manifest) - kept} downloaded, {kept} kept), every SHA-256 fits")
    return 0


def read_manifest() -> dict[str, str]:
    """SHA-256 of each released file, by its path in the release."""
    from importlib.resources import files

    text = files("unet_segnet.data").joinpath("covid19_dl_sha256.csv").read_text()
    return {row["path"]: row["sha256"] for row in csv.DictReader(text.splitlines())}


def check(
    path: str,
    table: Path | None = None,
    force: bool = False,
    classes: Path | None = None,
    lungs: str = "auto",
    orientation: str | None = None,
) -> int:
    """Print what a data set holds and what is wrong with it; 0 where it can be used, else 1.

    Arguments:
        path: a name in the data root, or a path; of a folder or of a manifest.
        table: CSV file to write with one row for each slice.
        force: replace that file if it exists.
        classes, lungs, orientation: of data of one's own, see `unet_segnet.cohort.load_cohort`.

    Raises:
        InputError: there is no data set, or the CSV file exists or cannot be written.
    """
    from unet_segnet.cohort.cases import is_own
    from unet_segnet.cohort.examine import examine_cohort
    from unet_segnet.data.catalogue import find_data
    from unet_segnet.data.examine import examine

    if table is not None and table.exists() and not force:
        raise InputError(f"{table} exists: give another name, or --force to replace it")
    if is_own(path):
        found = examine_cohort(path, classes, lungs, orientation)
        print(path)
    else:
        folder = find_data(path)
        found = examine(folder)
        print(folder)
    for line in found.facts:
        print(f"  {line}")
    for title, class_names, pixels, image_pixels in found.sizes:
        print(f"\nclass sizes ({title})\n  {'class':14}{'pixel count':>14}{'image pixel count':>20}")
        for name, count, image_count in zip(class_names, pixels, image_pixels, strict=True):
            print(f"  {name:14}{count:14}{image_count:20}")
    for heading, lines in (("mended on loading", found.mended), ("problems", found.problems)):
        if lines:
            print(f"\n{heading}")
            for line in lines:
                print(f"  {line}")
    if table is not None:
        _write_csv(table, found.rows)
    verdict = f"{len(found.problems)} problem(s): mend them first" if found.problems else "usable"
    print(f"\n{verdict}")
    return 1 if found.problems else 0


def manifest(
    path: str,
    to: Path,
    slices_per_patient: int | None = None,
    orientation: str | None = None,
    volume_orientation: str | None = None,
    test: str | None = None,
    force: bool = False,
) -> int:
    """Write a manifest of a data set, with what a folder alone does not say.

    Arguments:
        path: a name in the data root, or the path of a folder: images and labels, or MedSeg's layout.
        to: the CSV file.
        slices_per_patient: every so many slices of tr_im are one patient's.
        orientation, volume_orientation: how the slices' and the volumes' arrays lie, see `unet_segnet.scans`.
        test: "volumes" or "slices": these are marked as test data.
        force: replace the file if it exists.

    Raises:
        InputError: there is no such data, or the file exists or cannot be written.
    """
    from dataclasses import replace

    from unet_segnet.cohort.cases import cases_for_manifest, write_manifest
    from unet_segnet.data.catalogue import find_data

    if to.suffix != ".csv":
        raise InputError(f"{to}: expected the name of a .csv file")
    if to.exists() and not force:
        raise InputError(f"{to} exists: give another name, or --force to replace it")
    slices, volumes = cases_for_manifest(find_data(path), slices_per_patient)
    slices = [replace(case, orientation=orientation, part="test" if test == "slices" else "") for case in slices]
    volumes = [
        replace(case, orientation=volume_orientation or orientation, part="test" if test == "volumes" else "")
        for case in volumes
    ]
    try:
        write_manifest(to, slices + volumes)
    except OSError as error:
        raise InputError(f"cannot write {to} ({error.strerror}): choose another place") from error
    check_it = f"unet-segnet data check {shlex.quote(str(to))}"
    classes = find_data(path) / "classes.csv"
    if classes.is_file() and classes.resolve().parent != to.resolve().parent:
        print(f"note: {classes} is looked for beside the table; copy it there, or give it with --classes")
        check_it += f" --classes {shlex.quote(str(classes))}"
    print(f"{len(slices) + len(volumes)} scans in {to}; look through it, then `{check_it}`")
    return 0


def phantom(to: Path, num_slices: int, seed: int, size: int, force: bool = False) -> int:
    """Write the phantom in the MedSeg NIfTI layout.

    Raises:
        InputError: the folder holds slices already, or cannot be written.
    """
    from unet_segnet.data.nifti import has_slices
    from unet_segnet.data.phantom import write_phantom

    if has_slices(to) and not force:
        raise InputError(f"{to} holds slices already: choose another folder, or --force to replace them")
    try:
        to.mkdir(parents=True, exist_ok=True)
        write_phantom(to, num_slices=num_slices, seed=seed, size=size)
    except OSError as error:
        raise InputError(f"cannot write to {to} ({error.strerror}): choose another folder") from error
    print(f"{num_slices} phantom slices of {size}x{size} in {to}; use them with --data {shlex.quote(str(to))}")
    return 0


def _write_csv(path: Path, rows: list[dict]) -> None:
    try:
        with whole_file(path) as temporary, temporary.open("w", newline="") as file:
            writer = csv.DictWriter(file, fieldnames=list(rows[0]) if rows else ["set", "slice"])
            writer.writeheader()
            writer.writerows(rows)
    except OSError as error:
        raise InputError(f"cannot write {path} ({error.strerror}): choose another place") from error
    print(f"\none row for each slice written to {path}")


def _reason(error: Exception) -> str:
    """The innermost reason of a failed download, short."""
    response = getattr(error, "response", None)
    if response is not None:
        return f"HTTP status {response.status_code}"
    return type(error).__name__


def build_parser() -> argparse.ArgumentParser:
    """The command line of `unet-segnet data`."""
    parser = argparse.ArgumentParser(
        prog="unet-segnet data",
        description="Get the released slices, examine any data set, list its scans, or write the phantom.",
        epilog="Exit status: 0 done or usable, 1 a checked data set has problems, 2 bad input or no network.",
    )
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="fetch|check|manifest|phantom")

    verb = verbs.add_parser(
        "fetch",
        help="download the 100 released slices (CC0, 5 MB)",
        description="Download the CC0 release of github.com/adnan-saood/COVID19-DL, file by file from one "
        "pinned commit: 100 slices with their masks, the raw masks and one trained network. Each file's "
        "SHA-256 is checked; what fits is kept, so an interrupted fetch goes on where it stopped.",
        epilog="The MedSeg files (tr_im.nii.gz, rp_im/ and their masks, in Hounsfield units) are to be "
        "downloaded by hand from medicalsegmentation.com/covid19 into a folder `medseg` beside COVID19-DL.",
    )
    verb.add_argument(
        "--to",
        type=Path,
        metavar="DIR",
        help="folder to fill (default: COVID19-DL in $UNET_SEGNET_DATA, else in the user's cache folder, "
        "where every command finds it)",
    )
    verb.add_argument(
        "--base-url", default=BASE_URL, metavar="URL", help="a mirror of the release (default: %(default)s)"
    )

    verb = verbs.add_parser(
        "check",
        help="examine a data set",
        description="Examine a data set in one of the released layouts (PNG tree, MedSeg NIfTI): "
        "sizes, values and units, unknown labels, empty masks, class sizes as in the article's Table 1, and "
        "slices whose mask does not fit their image. Masks that stand in each other's place are "
        "found by that and are put back by every command on loading. Of your own scans (a folder with images/ and "
        "labels/, or a manifest): files without a partner, geometry that does not match, unknown label values, labels "
        "of another scan, and slices that stand under two patients' names.",
        epilog="Exit status: 0 usable, 1 problems that loading does not mend, 2 no such data set.",
    )
    verb.add_argument("path", help="a name in $UNET_SEGNET_DATA (COVID19-DL, medseg), a folder, or a manifest (.csv)")
    verb.add_argument("--classes", type=Path, metavar="FILE", help="CSV with the columns value,name; own scans")
    verb.add_argument("--lungs", default="auto", choices=("auto", "none", "lungmask"), help="where no mask is given")
    verb.add_argument("--orientation", metavar="HOW", help="of own scans, as for predict")
    verb.add_argument("--csv", type=Path, metavar="FILE", help="write one row for each slice to FILE")
    verb.add_argument("--force", action="store_true", help="replace FILE if it exists")

    verb = verbs.add_parser(
        "manifest",
        help="list the scans of a folder in a CSV file, to say more about them",
        description="Write a manifest (image, labels, lungs, patient, slices, orientation, part) of a folder with "
        "images/ and labels/, or of one in MedSeg's layout, where it divides the slices among patients. Edit it where "
        "it knows less than you; train, evaluate and check take it as their data.",
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

    verb = verbs.add_parser(
        "phantom",
        help="write the built-in phantom as NIfTI files",
        description="Write the procedural chest CT (Hounsfield units, labels C0..C3, lung masks) in the "
        "MedSeg NIfTI layout, so that --data DIR reads it through the same readers as real data.",
    )
    verb.add_argument("--to", type=Path, required=True, metavar="DIR", help="folder to write, made if needed")
    verb.add_argument(
        "--slices", type=positive, default=100, metavar="N", help="number of slices (default: %(default)s)"
    )
    verb.add_argument(
        "--seed", type=one_seed, default=0, metavar="N", help="seed of the phantom (default: %(default)s)"
    )
    verb.add_argument(
        "--size",
        type=positive,
        default=512,
        metavar="PIXELS",
        help="height and width (default: %(default)s)",
    )
    verb.add_argument("--force", action="store_true", help="replace slices that are in DIR")
    return parser


def main(arguments: Sequence[str] | None = None) -> None:
    """The command."""
    options = build_parser().parse_args(arguments)
    run_command(lambda: data(options))


def data(options) -> int:
    """Run one verb; returns the exit status."""
    if options.verb == "fetch":
        from unet_segnet.data.catalogue import DEFAULT_NAMES, data_root

        return fetch(options.to or data_root() / DEFAULT_NAMES[0], options.base_url)
    if options.verb == "check":
        return check(options.path, options.csv, options.force, options.classes, options.lungs, options.orientation)
    if options.verb == "manifest":
        return manifest(
            options.path,
            options.to,
            options.slices_per_patient,
            options.orientation,
            options.volume_orientation,
            options.test,
            options.force,
        )
    return phantom(options.to, options.slices, options.seed, options.size, options.force)
