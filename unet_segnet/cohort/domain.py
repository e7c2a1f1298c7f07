"""What can be seen of the difference between the data that a network was trained on and other data."""

import json
import math
from collections import Counter
from dataclasses import dataclass
from importlib.resources import files

import numpy as np

from unet_segnet.cohort.load import Cohort

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
LEVELS_APART = 20  # grey levels of 256
TIMES_APART = 2.0  # of shares and sizes


def describe(cohort: Cohort) -> dict:
    """Facts about labelled slices, ready for JSON; a fact that is not known is None.

    Keys: slices, patients (number, None if unknown), units, values (lowest and highest in the files), slice_sizes and
    orientations (text -> number of slices), pixel_mm (median), lung_levels (grey levels inside the lungs, after the
    window, at the quantiles 5, 25, 50, 75, 95 %), healthy_level and lesion_level (medians inside the lungs),
    lung_share (of a slice's pixels), lesion_share (of the lungs' pixels), lesion_slices (share of the slices), and
    lesion_share_of_class.
    """
    slices = cohort.slices
    counts = {name: cohort.cases.count(name) for name in cohort.facts}
    lungs = slices.lungs & (slices.images > 0) if slices.lungs.all() else slices.lungs
    lesion = slices.labels > 0
    pixels = [cohort.facts[name].spacing for name in cohort.cases]
    known = [math.sqrt(spacing[1] * spacing[2]) for spacing in pixels if spacing is not None]

    def share(part, whole):
        return float(part.sum() / whole.sum()) if whole.sum() else None

    def median(where):
        return float(np.median(slices.images[where])) if where.any() else None

    return {
        "slices": len(slices),
        "patients": None if cohort.num_unknown else len(set(cohort.patients)),
        "units": sorted({facts.units for facts in cohort.facts.values()}),
        "values": [
            min(facts.low for facts in cohort.facts.values()),
            max(facts.high for facts in cohort.facts.values()),
        ],
        "slice_sizes": _counted((f"{f.shape[0]}x{f.shape[1]}", counts[name]) for name, f in cohort.facts.items()),
        "orientations": _counted((f.orientation, counts[name]) for name, f in cohort.facts.items()),
        "pixel_mm": float(np.median(known)) if known else None,
        "lung_levels": np.quantile(slices.images[lungs], QUANTILES).tolist() if lungs.any() else None,
        "healthy_level": median(lungs & ~lesion),
        "lesion_level": median(lesion),
        "lung_share": float(lungs.mean()),
        "lesion_share": share(lesion & lungs, lungs),
        "lesion_slices": float(lesion.any(axis=(1, 2)).mean()),
        "lesion_share_of_class": {
            name: share((slices.labels == index) & lungs, lungs)
            for index, name in enumerate(slices.class_names)
            if index
        },
    }


def released_domain() -> dict:
    """`describe` of the 100 released slices, with all four classes."""
    return _released()["domain"]


def released_thresholds(num_classes: int) -> list[int] | None:
    """Grey levels from which on each lesion class is told best on their 72 training slices; of 2 or 4 classes."""
    return _released()["thresholds"].get(str(num_classes))


def released_marks() -> list[str]:
    """`unet_segnet.cohort.seen.slice_marks` of the 100 released slices at 256x256."""
    return _released()["marks"]


def released_lesion_shares() -> list[float]:
    """The shares of their pixels that are lesion."""
    return _released()["lesion_shares"]


def _released() -> dict:
    return json.loads(files("unet_segnet.cohort").joinpath("released_slices.json").read_text(encoding="utf-8"))


@dataclass(frozen=True)
class Difference:
    """One fact of two data sets.

    Attributes:
        fact: which.
        trained_on, here: what it is in each, as text.
        remark: what is different, or "" where nothing is.
    """

    fact: str
    trained_on: str
    here: str
    remark: str


def differences(trained_on: dict | None, here: dict) -> list[Difference]:
    """Compare two descriptions fact by fact; what a network was trained on may be unknown (None)."""
    return [_compared(*row, trained_on, here) for row in _FACTS]


def _compared(fact, key, text, remark, then, now) -> Difference:
    before, after = (None if facts is None else facts.get(key) for facts in (then, now))
    said = remark(before, after) if before is not None and after is not None else ""
    return Difference(fact, *("unknown" if value is None else text(value) for value in (before, after)), said)


def _counted(pairs) -> dict[str, int]:
    total = Counter()
    for name, number in pairs:
        total[name] += number
    return dict(total)


def _names(value):
    return ", ".join(value)


def _range(value):
    return "{:g} to {:g}".format(*value)


def _levels(value):
    return " ".join(f"{level:.0f}" for level in value)


def _percent(value):
    return f"{100 * value:.1f} %"


def _number(value):
    return f"{value:.0f}"


def _millimetres(value):
    return f"{value:.2f} mm"


def _other_names(before, after):
    return "" if set(before) == set(after) else "different"


def _levels_apart(before, after):
    apart = float(np.mean(np.subtract(after, before)))
    if abs(apart) <= LEVELS_APART:
        return ""
    return f"{abs(apart):.0f} levels {'brighter' if apart > 0 else 'darker'} here"


def _times_apart(before, after):
    low, high = sorted((before, after))
    if high < TIMES_APART * low or not high:
        return ""
    times = f"{high / low:.1f} times " if low else ""
    return f"{times}{'more' if after > before else 'less'} here"


def _other_range(before, after):
    width = max(before[1] - before[0], 1)
    return "" if max(abs(a - b) for a, b in zip(before, after, strict=True)) < 0.25 * width else "different"


def _nothing(before, after):
    return ""


_FACTS = (
    ("slices", "slices", _number, _nothing),
    ("patients", "patients", _number, _nothing),
    ("units", "units", _names, _other_names),
    ("values in the files", "values", _range, _other_range),
    ("slice size", "slice_sizes", _names, _other_names),
    ("pixel size", "pixel_mm", _millimetres, _times_apart),
    ("orientation", "orientations", _names, _other_names),
    ("grey levels in the lungs, 5 25 50 75 95 %", "lung_levels", _levels, _levels_apart),
    ("median grey level, healthy lung", "healthy_level", _number, _levels_apart),
    ("median grey level, lesion", "lesion_level", _number, _levels_apart),
    ("lungs, share of a slice", "lung_share", _percent, _times_apart),
    ("lesion, share of the lungs", "lesion_share", _percent, _times_apart),
    ("slices with lesion", "lesion_slices", _percent, _times_apart),
)
