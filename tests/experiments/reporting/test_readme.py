"""Computed texts go between the markers of a file, all of them or none, and nowhere else."""

import re

import pytest

from experiments.reporting.readme import places_in, replace_between
from unet_segnet.errors import InputError

NAMES = ("main", "results")
PLACE = "before\n<!-- {0}:begin -->\nold\n<!-- {0}:end -->\nafter\n"


def test_a_file_may_have_a_place_for_one_text_or_for_both(tmp_path):
    for name, text, places in (
        ("one", PLACE.format("results"), ["results"]),
        ("both", PLACE.format("results") + PLACE.format("main"), ["main", "results"]),
    ):
        (tmp_path / name).write_text(text)
        assert places_in(tmp_path / name, NAMES) == places


def test_a_text_replaces_what_stood_between_its_own_markers(tmp_path):
    readme = tmp_path / "README.md"
    readme.write_text(PLACE.format("main") + PLACE.format("results"))
    replace_between(readme, "results", "new\n")
    assert readme.read_text() == PLACE.format("main") + PLACE.format("results").replace("old", "new")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nothing\n", "<!-- main:begin --> and <!-- main:end --> or <!-- results:begin --> and <!-- results:end -->"),
        ("<!-- main:begin -->\n", "<!-- main:begin --> and <!-- main:end -->, which are not there in this order"),
        (PLACE.format("main") + "<!-- results:end -->\n", "<!-- results:begin --> and <!-- results:end -->, which"),
    ],
)
def test_a_file_without_a_whole_place_is_refused(text, message, tmp_path):
    readme = tmp_path / "README.md"
    readme.write_text(text)
    with pytest.raises(InputError, match=re.escape(message)):
        places_in(readme, NAMES)
    assert readme.read_text() == text


def test_a_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        places_in(tmp_path / "README.md", NAMES)
