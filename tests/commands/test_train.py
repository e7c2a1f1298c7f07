"""Training on scans of one's own: by patient, with a network at the end that predict takes, and what is refused."""

import contextlib
import csv
import hashlib
import io
import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from own_data import write_cohort, write_slice, write_volume
from pixel_networks import save_pixel_network
from tables import read_records

from unet_segnet.cohort.network_plan import NetworkPlan, begin_with, check_classes, safe_name
from unet_segnet.cohort.recipes import make_recipe
from unet_segnet.commands import train as command
from unet_segnet.data.splits import read_splits
from unet_segnet.errors import InputError
from unet_segnet.models.registry import NETWORKS, Network, SizeRule
from unet_segnet.networks.load import load_model
from unet_segnet.output.console import Progress, with_flags

NET = ["--net", "segnet", "--variant", "released", "--size", "16", "--batch-size", "2"]


def train(data, out, *arguments, net=NET):
    """Run the command in this process; returns what it printed, raises what it would tell."""
    options = command.build_parser().parse_args(["--data", str(data), "--out", str(out), *net, *map(str, arguments)])
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        try:
            command.train(options)
        except InputError as error:
            raise InputError(with_flags(error, options)) from error
    return printed.getvalue()


@pytest.fixture(scope="session")
def own(tmp_path_factory):
    """Five patients of three slices with two kinds of lesion, which classes.csv names."""
    folder = write_cohort(tmp_path_factory.mktemp("data") / "own", 3)
    for name, extent in (("p4", 4), ("p5", 8)):
        write_volume(folder, name, seed=int(name[1]), lesion=2, extent=extent)
    (folder / "classes.csv").write_text("value,name\n0,healthy\n1,ground glass\n2,scar\n")
    return folder


@pytest.fixture(scope="session")
def trained(own, tmp_path_factory):
    """One split, two epochs of a SegNet of few layers: what was printed, and the folder of the run."""
    from unet_segnet.models import segnet

    out = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(segnet, "RELEASED_STAGES", ((4, 1), (4, 1)))
        printed = train(own, out, "--epochs", "2", "--validation-share", "0.2", "--test-share", "0.4")
    return printed, out / "own" / "own-released-segnet" / "seed0"


@pytest.fixture
def tiny(monkeypatch):
    """A network of one layer in the registry, which is trained in a moment; returns the options that name it."""
    import keras

    from unet_segnet.models.initialisation import he_normal
    from unet_segnet.models.parts import classifier, grey_input

    def build(input_shape, num_classes, variant, mean):
        inputs, x = grey_input(input_shape, mean)
        scores = keras.layers.Conv2D(num_classes, 1, kernel_initializer=he_normal(fan_in=1))(x)
        return keras.Model(inputs, classifier(scores), name=f"tiny_{variant}")

    file = SimpleNamespace(tiny=build, size_rule=lambda variant: SizeRule())
    monkeypatch.setitem(sys.modules, "tiny_network", file)
    monkeypatch.setitem(NETWORKS, "tiny", Network("tiny", "Tiny", "tiny_network"))
    return ["--net", "tiny", "--variant", "released", "--size", "15", "--batch-size", "2"]


def split_of(folder):
    return json.loads((folder / "split.json").read_text())


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--net", "segnet"], (1e-3, 4)),
        (["--net", "unet"], (5e-4, 2)),
        (["--net", "unet", "--learning-rate", "2e-3"], (2e-3, 2)),
        (["--init", "unet_released"], (5e-4, 2)),
        (["--init", "segnet_paper", "--batch-size", "3"], (1e-3, 3)),
        (["--net", "unet/resnet18", "--recipe", "compare"], (1e-3, 2)),
    ],
)
def test_the_recipe_is_the_best_of_the_article_unless_told_otherwise(arguments, expected):
    options = command.build_parser().parse_args(["--data", "scans", *arguments])
    plan = NetworkPlan(options.net, recipe=options.recipe, init=options.init)
    changes = {"learning_rate": options.learning_rate, "batch_size": options.batch_size}
    recipe = make_recipe(plan, "float32", options.init, **changes)
    assert (recipe.learning_rate, recipe.batch_size) == expected


