"""How far a training's last network lies from those of the epochs before."""

import numpy as np
import pytest
from made_runs import evidence, made_run, write_last_epochs
from tables import records

from experiments.saood2021 import published
from experiments.saood2021.tables.data import trainings_table
from experiments.saood2021.tables.stopping import last_epochs, last_quarter
from unet_segnet.output.records import write_arrays
from unet_segnet.training.class_weighted import HISTORY_KEYS

EPOCHS, UPDATES = 160, 18


@pytest.fixture
def trained(tmp_path):
    """A function that makes a run whose validation accuracy is as given, once an epoch."""

    def make(accuracies, **settings):
        run = made_run(folder=tmp_path / str(len(list(tmp_path.iterdir()))), **settings)
        at = np.arange(1, len(accuracies) + 1) * UPDATES
        history = dict.fromkeys(HISTORY_KEYS, np.zeros(0)) | {"loss": np.ones(EPOCHS * UPDATES)}
        run.folder.mkdir()
        write_arrays(
            run.folder / "history.npz",
            history | {"validation_iteration": at, "validation_accuracy": np.asarray(accuracies)},
        )
        return run

    return make


def test_the_last_network_against_the_quarter_before_it(trained):
    accuracies = [0.1] * 120 + [0.8, 0.9] * 19 + [0.8, 0.7]
    (row,) = records(
        last_quarter(evidence(trained(accuracies, problem="multiclass", dtype="mixed_bfloat16")), "released")
    )
    assert (row["network"], row["training"], row["data type"], row["n"]) == ("SegNet", "ours, seed 0", "bfloat16", 40)
    assert (row["mean"], row["sigma"]) == pytest.approx((np.mean(accuracies[120:]), np.std(accuracies[120:], ddof=1)))
    assert (row["lowest"], row["highest"], row["last"]) == pytest.approx((0.7, 0.9, 0.7))
    assert row["diff."] == pytest.approx(0.7 - np.mean(accuracies[120:]))


def test_the_authors_curve_stands_beside_a_binary_training_of_the_released_network(trained):
    runs = [trained(np.linspace(0.5, 0.9, EPOCHS)), trained(np.linspace(0.5, 0.9, EPOCHS), variant="paper")]
    ours, theirs = records(last_quarter(evidence(*runs), "released"))
    assert (ours["training"], theirs["training"]) == ("ours, seed 0", "the authors'")
    curve = published.training_curves("segnet", 4)["validation_accuracy"] / 100
    late = curve[len(curve) * 3 // 4 :]
    late = late[~np.isnan(late)]
    assert (theirs["n"], theirs["last"]) == (len(late), pytest.approx(late[-1]))
    assert theirs["mean"] == pytest.approx(late.mean(), abs=1e-6)
    assert len(records(last_quarter(evidence(*runs), "paper"))) == 1


def test_without_validations_or_trainings_there_is_no_table(trained):
    assert last_quarter(evidence(), "released") is None
    assert last_quarter(evidence(trained([])), "released") is None
    assert last_quarter(evidence(trained([0.5] * EPOCHS, fold=0)), "released") is None


def test_the_table_is_no_wider_than_a_page(trained):
    table = last_quarter(evidence(trained([0.5] * EPOCHS, problem="multiclass", dtype="mixed_bfloat16")), "released")
    assert max(map(len, table.to_text().splitlines())) <= 100


def lesion_dice(confusion):
    """Of one lesion class, from sums."""
    hit, missed, false = confusion[:, 1, 1].sum(), confusion[:, 1, 0].sum(), confusion[:, 0, 1].sum()
    return 2 * hit / (2 * hit + missed + false)


def test_the_last_network_against_the_epochs_before_it(tmp_path):
    shares = [0.0, 0.1, 0.3]
    run = write_last_epochs(made_run(folder=tmp_path, fold=1, num_slices=20), shares)
    table = last_epochs(evidence(run, made_run(seed=1)), "released")
    accuracy, dice = records(table)
    assert (accuracy["training"], accuracy["score"], dice["score"]) == ("seed 0, fold 2", "accuracy", "Dice")
    with np.load(tmp_path / "last_epochs.npz") as arrays:
        counted = arrays["test_confusion"]
    expected = [lesion_dice(of) for of in counted]
    assert (dice["n"], dice["lowest"], dice["highest"]) == (3, pytest.approx(min(expected)), pytest.approx(expected[0]))
    assert (dice["mean"], dice["sigma"]) == pytest.approx((np.mean(expected), np.std(expected, ddof=1)))
    assert dice["last"] == pytest.approx(lesion_dice(run.counts.test_confusion))
    assert dice["diff."] == pytest.approx(dice["last"] - dice["mean"])
    right = np.trace(counted, axis1=2, axis2=3) / counted.sum(axis=(2, 3))
    assert accuracy["mean"] == pytest.approx(right.mean())
    assert last_epochs(evidence(run), "paper") is None
    assert last_epochs(evidence(made_run()), "released") is None
    assert max(map(len, table.to_text().splitlines())) <= 100


def test_the_trainings_have_columns_of_the_last_epochs_where_some_counted_them(tmp_path):
    run = write_last_epochs(made_run(folder=tmp_path), [0.1, 0.3])
    with_them, without = records(trainings_table(evidence(run, made_run(seed=1))))
    (_, _), (row, _) = (records(last_epochs(evidence(run), "released")) for _ in range(2))
    assert with_them["last epochs: accuracy"] == pytest.approx(row["mean"])
    assert with_them["last epochs: sigma"] == pytest.approx(row["sigma"])
    assert with_them["last epochs: Dice"] < with_them["Dice"]
    assert without["last epochs: Dice"] is None and without["Dice"] > 0
    assert not any(name.startswith("last epochs") for name in trainings_table(evidence(made_run())).columns)
