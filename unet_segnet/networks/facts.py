"""What is known of a trained network, kept in its own file: class names, window, and what it was trained on.

A `.keras` file is a zip archive; the facts are one more member of it, JSON that Keras passes over, so that they go
wherever the network goes.
"""

import json
import math
import zipfile
from pathlib import Path

from unet_segnet.errors import InputError, one_line
from unet_segnet.output.files import open_archive

MEMBER = "unet_segnet.json"
LUNG_LEVELS = "lung levels"  # what a network takes instead of grey levels 0..255: `data.normalise.lung_levels`
BODIES = "slices cropped to the body"  # of networks that find lungs: `inference.network_lungs`
WHOLE_SLICES, LUNGS_ALONE = "whole slices", "lungs alone"  # what grey levels of 8 bit show
MAX_BYTES = 2**24  # some hundred thousand slices
KINDS = {  # of the facts that are used, not only shown; each may be missing
    "class_names": lambda value: _is_list_of(value, str) and len(set(value)) == len(value) > 1,
    "window": lambda value: _is_list_of(value, float) and len(value) == 2 and value[0] < value[1],
    "thresholds": lambda value: _is_list_of(value, int),
    "slices": lambda value: _is_list_of(value, str),
    "label_values": lambda value: _is_coding(value),
    "trained_on": lambda value: _is_description(value),
    "data": lambda value: _is_list_of([value], str),
    "takes": lambda value: value in (LUNG_LEVELS, BODIES),
    "learnt_from": lambda value: value in (WHOLE_SLICES, LUNGS_ALONE),
    "threshold": lambda value: _is_list_of([value], float) and 0 < value < 1,
    "temperature": lambda value: _is_list_of([value], float) and value > 0,
    "seen": lambda value: isinstance(value, dict) and all(map(_is_range, value.values())),
    "mirror_axes": lambda value: _is_list_of(value, int) and set(value) <= {1, 2},
}
# What `unet_segnet.cohort.domain.differences` compares in "trained_on"; each may be missing or None.
NUMBERS = (
    "slices", "patients", "pixel_mm", "healthy_level", "lesion_level", "lung_share", "lesion_share", "lesion_slices"
)  # fmt: skip
TEXTS = ("units", "slice_sizes", "orientations")
LENGTHS = {"values": 2, "lung_levels": 5}


def facts_of_studies() -> dict:
    """What the studies' own networks and the authors' learnt from, whose files do not tell it."""
    from unet_segnet.training.translations import MIRROR_AXES

    return {"mirror_axes": list(MIRROR_AXES), "learnt_from": LUNGS_ALONE}


def write_facts(path: str | Path, facts: dict) -> None:
    """Add facts to a `.keras` file that has none yet.

    Arguments:
        path: the file, just saved.
        facts: ready for JSON; keys with a meaning are `KINDS`: "class_names", background first; "window", the HU that
            were grey levels 0 and 255; "trained_on", see `unet_segnet.cohort.domain.describe`; "data", its name;
            "thresholds", grey levels from which on each lesion class was told best on it; "slices", the
            `unet_segnet.cohort.seen.slice_marks` of all that it learnt from; "label_values", the pairs of a value in
            the label files and its class index; "takes", `LUNG_LEVELS` or `BODIES`, where it takes no grey levels
            of 8 bit; "learnt_from", `WHOLE_SLICES` or `LUNGS_ALONE`; "threshold", of two classes, the probability of
            the second above which a pixel is of it; "temperature" of the probabilities (`measures.calibration`);
            "seen", lowest and highest figures of the scans that it learnt from (`inference.familiarity`);
            "mirror_axes", of (num_slices, height, width) slices, along which it learnt from mirror images: 1 exchanges
            the patient's sides, 2 front and back.
    """
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(MEMBER, json.dumps(facts, indent=1, sort_keys=True, allow_nan=False) + "\n")


def read_facts(path: str | Path) -> dict:
    """The facts in a `.keras` file; empty where it has none.

    Raises:
        InputError: they are damaged, or the file is no archive.
    """
    try:
        with open_archive(path) as archive:
            if MEMBER not in archive.namelist():
                return {}
            if archive.getinfo(MEMBER).file_size > MAX_BYTES:
                raise ValueError("too large")
            facts = json.loads(archive.read(MEMBER))
        check_facts(facts)
    except Exception as error:  # zipfile raises a dozen kinds on damaged archives
        raise InputError(
            f"{path}: its facts ({MEMBER}) cannot be read ({one_line(error)}); restore the file"
        ) from error
    return facts


def check_facts(facts: dict) -> None:
    """Raise ValueError where a fact is none that could have been written."""
    wrong = [key for key, fits in KINDS.items() if facts.get(key) is not None and not fits(facts[key])]
    if wrong:
        raise ValueError(f"impossible {wrong[0]}")


def _is_coding(value) -> bool:
    """Could it be `unet_segnet.cohort.classes.Classes.index_of`, as pairs?"""
    if not isinstance(value, list) or not all(_is_list_of(pair, int) and len(pair) == 2 for pair in value):
        return False
    return all(0 <= number <= 255 for pair in value for number in pair)


def _is_description(value) -> bool:
    """Could `unet_segnet.cohort.domain.describe` have given it?"""
    return isinstance(value, dict) and all(_fits(key, fact) for key, fact in value.items() if fact is not None)


def _fits(key: str, fact) -> bool:
    if key in NUMBERS:
        return _is_list_of([fact], float)
    if key in TEXTS:
        return isinstance(fact, (list, dict)) and _is_list_of(list(fact), str)
    return key not in LENGTHS or (_is_list_of(fact, float) and len(fact) == LENGTHS[key])


def _is_range(value) -> bool:
    return _is_list_of(value, float) and len(value) == 2 and value[0] <= value[1]


def _is_list_of(value, kind) -> bool:
    if not isinstance(value, list) or not value:
        return False
    if kind is float:
        return all(type(item) in (int, float) and math.isfinite(item) for item in value)
    # Class names stand in files and pictures, too.
    return all(type(item) is kind and (kind is not str or item.isprintable()) for item in value)
