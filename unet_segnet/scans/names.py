"""What files hold and which belong together, as far as their names tell."""

import re
from collections.abc import Sequence

IMAGES, LABELS, LUNGS = "images", "labels", "lungs"
LESION_WORDS = {"lesion", "lesions", "infection", "infections", "infected"}
MASK_WORDS = {
    *("mask", "masks", "label", "labels", "seg", "segs", "segmentation", "segmentations", "annotation", "annotations"),
    *("gt", "truth", "groundtruth", "labelstr", "labelsts", *LESION_WORDS),
}
LUNG_WORDS = {"lung", "lungs", "lungmask"}
SIDE_WORDS = {"left", "right"}
IMAGE_WORDS = {
    "imagestr",
    "imagests",
    "ct",
    "cts",
    "image",
    "images",
    "img",
    "imgs",
    "scan",
    "scans",
    "volume",
    "volumes",
    "dicom",
    "dcm",
    "org",
}
ROLE_WORDS = MASK_WORDS | LUNG_WORDS | IMAGE_WORDS


def role_of(name: str) -> str | None:
    """What a file or folder holds by its name; None where that does not say it."""
    words = set(_words(name))
    if words & LUNG_WORDS and not words & LESION_WORDS and not words - LUNG_WORDS - MASK_WORDS - SIDE_WORDS:
        return LUNGS
    if words & MASK_WORDS:
        return LABELS
    return IMAGES if words & {"ct", "cts", "image", "images", "dicom"} else None


def says_only_what(name: str) -> bool:
    """Whether a name says what is in a file or folder and nothing else, such as "CT" or "lung_mask"; not "scan01"."""
    words = _words(name)
    return bool(words) and not set(words) - ROLE_WORDS and not re.search("[0-9]", name)


def _words(name: str) -> list[str]:
    """Its words in lower case, without numbers."""
    return re.findall("[a-z]+", name.lower())


def pair_names(images: Sequence[str], others: Sequence[str]) -> dict[str, str]:
    """Which name belongs to which image: equal, or equal but for words such as mask and ct, or for parts of the name.

    Arguments:
        images: names of the scans, all different.
        others: names of their labels or lung masks, all different.

    Returns:
        Image -> other, of those that are clear. study_01 and study_01_mask belong together, and so do
        coronacases_org_001 and coronacases_001; of 1 and 1_2 nothing tells that they do.
    """
    if len(images) == len(others) == 1 and not _key(images[0]) and not _key(others[0]):  # ct and seg, alone together
        return {images[0]: others[0]}
    pairs = {name: name for name in images if name in set(others)}
    plain = {name: name.removesuffix("_0000") for name in images if name not in pairs}  # nnU-Net's channel
    if len(set(plain.values())) == len(plain) == len(images):
        pairs |= {name: other for name, other in plain.items() if other in set(others)}
    keys = [{name: _key(name) for name in names if name not in pairs} for names in (images, others)]
    pairs |= _equal(*keys)
    shared = [set.intersection(*map(set, of.values())) if len(of) > 1 else set() for of in keys]
    alone = (
        shared[0] - shared[1],
        shared[1] - shared[0],
    )  # words that all names of one side have, and none of the other
    for of, words in zip(keys, alone, strict=True):
        of.update({name: tuple(word for word in key if word not in words) for name, key in of.items()})
    left = [{name: key for name, key in of.items() if name not in {*pairs, *pairs.values()}} for of in keys]
    pairs |= _equal(*left)
    left = [{name: key for name, key in of.items() if name not in {*pairs, *pairs.values()}} for of in left]
    return pairs | _within(*left)


def _key(name: str) -> tuple[str, ...]:
    """Words and numbers of a name, without those that say what the file is."""
    words = re.findall("[a-z]+|[0-9]+", re.sub("covid[-_ ]*19", "covid", name.lower()))
    return tuple(word for word in words if word not in ROLE_WORDS)


def _equal(images: dict[str, tuple], others: dict[str, tuple]) -> dict[str, str]:
    of_image, of_other = (_by_key(names) for names in (images, others))
    return {
        names[0]: of_other[key][0]
        for key, names in of_image.items()
        if key and len(names) == 1 and len(of_other.get(key, ())) == 1
    }


def _by_key(names: dict[str, tuple]) -> dict[tuple, list[str]]:
    found: dict[tuple, list[str]] = {}
    for name, key in names.items():
        found.setdefault(key, []).append(name)
    return found


def _within(images: dict[str, tuple], others: dict[str, tuple]) -> dict[str, str]:
    """Pairs of which one name's words and numbers stand in the other's, in their order, and in no other's."""
    near = [
        (a, b) for a, of_a in images.items() for b, of_b in others.items() if _holds(of_a, of_b) or _holds(of_b, of_a)
    ]
    firsts, seconds = ([pair[side] for pair in near] for side in (0, 1))
    unique = [(a, b) for a, b in near if firsts.count(a) == 1 and seconds.count(b) == 1]
    return {a: b for a, b in unique if not any(map(str.isdecimal, set(images[a]) ^ set(others[b])))}


def _holds(long: tuple, short: tuple) -> bool:
    left = iter(long)
    return bool(short) and all(word in left for word in short)
