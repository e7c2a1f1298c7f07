"""What every command shares: one clear line for a bad input, paragraphs, and progress that reads well in a log."""

import argparse
import contextlib
import errno
import io
import logging
import os
import re
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable, Iterable, Iterator

from unet_segnet.errors import InputError, one_line, printable, some
from unet_segnet.processor import prepare_processor

# What is raised where memory runs out: by backends, and by Python and the loader of libraries in other words.
NO_MEMORY = ("ResourceExhaustedError", "OutOfMemoryError")
NO_MEMORY_WORDS = (
    *("RESOURCE_EXHAUSTED", "can't start new thread", "annot allocate memory", "failed to map segment"),
    "Status: 1, message: could not create a primitive",  # oneDNN's dnnl_out_of_memory, which TensorFlow calls aborted
)
MEMORY_ADVICE = (
    "memory has run out; leave more to this command, or take smaller slices or fewer trainings side by side: what is "
    "finished is kept, start the same command again to go on"
)


class HelpFormatter(argparse.ArgumentDefaultsHelpFormatter):
    """argparse's own, which alone would say "None", "False" and "(0, 1)": nothing of the first two, "0,1" as typed.

    Paragraphs of a description stay apart, and indented ones, such as examples, as they are.
    """

    def _fill_text(self, text, width, indent):
        fill = super()._fill_text
        parts = text.strip().split("\n\n")
        return "\n\n".join(part if part.startswith(" ") else fill(part, width, indent) for part in parts)

    def _get_help_string(self, action):
        default = action.default
        if default is None or default is False or default in ((), {}):
            return action.help
        if isinstance(default, tuple):
            typed = (" " if action.nargs else ",").join(
                f"{of:g}" if isinstance(of, float) else str(of) for of in default
            )
            return f"{action.help} (default: {typed})"
        return super()._get_help_string(action)


def run_command(command: Callable[[], int | None], options: argparse.Namespace | None = None) -> None:
    """Run `command` and leave the process with its exit status.

    `InputError` becomes one line on standard error and exit status 2, and so does what the system refuses: a full
    disk, a folder that is gone, memory that has run out. Ctrl-C becomes status 130. Anything else is a fault of ours
    and keeps its traceback.

    Arguments:
        command: what it does.
        options: of its command line, by whose flags an `InputError` is told.
    """
    sys.unraisablehook = _not_again
    if isinstance(sys.stdout, io.TextIOWrapper):  # file names need not be text
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        with contextlib.redirect_stdout(_Screen(sys.stdout)):
            status = command()
    except InputError as error:
        print(f"error: {with_flags(error, options)}", file=sys.stderr)
        status = 2
    except KeyboardInterrupt:
        print("interrupted; what is finished is kept, start the same command again to go on", file=sys.stderr)
        status = 130
    except BrokenPipeError:  # the reader of our output (head, less) has gone
        sys.stderr.close()
        status = 0
    except Exception as error:
        if out_of_memory(error):
            print(f"error: {MEMORY_ADVICE}", file=sys.stderr)
        elif isinstance(error, OSError):
            print(f"error: {_told(error)}", file=sys.stderr)
        else:
            raise
        status = 2
    sys.exit(status or 0)


def with_flags(message: object, options: argparse.Namespace | None) -> str:
    """A message as a command tells it: the arguments that it names are the command's options, `out` becomes --out.

    Arguments:
        message: in which arguments stand in backticks, see `unet_segnet.errors.InputError`; other backticks stay.
        options: of the command line; None where it has none.
    """
    names = () if options is None else vars(options)
    return re.sub(
        "`([a-z_]+)`", lambda found: f"--{found[1].replace('_', '-')}" if found[1] in names else found[0], str(message)
    )


def say(text: str) -> None:
    """Print a paragraph."""
    print(textwrap.fill(text, 100, subsequent_indent="  ", break_on_hyphens=False), flush=True)


def summed_up(lines: Iterable[str], most: int = 4) -> list[str]:
    """Findings of one kind as one line: the first of them, and how many more there are, of what.

    Of one kind are lines that differ in paths, in numbers, and in the name that they begin with.

    Arguments:
        lines: such as "case_1: lies 3 mm away".
        most: names after the first.
    """
    kinds: dict[str, list[str]] = {}
    for line in lines:
        stem = _file_name(line.split(" ")[0]).split(".")[0]
        text = line.replace(stem, "#") if stem else line
        kinds.setdefault(re.sub(r"\S*/\S*|[0-9]+(?:[.,][0-9]+)*", "#", text), []).append(line)
    result = []
    for first, *more in kinds.values():
        words = first.split()
        names = [
            next((new for new, old in zip(line.split(), words, strict=False) if new != old), line) for line in more
        ]
        listed = some(list(map(_file_name, names)), most)
        result.append(f"{first} (and {len(more)} more of this kind: {listed})" if more else first)
    return result


def _file_name(word: str) -> str:
    return word.rsplit("/", 1)[-1].strip(":;,")


