"""What the report is made from: committed and own runs, and what is missing in plain words."""

import json
import shutil

import numpy as np
import pytest
from made_runs import made_run

from experiments.saood2021 import evidence as collect
from experiments.saood2021.evidence import Evidence
from experiments.saood2021.tables import data
from unet_segnet.data import Slices
from unet_segnet.errors import InputError

NAME = "exp4-seed0-matlab"


@pytest.fixture
def no_data(monkeypatch, tmp_path):
    monkeypatch.setenv("UNET_SEGNET_DATA", str(tmp_path / "nowhere"))


@pytest.fixture
def runs(tmp_path):
    """A copy of the committed run, as if it had been trained here."""
    folder = tmp_path / "runs" / "grid" / "released-binary-segnet"
    shutil.copytree(collect.RESULTS / "grid" / "released-binary-segnet" / NAME, folder / NAME)
    return tmp_path / "runs"


def change(runs, file, **changes):
    path = runs / "grid" / "released-binary-segnet" / NAME / file
    content = json.loads(path.read_text())
    for key, value in changes.items():
        content[key] = {**content[key], **value} if isinstance(value, dict) else value
    path.write_text(json.dumps(content))


def test_committed_results_alone(no_data):
    evidence = collect.collect(None, None)
    assert evidence.slices is None and evidence.networks == ()
    run = next(run for run in evidence.runs if run.folder.name == NAME)
    assert run.committed and run.weights is None
    assert run.counts.test_confusion.shape == (18, 2, 2) and len(run.history()["loss"]) == 160 * 18
    assert run in evidence.grid("binary", "released")
    folds = evidence.folds("binary", "released")
    assert {run.folder.parent.parent.name for run in folds} == {"kfold"} and run not in folds
    assert len({(run.counts.net, run.counts.fold) for run in folds}) == len(folds) >= 3
    assert any(sentence.startswith("The slices") and "data fetch" in sentence for sentence in evidence.missing)


def test_own_run_takes_the_place_of_the_committed_one(no_data, runs):
    committed = collect.collect(None, None).runs
    evidence = collect.collect(runs, None)
    assert len(evidence.runs) == len(committed)
    own = [run for run in evidence.runs if not run.committed]
    assert [run.folder for run in own] == [runs / "grid" / "released-binary-segnet" / NAME]


@pytest.mark.parametrize(
    ("file", "changes", "reason"),
    [
        ("config.json", {"recipe": {"epochs": 3}}, "epochs 3"),
        ("config.json", {"data": {"name": "phantom"}}, "phantom"),
        ("config.json", {"data": {"size": 64}}, "size 64"),
        ("config.json", {"data": {"name": "medseg"}}, "medseg"),
        ("config.json", {"split": {"test": ["001"]}}, "another split"),
        ("result.json", {"status": "diverged", "epoch": 7}, "diverged in epoch 7"),
    ],
)
def test_runs_of_another_protocol_are_left_out_and_named(no_data, runs, file, changes, reason):
    change(runs, file, **changes)
    evidence = collect.collect(runs, None)
    assert all(run.committed for run in evidence.runs)
    assert any(NAME in sentence and reason in sentence for sentence in evidence.missing)


@pytest.mark.parametrize(
    ("weights", "told"),
    [
        ({"encoder_weights": "imagenet"}, "imagenet"),
        ({"encoder_weights": "vgg.h5", "encoder_weights_sha256": "0123456789" * 6}, "vgg.h5 (SHA-256 01234567)"),
    ],
)
def test_runs_from_pretrained_weights_stand_apart(no_data, runs, weights, told):
    """Beside the committed run of the same configuration, which neither gives way nor is mixed with it."""
    change(runs, "config.json", variant="paper", **weights)
    found = collect.collect(runs, None)
    (run,) = found.pretrained
    assert run.counts.encoder_weights == told and not run.committed
    assert [run.folder for run in found.runs] == [run.folder for run in collect.collect(None, None).runs]
    assert run not in (*found.grid("binary", "paper"), *found.folds("binary", "paper"))
    assert not any(NAME in sentence for sentence in found.missing)


def side_run(runs, study="side", **settings):
    """The copy of the committed run as one of the side study."""
    change(runs, "config.json", study=study, stream="numpy", data={"size": 128})
    change(runs, "config.json", **({"recipe": {"epochs": 162}} | settings))
    old = runs / "grid" / "released-binary-segnet" / NAME
    new = runs / study / "released-binary-segnet" / "exp4-seed0"
    new.parent.mkdir(parents=True)
    old.rename(new)


@pytest.mark.parametrize(
    ("study", "recipe"), [("side", {"epochs": 162}), ("side-cut", {"epochs": 54, "drop_period": 4})]
)
def test_runs_of_the_side_study_stand_apart(no_data, runs, study, recipe):
    side_run(runs, study, recipe=recipe)
    found = collect.collect(runs, None)
    (run,) = found.side
    assert (run.study, run.counts.experiment) == (study, 4) and not run.committed
    assert [run.folder for run in found.runs] == [run.folder for run in collect.collect(None, None).runs]
    assert found.pretrained == () and not any(sentence.startswith(study) for sentence in found.missing)


