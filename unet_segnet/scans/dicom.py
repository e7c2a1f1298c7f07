"""Read a DICOM series as a volume: one file or folder, or a tree of them as archives and discs have it.

The slices are ordered by where they lie along the normal of their plane, never by file name or number. Coordinates
are turned from DICOM's (towards left, posterior, superior) into NIfTI's (towards right, anterior, superior).
"""

from __future__ import annotations

from itertools import groupby
from pathlib import Path

import numpy as np

from unet_segnet.data.nifti_file import MAX_SLICE_PIXELS, MAX_VOXELS, recognise_units
from unet_segnet.errors import InputError, printable
from unet_segnet.scans.dicom_file import DicomFile, Frame, read_file, read_pixels
from unet_segnet.scans.scan import RAS_OF_LPS, UNITS_NOTE, Scan, check_spacing, scan_name, voxel_spacing

UNEVEN = 0.01  # of the usual distance of slices
ROUNDING_MM = 0.02  # of positions with two decimals
NO_CT = {"MR", "PT", "NM", "US", "CR", "DX", "MG", "XA", "RF", "SEG", "RTDOSE"}  # pictures whose values are no CT's
MOST_NAMED = 6  # series in one line
STEEP = 0.7  # of a slice's normal along the body: an axial one, the gantry tilted or not
# Of MONOCHROME1 it is not said whether values or only the picture are inverted: a chest has so much air and lung.
AIR, AIR_SHARE = (-1100, -400), 0.05


class SeveralSeriesError(InputError):
    """Of several series none is clearly meant.

    Attributes:
        what: the message without what to do, for those who cannot choose a series.
    """

    def __init__(self, what: str):
        super().__init__(f"{what}; give the folder of one, or choose one with `series`")
        self.what = what


def read_dicom(path: Path, files: list[Path], series: str | None = None) -> Scan:
    """Read a series.

    Arguments:
        path: the folder, or the one file.
        files: its DICOM files in any order.
        series: number, UID or a part of the description of the one to take; None: the axial CT series with the most
            slices, where that is clear; projections aside.

    Returns:
        Scan with axes (row, column, slice), the values after rescale slope and intercept, and slices named by their
        instance number where each has its own. Its notes name the other series.

    Raises:
        SeveralSeriesError: of several CT series none is clearly meant.
        InputError: a damaged file; no CT series; several sizes or orientations in it; slices that are missing or there
            twice; a compression that cannot be decoded.
    """
    chosen, notes = _choose(path, [read_file(file) for file in files], series)
    for one in chosen:
        if one.problem is not None:
            raise one.problem
    frames = [frame for one in chosen for frame in one.frames]
    _check_alike(frames)
    normal = frames[0].normal
    frames.sort(key=lambda frame: float(frame.position @ normal))
    step, rounding = _step(path, frames)
    if rounding:
        notes.append(f"positions are rounded to {2 * rounding:.2g} mm: the slices are taken as evenly spaced")
    first = frames[0]
    height, width = first.size
    if height * width * len(frames) > MAX_VOXELS or height * width > MAX_SLICE_PIXELS:
        raise InputError(f"{path}: claims {len(frames)} slices of {height}x{width}: more than can be held")
    slices = np.empty((len(frames), height, width), np.float32)
    place = {id(frame): index for index, frame in enumerate(frames)}
    for file, of_file in groupby(sorted(frames, key=lambda frame: frame.file), key=lambda frame: frame.file):
        wanted = list(of_file)
        slices[[place[id(frame)] for frame in wanted]] = read_pixels(file, wanted)
    if first.mirror is not None:
        slices, note = _right_way(path, slices, frames)
        notes.append(note)
    slices, units = recognise_units(slices, path)
    affine = np.eye(4)
    affine[:3, 0] = first.directions[1] * first.pixel[0]  # the next row lies along a column
    affine[:3, 1] = first.directions[0] * first.pixel[1]
    affine[:3, 2] = step
    affine[:3, 3] = first.position
    affine = RAS_OF_LPS @ affine
    spacing = voxel_spacing(affine) if len(frames) > 1 or first.thickness else None
    check_spacing(path, spacing)
    if spacing is None:
        notes.append("the thickness of the slice is not told: spacing unknown")
    names = tuple(f"{frame.number:03}" for frame in frames if frame.number is not None)
    return Scan(
        name=scan_name(path),
        array=np.moveaxis(slices, 0, 2),
        affine=affine,
        units=units,
        spacing=spacing,
        source=path,
        slice_names=names if len(set(names)) == len(frames) else None,
        is_volume=len(frames) > 1,
        notes=(UNITS_NOTE[units], *notes),
        rows_first=True,
        files=tuple(dict.fromkeys(frame.file for frame in frames)),
    )