class _Screen:
    """Standard output on which the names of files, scans and classes cannot command the terminal."""

    def __init__(self, stream):
        self._stream = stream

    def write(self, text: str) -> int:
        self._stream.write("\n".join(map(printable, text.split("\n"))))
        return len(text)

    def __getattr__(self, name):
        return getattr(self._stream, name)


def out_of_memory(error: Exception) -> bool:
    """Whether an error says that memory has run out."""
    words = any(words in str(error) for words in NO_MEMORY_WORDS)
    return isinstance(error, MemoryError) or type(error).__name__ in NO_MEMORY or words


def _told(error: OSError) -> str:
    """One line about a disk that is full, a folder that is gone, and what to do."""
    if error.errno == errno.ENAMETOOLONG:
        return f"{printable(error.filename)[:60]}...: this path is too long; give a shorter one"
    where = f"{error.filename}: " if error.filename is not None else ""
    return str(
        InputError(
            f"{where}{error.strerror or one_line(error)}; make room or mend it, and start the same command again: what "
            "is finished is kept"
        )
    )


def _not_again(found) -> None:
    """Leave out what a file that could not be written says once more as it is closed: the first error was told."""
    if not isinstance(found.exc_value, OSError) and "errno = " not in str(found.exc_value):
        sys.__unraisablehook__(found)


def import_keras() -> None:
    """Import Keras and its backend without the start-up messages that TensorFlow writes past Python's own logging.

    Before that, the processor is prepared: looking for devices begins the threads that train later.
    """
    prepare_processor()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # what goes wrong comes as an exception too
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    with _stderr_kept() as messages:
        try:
            from unet_segnet.devices import accelerators

            accelerators()  # looking for devices says something too
        except BaseException:
            messages.seek(0)
            sys.stderr.write(messages.read().decode(errors="replace"))
            raise


@contextlib.contextmanager
def _stderr_kept():
    """Send what is written to file descriptor 2, also by C++ code, to a temporary file."""
    with tempfile.TemporaryFile() as messages:
        sys.stderr.flush()
        terminal = os.dup(2)
        os.dup2(messages.fileno(), 2)
        try:
            yield messages
        finally:
            os.dup2(terminal, 2)
            os.close(terminal)


class Progress:
    """A bar with time left on a terminal; in a log, a plain line at most every `every` seconds.

    Arguments:
        total: number of steps.
        label: what is being done, shown before the bar.
        every: seconds between two lines when the output is not a terminal.
        stream: where to; standard error if None.
        plain: lines on a terminal too, where the bars of several processes would overwrite each other.

    Work that was resumed begins with a later step; what was done before is left out of the estimate.
    """

    def __init__(self, total: int, label: str, every: float = 30.0, stream=None, plain: bool = False):
        self.total, self.label, self.every = total, printable(label), every
        self.stream = stream or sys.stderr
        self.terminal = self.stream.isatty() and os.environ.get("TERM") != "dumb" and not plain
        self.first = None
        self.start = self.shown = time.monotonic()

    def update(self, done: int, note: str = "") -> None:
        """Show that `done` steps of the total are finished; `note` stands behind the time."""
        if self.first is None:
            self.first = done - 1
        now, note = time.monotonic(), printable(note)
        last = done >= self.total
        if not last and now - self.shown < (0.2 if self.terminal else self.every):
            return
        self.shown = now
        elapsed = now - self.start
        steps = max(done - self.first, 1)
        left = elapsed / steps * (self.total - done)
        times = f"{_duration(elapsed)}" if last else f"{_duration(elapsed)}, {_duration(left)} left"
        if self.terminal:
            self._draw(done, f"{done}/{self.total}  {times}  {note}")
            self.stream.write("\n" * last)
        else:
            self.stream.write(f"{self.label} {done}/{self.total}  {times}  {note}".rstrip() + "\n")
        self.stream.flush()

    def _draw(self, done: int, text: str) -> None:
        """Draw the bar over the one before, cut where the terminal's line ends.

        Not by rich's `Live`, which hides the cursor until it is stopped: a command that is killed never does that.
        """
        from rich.console import Console
        from rich.control import Control
        from rich.progress_bar import ProgressBar
        from rich.segment import ControlType
        from rich.text import Text

        console = Console(file=self.stream)
        label = Text(self.label)  # no markup: it may hold the names of files
        label.truncate(console.width // 2, overflow="ellipsis")
        bar = ProgressBar(self.total, done, width=24 if console.width >= 100 else 10)
        console.control(Control(ControlType.CARRIAGE_RETURN, (ControlType.ERASE_IN_LINE, 2)))
        console.print(label.append(" "), bar, Text(f" {text}"), end="", no_wrap=True, overflow="ignore")


def reporter(label: str) -> Callable[..., None]:
    """A function of (number done, number of all, note = "") that shows progress: for work that counts its own steps."""
    bar = None

    def report(done: int, total: int, note: str = "") -> None:
        nonlocal bar
        bar = bar or Progress(total, label)
        bar.update(done, note)

    return report


def progress(items: Iterable, label: str) -> Iterator:
    """Yield the items, showing progress."""
    items = list(items)
    bar = Progress(len(items), label)
    for number, item in enumerate(items, 1):
        yield item
        bar.update(number)


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
