"""A scan in, a labelled scan with the same geometry and its severity figures out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from unet_segnet.data.normalise import lung_levels, lungs_alone
from unet_segnet.data.preprocess import DEFAULT_WINDOW
from unet_segnet.data.slices import BINARY_NAMES, MAX_CLASSES, MULTICLASS_FINDINGS, MULTICLASS_NAMES
from unet_segnet.errors import InputError
from unet_segnet.inference.familiarity import familiarity, grey_figures, unfamiliar_notes
from unet_segnet.inference.find_lungs import FoundLungs, find_lungs, unlike_learnt, what_is_shown, with_side_doubts
from unet_segnet.inference.lungs import AUTO
from unet_segnet.measures.calibration import scaled
from unet_segnet.measures.severity import Severity, severity
from unet_segnet.networks.facts import BODIES, LUNG_LEVELS, WHOLE_SLICES
from unet_segnet.networks.load import load_model, slice_size
from unet_segnet.processor import return_freed_memory
from unet_segnet.scans import (
    NetworkSlices,
    Scan,
    fit,
    fit_labels,
    fit_whole,
    from_network,
    read_scan,
    to_network,
    unfit,
    unfit_smooth,
)
from unet_segnet.scans.matching import MASK_VALUES


@dataclass(frozen=True, eq=False)
class Segmentation:
    """A labelled scan.

    Attributes:
        scan: what was read.
        slices: the same in the networks' orientation, from foot to head.
        labels: (num_slices, height, width) uint8 class index, in the networks' orientation at the scan's own size.
        lungs: (num_slices, height, width) uint8, 0 no lung, 1 left, 2 right, likewise; None where they are unknown.
        class_names: of the labels, background first.
        probabilities: (num_slices, height, width, num_classes) float16 or None, likewise.
        severity: volumes, shares of the lungs, lesions.
        notes: what was recognised or assumed, one line each.
        familiarity: how far the lungs' grey levels lie from those that the network learnt from, see
            `unet_segnet.inference.familiarity`; empty where that is unknown.
        disagreement: (num_slices, height, width) float16 or None, likewise: where the networks of an ensemble disagree,
            the standard deviation over them of the probability that a pixel is lesion of any kind (1 - that of the
            background), or of their votes. From 0, all say the same, to 0.5, one half is sure of lesion and the other
            of none.
    """

    scan: Scan
    slices: NetworkSlices
    labels: np.ndarray
    lungs: np.ndarray | None
    class_names: tuple[str, ...]
    probabilities: np.ndarray | None
    severity: Severity
    notes: tuple[str, ...]
    familiarity: dict[str, dict]
    disagreement: np.ndarray | None = None

    def array(self) -> np.ndarray:
        """The labels as the scan's file has its voxels: uint8 of the shape of `scan.array`, a view of `labels`."""
        return from_network(self.labels, self.slices)

    def maps(self) -> np.ndarray:
        """The probabilities likewise: float32 of the shape of `scan.array` and the number of classes."""
        maps = np.empty((*self.scan.array.shape, len(self.class_names)), np.float32)
        for index in range(len(self.class_names)):
            maps[..., index] = from_network(self.probabilities[..., index], self.slices)
        return maps

    def disagreement_map(self) -> np.ndarray:
        """The disagreement likewise: float32 of the shape of `scan.array`."""
        return from_network(self.disagreement, self.slices).astype(np.float32)


@dataclass(frozen=True, eq=False)
class Prepared:
    """A scan before its inference, with all that can be wrong with it or its lungs found out.

    Attributes:
        scan: what was read.
        slices: the same in the networks' orientation, from foot to head.
        lungs: its lungs, likewise.
        is_told: how the slices run is known or given, not assumed.
    """

    scan: Scan
    slices: NetworkSlices
    lungs: FoundLungs
    is_told: bool


def prepare(source: str | Path | Scan, lungs: str | Path = AUTO, orientation: str | None = None) -> Prepared:
    """Read a scan, turn it and find its lungs; arguments as of `segment`.

    Raises:
        InputError: the scan or the mask cannot be read or do not fit each other, or there is no lung.
    """
    scan = source if isinstance(source, Scan) else read_scan(source)
    if scan.units == "8-bit" and _is_mask(scan.array):
        raise InputError(
            f"{scan.source}: has the values of a mask; expected a scan: leave it out, or give it as `lungs` or labels"
        )
    slices = to_network(scan, orientation)
    found = with_side_doubts(find_lungs(scan, slices, lungs, orientation), slices.images, scan.units)
    return_freed_memory()
    return Prepared(scan, slices, found, slices.is_measured or orientation is not None)


