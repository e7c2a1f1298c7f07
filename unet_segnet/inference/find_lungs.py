"""The lungs of a scan: found, given, or everywhere.

They are found in two ways that go wrong in different places, and both together are better than either: Hounsfield units
draw the borders, a trained network tells which of the pieces are lung (`both_lung_masks`).
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np

from unet_segnet.errors import InputError
from unet_segnet.inference.lungs import (
    AIR_HU,
    AUTO,
    LEFT,
    LUNGMASK,
    NETWORK,
    NONE,
    OWN,
    RIGHT,
    check_marked,
    external_lung_masks,
    levels_at_border,
    lung_masks,
    midlines,
    scale_of,
    slices_cut_off,
    split_left_right,
)
from unet_segnet.networks.facts import BODIES, LUNGS_ALONE, WHOLE_SLICES
from unet_segnet.networks.hub import hub_file, is_hub
from unet_segnet.networks.load import load_model, slice_size
from unet_segnet.output.console import import_keras
from unet_segnet.scans import NetworkSlices, Scan, lay_on, read_scan, to_network
from unet_segnet.scans.orientation import shows_lungs_alone

NEAR_MM = 3.0  # around what the network takes for lung: its slices are coarser than the scan's
BESIDE_MM = 1.0
DOUBTFUL = 0.1  # of the volume
ONE_SIDED = 0.2  # of the other lung's size, below which a lung is taken for missing, and of the picture's edge
SEEN_SLICES = 32  # of a scan
LUNGS_ALONE_SHOWN = "the slices show lungs alone"
ADVICE = {  # of what a network learnt from
    WHOLE_SLICES: "give slices that show all, `lungs` none and no lung masks",
    LUNGS_ALONE: "give `lungs` auto, or lung masks",
}


@dataclass(frozen=True, eq=False)
class FoundLungs:
    """The lungs of a scan.

    Attributes:
        sides: (num_slices, height, width) uint8, 0 no lung, 1 left, 2 right; None where they are unknown.
        source: how they were found.
        cut_off: in how many slices they are cut off by the picture's edge, and left out there.
        assumed: about the file that they come from, and what is doubtful about them, one line each.
    """

    sides: np.ndarray | None
    source: str
    cut_off: int = 0
    assumed: tuple[str, ...] = ()

    def notes(self, num_slices: int) -> tuple[str, ...]:
        """How they were found, what was assumed or is doubtful, and in how many slices they are cut off."""
        cut_off = (cut_off_note(self.cut_off, num_slices),) if self.cut_off else ()
        return (f"lungs: {self.source}", *(f"lungs: {note}" for note in self.assumed), *cut_off)


def cut_off_note(cut_off: int, num_slices: int) -> str:
    """A line on lungs that the picture's edge cuts off."""
    return f"lungs: cut off by the picture's edge and left out there, in {cut_off} of {num_slices} slices"


def find_lungs(
    scan: Scan, slices: NetworkSlices, lungs: str | Path, orientation: str | None = None, network: str = OWN
) -> FoundLungs:
    """Left and right lung of a scan; arguments as of `segment`, and the network that "auto" asks.

    Raises:
        InputError: there is no lung, the mask does not fit the scan, or none can be found in its values.
    """
    images = slices.images
    if is_hub(lungs):
        lungs = hub_file(lungs)
    if str(lungs) == NONE:
        return FoundLungs(None, "none given; the slices go in as they are")
    if str(lungs) == LUNGMASK:
        if scan.units != "HU":
            raise InputError(f"{scan.source}: `lungs` lungmask needs Hounsfield units; these are 8-bit grey levels")
        return FoundLungs(external_lung_masks(images, slices.spacing), "by the lungmask package")
    if str(lungs).endswith(NETWORK):
        return FoundLungs(_by_network(scan, images, str(lungs)), f"found by the network {Path(lungs).name}")
    if str(lungs) != AUTO:
        return _given_lungs(scan, slices, Path(lungs), orientation)
    if scan.units == "HU":
        return _found_both_ways(scan, slices, network)
    if shows_lungs_alone(images):
        from scipy import ndimage

        shown = np.stack([ndimage.binary_fill_holes(image > 0) for image in images])
        return FoundLungs(split_left_right(shown), LUNGS_ALONE_SHOWN)
    sides = _by_network(scan, images, network)
    if np.median(images[sides > 0]) == 0:
        raise InputError(
            f"{scan.source}: most of the lungs is black, as in a window for soft tissue; expected grey levels that "
            "show lung tissue (or give a mask with `lungs`)"
        )
    low, high = _lung_network(network).window
    return FoundLungs(sides, f"found by a network, grey levels taken for those of a window of {low:g} to {high:g} HU")


