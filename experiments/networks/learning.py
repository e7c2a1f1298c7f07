"""What the networks learn from, made of `sources.Case`: arrays, how often each slice is drawn, and its augmentation.

Lungs are learnt from slices cropped to the body, in Hounsfield units, under random windows. Lesions are learnt from the
lungs alone, in grey levels that refer to the scan's own lungs (`unet_segnet.data.normalise.lung_levels`), or to each
slice's where nobody knows whose it is; how well the lungs are found varies, so the lungs shown vary too.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from experiments.networks.sources import GREY_WINDOW, SIZE, UNKNOWN, Case

TASKS = ("lungs", "lesions")
HEALTHY, LESION, OUTSIDE = 0, 1, 2  # codes of pixels that lesions are learnt from
MOST_LESION_LEVEL = 2.0  # of `lung_levels`
EMPTY_SHARE = 0.4  # of the draws of a source: slices without what is to be found, where it has both kinds
HEALTHY_SHARE = 0.3  # of the draws of another source, for one that shows nothing to be found
FLIP, ROTATION, SCALE = 0.5, 25.0, (0.75, 1.3)
WIDENED, NARROWED = 0.35, 0.1  # how often lungs are shown larger, smaller
MOST_WIDER, MOST_NARROWER = 6, 2  # pixels


@dataclass(frozen=True, eq=False)
class Examples:
    """Slices to learn from.

    Attributes:
        images: (num_slices, SIZE, SIZE) float16: Hounsfield units (lungs) or `lung_levels` (lesions).
        labels: (num_slices, SIZE, SIZE) uint8: 1 lung, 0 none; or the codes of this module; 255 unknown.
        probabilities: (num_slices,) of being drawn.
    """

    images: np.ndarray
    labels: np.ndarray
    probabilities: np.ndarray


def can_teach(task: str, case: Case) -> bool:
    """Whether a case shows what is to be learnt: lungs in whole slices marked by people, or marked lesions."""
    return case.lungs_known if task == "lungs" else case.lesions is not None


def examples(task: str, cases: Sequence[Case]) -> Examples:
    """The slices of cases that `can_teach`; each source is drawn as often as any other, and so is each of its patients.

    A source that shows slices with and without what is to be found gives `EMPTY_SHARE` of the latter; one that has only
    the latter, a healthy patient's, is drawn `HEALTHY_SHARE` as often as others.
    """
    images, labels, groups = [], [], []
    for case in cases:
        shown, marked = (lung_examples if task == "lungs" else lesion_examples)(case)
        images.append(shown)
        labels.append(marked)
        found = (marked == 1).any(axis=(1, 2))
        groups += [(case.source, bool(of), case.patient) for of in found]
    return Examples(np.concatenate(images), np.concatenate(labels), balanced(groups))


def balanced(groups: Sequence[tuple[str, bool, str]]) -> np.ndarray:
    """(num_slices,) probabilities.

    Arguments:
        groups: of each slice the source, whether it shows what is to be found, and the patient.
    """
    sources = sorted({source for source, _, _ in groups})
    result = np.zeros(len(groups))
    for source in sources:
        kinds = sorted({shows for name, shows, _ in groups if name == source})
        shares = {True: 1 - EMPTY_SHARE, False: EMPTY_SHARE} if len(kinds) == 2 else {True: 1.0, False: HEALTHY_SHARE}
        for shows in kinds:
            patients = sorted({patient for name, of, patient in groups if (name, of) == (source, shows)})
            for patient in patients:
                members = [index for index, group in enumerate(groups) if group == (source, shows, patient)]
                result[members] = shares[shows] / len(patients) / len(members)
    return result / result.sum()


def lung_examples(case: Case) -> tuple[np.ndarray, np.ndarray]:
    """Bodies in Hounsfield units, and 1 inside the lungs."""
    from unet_segnet.inference.network_lungs import crop_labels

    return case.bodies, crop_labels(case.lungs, case.boxes, SIZE).astype(np.uint8)


def lesion_examples(case: Case) -> tuple[np.ndarray, np.ndarray]:
    """`lung_levels`, and codes; lesions outside the lungs are unknown, for they are not shown."""
    from unet_segnet.data.normalise import lung_levels
    from unet_segnet.data.resize import resize_labels

    lungs, lesions = (resize_labels(mask, (SIZE, SIZE)) for mask in (case.lungs, case.lesions))
    codes = np.where(lungs, np.where(lesions, LESION, HEALTHY), np.where(lesions, UNKNOWN, OUTSIDE)).astype(np.uint8)
    return lung_levels(case.images, lungs, case.adjoining).astype(np.float16), codes


def augment_lungs(images: np.ndarray, labels: np.ndarray, seeds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Random windows, grey scales, fields of view, flips, rotation and scale; see `train_annealed`."""
    from unet_segnet.training.scanners import change_grey, cut_field, random_window

    shown, marked = np.empty(images.shape, np.float32), np.empty(labels.shape, np.uint8)
    generators = [np.random.default_rng(int(seed)) for seed in seeds]
    for index, generator in enumerate(generators):
        image = change_grey(random_window(images[index], generator), generator)
        shown[index], marked[index] = cut_field(image, labels[index], generator)
    return _moved(shown, marked, generators)


