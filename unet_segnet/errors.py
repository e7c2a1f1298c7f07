"""The one error that a user of the commands is meant to see, and what it says of others."""

import contextlib
import warnings
from collections.abc import Iterator, Sequence

LONGEST = 1400
"""Characters of an `InputError`."""


class InputError(ValueError):
    """Something the user gave cannot be used.

    The message is one line: what was wrong, in which file, what was expected and what to do. The commands
    print it without a traceback and exit with status 2.

    In messages of the library an argument stands in backticks as Python names it: "give another folder with `out`".
    A command prints its own flag instead, "give another folder with --out", for each such name that is one of its
    options (`unet_segnet.output.console.with_flags`). Messages that only a command raises name its flags themselves.
    """

    def __init__(self, message: str):
        text = printable(message)  # what stands in a file may be long
        super().__init__(text if len(text) <= LONGEST else f"{text[: LONGEST - 200]} ... {text[-195:]}")


def printable(text: object) -> str:
    """Text as one line for a screen: what a name from a file may hold to command a terminal is written out."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in str(text))


def one_line(error: Exception) -> str:
    """What another library's error says, for a part of an `InputError`'s line: at most 200 characters."""
    return (" ".join(str(error).split()) or type(error).__name__)[:200]


@contextlib.contextmanager
def missing_weights_are_errors() -> Iterator[None]:
    """Let Keras' saving raise where it would warn: that a file lacks weights, and that a layer keeps random ones."""
    with warnings.catch_warnings():
        warnings.filterwarnings("error", category=UserWarning, module=r"keras\.src\.saving")
        yield


class DivergedError(RuntimeError):
    """The loss became NaN or infinite.

    Attributes:
        epoch: the epoch, counted from 1.
        history: as in `TrainingResult`, up to that epoch.
    """

    def __init__(self, epoch, history):
        super().__init__(f"the loss became NaN or infinite in epoch {epoch}")
        self.epoch, self.history = epoch, history


def some(names: Sequence, most: int = 5) -> str:
    """The first of names, or of paths or values, in a line."""
    return ", ".join(map(str, names[:most])) + (", ..." if names[most:] else "")
