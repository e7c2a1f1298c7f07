"""Puts commands through faults, many times each: `python tests/robustness/faults.py --kills 50 --out faults.csv`.

Nothing that was finished may be lost or changed in silence; the next start goes on, to the result of a run that was not
disturbed, or says in one line what to do. Exit status 1 where one did neither.

    python tests/robustness/faults.py --only "kill -9" --commands grid --kills 5 --seed 3

The table is written row by row; the same command started again goes on with the rows that are not there.
"""

import argparse
import csv
import json
import platform
import random
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "helpers")]  # pytest has them; a script has its own folder alone

import fault_files  # noqa: E402
import fault_kinds  # noqa: E402
import fault_sharing  # noqa: E402
from fault_commands import COMMANDS  # noqa: E402
from fault_trials import Stage, Trial, WrongError  # noqa: E402

TRAINING = ("grid", "kfold", "compare")
GOING_ON = (*TRAINING, "predict")
TOOL = ("predict", "look")
WRITING = (*TRAINING, *TOOL)
KILLS = "kill -9 at a random moment"


@dataclass(frozen=True)
class Fault:
    """A row of the table.

    Attributes:
        name: what goes wrong.
        commands: names in `COMMANDS`.
        bring: of a `Trial`: an outcome for each time that it was tried; raises `WrongError`. Several of them are
            tried once each.
        done: whether it meets a command that has finished before.
        mounts: it needs a file system of its own.
    """

    name: str
    commands: tuple[str, ...]
    bring: Callable[[Trial], list[str]] | tuple[Callable[[Trial], list[str]], ...]
    done: bool = False
    mounts: bool = False


def _files(function, files, commands, done=False, what=""):
    kinds = f"{', '.join([*fault_files.DAMAGES][:-1])} or {[*fault_files.DAMAGES][-1]}"
    return [
        Fault(
            f"{what}{file} {kinds}",
            commands,
            tuple(partial(function, file=file, damage=damage) for damage in fault_files.DAMAGES),
            done,
        )
        for file in files
    ]


FAULTS = [
    Fault(KILLS, WRITING, fault_kinds.killed),
    Fault("kill -9 as a file is put in place", ("grid", "predict"), fault_kinds.killed_at_move),
    Fault("kill -9 of the command, two workers left", TRAINING, fault_kinds.parent_killed),
    Fault("kill -9 of one of two workers", TRAINING, fault_kinds.worker_killed),
    Fault("disk full", GOING_ON, fault_kinds.full_disk, mounts=True),
    Fault("quota full", WRITING, fault_kinds.full_quota),
    Fault("folder read-only", WRITING, fault_kinds.read_only),
    Fault("input folder vanishes", WRITING, fault_kinds.inputs_vanish),
    Fault("memory short", WRITING, fault_kinds.memory_short),
    Fault("second process on the same folder", GOING_ON, fault_kinds.second_process),
    Fault("clock jumps by years", TRAINING, fault_kinds.clock_jumps),
    Fault("two people with other options on one folder", TOOL, fault_sharing.two_people),
    Fault("page cut short by a full disk", TOOL, fault_sharing.full_disk_in_page, mounts=True),
    Fault("network replaced while it is read", ("predict",), fault_sharing.network_swapped),
    *_files(fault_files.damaged_run, fault_files.OF_A_RUN, (*TRAINING, "study"), done=True),
    *_files(fault_files.damaged_run, ("first_layer.npz",), ("compare",), done=True),
    *_files(fault_files.damaged_run, fault_files.OF_A_REPORTED_RUN, ("report",)),
    *_files(fault_files.damaged_run, fault_files.OF_A_SCAN, ("predict",), done=True),
    *_files(fault_files.damaged_state, fault_files.OF_A_STATE, ("grid",), what="unfinished run: "),
]


def chosen(only: list[str], commands: list[str]) -> list[tuple[Fault, str]]:
    """The faults whose name begins with one of `only`, each with those of the commands that it is for."""
    return [
        (fault, command)
        for fault in FAULTS
        if not only or fault.name.startswith(tuple(only))
        for command in fault.commands
        if not commands or command in commands
    ]


def bring_about(stage: Stage, fault: Fault, command: str, times: int, seed: int, report=print) -> Counter:
    """Try a fault so often, on a command; each outcome with its number, faults of ours as "WRONG: ..."."""
    outcomes: Counter = Counter()
    several = fault.bring if isinstance(fault.bring, tuple) else ()
    for number, bring in enumerate(several or [fault.bring] * 10 * times):
        rng = random.Random(f"{seed} {fault.name} {command} {number}")
        try:
            found = bring(Trial(stage, command, rng, fault.done))
            outcomes.update(found if several else found[: times - outcomes.total()])
        except WrongError as error:
            outcomes[f"WRONG: {error}"] += 1
            report(f"{fault.name}, {command}, {number}: {error}")
        except Exception:
            outcomes["WRONG: the test itself"] += 1
            report(traceback.format_exc())
        if not several and outcomes.total() >= times:
            break
    return outcomes


