"""A scan in, a labelled scan with the same geometry and its severity figures out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from unet_segnet.data.nifti_file import MAX_SLICE_PIXELS
from unet_segnet.data.preprocess import DEFAULT_WINDOW
from unet_segnet.data.slices import BINARY_NAMES, MAX_CLASSES, MULTICLASS_FINDINGS, MULTICLASS_NAMES
from unet_segnet.errors import InputError
from unet_segnet.inference.lungs import (
    AUTO,
    LUNGMASK,
    NETWORK,
    NONE,
    check_marked,
    external_lung_masks,
    lung_masks,
    midlines,
    slices_cut_off,
    split_left_right,
)
from unet_segnet.measures.severity import Severity, severity
from unet_segnet.networks.facts import BODIES, LUNG_LEVELS
from unet_segnet.scans import (
    NetworkSlices,
    Scan,
    fit,
    fit_levels,
    from_network,
    lay_on,
    read_scan,
    to_network,
    unfit,
    unfit_smooth,
)
from unet_segnet.scans.orientation import shows_lungs_alone


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
    disagreement: np.ndarray | None = None

    def array(self) -> np.ndarray:
        """The labels as the scan's file has its voxels: uint8 of the shape of `scan.array`."""
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
    slices = to_network(scan, orientation)
    return Prepared(
        scan, slices, find_lungs(scan, slices, lungs, orientation), slices.is_measured or orientation is not None
    )