def what_is_shown(images: np.ndarray, lungs: np.ndarray | None) -> str:
    """What a network sees: `LUNGS_ALONE` or `WHOLE_SLICES`.

    Arguments:
        images: (num_slices, height, width) of a scan.
        lungs: likewise, all else becomes black; None: nothing does.
    """
    alone = lungs is not None or not images.any() or shows_lungs_alone(images)
    return LUNGS_ALONE if alone else WHOLE_SLICES


def unlike_learnt(learnt: str, shown: str, who: str) -> str:
    """A line where a network sees another part of slices than it learnt from; `who` shows it."""
    return f"the network learnt from {learnt}, {who} {shown}: lesions are missed or made up; {ADVICE[learnt]}"


def both_lung_masks(classical: np.ndarray, network: np.ndarray, spacing=None) -> np.ndarray:
    """What both ways of finding lungs take for lung, with the borders of the one and the choice of the other.

    Arguments:
        classical: (num_slices, height, width) uint8 of `lung_masks`.
        network: likewise, of `network_lung_masks`.
        spacing: (slice, row, column) in mm, or None: the field of view is taken for a chest's.

    Returns:
        (num_slices, height, width) bool: `classical` up to `NEAR_MM` beyond `network`, and `network` up to `BESIDE_MM`
        beyond `classical`.
    """
    scale = scale_of(classical, spacing)
    inside = np.empty(classical.shape, bool)
    for index, (own, learnt) in enumerate(zip(classical, network, strict=True)):
        own, learnt = own > 0, learnt > 0
        near, beside = _widened(learnt, scale.length(NEAR_MM)), _widened(own, scale.length(BESIDE_MM))
        inside[index] = (own & near) | (learnt & beside)
    return inside


def _found_both_ways(scan: Scan, slices: NetworkSlices, network: str) -> FoundLungs:
    """By Hounsfield units and by a network; by one of them where the other finds none."""
    images, found, problems = slices.images, {}, {}
    import_keras()  # its settings of memory are for threads to come, and two that import may see half a module
    with ThreadPoolExecutor(1) as beside:  # a network alone leaves a part of the processor idle
        classical = beside.submit(lung_masks, images, slices.spacing, adjoining=scan.is_volume)
        for way, find in (
            ("a network", lambda: _by_network(scan, images, network)),
            ("Hounsfield units", classical.result),
        ):
            try:
                found[way] = find()
            except InputError as error:
                problems[way] = error
    cut_off = slices_cut_off(images, slices.spacing, found.get("a network"))
    if not found:
        raise InputError(f"{scan.source}: {problems['Hounsfield units']}")
    if problems:
        ((way, sides),), (other,) = found.items(), problems
        return FoundLungs(sides, f"found by {way} alone ({other} found none): look at them", cut_off)
    classical, learnt = found["Hounsfield units"], found.pop("a network")
    inside = both_lung_masks(classical, learnt, slices.spacing)
    if not inside.any():
        raise InputError(
            f"{scan.source}: what is like lung by its Hounsfield units is no lung for the network; expected an axial "
            "chest CT (give a mask with `lungs`, or a network that finds lungs)"
        )
    doubts = _doubts(classical, learnt, inside)
    del learnt  # as large as what comes next
    sides = split_left_right(inside, midlines(images, scan.is_volume))
    for side, own, both in zip(sides, classical, inside, strict=True):
        np.copyto(side, own, where=(own > 0) & both)
    return FoundLungs(sides, "found by Hounsfield units and a network", cut_off, doubts)


def _doubts(classical: np.ndarray, network: np.ndarray, inside: np.ndarray) -> tuple[str, ...]:
    """Where the two ways differ so much that somebody should look."""
    dropped, airless = (
        sum(np.count_nonzero(own[~both]) for own, both in zip(found, inside, strict=True)) / np.count_nonzero(found)
        for found in (classical, network)
    )
    doubts = []
    if dropped > DOUBTFUL:
        doubts.append(f"{100 * dropped:.0f} % of what is like lung by its Hounsfield units is none for the network")
    if airless > DOUBTFUL:
        doubts.append(
            f"{100 * airless:.0f} % of what is lung for the network has no air and is left out; consolidation or "
            "effusion may be among it"
        )
    return tuple(f"{doubt}: look at them" for doubt in doubts)


