"""External validation: known predictions give known scores, beside the baselines; what sets the data apart is said."""

import contextlib
import csv
import hashlib
import io
import json
import re
import shutil

import numpy as np
import pytest
from own_data import write_cohort, write_volume
from sklearn.metrics import f1_score

from unet_segnet.cohort.load import load_cohort
from unet_segnet.commands import evaluate as command
from unet_segnet.errors import InputError
from unet_segnet.networks.facts import write_facts

LEVEL = 100  # from which on the network calls a pixel a lesion
SIZE = 32


def bright_network(path, num_classes=2):
    """A network that calls what is brighter than LEVEL the first lesion class: a convolution with set weights."""
    import keras

    inputs = keras.Input((SIZE, SIZE, 1))
    scores = keras.layers.Conv2D(num_classes, 1, name="scores")(inputs)
    model = keras.Model(inputs, keras.layers.Softmax()(scores))
    slopes, offsets = np.zeros((1, 1, 1, num_classes), "float32"), np.full(num_classes, -1e3, "float32")
    slopes[..., :2], offsets[:2] = (-0.1, 0.1), (LEVEL / 10, -LEVEL / 10)
    model.get_layer("scores").set_weights([slopes, offsets])
    model.save(path)
    return path


@pytest.fixture(scope="session")
def network(tmp_path_factory):
    return bright_network(tmp_path_factory.mktemp("network") / "bright.keras")


@pytest.fixture(scope="session")
def own(tmp_path_factory):
    """Four patients, of whom two are marked as test data by list.csv."""
    folder = write_cohort(tmp_path_factory.mktemp("data") / "own", 4)
    rows = ["image,labels,lungs,part"]
    rows += [f"images/p{n}.nii.gz,labels/p{n}.nii.gz,lungs/p{n}.nii.gz,{'test' if n > 2 else ''}" for n in range(1, 5)]
    (folder / "list.csv").write_text("\n".join(rows) + "\n")
    return folder


def evaluate(model, data, out, *arguments):
    options = command.build_parser().parse_args(
        [str(model), "--data", str(data), "--out", str(out), *map(str, arguments)]
    )
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        command.evaluate(options)
    return printed.getvalue()


def rows_of(path):
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


@pytest.fixture(scope="session")
def evaluated(network, own, tmp_path_factory):
    out = tmp_path_factory.mktemp("out") / "evaluation"
    return evaluate(network, own, out), out


def test_the_network_that_was_scored_is_named(network, own, tmp_path, monkeypatch):
    """Its file is replaced once it is loaded, as a training that ends replaces its own."""
    mine = tmp_path / "mine.keras"
    shutil.copy(network, mine)
    predicted = command.predicted

    def replaced(*arguments):
        mine.write_bytes(b"another")
        return predicted(*arguments)

    monkeypatch.setattr(command, "predicted", replaced)
    evaluate(mine, own, tmp_path / "out")
    facts = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    assert facts["network_sha256"] == hashlib.sha256(network.read_bytes()).hexdigest()


def test_everything_is_written(evaluated):
    printed, out = evaluated
    assert {path.name for path in out.iterdir()} == {
        "scores.csv", "scores.md", "patients.csv", "patients.md", "domain.csv", "domain.md", "slices.csv",
        "counts.npz", "evaluation.json", "segmentations.png",
    }  # fmt: skip
    assert "Scores on own, 4 patients, 12 slices" in printed
    facts = json.loads((out / "evaluation.json").read_text())
    assert 0 < facts["seconds"] < 1000
    assert len(facts["network_sha256"]) == 64 and facts["methods"][1:] == ["all background", "best threshold"]


def test_scores_are_those_of_what_is_bright(evaluated, own):
    cohort = load_cohort(own, size=SIZE)
    found, truth = cohort.slices.images > LEVEL, cohort.slices.labels > 0
    scores = {(row["method"], row["over"]): row for row in rows_of(evaluated[1] / "scores.csv")}
    assert float(scores["network", "all pixels"]["Dice value"]) == pytest.approx(f1_score(truth.ravel(), found.ravel()))
    assert float(scores["all background", "all pixels"]["Dice value"]) == 0
    assert float(scores["best threshold", "all pixels"]["Dice value"]) >= float(
        scores["network", "all pixels"]["Dice value"]
    )
    for row in rows_of(evaluated[1] / "patients.csv"):
        here = np.array([patient == row["patient"] for patient in cohort.patients])
        assert float(row["Dice value"]) == pytest.approx(f1_score(truth[here].ravel(), found[here].ravel()))
    assert len(rows_of(evaluated[1] / "slices.csv")) == 12


