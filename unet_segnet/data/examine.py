"""What a data set holds, what was wrong with it and could be mended, and what makes it unusable."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from unet_segnet.data.balance import class_sizes
from unet_segnet.data.mask_fit import (
    BAD_FIT,
    find_exchanges,
    lung_area,
    mend_exchanges,
    outside_fraction,
)
from unet_segnet.data.nifti import (
    Volume,
    has_slices,
    inspect_medseg_slices,
    inspect_volume,
    read_labels,
    volume_names,
    volume_paths,
)
from unet_segnet.data.png_tree import RAW_MASKS, inspect_png_tree, tree_root
from unet_segnet.data.resize import resize_labels
from unet_segnet.data.slices import BINARY_NAMES, MULTICLASS_NAMES, Slices
from unet_segnet.errors import InputError


@dataclass
class Examination:
    """Findings about one data set.

    Attributes:
        facts: what it holds, one line each.
        mended: what is wrong in the files and is put right on loading, one line each.
        warnings: what is unusual and is taken as it is, one line each.
        problems: what is wrong and stays wrong, one line each.
        sizes: (title, class names, pixel counts, image pixel counts), the paper's Table 1 columns.
        rows: one dict for each slice as it is in the files: its set, name, size, pixels of lung and of each
            class, fraction of its lesion outside the lung ("" without lesion), finding.
        cases: line -> the names of the cases (own scans, "volume NAME", "slice NAME") that it is about; a line on the
            data as a whole is not in it.
        slices: the independent slices of a released layout that are sound, mended; None where there are none.
        classes: what the label values mean (`unet_segnet.cohort.classes.Classes`), where that is asked for and known.
    """

    facts: list[str] = field(default_factory=list)
    mended: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    sizes: list[tuple] = field(default_factory=list)
    rows: list[dict] = field(default_factory=list)
    cases: dict[str, tuple[str, ...]] = field(default_factory=dict)
    slices: Slices | None = None
    classes: object | None = None

    def add(self, kind: str, line: str, *cases: str) -> None:
        """Add a line about these cases to the lines of a kind: facts, mended, warnings or problems."""
        getattr(self, kind).append(line)
        if cases:
            self.cases[line] = (*self.cases.get(line, ()), *cases)


def examine(folder: str | Path) -> Examination:
    """Examine a PNG tree, or slices and volumes in the MedSeg NIfTI layout; volumes one at a time.

    Raises:
        InputError: the folder holds neither layout.
    """
    folder = Path(folder)
    found = Examination()
    if tree_root(folder) is not None:
        slices, problems = inspect_png_tree(folder)
        found.problems += problems
        slices = found.slices = _examine_slices(slices, "slices", found)
        raw = tree_root(folder) / RAW_MASKS
        if raw.is_file():
            _examine_raw_masks(raw, slices, found)
        return found
    names = volume_names(folder)
    if not has_slices(folder) and not names:
        raise InputError(
            f"no data set in {folder}: expected dataset/im/256 with PNG files, tr_im.nii.gz or rp_im/N.nii.gz"
        )
    if has_slices(folder):
        slices, problems = inspect_medseg_slices(folder)
        found.problems += problems
        found.slices = _examine_slices(slices, "slices", found)
    if names:
        _examine_volumes(folder, names, found)
    return found


def _examine_slices(slices: Slices | None, title: str, found: Examination) -> Slices | None:
    """Add what is to be said about independent slices; return them mended."""
    if slices is None:
        return None
    height, width = slices.images.shape[1:]
    found.facts.append(
        f"{len(slices)} slices of {height}x{width}, values {slices.images.min():g} to "
        f"{slices.images.max():g} ({'Hounsfield units' if slices.units == 'HU' else 'grey levels, 8 bit'})"
    )
    found.facts.append("which slices share a patient is not recorded: a split by patient is not possible")
    if slices.labels is None:
        found.problems.append("no sound masks: neither training nor scoring is possible")
        return slices
    if slices.units == "HU" and slices.lungs is None:
        found.problems.append("no sound lung masks: slices in Hounsfield units need them for the first study")
        return slices
    exchanged = find_exchanges(slices)
    findings = dict.fromkeys(range(len(slices)), "")
    for i, j in exchanged:
        findings[i] = f"mask exchanged with {slices.names[j]}"
        findings[j] = f"mask exchanged with {slices.names[i]}"
    mended = mend_exchanges(slices)
    for note in mended.notes:
        found.add("mended", note, *(f"slice {slices.names[index]}" for pair in exchanged for index in pair))
    for index, outside in enumerate(outside_fraction(mended)):
        if outside > BAD_FIT:
            findings[index] = "mask does not fit"
            found.add(
                "problems",
                f"the mask of slice {slices.names[index]} does not fit its image: {outside:.0%} of its "
                f"lesion pixels lie outside the lung, and no other slice's mask was exchanged for it",
                f"slice {slices.names[index]}",
            )
    for index in np.flatnonzero(~lung_area(mended).any(axis=(1, 2))):
        found.add("problems", f"slice {slices.names[index]} has no lung pixel", f"slice {slices.names[index]}")
    if not mended.labels.any():
        found.problems.append("every mask is empty: there is no lesion to learn or to score")
    found.rows += _rows(slices, title, findings)
    _add_class_facts(mended, found)
    found.sizes.append(
        (f"{title}, {height}x{width}", slices.class_names, *class_sizes(mended.labels, slices.num_classes))
    )
    return mended


def _add_class_facts(slices: Slices, found: Examination) -> None:
    holds = [(slices.labels == index).any(axis=(1, 2)) for index in range(slices.num_classes)]
    counts = ", ".join(f"{name} on {has.sum()}" for name, has in zip(slices.class_names, holds, strict=True))
    empty = [slices.names[index] for index in np.flatnonzero(~slices.labels.any(axis=(1, 2)))]
    listed = f" ({' '.join(empty[:12])}{' ...' if len(empty) > 12 else ''})" if empty else ""
    found.facts.append(f"slices that hold a class: {counts}; {len(empty)} without lesion{listed}")
    area = lung_area(slices)
    medians = [
        f"{name} {np.median(slices.images[area & (slices.labels == index)]):.4g}"
        for index, name in enumerate(slices.class_names)
        if (area & (slices.labels == index)).any()
    ]
    found.facts.append(f"median value inside the lungs: {', '.join(medians)}; lungs cover {area.mean():.1%} of a slice")


def _examine_raw_masks(path: Path, slices: Slices | None, found: Examination) -> None:
    """The masks as MedSeg gave them: their class sizes are Table 1, and they prove the small masks."""
    try:
        raw = read_labels(path)
    except InputError as error:
        found.problems.append(str(error))
        return
    height, width = raw.shape[1:]
    found.sizes.append((f"raw masks, {height}x{width}", MULTICLASS_NAMES, *class_sizes(raw, 4)))
    if slices is None or len(slices) != len(raw):
        return
    small = resize_labels(raw, slices.labels.shape[1:])
    if slices.class_names == BINARY_NAMES:
        small = (small > 0).astype(np.uint8)
    differ = (small != slices.labels).any(axis=(1, 2))
    if differ.any():
        names = " ".join(np.array(slices.names)[differ][:12])
        found.problems.append(f"{differ.sum()} masks differ from the raw masks in {path}: slices {names}")
    else:
        found.facts.append("every mask equals its raw mask, every second pixel of it, after what was mended")


def _examine_volumes(folder: Path, names: list[str], found: Examination) -> None:
    sizes, image_sizes, num_slices = np.zeros(4, np.int64), np.zeros(4, np.int64), 0
    highest = 0
    for name in names:
        image, mask, lungs = volume_paths(folder, name)
        volume, problems = inspect_volume(image, mask, lungs)
        if volume is not None:
            missing = [kind for kind, path in (("rp_msk", mask), ("rp_lung_msk", lungs)) if path is None]
            problems += [f"volume {name} has no file in {folder / kind}" for kind in missing]
        for problem in problems:
            found.add("problems", problem, f"volume {name}")
        if volume is None:
            continue
        found.add("facts", _volume_fact(volume), f"volume {name}")
        num_slices += len(volume.images)
        if volume.labels is None:
            continue
        highest = max(highest, int(volume.labels.max()))
        pixels, image_pixels = class_sizes(volume.labels, 4)
        sizes, image_sizes = sizes + pixels, image_sizes + image_pixels
        if volume.lungs is None:
            continue
        lesion = volume.labels > 0
        if lesion.any() and (outside := (lesion & ~volume.lungs).sum() / lesion.sum()) > BAD_FIT:
            found.add(
                "problems",
                f"the mask of volume {name} does not fit its image: {outside:.0%} of its lesion voxels lie "
                f"outside the lung",
                f"volume {name}",
            )
        slices = Slices(
            images=volume.images,
            labels=volume.labels,
            lungs=volume.lungs,
            names=tuple(f"{number:03}" for number in range(1, len(volume.images) + 1)),
            units=volume.units,
        )
        found.rows += _rows(slices, f"volume {name}", {})
    num_classes = 2 if highest <= 1 else 4
    class_names = BINARY_NAMES if num_classes == 2 else MULTICLASS_NAMES
    title = f"volumes, {num_slices} slices"
    found.sizes.append((title, class_names, sizes[:num_classes], image_sizes[:num_classes]))


def _volume_fact(volume: Volume) -> str:
    num_slices, height, width = volume.images.shape
    spacing = np.linalg.norm(volume.affine[:3, :3], axis=0)
    known = not np.array_equal(volume.affine, np.eye(4))
    geometry = f"{' x '.join(f'{step:.3g}' for step in spacing)} mm" if known else "spacing unknown: no millilitres"
    lesion = "" if volume.labels is None else f", lesion on {(volume.labels > 0).any(axis=(1, 2)).sum()} slices"
    return (
        f"volume {volume.name}: {num_slices} slices of {height}x{width}, values {volume.images.min():g} to "
        f"{volume.images.max():g} ({volume.units}), {geometry}{lesion}"
    )


def _rows(slices: Slices, title: str, findings: dict[int, str]) -> Iterator[dict]:
    area = lung_area(slices).sum(axis=(1, 2))
    for index, outside in enumerate(outside_fraction(slices)):
        counts = np.bincount(slices.labels[index].ravel(), minlength=4)
        yield {
            "set": title,
            "slice": slices.names[index],
            "height": slices.images.shape[1],
            "width": slices.images.shape[2],
            "lung_pixels": int(area[index]),
            **{f"pixels_{name}": int(counts[number]) for number, name in enumerate(MULTICLASS_NAMES)},
            "lesion_outside_lung": "" if np.isnan(outside) else f"{outside:.4f}",
            "finding": findings.get(index, ""),
        }