def segment(
    source: str | Path | Scan | Prepared,
    model="binary",
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
            labels, where it has any.
        lungs: "auto" (found in Hounsfield units; or taken from slices that show lungs alone), "none" (the slices go
            in as they are), "lungmask" (by that package), the path of a network that finds lungs (.keras), or of a mask
            of the same voxels.
        orientation: how the scan's array lies, see `unet_segnet.scans.to_network`; None: by its geometry, or assumed.
        window: (low, high) HU that become grey levels 0 and 255; None: as the network was trained.
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
        from unet_segnet.networks.load import load_model

        model = load_model(model)
    from unet_segnet.inference.prediction import mirrors_of, of_members

    mirrors = mirrors_of(model, tta)
    if disagreement and not hasattr(model, "members"):
        raise InputError("`disagreement` is that of several networks; give the folder of a cross-validation as `model`")
    size, num_classes, threshold = slice_size(model), model.output_shape[-1], getattr(model, "threshold", None)
    window = window or getattr(model, "window", DEFAULT_WINDOW)
    class_names = names_of_classes(model)
    prepared = source if isinstance(source, Prepared) else prepare(source, lungs, orientation)
    scan, slices = prepared.scan, prepared.slices
    sides, images = prepared.lungs.sides, slices.images
    labels = np.empty(images.shape, np.uint8)
    kept = np.empty((*images.shape, num_classes), np.float16) if probabilities else None
    spread = np.empty(images.shape, np.float16) if disagreement else None
    inside = None if sides is None else sides > 0
    levels = _levels(model, scan, images, inside, size)
    for start in range(0, len(images), batch_size):
        part = slice(start, min(start + batch_size, len(images)))
        if levels is not None:
            grey = levels[part]
        else:
            grey = fit(images[part], None if inside is None else inside[part], window, size)
        if len(grey) < batch_size and len(images) > batch_size:  # one shape, one compilation
            grey = np.concatenate([grey, np.zeros((batch_size - len(grey), size, size), grey.dtype)])
        each = of_members(model, grey, mirrors)[:, : part.stop - start]
        found = each.mean(axis=0)
        if not np.isfinite(found).all():
            raise InputError("the network gives probabilities that are no numbers; train it again, or take another")
        whole = unfit if threshold is None else unfit_smooth
        if threshold is None:
            labels[part] = unfit(np.argmax(found, axis=-1).astype(np.uint8), images.shape[1:])
        else:
            labels[part] = unfit_smooth(found[..., 1], images.shape[1:]) > threshold
        if levels is not None:
            labels[part][~inside[part]] = 0  # where the network saw nothing
        if kept is not None:
            for index in range(num_classes):
                kept[part, ..., index] = whole(found[..., index], images.shape[1:])
        if spread is not None:  # of the background, which is that of all lesions together
            spread[part] = whole(each[..., 0].std(axis=0), images.shape[1:])
            if levels is not None:
                spread[part][~inside[part]] = 0
        if report:
            report(part.stop, len(images))
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
    notes = (*scan.notes, *slices.notes, *prepared.lungs.notes(len(images)))
    if levels is not None:
        notes = (*notes, "grey levels: referred to the scan's own lungs, so that no window counts")
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
        notes = (*notes, f"labels: {class_names[1]} where its probability is above {threshold:g}")
    if class_names == MULTICLASS_NAMES:
        meant = (f"{name} {finding}" for name, finding in zip(class_names, MULTICLASS_FINDINGS, strict=True))
        notes = (*notes, f"classes: {', '.join(meant)}")
    return Segmentation(scan, slices, labels, sides, class_names, kept, figures, notes, spread)


def _levels(model, scan: Scan, images: np.ndarray, inside: np.ndarray | None, size: int) -> np.ndarray | None:
    """What a network takes that learnt from `fit_levels`; None for one that takes 8-bit grey levels.

    Raises:
        InputError: it finds lungs, or its grey levels refer to lungs that are not known.
    """
    takes = getattr(model, "takes", None)
    if takes == BODIES:
        raise InputError("this network finds lungs, not lesions; give another as `model`")
    if takes != LUNG_LEVELS:
        return None
    if inside is None:
        raise InputError(
            f"{scan.source}: this network refers grey levels to the lungs, which `lungs` none leaves unknown; give a "
            "mask with `lungs`, or another network as `model`"
        )
    return fit_levels(images, inside, size)


def slice_size(model) -> int:
    """Height and width of the slices that a network takes.

    Raises:
        InputError: it takes anything else than square grey slices of a fixed size, or gives something else than a
            probability of each class for each of their pixels.
    """
    taken, given = model.input_shape, model.output_shape
    fits = isinstance(taken, tuple) and len(taken) == 4 and taken[1] == taken[2] and taken[3] == 1
    if not fits or not isinstance(taken[1], int) or taken[1] ** 2 > MAX_SLICE_PIXELS:
        raise InputError(
            f"the network takes {_shape(taken)}; expected square slices of one grey channel, such as 256x256x1"
        )
    if not isinstance(given, tuple) or given[:3] != taken[:3] or len(given) != 4:
        raise InputError(
            f"the network gives {_shape(given)}; expected {taken[1]}x{taken[1]} pixels, each with its probabilities"
        )
    return taken[1]


def _shape(shape) -> str:
    return "x".join(map(str, shape[1:])) if isinstance(shape, tuple) else "several at once"


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


@dataclass(frozen=True, eq=False)
class FoundLungs:
    """The lungs of a scan.

    Attributes:
        sides: (num_slices, height, width) uint8, 0 no lung, 1 left, 2 right; None where they are unknown.
        source: how they were found.
        cut_off: in how many slices they are cut off by the picture's edge, and left out there.
        assumed: about the file that they come from, one line each.
    """

    sides: np.ndarray | None
    source: str
    cut_off: int = 0
    assumed: tuple[str, ...] = ()

    def notes(self, num_slices: int) -> tuple[str, ...]:
        """How they were found, what was assumed about their file, and in how many slices they are cut off."""
        cut_off = (cut_off_note(self.cut_off, num_slices),) if self.cut_off else ()
        return (f"lungs: {self.source}", *(f"lungs: {note}" for note in self.assumed), *cut_off)


def cut_off_note(cut_off: int, num_slices: int) -> str:
    """A line on lungs that the picture's edge cuts off."""
    return f"lungs: cut off by the picture's edge and left out there, in {cut_off} of {num_slices} slices"


def find_lungs(scan: Scan, slices: NetworkSlices, lungs: str | Path, orientation: str | None = None) -> FoundLungs:
    """Left and right lung of a scan; arguments as of `segment`.

    Raises:
        InputError: there is no lung, the mask does not fit the scan, or none can be found in its values.
    """
    images = slices.images
    if str(lungs) == NONE:
        return FoundLungs(None, "none given; the slices go in as they are")
    if str(lungs) == LUNGMASK:
        if scan.units != "HU":
            raise InputError(f"{scan.source}: `lungs` lungmask needs Hounsfield units; these are 8-bit grey levels")
        return FoundLungs(external_lung_masks(images, slices.spacing), "by the lungmask package")
    if str(lungs).endswith(NETWORK):
        from unet_segnet.inference.network_lungs import network_lung_masks

        try:
            found = network_lung_masks(images, _lung_network(str(lungs)), scan.is_volume)
        except InputError as error:
            raise InputError(f"{scan.source}: {error}") from None
        return FoundLungs(found, f"found by the network {Path(lungs).name}")
    if str(lungs) != AUTO:
        return _given_lungs(scan, slices, Path(lungs), orientation)
    if scan.units == "HU":
        try:
            found = lung_masks(images, slices.spacing, adjoining=scan.is_volume)
        except InputError as error:
            raise InputError(f"{scan.source}: {error}") from None
        return FoundLungs(found, "found by their Hounsfield units", slices_cut_off(images, slices.spacing))
    if not shows_lungs_alone(images):
        raise InputError(
            f"{scan.source}: lungs cannot be found in 8-bit grey levels of unknown scale; give a mask with `lungs`, "
            "or `lungs` none to segment the slices as they are"
        )
    from scipy import ndimage

    shown = np.stack([ndimage.binary_fill_holes(image > 0) for image in images])
    return FoundLungs(split_left_right(shown), "the slices show lungs alone")


@lru_cache(maxsize=1)
def _lung_network(path: str):
    from unet_segnet.networks.load import load_model

    model = load_model(path)
    if getattr(model, "takes", None) != BODIES:
        raise InputError(f"{path}: this network does not find lungs; give one that was trained to, or a mask")
    slice_size(model)
    return model


def _given_lungs(scan: Scan, slices: NetworkSlices, path: Path, orientation: str | None) -> FoundLungs:
    mask = lay_on(scan, read_scan(path))
    middles = midlines(slices.images, scan.is_volume) if scan.units == "HU" else None
    sides = split_left_right(to_network(mask, orientation, like=slices).images > 0, middles)
    check_marked(sides, path)
    return FoundLungs(sides, f"from {path.name}", assumed=mask.mask_notes)
