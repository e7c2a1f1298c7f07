"""How far trainings of one seed are apart on this machine, under settings that should not matter.

    python -m experiments.determinism
    KERAS_BACKEND=jax python -m experiments.determinism --out jax.csv

Each training has a process of its own. On a processor the same settings give the same bits; on GPUs some kernels add
up in no fixed order.
"""

import argparse
import os
import tempfile
import time
from pathlib import Path

from experiments.reporting.readme import check_markers, replace_between
from experiments.saood2021.protocol import NETS
from unet_segnet.commands.arguments import choices, multiple_of_32, positive
from unet_segnet.errors import InputError
from unet_segnet.output.console import HelpFormatter, Progress, run_command
from unet_segnet.output.records import check_folder, write_json

NUM_SLICES, NUM_VALIDATION, BATCH = 20, 4, 4
ASKED = {  # by backend, what asks for GPU kernels that add up in a fixed order
    "tensorflow": {"TF_DETERMINISTIC_OPS": "1"},
    "jax": {"XLA_FLAGS": "--xla_gpu_deterministic_ops=true"},
}
COLUMNS = ("network", "training", "equal losses", "loss", "weights", "pixels, %", "machine")


def determinism_parser(prog: str, description: str) -> argparse.ArgumentParser:
    """The parser of `determinism`."""
    parser = argparse.ArgumentParser(prog=prog, description=description, formatter_class=HelpFormatter)
    parser.add_argument("--nets", type=choices(NETS), default=",".join(NETS), metavar=",".join(NETS), help="which")
    parser.add_argument("--size", type=multiple_of_32, default=128, help="height and width of a slice, pixels")
    parser.add_argument("--epochs", type=positive, default=4, help="of each training")
    parser.add_argument("--out", type=Path, default=Path("runs/determinism.csv"), help="CSV file for the table")
    parser.add_argument("--readme", type=Path, help="also put the table between this file's markers")
    parser.add_argument("--force", action="store_true", help="replace the table of an earlier call")
    return parser


def main() -> None:
    """The command."""
    options = determinism_parser("python -m experiments.determinism", __doc__.splitlines()[0]).parse_args()
    run_command(lambda: determinism(options), options)


def determinism(options) -> None:
    """Train by turns, compare, and write the table with the machine's description.

    Raises:
        InputError: the table cannot be written, is there already, or a training failed.
    """
    check_folder(options.out.parent)
    if options.readme:
        check_markers(options.readme, "determinism")
    if options.out.exists() and not options.force:
        raise InputError(f"{options.out}: is there already; give another file with --out, or --force to replace it")
    from experiments.bench.workers import once
    from unet_segnet.output.tabular import Table

    started = time.monotonic()
    machine = once("the machine", "keras_networks", "machine")
    about = machine["provenance"]
    plan = trainings(about["backend"], machine["device"] == "cpu")
    rows, bar = [], Progress(len(options.nets) * len(plan), "determinism")
    with tempfile.TemporaryDirectory(prefix="determinism-") as folder:
        for number, net in enumerate(options.nets):
            done = []
            for name, settings, other in plan:
                done.append(_trained(net, settings, options, Path(folder) / f"{net}{len(done)}.npz"))
                if other is not None:
                    rows.append((net, name, *differences(done[other], done[-1]), about["device"]))
                bar.update(number * len(plan) + len(done))
    table = Table("How far two trainings of one seed are apart.", COLUMNS, tuple(rows), _notes(options, about))
    options.out.parent.mkdir(parents=True, exist_ok=True)
    table.to_csv(options.out)
    write_json(options.out.with_suffix(".json"), {**about, "seconds": round(time.monotonic() - started, 1)})
    if options.readme:
        replace_between(options.readme, "determinism", table.to_markdown())
    print(f"{table.to_text()}\nwritten to {options.out}")


def trainings(backend: str, on_processor: bool) -> list[tuple[str, dict, int | None]]:
    """The trainings of a network: name, environment variables, and number of the one that it is compared with."""
    plan = [("the first", {}, None), ("the same again", {}, 0)]
    if on_processor and backend == "tensorflow":
        one = {"TF_NUM_INTRAOP_THREADS": "1", "OMP_NUM_THREADS": "1"}
        plan += [("with one thread", one, 0), ("without oneDNN", {"TF_ENABLE_ONEDNN_OPTS": "0"}, 0)]
    elif not on_processor and backend in ASKED:
        plan += [("in a fixed order", ASKED[backend], 0), ("in a fixed order, again", ASKED[backend], 2)]
    return plan


def differences(first: dict, second: dict) -> tuple:
    """How far two trainings are apart.

    Arguments:
        first, second: "loss" of each iteration, trainable "weights", "classes" of the validation slices' pixels.

    Returns:
        Iterations until the first loss that differs, with the number of all; the largest difference of a loss; the
        distance of the weights as a share of their length; the share of the pixels with another class, percent.
    """
    import numpy as np

    differing = np.flatnonzero(first["loss"] != second["loss"])
    equal = int(differing[0]) if differing.size else len(first["loss"])
    loss = np.abs(first["loss"] - second["loss"]).max()
    distance = np.linalg.norm(first["weights"] - second["weights"]) / np.linalg.norm(first["weights"])
    other = 100 * float((first["classes"] != second["classes"]).mean())
    return f"{equal} of {len(first['loss'])}", f"{loss:.1g}", f"{distance:.1g}", other


def _trained(net, settings, options, file) -> dict:
    from experiments.bench.workers import once
    from unet_segnet.output.npz import read_npz

    once(
        f"{net}'s training",
        "keras_networks",
        "whole_training",
        environment=_beside_the_users(settings),
        file=str(file),
        net=net,
        variant="released",
        dtype="float32",
        batch=BATCH,
        size=options.size,
        num_slices=NUM_SLICES,
        num_validation=NUM_VALIDATION,
        num_epochs=options.epochs,
    )
    return read_npz(file, ("loss", "weights", "classes"))


def _beside_the_users(settings: dict[str, str]) -> dict[str, str]:
    """Environment variables of a training; flags go behind the user's own."""
    flags = f"{os.environ.get('XLA_FLAGS', '')} {settings.get('XLA_FLAGS', '')}".strip()
    return {**settings, "XLA_FLAGS": flags} if "XLA_FLAGS" in settings else settings


def _notes(options, about) -> tuple[str, ...]:
    return (
        f"Variant released, {NUM_SLICES} made-up slices of {options.size}x{options.size}, mini-batches of {BATCH}, "
        f"{options.epochs} epochs, float32, {about['backend']}, {about['threads']} threads.",
        "Compared with the first training; those in a fixed order, of kernels that promise it, with each other too.",
        "equal losses: iterations before the first loss that differs in any bit; loss: largest difference; weights: "
        "distance, as a share of their length; "
        f"pixels: of {NUM_VALIDATION} slices, those that the trained networks put into different classes.",
    )


if __name__ == "__main__":
    main()