def _is_mask(array: np.ndarray) -> bool:
    """Whether 8-bit values are those of a mask: small numbers, or 0 and another."""
    lowest, highest = array.min(), array.max()
    return bool(lowest == 0 < highest and (highest < MASK_VALUES or ((array == 0) | (array == highest)).all()))


def segment(
    source: str | Path | Scan | Prepared,
    model="lesions",
    lungs: str | Path = AUTO,
    orientation: str | None = None,
    window: tuple[float, float] | None = None,
    batch_size: int = 4,
    probabilities: bool = False,
    report: Callable[[int, int], None] | None = None,
    tta: bool = False,
    disagreement: bool = False,
) -> Segmentation:
    """Label the lesions of a scan.

    Arguments:
        source: a scan's path (see `unet_segnet.scans.read_scan`), a `Scan`, or what `prepare` made of one, of which
            lungs and orientation are settled.
        model: a `keras.Model`, or what `unet_segnet.networks.load.load_model` takes; its `class_names` are those of the
            labels, where it has any. One whose `learnt_from` says whole slices is shown such: the lungs then count in
            the figures alone.
        lungs: "auto" (found, see `unet_segnet.inference.find_lungs`), "none" (the slices go in as they are),
            "lungmask" (by that package), the path of a network that finds lungs (.keras), or of a mask
            of the same voxels.
        orientation: how the scan's array lies, see `unet_segnet.scans.to_network`; None: by its geometry, or assumed.
        window: (low, high) HU that become grey levels 0 and 255; None: as the network was trained, and for those to
            which no window matters.
        batch_size: slices at a time.
        probabilities: keep them.
        report: called with the numbers of finished slices and of all.
        tta: test-time augmentation: average over mirror images, where the network learnt from such.
        disagreement: of an ensemble, tell where its networks disagree.

    Returns:
        Segmentation.

    Raises:
        InputError: the scan, the mask or the network cannot be read or do not fit each other, or there is no lung.
    """
    if isinstance(model, (str, Path)):
        model = load_model(model, folded=True)
    from unet_segnet.inference.prediction import filled_up, mirrors_of, of_members

    mirrors = mirrors_of(model, tta)
    if disagreement and not hasattr(model, "members"):
        raise InputError("`disagreement` is that of several networks; give the folder of a cross-validation as `model`")
    if window and getattr(model, "takes", None):
        raise InputError(f"`window`: the network takes {model.takes}, to which none matters; leave it out")
    size, num_classes, threshold = slice_size(model), model.output_shape[-1], getattr(model, "threshold", None)
    temperature = getattr(model, "temperature", 1.0)
    window = window or getattr(model, "window", DEFAULT_WINDOW)
    class_names = names_of_classes(model)
    prepared = source if isinstance(source, Prepared) else prepare(source, lungs, orientation)
    scan, slices = prepared.scan, prepared.slices
    sides, images = prepared.lungs.sides, slices.images
    levels, compared = _levels(model, scan, images, sides, size)
    learnt = getattr(model, "learnt_from", None)
    shown_lungs = None if learnt == WHOLE_SLICES else sides
    shown = learnt and what_is_shown(images, shown_lungs)
    return_freed_memory()
    labels = np.empty(images.shape, np.uint8)
    kept = np.empty((*images.shape, num_classes), np.float16) if probabilities else None
    spread = np.empty(images.shape, np.float16) if disagreement else None

    def lesion(probabilities):
        """(num_slices, height, width) probability of lesion of any kind, at the scan's own size."""
        if threshold is None:
            return 1 - unfit(probabilities[..., 0], images.shape[1:])
        return scaled(unfit_smooth(probabilities[..., 1], images.shape[1:]), temperature)

    for start in range(0, len(images), batch_size):
        part = slice(start, min(start + batch_size, len(images)))
        inside = None if shown_lungs is None else shown_lungs[part] > 0
        grey = fit(images[part], inside, window, size) if levels is None else levels[part]
        if len(images) > batch_size:
            grey = filled_up(grey, batch_size)
        each = of_members(model, grey, mirrors)[:, : part.stop - start]
        found = each.mean(axis=0)
        if not np.isfinite(found).all():
            raise InputError("the network gives probabilities that are no numbers; train it again, or take another")
        if threshold is None:
            labels[part] = unfit(np.argmax(found, axis=-1).astype(np.uint8), images.shape[1:])
        else:
            infected = unfit_smooth(found[..., 1], images.shape[1:])
            labels[part] = infected > threshold
        if levels is not None:
            labels[part][~inside] = 0  # where the network saw nothing
        if kept is not None and threshold is None:
            for index in range(num_classes):
                kept[part, ..., index] = unfit(found[..., index], images.shape[1:])
        elif kept is not None:
            infected = scaled(infected, temperature)
            kept[part] = np.stack([1 - infected, infected], axis=-1)
        if kept is not None and levels is not None:
            kept[part][~inside] = np.arange(num_classes) == 0
        if spread is not None:
            spread[part] = np.std([lesion(one) for one in each], axis=0)
            if levels is not None:
                spread[part][~inside] = 0
        if report:
            report(part.stop, len(images))
    has_levels = levels is not None
    del levels  # a volume
    return_freed_memory()
    figures = severity(
        labels,
        sides,
        slices.spacing,
        class_names,
        slices.names,
        # Where nothing says how the slices run, that they run from foot to head is an assumption.
        towards_head=True if scan.is_volume and prepared.is_told else None,
        adjoining=scan.is_volume,
    )
    return_freed_memory()
    notes = (*scan.notes, *slices.notes, *prepared.lungs.notes(len(images)))
    if shown != learnt:
        notes = (*notes, f"WARNING: {unlike_learnt(learnt, shown, 'this scan shows')}")
    elif learnt == WHOLE_SLICES and sides is not None:
        notes = (
            *notes,
            "WARNING: the network learnt from whole slices and is shown such: the lungs count in the figures alone, "
            "and lesions are marked outside them too; `lungs` none leaves them out",
        )
    if has_levels:
        whose = "the scan's own lungs" if scan.is_volume else "each slice's own lungs"
        notes = (*notes, f"grey levels: referred to {whose}, so that no window counts", *unfamiliar_notes(compared))
    notes = (*notes, *getattr(model, "notes", ()))
    if tta:
        notes = (*notes, f"test-time augmentation: mean over each slice and {len(mirrors) - 1} mirror images of it")
    if spread is not None:
        mean = spread[labels > 0].mean(dtype=np.float64) if labels.any() else 0.0
        notes = (
            *notes,
            f"disagreement: {mean:.2f} on average where lesion is marked (standard deviation, at most 0.5)",
        )
    if threshold is not None:
        likely = float(scaled(threshold, temperature))
        notes = (*notes, f"labels: {class_names[1]} where its probability is above {likely:.2g}")
    if class_names == MULTICLASS_NAMES:
        meant = (f"{name} {finding}" for name, finding in zip(class_names, MULTICLASS_FINDINGS, strict=True))
        notes = (*notes, f"classes: {', '.join(meant)}")
    return Segmentation(scan, slices, labels, sides, class_names, kept, figures, notes, compared, spread)


