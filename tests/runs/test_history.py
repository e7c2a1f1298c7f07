"""The history of a training as a table by epoch."""

import csv
import math

import numpy as np

from unet_segnet.runs.history import history_table


def test_numbers_by_iteration_are_averaged_and_those_by_epoch_stay():
    loss, rate = np.array([3.0, 1.0, 0.5, 0.25, 4.0, 2.0]), np.array([1e-3, 1e-3, 1e-3, 1e-3, 1e-4, 1e-4])
    seconds = np.array([9.0, 2.0, 2.5])
    table = history_table({"loss": loss, "learning_rate": rate, "epoch_seconds": seconds}, 3)
    assert table.columns == ("epoch", "loss", "learning_rate", "epoch_seconds")
    assert table.rows == ((1, 2.0, 1e-3, 9.0), (2, 0.375, 1e-3, 2.0), (3, 3.0, 1e-4, 2.5))


def test_of_validations_at_iterations_the_last_of_each_epoch_stands():
    at, losses = np.array([1, 3, 9, 12]), np.array([0.9, 0.7, 0.5, 0.4])
    history = {"loss": np.ones(12), "validation_iteration": at, "validation_loss": losses, "epoch_seconds": np.ones(4)}
    table = history_table(history, 4)
    assert table.columns == ("epoch", "loss", "validation_loss", "epoch_seconds")
    assert [row[2] for row in table.rows] == [0.7, None, 0.5, 0.4]


def test_of_a_training_that_diverged_the_last_epoch_is_not_whole():
    """As the first study's recipe leaves it: the epoch has losses, but no time and no validation."""
    history = {
        "loss": np.array([1.0, 2.0, 3.0, np.nan]),
        "validation_iteration": np.array([2]),
        "validation_loss": np.array([0.5]),
        "epoch_seconds": np.array([7.0]),
    }
    first, second = history_table(history, 2).rows
    assert first == (1, 1.5, 0.5, 7.0)
    assert second[0] == 2 and math.isnan(second[1]) and second[2:] == (None, None)
    assert history_table({}, 1).rows == ((1,),)


def test_other_programs_read_it(tmp_path):
    history_table({"loss": np.array([0.1 + 0.2, 1.0]), "validation_loss": np.array([0.5])}, 2).to_csv(
        tmp_path / "a.csv"
    )
    with (tmp_path / "a.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert float(rows[0]["loss"]) == 0.1 + 0.2 and rows[1] == {"epoch": "2", "loss": "1.0", "validation_loss": ""}