def augment_lesions(images: np.ndarray, codes: np.ndarray, seeds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Lungs a little too large or too small, grey scales, fields of view, flips, rotation and scale."""
    from scipy import ndimage

    from unet_segnet.data.normalise import lungs_alone
    from unet_segnet.training.scanners import change_grey, cut_field

    shown, marked = np.empty(images.shape, np.float32), np.empty(codes.shape, np.uint8)
    generators = [np.random.default_rng(int(seed)) for seed in seeds]
    for index, generator in enumerate(generators):
        inside = codes[index] < OUTSIDE
        kind = generator.random()
        if kind < WIDENED:
            inside = ndimage.binary_dilation(inside, iterations=int(generator.integers(1, MOST_WIDER + 1)))
        elif kind < WIDENED + NARROWED:
            inside = ndimage.binary_erosion(inside, iterations=int(generator.integers(1, MOST_NARROWER + 1)))
        levels = change_grey(images[index], generator, MOST_LESION_LEVEL)
        image, label = cut_field(lungs_alone(levels, inside), codes[index], generator)
        shown[index], marked[index] = image, np.where(label == OUTSIDE, HEALTHY, label)
    return _moved(shown, marked, generators)


def plain_lungs(images: np.ndarray, labels: np.ndarray | None = None) -> np.ndarray:
    """Bodies in Hounsfield units as a network takes them: float32, 0 to 1 in `GREY_WINDOW`."""
    from unet_segnet.data.normalise import windowed

    return windowed(images, GREY_WINDOW)


def plain_lesions(images: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """`lung_levels` as a network takes them: float32, 0 outside the lungs."""
    from unet_segnet.data.normalise import lungs_alone

    return lungs_alone(images.astype(np.float32), codes < OUTSIDE)


def _moved(images, labels, generators):
    from unet_segnet.training.affine import NUM_UNIFORMS, augment_affine

    uniforms = np.stack([generator.random(NUM_UNIFORMS) for generator in generators])
    return augment_affine(images, labels, uniforms, FLIP, ROTATION, SCALE)


def figures_of(case: Case) -> dict[str, float]:
    """The figures of a case's grey levels that tell later whether another scan is like it."""
    from unet_segnet.data.normalise import lung_levels
    from unet_segnet.data.resize import resize_labels
    from unet_segnet.inference.familiarity import grey_figures

    lungs = resize_labels(case.lungs, (SIZE, SIZE))
    return grey_figures(case.images, lung_levels(case.images, lungs, case.adjoining), lungs, case.units)


def shown_to_network(task: str, case: Case) -> np.ndarray:
    """(num_slices, SIZE, SIZE) float32: what a trained network takes, without augmentation."""
    from unet_segnet.data.normalise import lung_levels, lungs_alone
    from unet_segnet.data.resize import resize_labels

    if task == "lesions":
        lungs = resize_labels(case.lungs, (SIZE, SIZE))
        return lungs_alone(lung_levels(case.images, lungs, case.adjoining), lungs)
    return plain_lungs(case.bodies)