def test_a_run_leaves_scores_split_and_network(trained):
    printed, folder = trained
    assert "classes, as given: 0 = healthy, 1 = ground glass, 2 = scar" in printed
    assert "split: train 6 slices of 2, validation 3 slices of 1, test 6 slices of 2 patients" in printed
    assert "Scores on own, 2 patients, 6 slices" in printed and "grey threshold" in printed
    assert {path.name for path in folder.iterdir()} - {"lock"} == {
        "config.json", "history.npz", "history.csv", "counts.npz", "model.keras", "result.json",
        "scores.csv", "scores.md", "patients.csv", "patients.md", "slices.csv", "split.json",
        "training.png", "segmentations.png",
    }  # fmt: skip
    config = json.loads((folder / "config.json").read_text())
    assert config["recipe"]["epochs"] == 2 and config["data"]["classes"] == ["healthy", "ground glass", "scar"]
    assert config["split"] == {part: split_of(folder)["folds"][0][part] for part in ("train", "validation", "test")}


def test_no_patient_is_on_two_sides(trained):
    parts = split_of(trained[1])["patients"][0]
    assert sorted(name for names in parts.values() for name in names) == ["p1", "p2", "p3", "p4", "p5"]


def test_counts_are_those_of_the_network_on_its_test_slices(trained, own):
    from unet_segnet.cohort.load import load_cohort
    from unet_segnet.inference.prediction import predict
    from unet_segnet.measures import metrics
    from unet_segnet.networks.load import load_model

    _, folder = trained
    cohort = load_cohort(own, size=16)
    names = split_of(folder)["folds"][0]["test"]
    test = cohort.slices.subset([cohort.slices.names.index(name) for name in names])
    expected = metrics.confusion_matrices(test.labels, predict(load_model(folder / "model.keras"), test.images), 3)
    with np.load(folder / "counts.npz", allow_pickle=False) as counts:
        np.testing.assert_array_equal(counts["test_confusion"], expected)
        assert counts["test_names"].tolist() == names
    with (folder / "scores.csv").open(newline="") as stream:
        row = next(r for r in csv.DictReader(stream) if (r["lesion"], r["over"]) == ("all lesions", "all pixels"))
    pooled = expected.sum(axis=0)
    found, missed, false = pooled[1:, 1:].sum(), pooled[1:, 0].sum(), pooled[0, 1:].sum()
    assert float(row["Dice value"]) == pytest.approx(2 * found / (2 * found + missed + false))


def test_class_weights_and_thresholds_come_from_the_training_slices_alone(trained, own):
    from unet_segnet.cohort.load import load_cohort
    from unet_segnet.data import median_frequency_weights
    from unet_segnet.measures.baselines import class_histograms, fit_thresholds

    _, folder = trained
    cohort = load_cohort(own, size=16)
    train_part = cohort.slices.subset([cohort.slices.names.index(n) for n in split_of(folder)["folds"][0]["train"]])
    result = json.loads((folder / "result.json").read_text())
    assert 0 < result["seconds"] < 1000
    assert result["class_weights"] == pytest.approx(median_frequency_weights(train_part.labels, 3))
    assert result["class_weights"] != pytest.approx(median_frequency_weights(cohort.slices.labels, 3))
    histograms = class_histograms(train_part.images, train_part.labels, 3)
    assert result["thresholds"] == list(fit_thresholds(histograms))


def test_predict_takes_the_network_with_its_classes(trained, own):
    from unet_segnet.cohort.load import load_cohort
    from unet_segnet.inference.segmentation import segment
    from unet_segnet.networks.facts import read_facts
    from unet_segnet.networks.load import load_model

    model = trained[1] / "model.keras"
    result = segment(own / "images" / "p1.nii.gz", model, lungs=own / "lungs" / "p1.nii.gz")
    assert result.class_names == ("healthy", "ground glass", "scar")
    assert result.labels.shape == (3, 32, 32) and result.labels.max() <= 2
    facts = read_facts(model)
    assert load_model(model).label_values == dict(facts["label_values"]) == load_cohort(own, size=32).classes.index_of
    assert facts["data"] == "own" and facts["window"] == [-1100.0, 400.0] and facts["learnt_from"] == "lungs alone"
    assert facts["trained_on"]["slices"] == 6 and facts["trained_on"]["patients"] == 2


