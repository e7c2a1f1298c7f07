"""`experiments.determinism`: what it trains, what it makes of it, and that the same settings are the same bits here."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from experiments import determinism as command
from experiments.determinism import ASKED, _beside_the_users, determinism, determinism_parser, differences, trainings
from unet_segnet.errors import InputError

ROOT = Path(__file__).parents[2]


def trained(**changed):
    made = {
        "loss": np.array([3.0, 2.0, 1.0]),
        "weights": np.array([3.0, 0.0, 4.0]),
        "classes": np.zeros((1, 4, 5), np.uint8),
    }
    return made | changed


def test_differences_by_hand():
    assert differences(trained(), trained()) == ("3 of 3", "0", "0", 0.0)
    classes = np.zeros((1, 4, 5), np.uint8)
    classes[0, 0, :3] = 1
    other = trained(loss=np.array([3.0, 2.0, 1.25]), weights=np.array([3.0, 0.0, 1.5]), classes=classes)
    assert differences(trained(), other) == ("2 of 3", "0.2", "0.5", 15.0)
    assert differences(trained(), trained(loss=np.array([3.1, 2.0, 1.0])))[0] == "0 of 3"


@pytest.mark.parametrize(("backend", "on_processor"), [(b, p) for b in ("tensorflow", "jax", "torch") for p in (0, 1)])
def test_each_training_is_compared_with_one_before_it(backend, on_processor):
    plan = trainings(backend, bool(on_processor))
    assert [(settings, other) for _, settings, other in plan[:2]] == [({}, None), ({}, 0)]
    assert all(other < number for number, (*_, other) in enumerate(plan[1:], 1))
    if not on_processor and backend in ASKED:
        name, settings, other = plan[-1]
        assert "fixed order" in name and settings == plan[other][1] == ASKED[backend]


def test_the_users_own_flags_stay(monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", "--xla_dump_to=/dumps")
    assert _beside_the_users(ASKED["jax"]) == {"XLA_FLAGS": "--xla_dump_to=/dumps --xla_gpu_deterministic_ops=true"}
    assert _beside_the_users({}) == {}
    monkeypatch.delenv("XLA_FLAGS")
    assert _beside_the_users(ASKED["jax"]) == ASKED["jax"]


def test_a_table_is_not_replaced_unasked(tmp_path):
    (tmp_path / "table.csv").write_text("kept")
    options = determinism_parser("determinism", "").parse_args(["--out", str(tmp_path / "table.csv")])
    with pytest.raises(InputError, match=r"table\.csv: is there already; .* or --force"):
        determinism(options)
    assert (tmp_path / "table.csv").read_text() == "kept"


def test_a_network_that_is_named_twice_is_trained_once():
    assert determinism_parser("determinism", "").parse_args(["--nets", "unet,segnet,unet"]).nets == ("unet", "segnet")


def test_the_committed_table_is_in_the_readme():
    results = ROOT / "experiments" / "results"
    with (results / "determinism.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    again = [row for row in rows if row["training"] == "the same again"]
    assert [row["network"] for row in again] == ["segnet", "unet"]
    text = (results / "README.md").read_text(encoding="utf-8")
    for row in rows:
        *cells, pixels, machine = row.values()
        assert f"| {' | '.join([*cells, f'{float(pixels):.3f}', machine])} |" in text


@pytest.mark.slow
def test_the_same_settings_are_the_same_bits(tmp_path, monkeypatch):
    monkeypatch.setattr(command, "trainings", lambda *of: trainings(*of)[:2])
    out = tmp_path / "new" / "determinism.csv"
    arguments = ["--nets", "segnet", "--size", "32", "--epochs", "1", "--out", str(out)]
    determinism(determinism_parser("determinism", "").parse_args(arguments))
    with out.open(newline="") as stream:
        (row,) = csv.DictReader(stream)
    assert (row["training"], row["equal losses"], row["loss"], row["weights"]) == ("the same again", "5 of 5", "0", "0")
    assert "commit" in json.loads(out.with_suffix(".json").read_text())