def _levels(model, scan: Scan, images: np.ndarray, sides: np.ndarray | None, size: int):
    """What a network takes that learnt from `lung_levels`, and how familiar the scan is to it; None, and nothing, for
    one that takes 8-bit grey levels.

    Raises:
        InputError: it finds lungs, or its grey levels refer to lungs that are not known.
    """
    takes = getattr(model, "takes", None)
    if takes == BODIES:
        raise InputError("this network finds lungs, not lesions; give another as `model`")
    if takes != LUNG_LEVELS:
        return None, {}
    if sides is None:
        raise InputError(
            f"{scan.source}: this network refers grey levels to the lungs, which `lungs` none leaves unknown; give a "
            "mask with `lungs`, or another network as `model`, such as binary"
        )
    shown, inside = fit_whole(images, size), fit_labels(sides, size) > 0
    levels = lung_levels(shown, inside, scan.is_volume)
    figures = grey_figures(shown, levels, inside, scan.units)
    del shown  # a volume
    return lungs_alone(levels, inside), familiarity(figures, getattr(model, "seen", {}))


def names_of_classes(model) -> tuple[str, ...]:
    """The classes of a network, background first: its own names, or those of the study by their number.

    Raises:
        InputError: it has none, and their number is not one of the study's, or too many.
    """
    num_classes = model.output_shape[-1]
    names = getattr(model, "class_names", None) or {2: BINARY_NAMES, 4: MULTICLASS_NAMES}.get(num_classes)
    if names is None:
        raise InputError(f"the network tells {num_classes} classes apart; expected 2 (not infected, infected) or 4")
    if len(names) > MAX_CLASSES:
        raise InputError(f"the network tells {len(names)} classes apart; expected at most {MAX_CLASSES}")
    return tuple(names)
