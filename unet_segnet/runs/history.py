"""What was watched while a network trained, as a table that other programs read."""

from collections.abc import Mapping

import numpy as np

from unet_segnet.output.tabular import Table

AT = "validation_iteration"  # where validations stand, counted from 1; else there is one an epoch


def history_table(history: Mapping[str, np.ndarray], num_epochs: int) -> Table:
    """A row for each epoch, as Keras' `CSVLogger` has them.

    Arguments:
        history: arrays of history.npz: numbers by epoch or by iteration, and validations at iterations (`AT`).
        num_epochs: that were begun.

    Returns:
        Columns: epoch, from 1, and the arrays by name. Of what was watched by iteration, the mean over the epoch; of
        several validations in an epoch, the last; empty where there is none.
    """
    iterations = max((len(values) for values in history.values()), default=0) // max(num_epochs, 1)
    columns = {"epoch": range(1, num_epochs + 1)}
    for name, values in history.items():
        values = np.asarray(values)
        if name == AT:
            continue
        if AT in history and name.startswith("validation"):
            at = (np.asarray(history[AT]) - 1) // max(iterations, 1)
            last = dict(zip(at.tolist(), values.tolist(), strict=True))
            columns[name] = [last.get(epoch) for epoch in range(num_epochs)]
        elif len(values) <= num_epochs:
            columns[name] = [*values.tolist(), *[None] * (num_epochs - len(values))]
        else:
            columns[name] = [_mean(part) for part in values[: num_epochs * iterations].reshape(num_epochs, -1)]
    return Table("Each epoch.", tuple(columns), tuple(zip(*columns.values(), strict=True)))


def _mean(values: np.ndarray) -> float:
    """Of equal numbers, such as learning rates, just that number."""
    return float(values[0] if (values == values[0]).all() else values.mean())