def test_what_is_finished_is_left_alone_and_other_settings_are_refused(trained, own):
    _, folder = trained
    arguments = (own, folder.parents[2], "--validation-share", "0.2", "--test-share", "0.4", "--epochs")
    before = (folder / "model.keras").stat().st_mtime_ns
    assert "Scores on own" in train(*arguments, "2")
    assert (folder / "model.keras").stat().st_mtime_ns == before
    with pytest.raises(InputError, match=r"recipe.epochs: 2 there, 3 asked for"):
        train(*arguments, "3")


def test_tables_of_a_run_that_was_thrown_away_go_with_it(own, tmp_path, tiny):
    train(own, tmp_path, "--epochs", "1", net=tiny)
    folder = tmp_path / "own" / "own-released-tiny" / "seed0"
    assert (folder / "scores.csv").exists() and (folder / "segmentations.png").exists()
    printed = train(own, tmp_path, "--epochs", "1", "--test-share", "0", "--force", net=tiny)
    assert "no test slices: nothing is scored" in printed
    assert {path.name for path in folder.iterdir()} - {"lock"} == {
        "config.json", "history.npz", "history.csv", "counts.npz", "model.keras", "result.json", "split.json",
    }  # fmt: skip


def test_a_network_of_whole_slices_says_so(own, tmp_path, tiny):
    from unet_segnet.networks.facts import read_facts

    for kind in ("images", "labels"):
        shutil.copytree(own / kind, tmp_path / "whole" / kind)
    shutil.copy(own / "classes.csv", tmp_path / "whole")
    train(tmp_path / "whole", tmp_path, "--epochs", "1", "--lungs", "none", net=tiny)
    facts = read_facts(tmp_path / "own" / "whole-released-tiny" / "seed0" / "model.keras")
    assert facts["learnt_from"] == "whole slices"


def test_a_stopped_run_goes_on_and_ends_with_the_same_weights(own, tmp_path, tiny, monkeypatch):
    from unet_segnet.networks.load import load_model

    class Killed(BaseException):
        pass

    def kill(self, done, note=""):
        if self.label.endswith("seed0") and done == 1:
            raise Killed

    with monkeypatch.context() as patched, pytest.raises(Killed):
        patched.setattr(Progress, "update", kill)
        train(own, tmp_path / "stopped", "--epochs", "2", net=tiny)
    folders = [tmp_path / name / "own" / "own-released-tiny" / "seed0" for name in ("stopped", "whole")]
    assert (folders[0] / "state.weights.h5").exists() and not (folders[0] / "result.json").exists()
    for name in ("stopped", "whole"):
        train(own, tmp_path / name, "--epochs", "2", net=tiny)
    for one, other in zip(*(load_model(folder / "model.keras").get_weights() for folder in folders), strict=True):
        np.testing.assert_array_equal(one, other)
    assert not list(folders[0].glob("state.*"))
    one, other = (read_records(folder / "history.csv") for folder in folders)
    assert len(one) == 2 and one[0].keys() >= {"epoch", "loss", "accuracy", "learning_rate", "validation_loss"}
    without_time = [[{**row, "epoch_seconds": None} for row in rows] for rows in (one, other)]
    assert without_time[0] == without_time[1]


def test_losses_are_written_for_tensorboard(own, tmp_path, tiny):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    folder = Path("own") / "own-released-tiny" / "seed0"
    # A run that --force throws away; what the board shows of it goes with it.
    earlier = ["runs/{}/config.json", "runs/{}/result.json"]
    earlier += [f"board/{{}}/{part}/events.out.tfevents.1.here" for part in ("train", "validation")]
    for file in (tmp_path / name.format(folder) for name in earlier):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("{}")
    arguments = ("--epochs", "2", "--validation-share", "0.2", "--tensorboard", tmp_path / "board", "--force")
    train(own, tmp_path / "runs", *arguments, net=tiny)
    rows = read_records(tmp_path / "runs" / folder / "history.csv")
    for part, column in (("train", "accuracy"), ("validation", "validation_loss")):
        assert len(list((tmp_path / "board" / folder / part).iterdir())) == 1
        events = accumulator.EventAccumulator(str(tmp_path / "board" / folder / part))
        events.Reload()
        found = events.Tensors("epoch_loss" if part == "validation" else "epoch_accuracy")
        assert [event.step for event in found] == [0, 1]
        values = [np.frombuffer(event.tensor_proto.tensor_content, np.float32)[0] for event in found]
        np.testing.assert_allclose(values, [float(row[column]) for row in rows], rtol=1e-5)