def test_nothing_is_replaced_without_force(evaluated, network, own):
    out = evaluated[1]
    before = (out / "scores.csv").stat().st_mtime_ns
    with pytest.raises(InputError, match="is there already"):
        evaluate(network, own, out)
    assert (out / "scores.csv").stat().st_mtime_ns == before
    evaluate(network, own, out, "--force")
    assert (out / "scores.csv").stat().st_mtime_ns > before
    (out / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match=r"holds 'notes\.txt', which this command did not write and never removes"):
        evaluate(network, own, out, "--force")
    (out / "notes.txt").unlink()


def test_marked_test_data_alone_is_scored(network, own, tmp_path):
    evaluate(network, own / "list.csv", tmp_path / "test")
    assert [row["patient"] for row in rows_of(tmp_path / "test" / "patients.csv")] == ["p3", "p4"]
    evaluate(network, own / "list.csv", tmp_path / "all", "--part", "all")
    assert len(rows_of(tmp_path / "all" / "patients.csv")) == 4
    with pytest.raises(InputError, match="no slice is marked validation"):
        evaluate(network, own / "list.csv", tmp_path / "none", "--part", "validation")


def test_a_written_split_chooses_the_slices(network, own, tmp_path):
    from unet_segnet.data.splits import grouped_folds, write_splits

    cohort = load_cohort(own, size=SIZE)
    folds = grouped_folds(cohort.groups, 2, validation_share=0)
    write_splits(tmp_path / "split.json", folds, cohort.slices.names, cohort.groups)
    evaluate(network, own, tmp_path / "out", "--split", tmp_path / "split.json", "--fold", "2")
    tested = {row["slice"] for row in rows_of(tmp_path / "out" / "slices.csv")}
    assert tested == {cohort.slices.names[index] for index in folds[1].test}
    with pytest.raises(InputError, match="has 2 folds; --fold 3"):
        evaluate(network, own, tmp_path / "other", "--split", tmp_path / "split.json", "--fold", "3")


def test_a_runs_network_is_known_by_its_folder_and_by_its_file(network, tmp_path):
    settings = {"data": {"classes": ["healthy", "lesion"], "window": [-1000.0, 200.0], "name": "here"}}
    (tmp_path / "config.json").write_text(json.dumps(settings))
    file = tmp_path / "model.keras"
    shutil.copy(network, file)
    expected = (str(file), {"class_names": ["healthy", "lesion"], "window": [-1000.0, 200.0], "data": "here"})
    assert command.find_model(str(tmp_path)) == command.find_model(str(file)) == expected
    shutil.copy(network, tmp_path / "other.keras")
    assert command.find_model(str(tmp_path / "other.keras")) == (str(tmp_path / "other.keras"), {})


@pytest.mark.parametrize(
    ("data", "fact"),
    [
        ({"classes": ["healthy", "lesion"], "window": "xx"}, "window"),
        ({"classes": ["healthy", "lesion"], "window": [5, -5]}, "window"),
        ({"classes": [{"a": 1}, 2]}, "class_names"),
    ],
)
def test_a_run_that_tells_impossible_things_of_its_network_is_refused(network, tmp_path, data, fact):
    (tmp_path / "config.json").write_text(json.dumps({"data": data}))
    shutil.copy(network, tmp_path / "model.keras")
    with pytest.raises(InputError, match=rf"config\.json: has an impossible {fact} of its network; restore the file"):
        command.find_model(str(tmp_path))


def test_a_fold_without_its_file_is_refused(network, own, tmp_path):
    with pytest.raises(InputError, match="--fold is one of a file's"):
        evaluate(network, own, tmp_path / "out", "--fold", 2)


