"""Claims that the slices themselves decide, or networks at hand on changed slices."""

from __future__ import annotations

import math

import numpy as np

from experiments.reporting.judgement import RELEASE, TABLES, Judgement, decided, undecided, with_limits
from experiments.reporting.rules import LEVEL
from experiments.saood2021 import published
from experiments.saood2021.article import remaining_pixels
from experiments.saood2021.evidence import Evidence
from experiments.saood2021.published import stated
from unet_segnet.data.mask_fit import lung_area
from unet_segnet.measures import metrics
from unet_segnet.measures.statistics import bootstrap_mean, holm, paired_comparison

FETCH = "The slices: unet-segnet data fetch."
HIGH_CONTRAST = 0.8  # area under the ROC curve, called excellent: Hosmer and Lemeshow (2000)
KEY = 0.05  # of Dice, named beforehand: trainings differ by several hundredths, and a key feature is worth more


def class_disparity(evidence: Evidence) -> Judgement:
    """Holds where the ratio is a thousand to the nearest power of ten."""
    largest, _ = published.class_sizes()["C0"]
    left, error = remaining_pixels()
    ratio = largest / left
    text = (
        f"By Table 1, C3 taken as what the other classes leave ({left:,.0f} pixels, give or take {error:,.0f}), the "
        f"ratio is {ratio:.0f}; with C3 as printed it would be {largest / published.class_sizes()['C3'][0]:.0f}."
    )
    if evidence.slices is not None:
        sizes = np.bincount(evidence.slices.labels.ravel(), minlength=4)
        ratio = float(sizes[0] / sizes[3])
        text += f" The slices at 256x256 give {ratio:.0f}."
    return decided(round(math.log10(ratio)) == round(math.log10(stated("disparity"))), text, TABLES)


def infection_regions(evidence: Evidence) -> Judgement:
    """Holds where one half of the lungs has a higher share of infected pixels, slice by slice (Wilcoxon, Holm).

    Open else: halves that differ by chance alone do not show that all regions are alike.
    """
    if evidence.slices is None:
        return undecided("No slices are at hand.", FETCH)
    lungs, lesions = lung_area(evidence.slices), evidence.slices.labels > 0
    tests, shares = [], []
    for axis in (1, 2):  # the slices lie sideways: rows go from the patient's right to the left, columns to the back
        halves = np.array([_share_of_halves(*pair, axis - 1) for pair in zip(lungs, lesions, strict=True)])
        tests.append(paired_comparison(*halves.T))
        shares.append(np.nanmedian(halves, axis=0))
    p_values = holm([test.p_value for test in tests])
    parts = [
        f"{name} half {first:.1%} against {second:.1%} (n={test.n}, p = {p:.1e})"
        for name, (first, second), test, p in zip(
            ("the patient's right and left", "front and back"), shares, tests, p_values, strict=True
        )
    ]
    text = (
        "Infected share of the lung in each half of its bounding box, medians over slices, Wilcoxon with Holm: "
        + "; ".join(parts)
        + ". Slices of one patient count as independent."
    )
    if not np.nanmin(p_values) < LEVEL:
        return undecided(text, "More slices with masks.")
    return decided(True, text, RELEASE)


def no_contrast(evidence: Evidence) -> Judgement:
    """Does not hold where grey levels alone tell lesion from other lung well: area under the ROC curve, by slice.

    Holds where its 95 % interval over the slices lies below what is called excellent, is open where it reaches over it.
    """
    if evidence.slices is None:
        return undecided("No slices are at hand.", FETCH)
    lungs, lesions = lung_area(evidence.slices), evidence.slices.labels > 0
    areas = [
        area
        for image, lung, lesion in zip(evidence.slices.images, lungs, lesions, strict=True)
        if not math.isnan(area := grey_area(image[lung], lesion[lung]))
    ]
    median, interval = float(np.median(areas)), bootstrap_mean(areas)
    text = (
        f"Grey level alone tells infected from other lung with an area under the ROC curve of {median:.2f} (median of "
        f"{len(areas)} slices; mean {interval.estimate:.2f} [{interval.low:.2f}, {interval.high:.2f}]; 0.5 is none, "
        f"{HIGH_CONTRAST} is called excellent). Slices of one patient count as independent."
    )
    if interval.low < HIGH_CONTRAST < interval.high:
        return undecided(text, "More slices with masks.")
    return decided(interval.high < HIGH_CONTRAST, text, RELEASE)