def test_a_training_that_diverged_left_no_network_and_says_so(own, tmp_path, tiny, capsys, monkeypatch):
    from unet_segnet.cohort.training import OwnJob
    from unet_segnet.errors import DivergedError

    original = OwnJob.train

    def diverge(job, *arguments):
        if job.spec.fold == 1:
            return original(job, *arguments)
        raise DivergedError(1, {"loss": np.array([np.nan])})

    monkeypatch.setattr(OwnJob, "train", diverge)
    arguments = ["--data", own, "--out", tmp_path / "runs", *tiny, "--epochs", "1"]
    assert command.train(command.build_parser().parse_args(list(map(str, arguments)))) == 2
    told = " ".join(capsys.readouterr().out.split())
    assert "nothing is scored. seed0 diverged in epoch 1 and is left out." in told
    assert "network:" not in told and "no test slices" not in told
    arguments += ["--folds", "2", "--validation-share", "0"]
    assert command.train(command.build_parser().parse_args(list(map(str, arguments)))) == 2
    told = " ".join(capsys.readouterr().out.split())
    assert "fold1-seed0 diverged in epoch 1 and is left out." in told and told.count("network:") == 1


def test_the_content_of_imagenet_weights_is_among_a_runs_settings(tmp_path, monkeypatch):
    from unet_segnet.cohort.training import OwnData, OwnJob, OwnSpec
    from unet_segnet.data.splits import Split
    from unet_segnet.training.soft_dice import EncoderRecipe

    plan = NetworkPlan("unet/resnet18", recipe="compare", encoder_weights="imagenet")
    slices = SimpleNamespace(sha256=lambda: "0" * 64, class_names=("a", "b"), names=("1",))
    data = OwnData(SimpleNamespace(slices=slices, classes=SimpleNamespace(text=dict)), {})
    job = OwnJob(OwnSpec("own", plan.label, 0, None), plan, EncoderRecipe(), Split([0], [], []))
    found = []
    for content in (b"weights", b"others"):
        folder = tmp_path / content.decode()
        monkeypatch.setenv("UNET_SEGNET_DATA", str(folder))
        (folder / "imagenet").mkdir(parents=True)
        (folder / "imagenet" / "resnet18.safetensors").write_bytes(content)
        found.append(job.config(data)["network"]["encoder_weights_sha256"])
    assert found == [hashlib.sha256(content).hexdigest() for content in (b"weights", b"others")]


def test_tensorboard_that_is_not_there_is_one_line(own, tmp_path, tiny, monkeypatch):
    import importlib.util

    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "tensorboard" else find(name))
    with pytest.raises(InputError, match="--tensorboard needs the package tensorboard, not installed here; `pip"):
        train(own, tmp_path / "runs", "--tensorboard", tmp_path / "board", net=tiny)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"--tensorboard .*file: cannot be written; give another folder"):
        train(own, tmp_path / "runs", "--tensorboard", tmp_path / "file", net=tiny)
    assert not (tmp_path / "runs").exists() and not (tmp_path / "board").exists()


def test_tables_of_a_second_seed_lie_beside_those_of_the_first(own, tmp_path, tiny):
    train(own, tmp_path, "--epochs", "1", net=tiny)
    folder = tmp_path / "own" / "own-released-tiny" / "seed0"
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    printed = train(own, tmp_path, "--split", folder / "split.json", "--epochs", "1", "--seed", "1", net=tiny)
    assert str(folder.with_name("seed1")) in " ".join(printed.split())
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    tables = [of / "scores.csv" for of in (folder, folder.with_name("seed1"))]
    assert tables[0].read_bytes() != tables[1].read_bytes()