def test_what_the_network_was_trained_on_is_compared_and_known_again(own, tmp_path):
    from unet_segnet.cohort.domain import describe
    from unet_segnet.cohort.seen import slice_marks

    cohort = load_cohort(own, size=SIZE)
    path = bright_network(tmp_path / "known.keras")
    trained_on = {**describe(cohort), "units": ["8-bit"], "lesion_share": 0.9}
    facts = {"data": "elsewhere", "trained_on": trained_on, "thresholds": [LEVEL + 1], "window": [-1100.0, 400.0]}
    write_facts(path, {**facts, "slices": slice_marks(cohort.slices.images[:5])})
    printed = " ".join(evaluate(path, own, tmp_path / "out").split())
    assert "WARNING: the network was trained on 5 of these slices" in printed
    assert "What differs: units; lesion, share of the lungs." in printed
    domain = {row["fact"]: row for row in rows_of(tmp_path / "out" / "domain.csv")}
    assert domain["units"] == {"fact": "units", "trained on": "8-bit", "here": "HU", "remark": "different"}
    scores = {(row["method"], row["over"]): row for row in rows_of(tmp_path / "out" / "scores.csv")}
    of_network, of_threshold = (scores[name, "all pixels"] for name in ("network", "grey threshold"))
    assert of_network["Dice value"] == of_threshold["Dice value"]  # the same rule


def test_the_whole_of_the_released_slices_is_not_said_to_have_trained_a_network(own, tmp_path):
    path = bright_network(tmp_path / "released.keras")
    write_facts(path, {"data": "COVID19-DL"})
    printed = " ".join(evaluate(path, own, tmp_path / "out").split())
    assert "was trained on (a part of COVID19-DL; described are all its slices), and own." in printed


def test_another_part_of_the_slices_than_the_network_learnt_from_is_told(network, own, tmp_path):
    without = tmp_path / "without"
    for kind in ("images", "labels"):
        shutil.copytree(own / kind, without / kind)
    for name, other, same, advice in (
        ("whole slices", own, without, "--lungs none"),
        ("lungs alone", without, own, "--lungs auto"),
    ):
        path = shutil.copy(network, tmp_path / f"{name}.keras")
        write_facts(path, {"learnt_from": name})
        printed = " ".join(evaluate(path, other, tmp_path / f"{name} other", "--lungs", "none").split())
        assert f"WARNING: the network learnt from {name}, 12 of these 12 slices show" in printed and advice in printed
        assert f"learnt from {name}" in (tmp_path / f"{name} other" / "scores.md").read_text()
        assert "learnt from" not in evaluate(path, same, tmp_path / f"{name} same", "--lungs", "none")


def test_more_classes_than_the_data_has_are_scored_together(own, tmp_path):
    path = bright_network(tmp_path / "four.keras", num_classes=4)
    printed = " ".join(evaluate(path, own, tmp_path / "four").split())
    assert "the network tells 4 classes apart, the data 2; C1, C2, C3 are taken together." in printed
    cohort = load_cohort(own, size=SIZE)
    expected = f1_score(cohort.slices.labels.ravel() > 0, cohort.slices.images.ravel() > LEVEL)
    assert float(rows_of(tmp_path / "four" / "scores.csv")[0]["Dice value"]) == pytest.approx(expected)


def test_the_same_classes_in_another_order_are_matched_by_name(tmp_path):
    folder = write_cohort(tmp_path / "own", 2)
    write_volume(folder, "p3", seed=3, lesion=2)
    (folder / "classes.csv").write_text("value,name\n0,healthy\n2,scar\n1,glass\n")
    path = bright_network(tmp_path / "three.keras", num_classes=3)
    write_facts(path, {"class_names": ["healthy", "glass", "scar"]})
    evaluate(path, folder, tmp_path / "out")
    cohort = load_cohort(folder, size=SIZE)
    truth = cohort.slices.labels.ravel() == cohort.slices.class_names.index("glass")
    row = next(row for row in rows_of(tmp_path / "out" / "scores.csv") if row["lesion"] == "glass")
    assert float(row["Dice value"]) == pytest.approx(f1_score(truth, cohort.slices.images.ravel() > LEVEL))


