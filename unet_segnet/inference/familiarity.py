"""How far the grey levels of a scan's lungs lie from those that a network learnt from."""

from collections.abc import Mapping, Sequence

import numpy as np

from unet_segnet.data.normalise import LUNG_PERCENTILES

FIGURES = {
    "healthy_hu": "healthy lung, Hounsfield units",
    "dense_hu": "the densest in the lungs, Hounsfield units",
    "median_level": "median of the lungs' levels",
    "high_level": "90th percentile of the lungs' levels",
    "grain": "difference of neighbouring pixels, in levels",
}
HIGH = 90.0
WIDTHS = {"healthy_hu": 100.0, "dense_hu": 200.0, "median_level": 0.1, "high_level": 0.2, "grain": 0.05}
BEYOND = 0.5  # of the width of what was learnt from, that a scan may lie outside of it without a note


def grey_figures(images: np.ndarray, levels: np.ndarray, lungs: np.ndarray, units: str) -> dict[str, float]:
    """Figures of a scan's grey levels inside its lungs, those of `FIGURES`.

    Arguments:
        images: (num_slices, size, size) Hounsfield units or grey levels, of the size that a network takes.
        levels: likewise, the `lung_levels` of these.
        lungs: likewise, True inside the lungs.
        units: "HU" or "8-bit", which has no figures in Hounsfield units.

    Returns:
        Empty where there is no lung.
    """
    images, inside = np.asarray(images, np.float32), np.asarray(lungs, bool)
    if not inside.any():
        return {}
    neighbours = np.concatenate(
        [np.abs(np.diff(of, axis=0))[lung[1:] & lung[:-1]] for of, lung in zip(levels, inside, strict=True)]
    )
    figures = {
        "median_level": np.median(levels[inside]),
        "high_level": np.percentile(levels[inside], HIGH),
        "grain": np.median(neighbours) if neighbours.size else np.nan,
    }
    if units == "HU":
        figures |= zip(("healthy_hu", "dense_hu"), np.percentile(images[inside], LUNG_PERCENTILES), strict=True)
    return {name: round(float(figures[name]), 4) for name in FIGURES if np.isfinite(figures.get(name, np.nan))}


def seen_ranges(figures: Sequence[Mapping[str, float]]) -> dict[str, list[float]]:
    """Lowest and highest of each figure over scans that a network learnt from; `figures` as of `grey_figures`."""
    values = {name: [of[name] for of in figures if name in of] for name in FIGURES}
    return {name: [min(of), max(of)] for name, of in values.items() if of}


def familiarity(figures: Mapping[str, float], seen: Mapping[str, Sequence[float]]) -> dict[str, dict]:
    """Each figure of a scan beside what was learnt from.

    Arguments:
        figures: of `grey_figures`.
        seen: of `seen_ranges`.

    Returns:
        By the figure's name its "value"; "learnt_from", lowest and highest; and "outside", how far it lies outside of
        these as a share of their difference or of `WIDTHS`, whichever is larger, for few scans differ little; 0 inside.
    """
    compared = {}
    for name in FIGURES:
        if name in figures and name in seen:
            value, (low, high) = figures[name], seen[name]
            outside = max(low - value, value - high, 0) / max(high - low, WIDTHS[name])
            compared[name] = {"value": value, "learnt_from": [low, high], "outside": round(float(outside), 3)}
    return compared


def unfamiliar_notes(compared: Mapping[str, dict]) -> tuple[str, ...]:
    """A line where grey levels lie outside; `compared` as of `familiarity`."""
    strange = [
        f"{FIGURES[name]} {of['value']:.3g} (learnt from {of['learnt_from'][0]:.3g} to {of['learnt_from'][1]:.3g})"
        for name, of in compared.items()
        if of["outside"] > BEYOND
    ]
    return (f"unlike what the network learnt from: {'; '.join(strange)}; look at the labels",) if strange else ()
