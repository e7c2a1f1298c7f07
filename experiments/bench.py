"""Speed and memory of training and inference on this machine.

    python -m experiments.bench
    python -m experiments.bench --nets segnet --variant paper --batch 4 --dtypes float32,mixed_bfloat16

Each row is a process of its own: it builds one network, times whole training steps (loss, gradients, optimiser; no
augmentation) and inference on random slices, and reports the most memory that it ever held. Rows of one table were
measured one after the other on one machine; compare them with each other rather than with another machine's.
"""

import json
import subprocess
import sys
from pathlib import Path

from experiments.console import progress, run_command
from experiments.options import NETS, bench_parser
from unet_segnet.errors import InputError

COLUMNS = (
    "network", "variant", "dtype", "batch", "size",
    "training: ms/step", "training: slices/s", "inference: slices/s", "memory: MiB",
)  # fmt: skip


def main() -> None:
    """The command."""
    options = bench_parser("python -m experiments.bench", __doc__.splitlines()[0]).parse_args()
    run_command(lambda: measure_one(json.loads(options.row)) if options.row else bench(options))


def bench(options) -> None:
    """Measure every row in a process of its own, print the table and write it with the machine's description."""
    from experiments.console import import_keras
    from experiments.provenance import provenance
    from experiments.runs import write_json
    from experiments.tabular import Table

    nets = options.nets or NETS
    settings = [
        {"net": net, "dtype": dtype, "variant": options.variant, "batch": options.batch, "size": options.size,
         "repeats": options.repeats}
        for net in nets
        for dtype in options.dtypes
    ]  # fmt: skip
    found = [_in_own_process(setting) for setting in progress(settings, "bench")]
    machine = found[0]["device"]
    rows = tuple(
        (
            *(row[key] for key in ("net", "variant", "dtype", "batch", "size")),
            round(1000 * row["step_seconds"]),
            row["batch"] / row["step_seconds"],
            row["batch"] / row["inference_seconds"],
            round(row["peak_bytes"] / 2**20),
        )
        for row in found
    )
    notes = (
        f"Medians of {options.repeats} after two that are not counted. Machine: {machine}; backend "
        f"{found[0]['backend']}.",
        "memory: the most that the process held, libraries and compilation included.",
    )
    table = Table("Speed and memory of whole training steps and of inference.", COLUMNS, rows, notes)
    print(table.to_text())
    table.to_csv(options.out / "bench.csv")
    import_keras()
    write_json(options.out / "bench.json", {"rows": found, **provenance(found[0]["started"])})
    print(f"written to {options.out}: bench.csv, bench.json")


def _in_own_process(setting: dict) -> dict:
    done = subprocess.run(
        [sys.executable, "-m", "experiments.bench", "--row", json.dumps(setting)],
        cwd=Path(__file__).parent.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise InputError(f"measuring {setting['net']} {setting['variant']} {setting['dtype']} failed: {last}")
    return {**setting, **json.loads(done.stdout.splitlines()[-1])}


def measure_one(setting: dict) -> None:
    """Measure one row and print it as JSON, in this process."""
    import resource
    import statistics
    import time

    started = time.time()
    from experiments.console import import_keras

    import_keras()
    import keras
    import numpy as np

    from experiments.provenance import device_name
    from unet_segnet.models import build_model
    from unet_segnet.training import Recipe, compile_model, dtype_policy, keep_freed_memory

    keep_freed_memory()
    shape = (setting["batch"], setting["size"], setting["size"])
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (*shape, 1), dtype=np.uint8)
    labels = generator.integers(0, 2, shape, dtype=np.uint8)
    with dtype_policy(setting["dtype"]):
        model = build_model(setting["net"], variant=setting["variant"], input_shape=images.shape[1:])
    compile_model(model, Recipe(batch_size=setting["batch"]), np.array([0.5, 7.0]), iterations=1)

    def median(call):
        seconds = []
        for _ in range(setting["repeats"] + 2):
            begin = time.perf_counter()
            call()
            seconds.append(time.perf_counter() - begin)
        return statistics.median(seconds[2:])

    row = {
        "step_seconds": median(lambda: model.train_on_batch(images, labels)),
        "inference_seconds": median(lambda: np.asarray(model.predict_on_batch(images))),
        "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024),
        "device": device_name(),
        "backend": keras.config.backend(),
        "started": started,
    }
    print(json.dumps(row))


if __name__ == "__main__":
    main()