@pytest.mark.parametrize(
    ("study", "settings", "reason"),
    [
        ("side", {"recipe": {"epochs": 160}}, "epochs 160"),
        ("side", {"data": {"size": 256}}, "size 256"),
        ("side-cut", {"recipe": {"epochs": 54}}, "drop_period 12"),
        ("side", {"recipe": {"epochs": 162}, "encoder_weights": "imagenet"}, "pretrained encoder"),
    ],
)
def test_other_runs_in_its_folders_are_left_out(no_data, runs, study, settings, reason):
    side_run(runs, study, **settings)
    found = collect.collect(runs, None)
    assert found.side == ()
    (sentence,) = (sentence for sentence in found.missing if sentence.startswith(study))
    assert "not a run of the side study's protocol" in sentence and reason in sentence


def test_unfinished_runs_are_not_there(no_data, runs):
    (runs / "grid" / "released-binary-segnet" / NAME / "result.json").unlink()
    assert all(run.committed for run in collect.collect(runs, None).runs)


def test_what_cannot_be_read_is_one_line(no_data, runs, tmp_path):
    with pytest.raises(InputError, match="no such folder"):
        collect.collect(tmp_path / "none", None)
    with pytest.raises(InputError, match="no data set 'elsewhere'"):
        collect.collect(None, "elsewhere")
    (runs / "grid" / "released-binary-segnet" / NAME / "counts.npz").write_bytes(b"cut")
    with pytest.raises(InputError, match=r"counts\.npz"):
        collect.collect(runs, None)


@pytest.mark.slow
def test_real_slices_bring_the_networks(real_data):
    evidence = collect.collect(None, str(real_data))
    assert len(evidence.slices) == 100 and evidence.folder == real_data
    authors = next(network for network in evidence.networks if network.key == "authors-segnet-binary")
    assert authors.problem == "binary" and authors.predictions.shape == (18, 256, 256)
    assert 0.1 < (authors.predictions == 1).mean() < 0.12


def test_runs_on_other_slices_of_that_name_are_left_out(real_data, runs, monkeypatch):
    monkeypatch.setattr(collect, "_networks", lambda *_: ())
    assert any(not run.committed for run in collect.collect(runs, str(real_data)).runs)
    change(runs, "config.json", data={"sha256": "0" * 64})
    evidence = collect.collect(runs, str(real_data))
    assert len(evidence.runs) == len(collect.collect(None, str(real_data)).runs)
    assert all(run.committed for run in evidence.runs)
    assert any(NAME in sentence and "other slices" in sentence for sentence in evidence.missing)


def test_the_papers_slices_are_known_whatever_their_folder_is_called(real_data, runs, monkeypatch, tmp_path):
    monkeypatch.setattr(collect, "_networks", lambda *_: ())
    renamed = tmp_path / "COVID19-DL-master"
    renamed.symlink_to(real_data)
    monkeypatch.setattr(collect.Path, "resolve", lambda path: path)  # as if it were a folder of that name
    change(runs, "config.json", data={"name": "COVID19-DL-master"})
    evidence = collect.collect(runs, str(renamed))
    assert any(not run.committed for run in evidence.runs) and any(run.committed for run in evidence.runs)
    assert evidence.data == "COVID19-DL"  # by which the tables know that theirs are the same slices


def test_notes_on_pretrained_runs_are_below_their_own_tables(no_data, runs):
    where = runs / "grid" / "released-binary-segnet"
    change(runs, "result.json", one_class_only=True)
    shutil.copytree(where / NAME, where / f"{NAME}-pretrained")
    sentences = collect.collect(runs, None).missing
    plain, pretrained = ([s for s in sentences if s.startswith(f"grid/released-binary-segnet/{NAME}{end} ")]
                         for end in ("", "-pretrained"))  # fmt: skip
    evidence = Evidence((), None, "made", missing=tuple(sentences))
    for sentence, of_pretrained in ((plain[0], False), (pretrained[0], True)):
        for asked in (False, True):
            notes = data._notes(evidence, "grid/released-binary-", asked, [])
            assert (sentence in notes) == (asked == of_pretrained)


def test_the_network_is_chosen_on_the_validation_slices(monkeypatch, tmp_path):
    """The better one on the test slices, on which it is then shown, is not preferred for that."""
    better_on_test = made_run(false=0.02, validation=0.2, folder=tmp_path / "test")
    better_on_validation = made_run(seed=1, false=0.1, validation=0.01, folder=tmp_path / "validation")
    for run in (better_on_test, better_on_validation):
        run.folder.mkdir()
        (run.folder / "model.keras").touch()
    images = np.zeros((100, 8, 8), np.uint8)
    slices = Slices(images, images, None, tuple(f"{number:03d}" for number in range(1, 101)))
    monkeypatch.setattr(collect, "_network", lambda whose, label, net, path, test: path)
    for runs in ((better_on_test, better_on_validation), (better_on_validation, better_on_test)):
        found = set(collect._networks(runs, slices, tmp_path))
        assert better_on_validation.weights in found and better_on_test.weights not in found