def test_fine_tuning_leaves_a_frozen_encoder_as_it_was(trained, own, tmp_path):
    from unet_segnet.networks.load import load_model

    begun = trained[1] / "model.keras"
    arguments = ("--init", begun, "--freeze", "encoder", "--epochs", "1", "--keep", "best")
    printed = train(own, tmp_path, *arguments, net=["--batch-size", "2"])
    (folder,) = (tmp_path / "own").glob("own-from-model-????????-frozen-best/seed0")
    assert str(folder / "model.keras") in printed
    before, after = load_model(begun), load_model(folder / "model.keras")
    changed = {
        layer.name
        for layer, other in zip(before.layers, after.layers, strict=True)
        if any(not np.array_equal(*pair) for pair in zip(layer.get_weights(), other.get_weights(), strict=True))
    }
    assert changed and all(name.startswith("decoder") for name in changed)
    assert json.loads((folder / "result.json").read_text())["best_epoch"] == 1
    config = json.loads((folder / "config.json").read_text())
    assert len(config["network"]["init_sha256"]) == 64 and config["data"]["size"] == 16


def test_test_slices_that_the_first_network_learnt_from_are_told(trained, own):
    from unet_segnet.cohort.load import load_cohort

    cohort = load_cohort(own, size=16)
    (split,) = read_splits(trained[1] / "split.json", cohort.slices.names, cohort.groups)
    turned = replace(split, train=split.test, test=split.train)
    begun = trained[1] / "model.keras"
    known = f"model.keras was trained on {len(split.train)} of the test slices: the scores are too high."
    assert command.seen_before(NetworkPlan(None, init=str(begun)), cohort, [turned]) == [known]
    assert command.seen_before(NetworkPlan(None, init=str(begun)), cohort, [split]) == []
    assert command.seen_before(NetworkPlan("segnet"), cohort, [turned]) == []


def test_a_slice_that_two_folds_test_is_refused_before_training(trained, own, tmp_path):
    content = split_of(trained[1])
    content = {key: value * 2 if isinstance(value, list) else value for key, value in content.items()}
    (tmp_path / "split.json").write_text(json.dumps(content))
    with pytest.raises(
        InputError, match=r"split\.json: p\d.* is tested in two folds; expected each slice at most once"
    ):
        train(own, tmp_path / "runs", "--split", tmp_path / "split.json", "--epochs", "1")
    assert not (tmp_path / "runs").exists()


@pytest.mark.slow
def test_the_first_fold_need_not_test_anything(trained, own, tmp_path):
    content = split_of(trained[1])
    content = {key: value * 2 if isinstance(value, list) else value for key, value in content.items()}
    first = {**content["folds"][0], "test": []}
    content["folds"] = [first, content["folds"][1]]
    (tmp_path / "split.json").write_text(json.dumps(content))
    printed = train(own, tmp_path / "runs", "--split", tmp_path / "split.json", "--epochs", "1")
    assert "segmentations.png" in printed


@pytest.mark.slow
def test_folds_test_each_patient_once_and_leave_marked_test_data_out(own, tmp_path):
    rows = ["image,labels,lungs,patient,part"]
    rows += [f"{own}/images/p{n}.nii.gz,{own}/labels/p{n}.nii.gz,{own}/lungs/p{n}.nii.gz,p{n},{part}"
             for n, part in enumerate(("", "train", "", "validation", "test"), 1)]  # fmt: skip
    (tmp_path / "list.csv").write_text("\n".join(rows) + "\n")
    arguments = ("--classes", own / "classes.csv", "--folds", "2", "--epochs", "1", "--validation-share", "0")
    printed = train(tmp_path / "list.csv", tmp_path / "runs", *arguments)
    assert "3 slices marked test take no part in the folds" in printed
    assert "6 slices marked train or validation are divided anew" in printed
    group = tmp_path / "runs" / "own" / "list-released-segnet"
    names = []
    for fold in (1, 2):
        with np.load(group / f"fold{fold}-seed0" / "counts.npz", allow_pickle=False) as counts:
            names += counts["test_patients"].tolist()
    assert sorted(names) == [f"p{n}" for n in range(1, 5) for _ in range(3)]
    assert "Scores on list, 4 patients, 12 slices" in printed
    assert (group / "folds-seed0" / "scores.csv").is_file()


