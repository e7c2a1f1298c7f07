"""What files hold and which belong together, as far as their names tell."""

import re
import unicodedata
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
RESULTS = ("settings.json", "severity.json")  # files in each folder that `predict` makes
ROLE_WORDS = MASK_WORDS | LUNG_WORDS | IMAGE_WORDS
WORD = "[a-z\u0080-\U0010ffff]+"  # in lower case: of any alphabet, with its marks, which tell people apart
CHANNEL = "_0000"  # of nnU-Net: the first, which is the only one of CT


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


def says_mask(name: str) -> bool:
    """Whether a word of a name says that it is a mask; of LUNG, which is a CT's kernel too, none does."""
    return bool({"lungmask", *MASK_WORDS} & set(_words(name)))


def says_lesion(name: str) -> bool:
    """Whether a word of a name says that lesions are marked in it; mask and label may be of anything."""
    return bool(LESION_WORDS & set(_words(name)))


def _words(name: str) -> list[str]:
    """Its words in lower case, without numbers."""
    return re.findall(WORD, _lower(name))


def _lower(name: str) -> str:
    return unicodedata.normalize("NFC", name).lower()  # macOS stores a letter and its accent apart


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
    plain = {name: name.removesuffix(CHANNEL) for name in images if name not in pairs}
    if len(set(plain.values())) == len(plain) == len(images):
        pairs |= {name: other for name, other in plain.items() if other in set(others)}
    keys = [{name: _key(name) for name in names if name not in _both(pairs)} for names in (images, others)]
    pairs |= _equal(*keys)
    if all(key[-1:] == _key(CHANNEL) for key in keys[0].values()):
        keys[0] = {name: key[:-1] for name, key in keys[0].items()}
    # Words that all names of one side have and none of the other tell nothing; a number may be the patient's elsewhere.
    common = [set.intersection(*map(set, of.values())) if len(of) > 1 else set() for of in keys]
    there = [{word for key in of.values() for word in key} for of in keys]
    alone = {word for word in (common[0] - there[1]) | (common[1] - there[0]) if not word.isdecimal()}
    keys = [{name: tuple(word for word in key if word not in alone) for name, key in of.items()} for of in keys]
    for pair in (_equal, _within):
        pairs |= pair(*({name: key for name, key in of.items() if name not in _both(pairs)} for of in keys))
    return pairs


def _both(pairs: dict[str, str]) -> set[str]:
    return {*pairs, *pairs.values()}


def _key(name: str) -> tuple[str, ...]:
    """Words and numbers of a name, without those that say what the file is."""
    words = re.findall(f"{WORD}|[0-9]+", re.sub("covid[-_ ]*19", "covid", _lower(name)))
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
    return {a: b for a, b in unique if _numbers(images[a]) == _numbers(others[b])}


def _numbers(key: tuple) -> list[str]:
    return [word for word in key if word.isdecimal()]


def _holds(long: tuple, short: tuple) -> bool:
    left = iter(long)
    return bool(short) and all(word in left for word in short)