def check_one_study(path: Path, files: list[Path]) -> None:
    """Refuse a tree of DICOM files of several patients or studies: by one slice of each folder.

    Raises:
        InputError: it holds several; or copies of a series, or scans that were given one number by mistake: the same
            slices in several folders, while a series that was divided among folders has each of them once.
    """
    owners, firsts = set(), []
    for _, of_folder in groupby(sorted(files), key=lambda file: file.parent):
        found = read_file(next(of_folder))
        if found.frames and found.modality not in NO_CT:
            owners.add((found.patient, found.study))
            firsts.append(found)
    if len(owners) > 1:
        raise InputError(f"{path}: holds DICOM files of {len(owners)} patients or studies; name the folder of one")
    series = [first.series for first in firsts]
    repeated = {first.file.parent for first in firsts if series.count(first.series) > 1}
    slices = [
        (found.series, *frame.position)
        for found in (read_file(file) for file in files if file.parent in repeated)
        for frame in found.frames
        if not found.is_localizer
    ]
    if len(set(slices)) < len(slices):
        raise InputError(f"{path}: holds the same series in several folders; name the folder of one")


def _choose(path: Path, files: list[DicomFile], series: str | None) -> tuple[list[DicomFile], list[str]]:
    """The files of the series to read, and notes."""
    by_series: dict[str, list[DicomFile]] = {}
    for file in files:
        by_series.setdefault(file.series, []).append(file)
    if series is not None:
        groups = list(by_series.values())
        wanted = [group for group in groups if series in (group[0].series, group[0].number)]
        if not series.isdecimal():  # a number is that of a series, not a part of "Thorax 3.0"
            wanted = wanted or [group for group in groups if series.lower() in group[0].description.lower()]
        if len(wanted) != 1:
            raise InputError(
                f"{path}: {len(wanted) or 'none'} of its series are called {series!r:.99}; expected the number, the "
                f"UID or a part of the description of one of: {_listed(groups)}"
            )
        chosen = wanted[0]
    else:
        chosen = _clearly_meant(path, list(by_series.values()))
    slices = [file for file in chosen if not file.is_localizer] or chosen
    if slices[0].is_localizer:
        raise InputError(f"{path}: is a localizer (scout), by which a scan is planned: expected the axial CT slices")
    others = [group for group in by_series.values() if group is not chosen]
    notes = ["DICOM series" if not others else f"DICOM {_label(slices)}; left out: {_listed(others)}"]
    if left := len(chosen) - len(slices):
        notes.append(f"{left} localizer{'s' * (left > 1)} in the series, left out")
    pictures = [file for file in slices if file.is_picture]
    if 0 < len(pictures) < len(slices):
        notes.append(f"{len(pictures)} in colour in the series, left out: {pictures[0].file.name}")
        slices = [file for file in slices if not file.is_picture]
    return slices, notes


def _clearly_meant(path: Path, groups: list[list[DicomFile]]) -> list[DicomFile]:
    """The series of axial CT slices with the most of them, of slices as they were reconstructed where there are any."""
    found = [group for group in groups if _is_ct(group)]
    if not found:
        if any(file.is_localizer for group in groups for file in group):
            raise InputError(
                f"{path}: is a localizer (scout), by which a scan is planned: expected the axial CT slices"
            )
        files = [group[0] for group in groups if group[0].modality in ("CT", "") or len(groups) == 1]
        for file in files:
            if file.problem is not None and file.modality not in NO_CT:
                raise file.problem
        raise InputError(f"{path}: holds no CT series, but {_listed(groups)}; expected the slices of one")
    found = [group for group in found if _is_axial(group)] or found
    found = [group for group in found if not group[0].is_projection] or found
    most = max(map(_count, found))
    best = [group for group in found if _count(group) == most]
    for what, owners in (
        ("patients", {group[0].patient for group in found}),
        ("studies", {group[0].study for group in found}),
    ):
        if len(owners) > 1:
            raise SeveralSeriesError(f"{path}: holds CT series of {len(owners)} {what}: {_listed(found)}")
    if len(best) > 1:
        raise SeveralSeriesError(f"{path}: holds {len(found)} DICOM series: {_listed(found)}")
    return best[0]


def _is_ct(group: list[DicomFile]) -> bool:
    return group[0].modality not in NO_CT and any(file.frames and not file.is_localizer for file in group)


def _is_axial(group: list[DicomFile]) -> bool:
    return abs(next(file for file in group if file.frames and not file.is_localizer).frames[0].normal[2]) > STEEP


def _count(group: list[DicomFile]) -> int:
    return sum(len(file.frames) for file in group if not file.is_localizer)


def _listed(groups) -> str:
    labels = [_label(group) for group in groups]
    return ", ".join(labels[:MOST_NAMED]) + (f" and {len(labels) - MOST_NAMED} more" if labels[MOST_NAMED:] else "")