@pytest.mark.slow
def test_the_second_studys_recipe_ends_with_a_network_that_predict_takes(own, tmp_path):
    from unet_segnet.cohort.recipes import _pyramid
    from unet_segnet.inference.segmentation import segment
    from unet_segnet.networks.load import load_model

    net = ["--net", "unet/resnet18", "--recipe", "compare", "--size", "32", "--problem", "binary"]
    train(own, tmp_path, "--epochs", "1", net=net)
    model = tmp_path / "own" / "own-unet-resnet18" / "seed0" / "model.keras"
    result = segment(own / "images" / "p1.nii.gz", model, lungs=own / "lungs" / "p1.nii.gz", probabilities=True)
    assert result.class_names == ("not infected", "infected")
    np.testing.assert_allclose(result.probabilities.astype(float).sum(axis=-1), 1, atol=2e-3)
    train(own, tmp_path, "--epochs", "1", "--init", model, "--freeze", "encoder", net=net)
    (frozen,) = (tmp_path / "own").glob("own-unet-resnet18-from-model-????????-frozen/seed0/model.keras")
    before, after = (_pyramid(load_model(path)).layers for path in (model, frozen))
    learnt = {
        one.name: [bool((a != b).any()) for a, b in zip(one.get_weights(), other.get_weights(), strict=True)]
        for one, other in zip(before, after, strict=True)
        if one.weights
    }
    assert {name.startswith("encoder") for name in learnt} == {True, False}
    for name, changed in learnt.items():
        assert not any(changed) if name.startswith("encoder") else all(changed), name


def test_grey_levels_become_standardised_values_and_one_probability_two():
    import keras

    from unet_segnet.cohort.recipes import grey_levels_in

    inputs = keras.Input((4, 4, 1))
    network = keras.Model(inputs, keras.layers.Activation("sigmoid")(inputs), name="net")
    grey = np.arange(16, dtype="float32").reshape(1, 4, 4, 1)
    both = np.asarray(grey_levels_in(network, 8.0, 4.0).predict_on_batch(grey))
    lesion = 1 / (1 + np.exp(-(grey - 8) / 4))
    np.testing.assert_allclose(both, np.concatenate([1 - lesion, lesion], axis=-1), rtol=1e-5)


@pytest.mark.parametrize(
    ("make", "arguments", "message"),
    [
        (lambda folder: write_volume(folder, "p1", lesion=1), [], "1 patient: cannot be divided"),
        (lambda folder: write_cohort(folder, 3), ["--folds", "4"], "3 patients: cannot make 4 folds"),
        (lambda folder: write_cohort(folder, 3, lesion=0), [], "no label file marks anything"),
        (
            lambda folder: write_cohort(folder, 4),
            ["--keep", "best", "--validation-share", "0"],
            "the best epoch is chosen on validation slices, and there are none",
        ),
        (lambda folder: write_cohort(folder, 3, seed=1), [], "are the same picture: a leak"),
        (
            lambda folder: write_cohort(folder, 4),
            ["--batch-size", "7"],
            "own: 6 training slices do not fill one mini-batch of 7; use more slices, or a smaller --batch-size",
        ),
        (lambda folder: folder.mkdir(), [], "no layout of labelled scans is recognised"),
    ],
    ids=["one patient", "folds", "no lesion", "best", "leak", "batch", "nothing"],
)
def test_what_cannot_be_trained_on_is_one_line(tmp_path, make, arguments, message):
    make(tmp_path / "own")
    with pytest.raises(InputError, match=message) as error:
        train(tmp_path / "own", tmp_path / "runs", *arguments)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "runs").exists()


