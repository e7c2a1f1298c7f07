"""Seeded fuzzer of everything that reads files: `python tests/robustness/fuzz.py --count 1000 --seed 0`.

Every spoilt file must give a sound result, or an `InputError` of one printable line that names the file; within 10 s,
within 2 GiB beyond what the libraries take, and with nothing written beside it. The files are read in a process of
their own, which is started again where one of them ends it.

    python tests/robustness/fuzz.py --reader dicom --only 17 --keep /tmp/seen      the files of one case, to look at
"""

import argparse
import json
import os
import platform
import queue
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import fuzz_mutations
import fuzz_readers

SECONDS = 10.0  # of processor time for one case; the clock may take thrice that on a busy machine
START_SECONDS = 180.0
BYTES = 2 * 2**30
GOOD = ("read", "refused")


@dataclass
class Tally:
    """Outcomes of one reader: how many of each, and what was told of those that should not be."""

    counts: Counter = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    slowest: float = 0.0
    peak: int = 0  # MiB beyond the start


def fuzz(readers: list[str], count: int, seed: int = 0, report=None) -> dict[str, Tally]:
    """Read `count` spoilt files with each reader.

    Arguments:
        readers: names in `fuzz_readers.READERS`, or "released .mat".
        count: cases of each reader.
        seed: of the cases; case n of a reader is the same whatever the count.
        report: called with a line about each case that should not be.

    Returns:
        Tally by reader.
    """
    tallies = {reader: Tally() for reader in readers}
    for group in (False, True):
        waiting = [
            (reader, n) for reader in readers for n in range(count) if (reader in fuzz_readers.WITH_KERAS) == group
        ]
        while waiting:
            waiting = _watch(waiting, seed, tallies, report)
    return tallies


