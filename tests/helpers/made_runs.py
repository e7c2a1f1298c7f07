"""Finished trainings and evidence made of numbers, for the tests of the report."""

from pathlib import Path

import numpy as np

from experiments.saood2021.counts import RunCounts
from experiments.saood2021.evidence import Evidence, FinishedRun
from unet_segnet.output.records import write_arrays

PIXELS = 256 * 256
NUM_CLASSES = {"binary": 2, "multiclass": 4}


def made_run(
    net="segnet",
    problem="binary",
    variant="released",
    experiment=4,
    seed=0,
    fold=None,
    missed=0.05,
    false=0.04,
    noise=0.3,
    num_slices=18,
    validation=None,
    folder=Path("nowhere"),
    dtype="float32",
    stream="numpy",
    encoder_weights=None,
    **result,
):
    """A finished training that misses a share of each lesion class and calls a share of healthy pixels class 1.

    The slices have the same lesions whatever the network; `noise` makes the shares differ over slices by that part
    of them, differently for each seed. `validation` is the share of errors on three validation slices.
    """
    num_classes = NUM_CLASSES[problem]
    lesions = np.random.default_rng(fold or 0).integers(500, 6000, (num_slices, num_classes - 1))
    spread = 1 + noise * np.random.default_rng([seed, experiment, fold or 0]).uniform(-1, 1, (num_slices, 2))
    confusion = np.zeros((num_slices, num_classes, num_classes), int)
    for counts, sizes, (more_missed, more_false) in zip(confusion, lesions, spread, strict=True):
        counts[1:, 0] = sizes * missed * more_missed
        counts[range(1, num_classes), range(1, num_classes)] = sizes - counts[1:, 0]
        counts[0, 1] = (PIXELS - sizes.sum()) * false * more_false
        counts[0, 0] = PIXELS - sizes.sum() - counts[0, 1]
    wrong = round(PIXELS * (false if validation is None else validation))
    validated = np.zeros((3, num_classes, num_classes), int)
    validated[:, 0, :2] = PIXELS - wrong, wrong
    names = tuple(f"{fold}-{index}" for index in range(num_slices))
    about = (net, problem, variant, experiment, seed, fold, names, confusion, validated, stream, encoder_weights)
    return FinishedRun(folder, {"recipe": {"dtype": dtype}}, result, RunCounts(*about), committed=False)


def made_grid(
    problem="binary", variant="released", nets=("segnet", "unet"), best=(), experiments=range(1, 10), **changes
):
    """Nine configurations of each network, worse the further they are from `best` (network -> configuration)."""
    best = {"segnet": 4, "unet": 4} | dict(best)
    return [
        made_run(net, problem, variant, e, false=0.03 + 0.004 * abs(e - best[net]), **changes)
        for net in nets
        for e in experiments
    ]


def made_folds(net, problem="binary", variant="released", folds=range(5), **changes):
    """A training on each fold."""
    experiment = 7 if (net, problem) == ("segnet", "multiclass") else 4
    return [made_run(net, problem, variant, experiment, fold=fold, num_slices=20, **changes) for fold in folds]


def evidence(*runs, slices=None, data="COVID19-DL"):
    """The report's evidence."""
    random, pretrained = (
        tuple(run for run in runs if (run.counts.encoder_weights is None) == is_random) for is_random in (True, False)
    )
    return Evidence(random, slices, data, pretrained=pretrained)


def write_history(run: FinishedRun, updates: int, final_loss: float) -> FinishedRun:
    """Give a made run a history: a validation every 30 updates whose loss falls evenly from 1 to `final_loss`."""
    at = np.arange(30, updates + 1, 30)
    run.folder.mkdir(parents=True, exist_ok=True)
    losses = np.linspace(1, final_loss, len(at))
    write_arrays(
        run.folder / "history.npz",
        {"loss": np.ones(updates), "validation_iteration": at, "validation_loss": losses},
    )
    return run


def write_last_epochs(run: FinishedRun, missed) -> FinishedRun:
    """Give a made run counts of its last epochs: a share of each lesion class's hits, `missed`, is missed in each."""
    run.folder.mkdir(parents=True, exist_ok=True)
    arrays = {"epoch": np.arange(161 - len(missed), 161)}
    for part in ("test", "validation"):
        counts = np.repeat(getattr(run.counts, f"{part}_confusion")[None], len(missed), axis=0)
        for of_epoch, share in zip(counts, missed, strict=True):
            for index in range(1, counts.shape[-1]):
                more = (of_epoch[:, index, index] * share).astype(int)
                of_epoch[:, index, index] -= more
                of_epoch[:, index, 0] += more
        arrays[f"{part}_confusion"] = counts
    write_arrays(run.folder / "last_epochs.npz", arrays)
    return run