def test_classes_that_cannot_be_matched_are_refused(tmp_path):
    folder = write_cohort(tmp_path / "own", 2)
    write_volume(folder, "p3", seed=3, lesion=2)
    path = bright_network(tmp_path / "four.keras", num_classes=4)
    with pytest.raises(
        InputError, match="the network tells C0, C1, C2, C3 apart, the data background, value 1, value 2"
    ):
        evaluate(path, folder, tmp_path / "out")
    with pytest.raises(InputError, match="say it in a file"):
        evaluate(path, folder, tmp_path / "out", "--problem", "binary")
    (folder / "classes.csv").write_text("value,name\n0,healthy\n1,glass\n2,scar\n")
    evaluate(path, folder, tmp_path / "out", "--problem", "binary")


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("missing.keras", "missing.keras: no such file"),
        ("folder", "no network in this folder"),
        ("nothing", "nothing: no trained network of that name"),
    ],
)
def test_networks_that_are_not_there_are_one_line(own, tmp_path, monkeypatch, model, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    with pytest.raises(InputError, match=message) as error:
        evaluate(model, own, tmp_path / "out")
    assert "\n" not in str(error.value) and not (tmp_path / "out").exists()


@pytest.mark.slow
def test_the_authors_network_has_its_published_scores(real_data, tmp_path):
    """The MATLAB SegNet on the 18 test slices: the article's Table 4, within the two pixels that parity finds."""
    model = real_data / "results" / "networks" / "segnet2_result" / "segnet2_256_0.001_4_160.mat"
    printed = " ".join(evaluate(model, real_data, tmp_path / "out", "--problem", "binary").split())
    row = rows_of(tmp_path / "out" / "scores.csv")[0]
    assert float(row["Dice value"]) == pytest.approx(0.749811, abs=1e-5)
    assert float(row["sensitivity value"]) == pytest.approx(0.956, abs=1e-3)
    assert "18 of 18 slices are of unknown patients" in printed
    threshold = [row for row in rows_of(tmp_path / "out" / "scores.csv") if row["method"] == "grey threshold"]
    assert float(threshold[0]["Dice value"]) == pytest.approx(0.659, abs=1e-3)
    domain = rows_of(tmp_path / "out" / "domain.csv")
    assert {row["trained on"] for row in domain if row["fact"] == "slice size"} == {"256x256"}


def test_the_folder_of_the_data_is_never_replaced(network, own, tmp_path):
    data = tmp_path / "scans"
    shutil.copytree(own, data)
    with pytest.raises(InputError, match="scans: holds something other than results"):
        evaluate(network, data, data, "--force")
    assert sorted(path.name for path in data.iterdir()) == sorted(path.name for path in own.iterdir())


def test_what_another_process_finished_meanwhile_is_kept(network, own, tmp_path, monkeypatch):
    def meanwhile(*_):
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "evaluation.json").write_text("{}")
        return load_cohort(own, size=SIZE)

    monkeypatch.setattr(command, "load_own", meanwhile)
    with pytest.raises(InputError, match="out: is there already"):
        evaluate(network, own, tmp_path / "out")
    assert (tmp_path / "out" / "evaluation.json").read_text() == "{}"


def test_a_scan_under_two_names_is_told(network, own, tmp_path):
    data = tmp_path / "own"
    shutil.copytree(own, data)
    for kind in ("images", "labels", "lungs"):
        shutil.copy(data / kind / "p1.nii.gz", data / kind / "p9.nii.gz")
    printed = " ".join(evaluate(network, data, tmp_path / "out").split())
    told = "slice p1/001 of patient p1 and slice p9/001 of patient p9 are the same picture (2 more such pairs, "
    assert f"WARNING: {told}" in printed and told in (tmp_path / "out" / "scores.md").read_text()
    assert "same picture" not in evaluate(network, data / "list.csv", tmp_path / "listed")


def test_a_network_that_tells_nothing_apart_is_told(own, tmp_path):
    import keras

    path = bright_network(tmp_path / "dark.keras")
    model = keras.saving.load_model(path)
    model.get_layer("scores").set_weights([np.zeros((1, 1, 1, 2), "float32"), np.array([1, 0], "float32")])
    model.save(path)
    printed = " ".join(evaluate(path, own, tmp_path / "out").split())
    assert re.search(r"The network calls every pixel \S.*: it tells nothing apart\.", printed)


def test_a_network_that_gives_no_numbers_is_refused(own, tmp_path):
    import keras

    path = bright_network(tmp_path / "broken.keras")
    model = keras.saving.load_model(path)
    model.get_layer("scores").set_weights([np.zeros((1, 1, 1, 2), "float32"), np.array([np.nan, 0], "float32")])
    model.save(path)
    with pytest.raises(InputError, match="gives probabilities that are no numbers"):
        evaluate(path, own, tmp_path / "out")
    assert not (tmp_path / "out").exists()
