"""Publishing a run copies what it is and makes its network the project's, or leaves everything as it was."""

import json
import shutil
from argparse import Namespace

import numpy as np
import pytest
from made_comparison import made_run

from experiments import publish
from experiments.saood2021.runs import KIND
from unet_segnet.errors import InputError
from unet_segnet.networks import load as pretrained

CONFIG = {
    "format": 1, "study": "grid", "net": "segnet", "variant": "released", "problem": "binary", "experiment": 4,
    "seed": 0, "fold": None, "stream": "numpy",
    "recipe": {
        "learning_rate": 1e-3, "batch_size": 4, "epochs": 160, "dtype": "float32", "loss_normalisation": "weights",
    },
    "data": {"name": "COVID19-DL", "size": 256, "classes": ["not infected", "infected"]},
}  # fmt: skip
RESULT = {
    "status": "finished", "parameters": 373192, "class_weights": [0.5, 7.0], "command": "python -m experiments.grid",
    "commit": "abc", "device": "a processor", "finished_at": "2026-01-01T00:00:00Z", "input_mean": 22.0, "versions": {},
}  # fmt: skip


@pytest.fixture
def run(tmp_path, monkeypatch):
    from unet_segnet.models import build_model

    folder = tmp_path / "runs" / "grid" / "released-binary-segnet" / "exp4-seed0"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(CONFIG))
    (folder / "result.json").write_text(json.dumps(RESULT))
    np.savez(folder / "history.npz", **{name: np.zeros(1) for name in KIND.history})
    counts = {"test_names": np.array(["001"]), "test_confusion": np.array([[[90, 2], [3, 5]]])}
    counts |= {"test_bf": np.ones(1)} | {name.replace("test", "validation"): of for name, of in counts.items()}
    np.savez(folder / "counts.npz", validation_bf=np.ones(1), **counts)
    build_model("segnet", variant="released", input_shape=(16, 16, 1)).save(folder / "model.keras")
    monkeypatch.setattr(publish, "RESULTS", tmp_path / "project" / "experiments" / "results")
    monkeypatch.setattr(pretrained, "WEIGHTS", tmp_path / "project" / "weights")
    (tmp_path / "project").mkdir()
    return folder


def options(*runs, weights=False, force=False):
    return Namespace(runs=list(runs), weights=weights, force=force)


def test_a_run_and_its_network_become_the_project_s(run, tmp_path):
    publish.publish(options(run, weights=True))
    target = tmp_path / "project" / "experiments" / "results" / "grid" / "released-binary-segnet" / "exp4-seed0"
    assert sorted(path.name for path in target.iterdir()) == sorted(publish.FILES)
    assert (target / "counts.npz").read_bytes() == (run / "counts.npz").read_bytes()
    facts = pretrained.model_facts("binary")
    assert facts["scores"]["Dice"]["infected"] == pytest.approx(2 * 5 / (2 * 5 + 2 + 3))
    assert facts["global_accuracy"] == pytest.approx(0.95)
    card = (pretrained.WEIGHTS / "binary.md").read_text()
    assert "not for clinical use" in card and "| infected | 0.625 | 0.978 | 0.667 |" in card
    assert pretrained.load_model("binary").count_params() > 0


def test_counts_of_the_last_epochs_come_along_where_there_are_some(run):
    publish.publish(options(run))
    target = publish.RESULTS / "grid" / run.parent.name / run.name
    assert not (target / "last_epochs.npz").exists()
    counts = np.array([[[[90, 2], [3, 5]]]])
    np.savez(run / "last_epochs.npz", epoch=np.array([160]), test_confusion=counts, validation_confusion=counts)
    publish.publish(options(run, force=True))
    assert (target / "last_epochs.npz").read_bytes() == (run / "last_epochs.npz").read_bytes()
    (run / "last_epochs.npz").unlink()
    publish.publish(options(run, force=True))  # nothing of the other remains
    assert sorted(path.name for path in target.iterdir()) == sorted(publish.FILES)


def test_impossible_counts_of_the_last_epochs_are_refused(run):
    counts = np.array([[[[90, 2], [3, 5]]], [[[50, 40], [5, 5]]]])
    np.savez(run / "last_epochs.npz", epoch=np.array([159, 160]), test_confusion=counts, validation_confusion=counts)
    with pytest.raises(InputError, match=r"last_epochs\.npz: .*not those of counts\.npz"):
        publish.publish(options(run))
    (run / "last_epochs.npz").write_bytes(b"cut")
    with pytest.raises(InputError, match=r"last_epochs\.npz: cannot be read"):
        publish.publish(options(run))
    assert not publish.RESULTS.exists()


