"""Speed and memory of everything that takes time, on this machine, beside PyTorch and scikit-learn.

    python -m experiments.bench
    python -m experiments.bench --parts step,layers --nets segnet --variants released --dtypes float32,mixed_bfloat16

What is compared is measured by turns in one call, each thing in a process of its own, and its median is given. Compare
rows of one call with each other rather than with another machine's.
"""

import os
import time
from dataclasses import asdict
from functools import partial

from experiments.bench.options import BENCH_PARTS, bench_parser
from experiments.reporting.readme import check_markers, replace_between
from unet_segnet.errors import InputError
from unet_segnet.output.console import run_command
from unet_segnet.output.records import check_folder

TABLES = ("peak", "frameworks", "bench", *(part for part in BENCH_PARTS if part not in ("peak", "step", "inference")))

IN_README = ("bench", "encoders", "tool", "processor", "layers", "epoch", "metrics")

BUSY = 0.7
"""Load average before measuring from which on a note is printed. Threads that wait for each other suffer most."""


def main() -> None:
    """The command."""
    options = bench_parser("python -m experiments.bench", __doc__.splitlines()[0]).parse_args()
    run_command(lambda: bench(options), options)


def bench(options) -> None:
    """Measure the parts asked for, print their tables, and write them with the machine's description.

    Raises:
        InputError: something cannot be measured, or the folder holds an earlier call's tables.
    """
    _check(options)
    from experiments.bench.session import Session
    from experiments.bench.workers import once

    started, load = time.monotonic(), os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    if load > BUSY:
        print(f"note: the machine is busy (load {load:.1f}): this spoils comparisons, PyTorch's above all", flush=True)
    session = Session(options, once("the machine", "keras_networks", "machine"))
    device = session.machine["provenance"]["device"]
    print(f"{device}; {session.machine['provenance']['backend']}, {session.machine['provenance']['threads']} threads")
    tables = {}
    for measure in _parts(options.parts):
        for name, table in measure(session).items():
            tables[name] = table
            print(f"\n{table.to_text()}", end="", flush=True)
    _write(options.out, tables, session, {"load_before": load, "seconds": round(time.monotonic() - started, 1)})
    if options.readme:
        shown = [tables[name].to_markdown() for name in IN_README if name in tables and tables[name].rows]
        busy = f" The load was {load:.1f} when it began." if load > BUSY else ""
        replace_between(options.readme, options.section, "\n".join([f"Measured on {device}.{busy}\n", *shown]))
    print(f"\nwritten to {options.out}: {', '.join(f'{name}.csv' for name in tables)}, bench.json")


def _check(options):
    check_folder(options.out)
    if options.readme:
        check_markers(options.readme, options.section)
    if options.epochs < 3:
        raise InputError(f"--epochs {options.epochs}: too few to see what changes over them; give at least 3")
    if (options.out / "bench.json").exists() and not options.force:
        raise InputError(f"{options.out / 'bench.json'}: there already; give another folder with --out, or --force")


def _parts(chosen):
    """The functions that measure the chosen parts, those whose results others use first."""
    from experiments.bench.encoders import encoders
    from experiments.bench.session import TASKS
    from experiments.bench.small import augmentation, metrics, startup
    from experiments.bench.speed import layers, peak, processor, speed
    from experiments.bench.tool import tool
    from experiments.bench.whole import epoch, memory, project

    tasks = tuple(task for task in TASKS if task in chosen)
    functions = {
        "peak": peak,
        tasks[0] if tasks else None: partial(speed, tasks=tasks),
        "processor": processor,
        "encoders": encoders,
        "layers": layers,
        "augmentation": augmentation,
        "epoch": epoch,
        "memory": memory,
        "metrics": metrics,
        "tool": tool,
        "startup": startup,
        "project": project,
    }
    return [measure for part, measure in functions.items() if part in chosen]


def _write(out, tables, session, more):
    from unet_segnet.output.records import write_json
    from unet_segnet.output.tabular import Table

    device = session.machine["provenance"]["device"]
    for name in TABLES:
        if name in tables:
            table = tables[name]
            rows = tuple((*row, device) for row in table.rows)
            Table(table.title, (*table.columns, "machine"), rows).to_csv(out / f"{name}.csv")
        else:  # of an earlier call, which may have been on another machine
            (out / f"{name}.csv").unlink(missing_ok=True)
    content = {
        **session.machine["provenance"],
        **more,
        "finished_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "tables": {
            name: {"title": table.title, "notes": table.notes, "columns": table.columns, "rows": table.rows}
            for name, table in tables.items()
        },
        "timings": [
            {"task": task, **asdict(setting), "first": timing.first, "seconds": timing.seconds}
            for (task, setting), timing in session.timings.items()
        ],
    }
    write_json(out / "bench.json", content)


if __name__ == "__main__":
    main()
