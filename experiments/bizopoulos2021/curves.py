"""Losses over the epochs of our runs, for Figure 5 and the claims about convergence."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from experiments.bizopoulos2021.counts import CompareRun

KINDS = {"loss": "training", "validation_loss": "validation"}
Key = tuple[str, str, str, str]  # experiment, initialisation, architecture, encoder


def curves(runs: Iterable[CompareRun]) -> dict[str, dict[Key, np.ndarray]]:
    """ "loss" and "validation_loss" -> model -> (epochs,), the mean over seeds, as long as its shortest run."""
    found: dict[str, dict[Key, list[np.ndarray]]] = {kind: {} for kind in KINDS}
    for run in runs:
        history = run.history()
        for kind in KINDS:
            key = (run.experiment, run.initialisation, run.architecture, run.encoder)
            found[kind].setdefault(key, []).append(np.asarray(history[kind], np.float64))
    return {kind: {key: cut(of).mean(axis=0) for key, of in by_key.items()} for kind, by_key in found.items()}


def cut(curves_: Sequence[np.ndarray]) -> np.ndarray:
    """Curves (n, epochs), all cut to the shortest."""
    length = min(map(len, curves_))
    return np.stack([curve[:length] for curve in curves_])


def paired(by_key: dict[Key, np.ndarray], axis: int, first: str, second: str) -> dict[Key, np.ndarray]:
    """Curves of the models that differ in one thing alone: model that has `first` -> (2, epochs), of equal length.

    Arguments:
        by_key: model -> (epochs,).
        axis: which part of the key differs.
        first, second: its two values.
    """
    pairs = {}
    for key in sorted(by_key):
        other = (*key[:axis], second, *key[axis + 1 :])
        if key[axis] == first and other in by_key:
            pairs[key] = cut([by_key[key], by_key[other]])
    return pairs


def means_of_encoders(by_key: Mapping[Key, np.ndarray | float]) -> np.ndarray:
    """(encoders, ...) the mean over each encoder's models: networks on one encoder are no independent witnesses."""
    found: dict[str, list] = {}
    for key in sorted(by_key):
        found.setdefault(key[3], []).append(by_key[key])
    return np.array([np.mean(values, axis=0) for values in found.values()], np.float64)


def epochs_to_common_level(curves_: Sequence[np.ndarray]) -> np.ndarray:
    """Epochs until each curve is first as low as the worst of them ever gets, (n,)."""
    level = max(curve.min() for curve in curves_)
    return np.array([int(np.argmax(curve <= level)) + 1 for curve in curves_])


def epochs_to_converge(curve: np.ndarray, share: float = 0.9) -> int:
    """Epochs until a curve has first made this share of its fall from the first epoch to its lowest."""
    return int(np.argmax(curve <= curve[0] - share * (curve[0] - curve.min()))) + 1


def roughness(curve: np.ndarray) -> float:
    """How much a curve jumps from epoch to epoch, apart from falling: of white noise its standard deviation."""
    return float(np.sqrt(np.mean(np.diff(curve, 2) ** 2) / 6))


def early_and_late(curve: np.ndarray) -> tuple[float, float]:
    """Mean over the first and over the last quarter of the epochs, at least one each."""
    quarter = max(len(curve) // 4, 1)
    return float(curve[:quarter].mean()), float(curve[-quarter:].mean())