@pytest.mark.parametrize("content", [b"cut", None])
def test_a_damaged_history_is_refused(run, content):
    if content is None:
        np.savez(run / "history.npz", loss=np.zeros(1))
    else:
        (run / "history.npz").write_bytes(content)
    with pytest.raises(InputError, match=r"history\.npz: "):
        publish.publish(options(run))
    assert not publish.RESULTS.exists()


def test_a_network_of_other_trainings_is_not_the_project_s(run):
    other = run.with_name("exp4-seed1")
    shutil.copytree(run, other)
    with pytest.raises(InputError, match=r"exp4-seed1: .*exp4-seed0 is of the same problem"):
        publish.publish(options(run, other, weights=True))
    for changed in ({"recipe": {**CONFIG["recipe"], "epochs": 1}}, {"data": {**CONFIG["data"], "name": "phantom"}}):
        (run / "config.json").write_text(json.dumps({**CONFIG, **changed}))
        with pytest.raises(InputError, match="the project's networks are, on 256x256 slices of COVID19-DL for 160"):
            publish.publish(options(run, weights=True))
    for changed in ({"recipe": {**CONFIG["recipe"], "loss_normalisation": "pixels"}}, {"encoder_weights": "imagenet"}):
        (run / "config.json").write_text(json.dumps({**CONFIG, **changed}))
        with pytest.raises(InputError, match="trained with --encoder-weights or --loss"):
            publish.publish(options(run, weights=True))
    (run / "config.json").write_text(json.dumps({**CONFIG, "study": "own"}))
    with pytest.raises(InputError, match="no run of this project's"):
        publish.publish(options(run))
    assert not publish.RESULTS.exists() and not pretrained.WEIGHTS.exists()


def test_the_side_study_has_a_place_of_its_own(run):
    (run / "config.json").write_text(json.dumps({**CONFIG, "study": "side"}))
    publish.publish(options(run))
    assert (publish.RESULTS / "side" / run.parent.name / run.name / "result.json").exists()
    assert not (publish.RESULTS / "grid").exists()


def test_nothing_is_replaced_without_force(run):
    publish.publish(options(run))
    with pytest.raises(InputError, match="is published; use --force"):
        publish.publish(options(run))
    publish.publish(options(run, force=True))


def test_one_of_two_runs_does_not_replace_the_other(run):
    """Of two machines, say: they have the same folder below different ones."""
    other = run.parents[2] / "elsewhere" / run.parent.name / run.name
    shutil.copytree(run, other)
    for force in (False, True):
        with pytest.raises(InputError, match=r"elsewhere.*exp4-seed0: .*exp4-seed0 would be published at the same"):
            publish.publish(options(run, other, force=force))
    assert not publish.RESULTS.exists()


def test_the_project_s_network_is_not_replaced_without_force(run):
    publish.publish(options(run, weights=True))
    before = {path.name: path.read_bytes() for path in pretrained.WEIGHTS.iterdir()}
    other = run.with_name("exp4-seed1")
    shutil.copytree(run, other)
    (other / "result.json").write_text(json.dumps({**RESULT, "commit": "def"}))
    with pytest.raises(InputError, match=r"binary\.keras: is the project's network.* use --force"):
        publish.publish(options(other, weights=True))
    assert {path.name: path.read_bytes() for path in pretrained.WEIGHTS.iterdir()} == before
    assert not (publish.RESULTS / "grid" / other.parent.name / other.name).exists()
    publish.publish(options(other, weights=True, force=True))
    assert pretrained.model_facts("binary")["commit"] == "def"


@pytest.mark.parametrize("missing", ["result.json", "model.keras"])
def test_an_unfinished_run_or_one_without_network_is_refused(run, tmp_path, missing):
    (run / missing).unlink()
    with pytest.raises(InputError, match="no finished run" if missing == "result.json" else "was not kept"):
        publish.publish(options(run, weights=True))
    assert not (tmp_path / "project" / "experiments").exists()


def test_a_run_of_the_second_study(run, tmp_path):
    folder = made_run(tmp_path / "runs", "lung", "unet", "resnet18", first_layer=True)
    with pytest.raises(InputError, match="--weights"):
        publish.publish(options(folder, weights=True))
    publish.publish(options(folder))
    target = publish.RESULTS / folder.relative_to(tmp_path / "runs")
    assert sorted(path.name for path in target.iterdir()) == sorted(publish.COMPARE_FILES)


def test_committed_cards_tell_the_limits_as_they_are():
    """The lungs were cut out by a network, not by hand (article, 'The dataset')."""
    for problem, path in pretrained.pretrained().items():
        if problem not in ("binary", "multiclass"):
            continue
        told = path.with_suffix(".md").read_text(encoding="utf-8")
        (limits,) = [
            line for line in publish.model_card(pretrained.model_facts(problem)).splitlines() if "Limits" in line
        ]
        assert limits in told and "by the lungmask model" in limits
