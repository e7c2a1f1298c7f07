"""The parts of `experiments.bench` without a network: augmentation, scores, start-up of the commands."""

import statistics
import subprocess
import sys
import time
from pathlib import Path

from experiments.bench.session import Session
from experiments.bench.workers import Worker, alternate, once
from unet_segnet.commands import VERBS
from unet_segnet.output.console import Progress, progress
from unet_segnet.output.tabular import Table

SCORED_SIZE, SCORED_CLASSES = 512, 4
SCAN_SLICES = 90
ROOT = Path(__file__).parents[2]


def augmentation(session: Session) -> dict[str, Table]:
    """The augmentation of a mini-batch, alone and in one thread."""
    size, num_slices = session.options.size, session.options.batch
    with Worker("augmentation", "slices", "augmentations", size=size, num_slices=num_slices) as worker:
        timing = alternate({"": worker}, "augment", session.options.repeats, "bench: augmentation")[""]
    row = (num_slices, size, 1000 * timing.median, round(100 * timing.spread), 1 / timing.median)
    columns = ("batch", "size", "ms/slice", "spread %", "slices/s")
    return {"augmentation": Table("Augmentation alone, in one thread.", columns, (row,))}


def metrics(session: Session) -> dict[str, Table]:
    """Counts, scores and boundary scores of many slices, streamed, against scikit-learn; severity of one scan."""
    num_slices, few = session.options.slices, min(session.options.repeats, session.options.slices)
    setting = {"size": SCORED_SIZE, "num_classes": SCORED_CLASSES}
    ours, theirs = {}, {}
    in_scan = min(SCAN_SLICES, num_slices)
    bar = Progress(7, "bench: metrics")
    with Worker("our scores", "slices", "scores", num_slices=num_slices, **setting) as worker:
        for done, task in enumerate(("counts", "scores", "boundary"), 1):
            ours[task] = worker.run(task)
            bar.update(done)
    with Worker("scikit-learn's scores", "slices", "scores", num_slices=few, **setting) as worker:
        for done, task in enumerate(("counts", "scores"), 4):
            theirs[task] = worker.run(f"scikit-learn {task}")
            bar.update(done)
    difference = once("scores", "slices", "score_difference", num_slices=few, **setting)
    bar.update(6)
    with Worker("severity", "slices", "severities", num_slices=in_scan, **setting) as worker:
        scans = [worker.run("severity") for _ in range(session.options.repeats)]
    bar.update(7)
    names = {"counts": "pixel counts", "scores": "counts and all scores", "boundary": "boundary scores"}
    rows = []
    for task, found in ours.items():
        seconds = num_slices * statistics.median(found["seconds"])
        sklearn = num_slices * statistics.median(theirs[task]["seconds"]) if task in theirs else None
        ratio = sklearn / seconds if sklearn else None
        rows.append((names[task], num_slices, seconds, sklearn, ratio, round(found["memory"])))
    seconds, memory = (statistics.median(scan[what] for scan in scans) for what in ("seconds", "memory"))
    rows.append(("severity of a scan", in_scan, seconds, None, None, round(memory)))
    columns = ("what", "slices", "ours: s", "scikit-learn: s", "ratio", "memory: MiB")
    notes = (
        f"Slices of {SCORED_SIZE}x{SCORED_SIZE} with {SCORED_CLASSES} classes, streamed in blocks; slices times the "
        f"median over the blocks. scikit-learn: the median of {few} slices, extrapolated. A scan is taken whole.",
        f"Largest difference between the scores that both have: {difference:.1g}.",
    )
    return {"metrics": Table("Scores alone.", columns, tuple(rows), notes)}


def command_names() -> dict[str, list[str]]:
    """What follows `python -m` to run each command: those of `experiments`, and the verbs of `unet-segnet`."""
    folder = Path(__file__).parents[1]
    modules = [path.stem for path in folder.glob("*.py") if "\nif __name__ ==" in path.read_text(encoding="utf-8")]
    studies = sorted([*modules, *(path.parent.name for path in folder.glob("*/__main__.py"))])
    verbs = {f"unet-segnet {verb}": ["unet_segnet", verb] for verb in VERBS}
    return {name: [f"experiments.{name}"] for name in studies} | verbs


def startup(session: Session) -> dict[str, Table]:
    """Seconds until each command has printed its help."""
    calls = {"python -c pass": ["-c", "pass"]}
    calls |= {f"{name} --help": ["-m", *words, "--help"] for name, words in command_names().items()}
    seconds = {name: [] for name in calls}
    for turn in progress(range(session.options.repeats + 1), "bench: start-up"):
        for name, call in calls.items():
            started = time.perf_counter()
            subprocess.run([sys.executable, *call], cwd=ROOT, stdout=subprocess.DEVNULL, check=True)
            if turn:  # the first one reads from the disk
                seconds[name].append(time.perf_counter() - started)
    rows = tuple((name, statistics.median(found), min(found), max(found)) for name, found in seconds.items())
    return {"startup": Table("Start-up of the commands.", ("command", "s", "least", "most"), rows)}