def _watch(waiting: list, seed: int, tallies: dict, report) -> list:
    """One process of readers, until it is done or a case ends it; gives the cases that are left."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "cases.json").write_text(json.dumps([seed, waiting]))
        (Path(folder) / "tmp").mkdir()
        environment = {**os.environ, "TMPDIR": f"{folder}/tmp", "TF_CPP_MIN_LOG_LEVEL": "3", "OMP_NUM_THREADS": "1"}
        command = [sys.executable, __file__, "--child", folder]
        with subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="replace"
        ) as child:
            lines: queue.Queue = queue.Queue()
            errors: list[str] = []
            threading.Thread(target=lambda: [*map(lines.put, child.stdout), lines.put(None)], daemon=True).start()
            threading.Thread(target=lambda: errors.extend(child.stderr), daemon=True).start()
            done, allowed, started = 0, START_SECONDS, False
            while done < len(waiting):
                try:
                    line = lines.get(timeout=allowed)
                except queue.Empty:
                    line = None
                    child.kill()
                said = json.loads(line) if line else {}
                if said.get("ready"):
                    started, allowed = True, 3 * SECONDS + 5
                    continue
                if not started:
                    child.kill()
                    raise RuntimeError(f"the readers do not start: {''.join(errors)[-3000:]}")
                reader, number = waiting[done]
                done += 1
                ended = f"the process ended, {''.join(errors)[-300:]!r}" if child.poll() is not None else "no answer"
                _count(tallies[reader], f"{reader} {number}", said or {"outcome": "ended", "told": ended}, report)
                if not said:
                    child.kill()
                    break
    return waiting[done:]


def _count(tally: Tally, case: str, said: dict, report) -> None:
    tally.counts[said["outcome"]] += 1
    tally.slowest = max(tally.slowest, said.get("seconds", 0.0))
    tally.peak = max(tally.peak, said.get("peak", 0))
    if said["outcome"] not in GOOD:
        line = f"{case}: {said['outcome']}: {said.get('mutation', '')} -> {said['told']}"
        tally.faults.append(line)
        if report:
            report(line)


# In the process of its own


def case_files(reader: str, number: int, seed: int, samples: list, readers: dict) -> tuple[dict[str, bytes], str]:
    """The spoilt files of a case, and how they were spoilt."""
    rng = random.Random(f"{seed} {reader} {number}")
    spoil = getattr(readers[reader], "spoil", fuzz_mutations.spoil)
    return spoil(rng, rng.choice(samples))


def put_files(folder: Path, files: dict[str, bytes]) -> None:
    """Write files below `folder`, which stands for the user's folder, and make the folder of the output."""
    shutil.rmtree(folder, ignore_errors=True)
    for name in ("files", "out"):
        (folder / name).mkdir(parents=True)
    for name, content in files.items():
        path = folder / "files" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def child(folder: Path) -> None:
    """Read the cases that stand in `folder`, a line of JSON about each."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print is none of the answers
    seed, cases = json.loads((folder / "cases.json").read_text())
    os.environ["UNET_SEGNET_DATA"], data = str(folder / "none"), os.environ.get("UNET_SEGNET_DATA", "")
    readers, samples = {}, {}
    known = fuzz_readers.READERS | fuzz_readers.RELEASED_READER
    for reader in dict.fromkeys(reader for reader, _ in cases):
        readers[reader] = known[reader]()
        (folder / "samples" / reader).mkdir(parents=True)
        with _data(data if reader == "released .mat" else str(folder / "none")):
            samples[reader] = readers[reader].samples(folder / "samples" / reader)
        put_files(folder / "case", samples[reader][0])
        readers[reader].read(folder / "case") if reader != "commands" else None  # what is imported counts not
    shutil.rmtree(folder / "samples")
    taken = _limit_memory()
    print(json.dumps({"ready": True}), file=answers, flush=True)
    for reader, number in cases:
        files, mutation = case_files(reader, number, seed, samples[reader], readers)
        os.chdir(folder)
        put_files(folder / "case", files)
        before = _state(folder)
        began, _ = time.process_time(), _reset_peak()
        outcome, told = _attempt(readers[reader], folder / "case")
        seconds = time.process_time() - began
        peak = (_status("VmHWM") - taken) // 2**20
        if outcome in GOOD and (changed := _changes(before, _state(folder), outcome, files)):
            outcome, told = "written", changed
        if outcome in GOOD and peak > BYTES // 2**20:
            outcome, told = "memory", f"{peak} MiB"
        if outcome in GOOD and seconds > SECONDS:
            outcome, told = "slow", f"{seconds:.1f} s"
        answer = {"outcome": outcome, "told": told, "mutation": mutation, "seconds": seconds, "peak": peak}
        print(json.dumps(answer), file=answers, flush=True)


def _attempt(reader, folder: Path) -> tuple[str, str]:
    from unet_segnet.errors import InputError

    try:
        reader.read(folder)
        return "read", ""
    except InputError as error:
        message, cause = str(error), error
        while cause is not None:
            if isinstance(cause, MemoryError):
                return "memory", message
            cause = cause.__cause__ or cause.__context__
        if not message.isprintable() or len(message) > 1500 or str(folder) not in message:
            return "unclear", ascii(message)
        return "refused", message
    except MemoryError as error:
        return "memory", str(error)
    except AssertionError as error:
        return "wrong", str(error)
    except BaseException as error:
        import traceback

        where = traceback.extract_tb(error.__traceback__)
        ours = [
            f"{Path(frame.filename).name}:{frame.lineno}" for frame in where if "site-packages" not in frame.filename
        ]
        return "fault", f"{type(error).__name__}: {str(error)[:200]} in {', '.join(ours[-3:])}"


def _state(folder: Path) -> dict[str, tuple]:
    """Size and time of everything below a folder."""
    found = {}
    for path in folder.rglob("*"):
        status = path.lstat()
        found[path.relative_to(folder).as_posix()] = status.st_size, 0 if path.is_dir() else status.st_mtime_ns
    return found


def _changes(before: dict, after: dict, outcome: str, files: dict) -> str:
    """What was written though it should not be; a sound result may be written to `out`."""
    changed = sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))
    allowed = ("case/out",) if outcome == "read" else ("case/out/\0",)
    return ", ".join(
        name
        for name in changed
        if not name.startswith(allowed) and not (name in before and name in after and before[name][1] == 0)
    )[:200]


def _status(key: str) -> int:
    """Bytes of an entry of this process' status."""
    text = Path("/proc/self/status").read_text()
    return int(text.split(f"{key}:")[1].split()[0]) * 1024