def with_side_doubts(lungs: FoundLungs, images: np.ndarray, units: str) -> FoundLungs:
    """Lungs, with what makes it doubtful which one is the left, or whether both are there.

    Arguments:
        lungs: of `find_lungs`.
        images: (num_slices, height, width) of the scan, in the networks' orientation.
        units: of these.
    """
    sides = lungs.sides
    if sides is None:
        return lungs
    doubts = []
    sizes = {name: np.count_nonzero(sides == side) for side, name in ((LEFT, "left"), (RIGHT, "right"))}
    (less, small), (more, large) = sorted(sizes.items(), key=lambda size: size[1])
    if small < ONE_SIDED * large:
        share = f"only {100 * small / large:.0f} % of the size of the {more} one" if small else "not there"
        doubts.append(f"the {less} lung is {share}: shares of both lungs are of what is there")
    shown = np.flatnonzero(sides.any(axis=(1, 2)))
    shown = np.unique(shown[np.linspace(0, len(shown) - 1, SEEN_SLICES).round().astype(int)])
    first, last = (np.mean(images[shown, edge] > AIR_HU) for edge in (0, -1))
    if units == "HU" and abs(first - last) > ONE_SIDED:
        doubts.append("the picture's edge cuts the body off on one side: left and right may be wrong")
    elif _in_front_of_each_other(sides[shown] > 0):
        doubts.append("they lie in front of each other, not side by side: the orientation may be another")
    return replace(lungs, assumed=(*lungs.assumed, *(f"{doubt}; look at them" for doubt in doubts)))


def _in_front_of_each_other(lungs: np.ndarray) -> bool:
    """Whether the two largest pieces of most slices lie further apart from front to back than from side to side."""
    from scipy import ndimage

    apart = []
    for inside in lungs:
        pieces, _ = ndimage.label(inside)
        areas = np.bincount(pieces.ravel())
        areas[0] = 0
        first, second = np.argsort(areas)[:-3:-1]
        if areas[second] > ONE_SIDED * areas[first]:
            apart.append(np.abs(np.subtract(*ndimage.center_of_mass(inside, pieces, (first, second)))))
    return bool(apart) and bool(np.less(*np.median(apart, axis=0)))


def _widened(mask: np.ndarray, pixels: int) -> np.ndarray:
    """The mask of a slice widened on all sides."""
    from scipy import ndimage

    return ndimage.binary_dilation(mask, np.ones((3, 3), bool), iterations=pixels)


def _by_network(scan: Scan, images: np.ndarray, source: str) -> np.ndarray:
    from unet_segnet.inference.network_lungs import network_lung_masks

    try:
        return network_lung_masks(images, _lung_network(source), scan.is_volume)
    except InputError as error:
        raise InputError(f"{scan.source}: {error}") from None


@lru_cache(maxsize=1)
def _lung_network(source: str):
    import_keras()  # quietly: commands that only look at data come here first
    model = load_model(source, folded=True)
    if getattr(model, "takes", None) != BODIES:
        raise InputError(f"{source}: this network does not find lungs; give one that was trained to, or a mask")
    slice_size(model)
    return model


def _given_lungs(scan: Scan, slices: NetworkSlices, path: Path, orientation: str | None) -> FoundLungs:
    mask = lay_on(scan, read_scan(path))
    values = to_network(mask, orientation, like=slices).images
    marked = values > 0
    check_marked(marked, path)
    notes = mask.mask_notes
    if values[marked].min() < values.max():
        notes = (*notes, f"left and right in {path.name} are told apart by the body's middle, not by its values")
    inside, around = (2 * AIR_HU, 0.0) if scan.units == "HU" else levels_at_border(slices.images, marked)
    # No body is to be seen around lungs that are cut out.
    middles = midlines(slices.images, scan.is_volume, 0.5 * (inside + around)) if inside < around else None
    sides = split_left_right(marked, middles)
    return FoundLungs(sides, f"from {path.name}", assumed=notes)