def try_all(stage: Stage, pairs: list[tuple[Fault, str]], options, done: Callable, report: Callable) -> bool:
    """Try these faults on these commands; `done` is called with each row. Returns whether all went well."""
    well = True
    for fault, command in pairs:
        if fault.mounts and not fault_kinds.can_mount():
            done((fault.name, command, Counter()))
            continue
        times = options.times
        if fault.name == KILLS:
            times = -(-options.kills // sum(kind is fault for kind, _ in chosen(options.only, options.commands)))
        began = time.monotonic()
        outcomes = bring_about(stage, fault, command, times, options.seed, report)
        well &= not any("WRONG" in what for what in outcomes)
        report(f"{fault.name}, {command}: {in_words(outcomes)} ({time.monotonic() - began:.0f} s)")
        done((fault.name, command, outcomes))
    return well


def in_words(outcomes: Counter) -> str:
    """Outcomes with their numbers."""
    if not outcomes:
        return "not tried: file systems can be mounted by root alone"
    return "; ".join(f"{number} {what.replace('; ', ', ')}" for what, number in outcomes.most_common())


def by_fault(rows: list[tuple[str, str, Counter]]) -> list[tuple[str, str, Counter]]:
    """The rows with the commands of each fault taken together."""
    faults: dict[str, tuple[list, Counter]] = {}
    for fault, command, outcomes in rows:
        commands, total = faults.setdefault(fault, ([], Counter()))
        commands.append(command)
        total.update(outcomes)
    return [(fault, ", ".join(commands), total) for fault, (commands, total) in faults.items()]


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=50, help="at random moments, over all commands")
    parser.add_argument("--times", type=int, default=5, help="of each other fault and command")
    parser.add_argument("--only", nargs="+", default=[], metavar="FAULT", help="faults whose names begin so")
    parser.add_argument("--commands", nargs="+", default=[], choices=list(COMMANDS))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="CSV file; where it comes from is written beside it, as JSON")
    parser.add_argument("--readme", type=Path, help="also put the table between this file's markers")
    options = parser.parse_args()
    there = {(fault, command) for fault, command, _ in table_of(options.out)} if options.out else set()
    pairs = [pair for pair in chosen(options.only, options.commands) if (pair[0].name, pair[1]) not in there]
    print(f"{len(pairs)} rows to try, {len(there)} there", flush=True)
    if not pairs:
        return tell(options)
    with tempfile.TemporaryDirectory(prefix="faults-") as folder:
        stage = Stage(Path(folder) / "stage", sorted({command for _, command in pairs}))
        well = try_all(
            stage,
            pairs,
            options,
            done=lambda row: options.out and write(row, options),
            report=lambda line: print(line, flush=True),
        )
    sys.exit(not well)


def table_of(path: Path) -> list[tuple[str, str, Counter]]:
    """The rows of a table that was written, those of faults that there are no longer left out, in their order."""
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as stream:
        rows = {(row["fault"], row["command"]): row["outcome"] for row in csv.DictReader(stream)}
    found = []
    for fault, command in chosen([], []):
        if (text := rows.get((fault.name, command))) is not None:
            outcomes = (part.split(" ", 1) for part in text.split("; ") if part[:1].isdigit())
            found.append((fault.name, command, Counter({what: int(number) for number, what in outcomes})))
    return found


def as_table(rows: list[tuple[str, str, Counter]]):
    """The rows as a `Table`."""
    from unet_segnet.output.tabular import Table

    tried = sum(outcomes.total() for *_, outcomes in rows)
    ours = sum(number for *_, outcomes in rows for what, number in outcomes.items() if "WRONG" in what)
    notes = (
        f"{tried} trials, {ours} of them with a fault of ours.",
        "The same result: weights, counts, losses, tables and pictures are, bit for bit, those of a run that was not "
        "disturbed. Nothing that was finished before was lost or changed.",
        "Phantom slices of 32x32, variant released; compare: PSPNet on ResNet-18. Made by "
        "`python tests/robustness/faults.py`.",
    )
    cells = tuple((fault, command, outcomes.total(), in_words(outcomes)) for fault, command, outcomes in rows)
    return Table("Faults, and what came of them.", ("fault", "command", "times tried", "outcome"), cells, notes)


def write(row: tuple[str, str, Counter], options) -> None:
    """Add a row to the table, where it comes from to the file beside it; by fault, to the README."""
    from unet_segnet.output.records import write_json
    from unet_segnet.runs.provenance import commit, device_name

    order = [(fault.name, command) for fault, command in chosen([], [])]
    rows = sorted([*table_of(options.out), row], key=lambda found: order.index(found[:2]))
    origin = options.out.with_suffix(".json")
    about = json.loads(origin.read_text(encoding="utf-8")) if origin.exists() else {}
    about[", ".join(row[:2])] = {
        "command": " ".join(["python tests/robustness/faults.py", *sys.argv[1:]]),
        "commit": commit(),
        "device": device_name(),
        "system": f"{platform.system()} {platform.release()}",
        "finished_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }
    write_json(origin, about)
    as_table(rows).to_csv(options.out)
    tell(options)


def tell(options) -> None:
    """Put the table, by fault, between the README's markers."""
    from experiments.reporting.readme import replace_between

    if options.readme and options.out:
        replace_between(options.readme, "faults", as_table(by_fault(table_of(options.out))).to_markdown())


if __name__ == "__main__":
    main()