def _label(group: list[DicomFile]) -> str:
    """What a series is called in a message."""
    first = group[0]
    name = f"series {first.number}" if first.number else f"series of {first.file.name}"
    kind = "localizer" if all(file.is_localizer for file in group) else first.modality or "no modality"
    slices = _count(group)
    size = f", {slices} slice{'s' * (slices != 1)}" if slices else ""
    return printable(f"{name}{f' {first.description}' if first.description else ''} ({kind}{size})")


def _right_way(path: Path, slices: np.ndarray, frames: list[Frame]) -> tuple[np.ndarray, str]:
    """Slices of MONOCHROME1 as they are or inverted, whichever has air, and a note."""

    def has_air(values):
        return np.count_nonzero((values > AIR[0]) & (values < AIR[1])) > AIR_SHARE * values.size

    as_stored = has_air(slices)
    inverted = np.array([frame.mirror for frame in frames], np.float32)[:, None, None] - slices
    if as_stored == has_air(inverted):
        raise InputError(
            f"{path} is MONOCHROME1, and whether its values are inverted cannot be told: convert it to NIfTI (dcm2niix)"
        )
    if as_stored:
        return slices, "MONOCHROME1: the values are taken as stored, by which air is where a chest has it"
    return inverted, "MONOCHROME1: the values are inverted, by which air is where a chest has it"


def _check_alike(frames: list[Frame]) -> None:
    first = frames[0]
    for frame in frames[1:]:
        if frame.size != first.size:
            sizes = ["{}x{}".format(*each.size) for each in (frame, first)]
            raise InputError(f"{frame.file} is {sizes[0]}, {first.file.name} is {sizes[1]}: expected one size")
        if not np.allclose(frame.directions, first.directions, atol=1e-3):
            raise InputError(f"{frame.file} lies in another plane than {first.file.name}: expected parallel slices")
        if not np.allclose(frame.pixel, first.pixel, rtol=1e-3):
            raise InputError(f"{frame.file} has another pixel spacing than {first.file.name}: expected one")
        if (frame.mirror is None) != (first.mirror is None):
            raise InputError(f"{frame.file} is shown inverted and {first.file.name} is not: expected one way")


def _step(path: Path, frames: list[Frame]) -> tuple[np.ndarray, float]:
    """From one slice to the next, in mm; and by how much places are off if their digits are too few, else 0.

    The slices are in order.
    """
    first = frames[0]
    if len(frames) == 1:
        return first.normal * (abs(first.thickness) or 1.0), 0.0
    positions = np.stack([frame.position for frame in frames])
    along = positions @ first.normal
    gaps = np.diff(along)
    usual = float(np.median(gaps))
    tolerance = max(UNEVEN * usual, ROUNDING_MM)
    same = np.flatnonzero(gaps < ROUNDING_MM)
    if len(same):
        pair = [frames[same[0] + offset].file.name for offset in (0, 1)]
        raise InputError(f"{path}: {pair[0]} and {pair[1]} lie at the same place; expected each slice once")
    uneven = np.flatnonzero(np.abs(gaps - usual) > tolerance)
    rounding = 0.0
    if len(uneven):
        # Digits that are zero may be left out: the longest number tells how positions were rounded.
        rounding = float(np.min([frame.rounding for frame in frames], axis=0) @ np.abs(first.normal))
        if 2 * rounding <= tolerance or _distance_from_even(along) > rounding + UNEVEN * usual:
            at = uneven[np.argmax(gaps[uneven])]
            pair = [frames[at + offset].file.name for offset in (0, 1)]
            raise InputError(
                f"{path}: {gaps[at]:.2f} mm between {pair[0]} and {pair[1]}, elsewhere {usual:.2f} mm; slices are "
                "missing or unevenly spaced, complete the series"
            )
        tolerance = 2 * rounding
    step = (positions[-1] - positions[0]) / (len(frames) - 1)
    off = np.abs(positions - positions[0] - np.arange(len(frames))[:, None] * step).max(axis=1)
    if off.max() > max(tolerance, 0.5 * min(first.pixel)):
        raise InputError(f"{path}: {frames[off.argmax()].file.name} is shifted sideways; expected slices in one line")
    return step, rounding


def _distance_from_even(places: np.ndarray) -> float:
    """How far numbers are at least from evenly spaced ones."""
    from scipy.optimize import linprog

    index, one = np.arange(len(places)), np.ones(len(places))
    # start + index * step may differ from each place by a distance, which is to be small.
    rows = np.concatenate([np.stack([one, index, -one], 1), np.stack([-one, -index, -one], 1)])
    found = linprog([0, 0, 1], rows, np.concatenate([places, -places]), bounds=[(None, None)] * 2 + [(0, None)])
    return float(found.x[2]) if found.success else np.inf
