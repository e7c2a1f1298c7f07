"""The same slice under two patients' names: what makes a split by patient leak."""

from collections.abc import Sequence

import numpy as np

from unet_segnet.data.resize import resize_images
from unet_segnet.errors import some

THUMBNAIL = 32
# Correlation of thumbnails. Neighbours in a volume of 3 mm spacing reach 0.9989 on ct20, slices of two patients 0.993;
# a slice that was resized, or written as 8 bit, stays above 0.9999.
SAME = 0.9995
# So many pixels of a thumbnail must not be black: of the few that the tip of a lung fills, those of two patients are
# alike by chance. Copies of a patient share larger slices too.
FEWEST_PIXELS = 30
ROWS = 512  # compared at a time


def find_copies(images: np.ndarray, groups: Sequence[str]) -> list[tuple[int, int]]:
    """Pairs of slices of different patients that show the same, also turned by quarters or mirrored.

    Arguments:
        images: (num_slices, height, width) grey levels, or their `thumbnails`, which show the same.
        groups: (num_slices,) the patient of each, or its own name where that is unknown.

    Returns:
        Pairs (i, j), i < j, in rising order. Slices that show little (see `FEWEST_PIXELS`) are left out.
    """
    if len(images) < 2:
        return []
    small = thumbnails(images)
    _, codes = np.unique(np.asarray(groups), return_inverse=True)
    plain, shows = _standardised(small)
    found = set()
    for turn in range(8):
        turned = np.rot90(small if turn < 4 else small.swapaxes(1, 2), turn % 4, axes=(1, 2))
        other, _ = _standardised(np.ascontiguousarray(turned))
        for start in range(0, len(plain), ROWS):
            alike = plain[start : start + ROWS] @ other.T > SAME
            for row, column in np.argwhere(alike):
                i, j = sorted((int(row) + start, int(column)))
                if codes[i] != codes[j] and shows[i] and shows[j]:
                    found.add((i, j))
    return sorted(found)


def copies_text(pairs: Sequence[tuple[int, int]], names: Sequence[str], patients: Sequence[str | None]) -> str:
    """The first of the pairs of `find_copies`, and how many more there are, as the beginning of a sentence.

    Arguments:
        pairs: one at least.
        names: (num_slices,) of the slices.
        patients: (num_slices,) whose each is, or None where nobody knows.
    """
    who = [f"slice {names[k]} of patient {patients[k] or 'unknown'}" for k in pairs[0]]
    whose = list(dict.fromkeys(patients[k] or names[k] for pair in pairs for k in pair))
    more = f" ({len(pairs) - 1} more such pairs, all of {len(whose)} patients: {some(whose, 12)})" if pairs[1:] else ""
    return f"{who[0]} and {who[1]} are the same picture{more}"


def thumbnails(images: np.ndarray) -> np.ndarray:
    """What copies are found by: (num_slices, 32, 32) float32 of (num_slices, height, width) grey levels."""
    return np.stack([resize_images(image.astype(np.float32), (THUMBNAIL, THUMBNAIL)) for image in images])


def _standardised(thumbnails):
    """Vectors whose products are correlations, and which of them show enough."""
    vectors = thumbnails.reshape(len(thumbnails), -1)
    low, high = (of(vectors, axis=1, keepdims=True) for of in (np.min, np.max))
    filled = (vectors > low + 0.1 * (high - low)).sum(axis=1)
    vectors = vectors - vectors.mean(axis=1, keepdims=True)
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.maximum(lengths, 1e-6), (lengths[:, 0] > 1.0) & (filled >= FEWEST_PIXELS)
