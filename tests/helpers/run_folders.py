"""Run folders of the first study, made without a training."""

import json
import random
import zipfile
from dataclasses import asdict
from pathlib import Path

import numpy as np

from experiments.saood2021.archive_checks import PER_ITERATION, PER_VALIDATION
from experiments.saood2021.runs import RunSpec
from unet_segnet.runs.folder import RunFolder


def make_run(out, spec, right=90, epoch_seconds=(9.0, 2.0, 2.0), network=0, last_epochs=0, **changes):
    """A finished run folder without a training: two test slices of 100 pixels, `right` of them hit.

    `last_epochs` of its epochs are counted, each as the last one.
    """
    num_classes = 2 if spec.problem == "binary" else 4
    confusion = np.zeros((2, num_classes, num_classes), np.int64)
    confusion[:, 0, 0], confusion[:, 1, 0] = right, 100 - right
    settings = {
        "recipe": {"batch_size": 4, "epochs": len(epoch_seconds), "dtype": "float32", "validation": "epoch"},
        "data": {"name": "made", "size": 256, "sha256": "0" * 64},
        "split": {"train": [f"{n:03}" for n in range(72)], "validation": ["v1"], "test": ["t1", "t2"]},
    }
    result = {"status": "finished", "seconds": 20.0, "threads": 2, "device": "made", "backend": "tensorflow"}
    result.update({key: value for key, value in changes.items() if key in (*result, "epoch")})
    settings["recipe"].update({key: value for key, value in changes.items() if key in settings["recipe"]})
    folder = RunFolder(out, spec)
    folder.path.mkdir(parents=True)
    config = {"format": 1, **asdict(spec), **settings, "backend": "tensorflow"}
    folder.config.write_text(json.dumps(config))
    rows = dict.fromkeys(PER_ITERATION, np.linspace(1, 0, 54)) | dict.fromkeys(PER_VALIDATION, np.ones(3))
    np.savez_compressed(folder.history, **rows, epoch_seconds=np.array(epoch_seconds, float))
    if result["status"] == "finished":
        counts = {"names": np.array(["t1", "t2"]), "confusion": confusion, "bf": np.array([0.5, np.nan])}
        validation = {"names": np.array(["v1"]), "confusion": confusion[:1], "bf": np.array([0.5])}
        np.savez_compressed(
            folder.counts,
            **{f"test_{key}": value for key, value in counts.items()},
            **{f"validation_{key}": value for key, value in validation.items()},
        )
    if last_epochs:
        np.savez_compressed(
            folder.path / "last_epochs.npz",
            epoch=np.arange(len(epoch_seconds) - last_epochs, len(epoch_seconds)) + 1,
            test_confusion=np.stack([confusion] * last_epochs),
            validation_confusion=np.stack([confusion[:1]] * last_epochs),
        )
    if network:
        with zipfile.ZipFile(folder.model, "w") as model:
            model.writestr("metadata.json", "{}")
            model.writestr("config.json", "{}")
            model.writestr("model.weights.h5", random.Random(network).randbytes(network))
    folder.result.write_text(json.dumps(result))
    return folder


def spec(net="segnet", problem="binary", experiment=4, study="grid", variant="released", **more):
    return RunSpec(study, net, variant, problem, experiment, **more)


def contents(out):
    """Relative path -> bytes of all files but the locks."""
    return {
        path.relative_to(out).as_posix(): path.read_bytes()
        for path in sorted(Path(out).rglob("*"))
        if path.is_file() and path.name != "lock"
    }
