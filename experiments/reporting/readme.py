"""Puts computed text between the markers of a README, so that no number in it is typed."""

from pathlib import Path

from unet_segnet.errors import InputError
from unet_segnet.output.records import check_file, write_text


def markers(name: str) -> tuple[str, str]:
    """The lines between which a text of this name belongs."""
    return f"<!-- {name}:begin -->", f"<!-- {name}:end -->"


def check_markers(readme: Path, name: str) -> tuple[str, str]:
    """The text before and behind the place, markers included.

    Raises:
        InputError: the file cannot be read or written, or has no such place.
    """
    check_file(readme)
    try:
        text = readme.read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(f"{readme}: cannot be read ({error.strerror}); give another with --readme") from error
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