def test_loose_slices_are_trained_on_with_a_warning(tmp_path):
    from unet_segnet.cohort.load import load_cohort

    for number in range(4):
        write_slice(tmp_path / "own", f"s{number}", seed=number)
    options = command.build_parser().parse_args(["--data", str(tmp_path / "own"), *NET])
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        from unet_segnet.commands.cohort_options import load_own

        cohort = load_own(options, (-1100, 400), 16)
    text = " ".join(printed.getvalue().split())
    assert "WARNING: nobody knows whose 4 of the slices are" in text
    assert len(load_cohort(tmp_path / "own", size=16)) == len(cohort) == 4


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        ({"net": None}, "expected segnet, unet or ARCHITECTURE/ENCODER, unless `init`"),
        ({"net": "vnet"}, "`net` vnet: expected"),
        ({"net": "unet", "recipe": "compare"}, "segnet, unet go with grid"),
        ({"net": None, "init": "x.keras", "recipe": "compare"}, "needs `net` ARCHITECTURE/ENCODER"),
        ({"net": None, "variant": "released", "init": "x.keras"}, "`variant` belongs to `net`"),
        (
            {"net": "unet", "freeze": "encoder"},
            "`freeze` encoder needs trained weights: give `init`, or `encoder_weights`",
        ),
        ({"net": "unet", "encoder_weights": "imagenet"}, "`encoder_weights` belongs to a new network"),
        ({"net": None, "init": "binary", "encoder_weights": "imagenet"}, "`encoder_weights` belongs to a new network"),
        ({"net": "unet/vgg99", "recipe": "compare"}, "`net` unet/vgg99: expected"),
    ],
)
def test_networks_that_do_not_go_together_are_refused(plan, message):
    with pytest.raises(InputError, match=message):
        NetworkPlan(**plan).check()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--learning-rate", "-1"], "--learning-rate -1: expected"),
        (["--window", "400", "-1100"], "the second must be the larger"),
        (["--orientation", "sideways"], "orientation 'sideways'"),
        (["--classes", "missing.csv"], "--classes missing.csv: no such file"),
        (["--split", "missing.json"], "--split missing.json: no such file"),
        (["--init", "missing.keras"], r"missing.keras: no such file"),
        (["--out", "pyproject.toml/runs"], "cannot be written"),
        (
            ["--split", "pyproject.toml", "--test-share", "0.2", "--split-seed", "0"],
            "--split pyproject.toml: says which slice is in which part; leave --split-seed, --test-share out",
        ),
        (["--split", "pyproject.toml", "--folds", "2"], "leave --folds out"),
        (["--folds", "2", "--test-share", "0.2"], "test each patient once; leave --test-share out"),
    ],
)
def test_bad_options_are_refused_before_anything_is_read(tmp_path, arguments, message):
    with pytest.raises(InputError, match=message):
        train(tmp_path / "nowhere", tmp_path / "runs", *arguments, net=[*NET[:4], *NET[6:]])


@pytest.mark.parametrize("option", ["--seed", "--split-seed"])
@pytest.mark.parametrize("seed", ["-1", "4294967296", "1.5", "1,2"])
def test_seeds_that_no_library_takes_are_refused(option, seed, capsys):
    with pytest.raises(SystemExit, match="2"):
        command.build_parser().parse_args(["--data", "scans", option, seed])
    assert f"{option}: expected a whole number from 0 to 2147483647, got '{seed}'" in capsys.readouterr().err


def test_a_network_of_other_classes_is_refused(trained, tmp_path):
    folder = write_cohort(tmp_path / "own", 4)
    with pytest.raises(InputError, match="tells 3 classes apart, the data has 2"):
        train(folder, tmp_path / "runs", "--init", trained[1] / "model.keras", net=[])
    folder = write_cohort(tmp_path / "swapped", 4)
    (folder / "classes.csv").write_text("value,name\n0,healthy\n1,scar\n2,ground glass\n")
    with pytest.raises(
        InputError, match="its classes are healthy, ground glass, scar, the data has healthy, scar, gro"
    ):
        train(folder, tmp_path / "runs", "--init", trained[1] / "model.keras", net=[])
    names = ("healthy", "consolidation", "ground glass", "effusion")
    with pytest.raises(InputError, match="expected the same order"):
        check_classes(NetworkPlan(None, init="multiclass"), load_model("multiclass"), names)
    check_classes(NetworkPlan("unet"), None, names)
    with pytest.raises(InputError, match="holds segnet_released, --net and --variant ask for unet_paper"):
        train(tmp_path / "nowhere", tmp_path / "runs", "--init", trained[1] / "model.keras", net=["--net", "unet"])