def _reset_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5")


def _limit_memory() -> int:
    """Take no more than `BYTES` from now on; gives what is taken already."""
    import resource

    resource.setrlimit(resource.RLIMIT_AS, (_status("VmSize") + BYTES,) * 2)
    return _status("VmRSS")


class _data:  # noqa: N801
    """The variable that names the data, for a while."""

    def __init__(self, value):
        self.value = value

    def __enter__(self):
        self.before, os.environ["UNET_SEGNET_DATA"] = os.environ["UNET_SEGNET_DATA"], self.value

    def __exit__(self, *_):
        os.environ["UNET_SEGNET_DATA"] = self.before


def as_table(tallies: dict[str, Tally]):
    """Files and outcomes of each reader, and of all, as a `Table`."""
    from unet_segnet.output.tabular import Table

    def row(name, tallied):
        counts = sum((tally.counts for tally in tallied), Counter())
        good = [counts[outcome] for outcome in GOOD]
        limits = f"{max(tally.slowest for tally in tallied):.1f}", max(tally.peak for tally in tallied)
        return (name, counts.total(), *good, counts.total() - sum(good), *limits)

    rows = [row(fuzz_readers.TITLES[reader], [tally]) for reader, tally in tallies.items()]
    return Table(
        "Spoilt files, and what the readers made of them.",
        ("reader", "files", "sound", "refused in one line", "anything else", "slowest: s", "most memory: MiB"),
        (*rows, row("all", list(tallies.values()))),
        (
            "Sound: what was spoilt does not matter, or cannot be seen. Anything else: a traceback, a line that is not "
            f"clear, an impossible result, anything written, more than {SECONDS:g} s or {BYTES // 2**30} GiB.",
            "Seconds of processor time; memory beyond what the libraries take.",
        ),
    )


def write(tallies: dict[str, Tally], options) -> None:
    """Write the table, where it comes from beside it, and put it between the README's markers."""
    from experiments.reporting.readme import replace_between
    from unet_segnet.output.records import write_json
    from unet_segnet.runs.provenance import commit, device_name

    table = as_table(tallies)
    table.to_csv(options.out)
    about = {
        "command": " ".join(["python tests/robustness/fuzz.py", *sys.argv[1:]]),
        "commit": commit(),
        "device": device_name(),
        "system": f"{platform.system()} {platform.release()}",
        "finished_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "faults": [line for tally in tallies.values() for line in tally.faults],
    }
    write_json(options.out.with_suffix(".json"), about)
    if options.readme:
        replace_between(options.readme, "fuzz", table.to_markdown())


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    names = [*fuzz_readers.READERS, *fuzz_readers.RELEASED_READER]
    parser.add_argument("--count", type=int, default=1000, help="files in total, over the readers")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--reader", choices=names, nargs="+", default=list(fuzz_readers.READERS), help="some of them")
    parser.add_argument("--only", type=int, help="write the files of this case of the one reader to --keep")
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--out", type=Path, help="CSV file; where it comes from is written beside it, as JSON")
    parser.add_argument("--readme", type=Path, help="with --out: also put the table between this file's markers")
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(options.child)
    elif options.only is not None:
        (name,) = options.reader
        readers = {name: (fuzz_readers.READERS | fuzz_readers.RELEASED_READER)[name]()}
        with tempfile.TemporaryDirectory() as folder:
            samples = readers[name].samples(Path(folder))
        files, mutation = case_files(name, options.only, options.seed, samples, readers)
        put_files(options.keep, files)
        print(mutation)
    else:
        each = -(-options.count // len(options.reader))
        tallies = fuzz(options.reader, each, options.seed, report=lambda line: print(line, flush=True))
        print(as_table(tallies).to_text(), end="")
        if options.out:
            write(tallies, options)
        sys.exit(any(tally.faults for tally in tallies.values()))


if __name__ == "__main__":
    main()