def grey_area(levels: np.ndarray, lesion: np.ndarray) -> float:
    """Area under the ROC curve of grey levels, 0..1: how often a lesion pixel is brighter than another one.

    Arguments:
        levels: (n,) uint8.
        lesion: (n,) bool.

    Returns:
        NaN where one of the two has no pixel.
    """
    inside, outside = (np.bincount(levels[which], minlength=256) for which in (lesion, ~lesion))
    if not (inside.sum() and outside.sum()):
        return math.nan
    darker = np.cumsum(outside) - outside / 2
    return float(inside @ darker / (inside.sum() * outside.sum()))


def position_is_key(evidence: Evidence) -> Judgement:
    """Does not hold where networks find as much on turned slices, where every position is another one's.

    As much: the 95 % interval of what they lose, over the slices, lies below `KEY`. Above it the claim holds; it is
    open where the interval reaches over it, or networks differ.

    Both networks are convolutional: they are given no coordinates and know a position by the border alone.
    """
    text, losses = "Neither network is given coordinates.", []
    if evidence.slices is not None:
        from unet_segnet.data import paper_split
        from unet_segnet.inference.prediction import predict

        test = evidence.slices.subset(paper_split(len(evidence.slices)).test)
        for network in evidence.networks:
            truth = (test.labels > 0).astype(np.uint8)
            dice = []
            for turned in (slice(None), slice(None, None, -1)):
                found = predict(network.load(), test.images[:, turned, turned])[:, turned, turned]
                dice.append(metrics.dice(metrics.confusion_matrices(truth, (found > 0).astype(np.uint8), 2))[:, 1])
            lost = bootstrap_mean(dice[0] - dice[1])
            losses.append(None if lost.low <= KEY <= lost.high else lost.low > KEY)
            text += (
                f" {network.label}: Dice of all lesions {np.nanmean(dice[0]):.3f}, of the same slices turned by half a "
                f"turn {np.nanmean(dice[1]):.3f} (means of {len(truth)} slices; lost {with_limits(lost, signed=True)}, "
                f"{KEY:g} being about what two trainings of one network differ by)."
            )
    answers = set(losses)
    if len(answers) != 1 or None in answers:
        return undecided(text, "Networks trained with and without coordinates.")
    return decided(answers.pop(), text, RELEASE)


def models_radiologist(evidence: Evidence) -> Judgement:
    """Cannot be decided: nobody else marked these slices."""
    return undecided(
        "The masks are one reading, and the scores say how near the networks come to it. How near another radiologist "
        "comes is not known for these slices.",
        "A second reading of the test slices by a radiologist.",
    )


def dream_discerns(evidence: Evidence) -> Judgement:
    """Cannot be decided: what is seen in a picture was not measured."""
    return undecided(
        "Figure 5 is one picture of each class, looked at by those who made it; ours stands beside it. The pictures "
        "come from ascending a gradient, which amplifies rounding: on another processor they are others.",
        "Readers who do not know which is which, and pictures of several trainings.",
    )


def _share_of_halves(lung: np.ndarray, lesion: np.ndarray, axis: int) -> tuple[float, float]:
    """Infected share of the two halves of a lung's bounding box along an axis; NaN where a half holds no lung."""
    where = np.flatnonzero(lung.any(axis=1 - axis))
    if not len(where):
        return math.nan, math.nan
    middle = (where[0] + where[-1] + 1) // 2
    halves = zip(np.split(lung, [middle], axis), np.split(lesion, [middle], axis), strict=True)
    first, second = ((part & of_lung).sum() / of_lung.sum() if of_lung.any() else math.nan for of_lung, part in halves)
    return float(first), float(second)