@pytest.mark.parametrize("variant", ["paper", "released"])
def test_a_network_that_comes_from_matlab_is_known_by_its_kernels(variant):
    import keras

    from unet_segnet.cohort.network_plan import known_as

    with keras.StatelessScope(initialize_variables=False):  # its kernels' shapes are enough
        unet = NETWORKS["unet"].build((64, 64, 1), 2, variant, 100.0)
    renamed = keras.Model(unet.inputs, unet.outputs[0], name="matlab_network")
    assert known_as(renamed) == f"unet_{variant}"
    inputs = keras.Input((64, 64, 1))
    assert known_as(keras.Model(inputs, keras.layers.Conv2D(2, 1)(inputs), name="another")) == "another"


def test_net_that_is_not_that_of_a_matlab_file_is_refused(tmp_path, monkeypatch):
    from unet_segnet.networks import load as pretrained

    model = NETWORKS["segnet"].build((16, 16, 1), 2, "released", 0.0)
    model.name, model.sha256 = "matlab_network", hashlib.sha256(b"").hexdigest()
    monkeypatch.setattr(pretrained, "load_model", lambda source: model)
    (tmp_path / "network.mat").write_bytes(b"")
    with pytest.raises(InputError, match="holds segnet_released, --net and --variant ask for unet_paper"):
        train(tmp_path / "nowhere", tmp_path / "runs", "--init", tmp_path / "network.mat", net=["--net", "unet"])


def test_networks_of_two_runs_are_fine_tuned_side_by_side(tmp_path):
    """All are called model.keras; what is fine-tuned lies in a folder that knows them by their content."""
    for folder, content in (("seed0", b"one"), ("seed1", b"other"), ("copy", b"one")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "model.keras").write_bytes(content)
    one, other, copy = (
        NetworkPlan(None, init=str(tmp_path / folder / "model.keras")).label for folder in ("seed0", "seed1", "copy")
    )
    assert one == copy != other and one.startswith("from-model-")


def test_a_network_that_is_replaced_before_a_later_fold_is_told(tmp_path):
    """The run is known by the file that was there when the command began."""
    one, other = (save_pixel_network(tmp_path / f"{name}.keras", 0.1, level) for name, level in (("a", 9), ("b", 7)))
    plan = NetworkPlan(None, init=str(one))
    assert plan.init_sha256 == begin_with(plan).sha256
    other.replace(one)
    with pytest.raises(InputError, match=r"a\.keras: was changed while it was read"):
        begin_with(plan)


def test_names_of_data_never_leave_the_folder(tmp_path):
    assert safe_name("../../etc") == "_.._etc" and safe_name("a b/ü") == "a_b__" and safe_name("..") == "data"
    assert NetworkPlan("unet/resnet18", recipe="compare").label == "unet-resnet18"
    (tmp_path / "x y.keras").write_bytes(b"a network")
    assert NetworkPlan(None, init=str(tmp_path / "x y.keras")).label == "from-x_y-2f782bec"
    assert Path(NetworkPlan("segnet", "released", init="binary", freeze="encoder").label).parts == (
        "released-segnet-from-binary-frozen",
    )


def test_a_run_of_another_kind_is_refused(trained, tmp_path):
    from unet_segnet.cohort.training import KIND
    from unet_segnet.runs.reading import read_run

    shutil.copytree(trained[1], tmp_path / "copy")
    config = json.loads((tmp_path / "copy" / "config.json").read_text())
    (tmp_path / "copy" / "config.json").write_text(json.dumps({**config, "format": 99}))
    with pytest.raises(InputError, match="written by another version"):
        read_run(tmp_path / "copy", KIND)
    (tmp_path / "copy" / "config.json").write_text(json.dumps(config))
    (tmp_path / "copy" / "result.json").write_text('{"version": 2}')
    with pytest.raises(InputError, match=r"result\.json: does not say how the run ended; remove the run's folder"):
        read_run(tmp_path / "copy", KIND)


def test_a_network_goes_on_in_its_own_data_type():
    from unet_segnet.cohort.recipes import dtype_of_network, grey_levels_in
    from unet_segnet.models import build_model
    from unet_segnet.training.compilation import dtype_policy

    for dtype in ("mixed_bfloat16", "float32"):
        with dtype_policy(dtype):
            plain = build_model("unet", "released", input_shape=(16, 16, 1))
            pyramid = build_model("unet", encoder="resnet18", num_classes=1, input_shape=(32, 32, 1))
        assert dtype_of_network(plain) == dtype_of_network(grey_levels_in(pyramid, 0.0, 1.0)) == dtype
