"""Puts computed text between the markers of a README, so that no number in it is typed."""

from collections.abc import Iterable
from pathlib import Path

from unet_segnet.errors import InputError, one_line
from unet_segnet.output.records import check_file, write_text


def markers(name: str) -> tuple[str, str]:
    """The lines between which a text of this name belongs."""
    return f"<!-- {name}:begin -->", f"<!-- {name}:end -->"


def places_in(readme: Path, names: Iterable[str]) -> list[str]:
    """The names of those texts that have a place in the file.

    Raises:
        InputError: the file cannot be read or written, has a place for none of the texts, or only half of one.
    """
    text = _read(readme)
    found = [name for name in names if any(marker in text for marker in markers(name))]
    if not found:
        places = " or ".join(" and ".join(markers(name)) for name in names)
        raise InputError(f"{readme}: the text belongs between the lines {places}, which are not there; put them in")
    for name in found:
        check_markers(readme, name)
    return found


def check_markers(readme: Path, name: str) -> tuple[str, str]:
    """The text before and behind the place, markers included.

    Raises:
        InputError: the file cannot be read or written, or has no such place.
    """
    text = _read(readme)
    first, last = markers(name)
    before, begin, rest = text.partition(first)
    _, end, after = rest.partition(last)
    if not begin or not end:
        raise InputError(
            f"{readme}: the text belongs between the lines {first} and {last}, which are not there in this order; put "
            "them where it should stand"
        )
    return before + begin, end + after


def replace_between(readme: Path, name: str, text: str) -> None:
    """Put `text` between the markers, whole or not at all. Raises as `check_markers`."""
    before, after = check_markers(readme, name)
    write_text(readme, f"{before}\n{text}{after}")


def _read(readme: Path) -> str:
    check_file(readme)
    try:
        return readme.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{readme}: cannot be read ({one_line(error)}); give another with --readme") from error
