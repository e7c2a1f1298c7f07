"""Trainings that leave sources out: what is learnt, what is tested, how it is counted."""

import json
from dataclasses import replace

import numpy as np
import pytest

from experiments.networks import learning, runs, table, whole
from experiments.networks.sources import SIZE, SOURCES, UNKNOWN, Case, read_cases
from unet_segnet.data.catalogue import data_root
from unet_segnet.errors import InputError
from unet_segnet.training.annealed import AnnealedRecipe


def a_case(source="medseg9", name="1", marked=True, num_slices=3, size=32, **changes):
    """Two bright discs for lungs in a grey body, a lesion in one of them, on all slices but the last."""
    rows, columns = np.mgrid[:size, :size]
    lungs = np.zeros((num_slices, size, size), bool)
    lesions = lungs.copy()
    for centre in (size * 0.3, size * 0.7):
        lungs[:-1] |= (rows - centre) ** 2 + (columns - size / 2) ** 2 < (size * 0.15) ** 2
    lesions[:-1] = (rows - size * 0.3) ** 2 + (columns - size * 0.55) ** 2 < (size * 0.06) ** 2
    values = np.where(lesions, -400, np.where(lungs, -850, 40)) + np.random.default_rng(0).normal(0, 30, lungs.shape)
    from unet_segnet.data.resize import resize_labels

    images = resize_labels(values, (SIZE, SIZE)).astype(np.float16)
    fields = {
        "source": source,
        "name": name,
        "patient": f"{source}-{name}",
        "images": images,
        "bodies": images,
        "boxes": np.array([(0, 0, size)] * num_slices),
        "lungs": lungs,
        "lungs_known": True,
        "lesions": lesions if marked else None,
        "infected": lesions.any(axis=(1, 2)) if marked else None,
        "names": tuple(f"{number:03}" for number in range(num_slices)),
    }
    return Case(**{**fields, **changes})


def spec(task="lesions", *without):
    return runs.NetworkSpec(task, tuple(sorted(without)), "fpn", "mobilenet_v2")


# What is learnt


def test_sources_kinds_and_patients_are_drawn_by_their_shares():
    groups = [("a", True, "1")] * 3 + [("a", True, "2")] + [("a", False, "1")] * 2 + [("b", False, "3")] * 4
    chances = learning.balanced(groups)
    assert chances.sum() == pytest.approx(1)
    of_a = 1 / (1 + learning.HEALTHY_SHARE)
    np.testing.assert_allclose(chances[:3], of_a * (1 - learning.EMPTY_SHARE) / 2 / 3)
    np.testing.assert_allclose(chances[3], of_a * (1 - learning.EMPTY_SHARE) / 2)
    np.testing.assert_allclose(chances[4:6], of_a * learning.EMPTY_SHARE / 2)
    np.testing.assert_allclose(chances[6:], (1 - of_a) / 4)


def test_lesions_outside_the_lungs_are_unknown():
    case = a_case()
    lesions = case.lesions.copy()
    lesions[0, 0, 0] = True
    _, codes = learning.lesion_examples(a_case(lesions=lesions))
    assert codes[0, 0, 0] == UNKNOWN
    assert set(np.unique(codes)) == {learning.HEALTHY, learning.LESION, learning.OUTSIDE, UNKNOWN}
    assert (codes == learning.LESION).sum() == (SIZE // 32) ** 2 * case.lesions.sum()


@pytest.mark.parametrize("task", learning.TASKS)
def test_augmented_slices_depend_on_their_seeds_alone(task):
    learnt = learning.examples(task, [a_case()])
    augment = learning.augment_lungs if task == "lungs" else learning.augment_lesions
    seeds = np.arange(3, dtype=np.uint32)
    images, labels = augment(learnt.images, learnt.labels, seeds)
    assert images.shape == labels.shape == (3, SIZE, SIZE)
    assert images.dtype == np.float32 and labels.dtype == np.uint8
    assert set(np.unique(labels)) <= {0, 1, UNKNOWN}
    assert labels[:2].max(axis=(1, 2)).tolist() == [1, 1] and not labels[2].any()
    assert images.min() >= 0 and images.max() <= 1.5
    alone, _ = augment(learnt.images[1:2], learnt.labels[1:2], seeds[1:2])
    np.testing.assert_array_equal(alone[0], images[1])


def test_shown_lesions_do_not_depend_on_the_window():
    case = a_case()
    lungs = learning.lung_examples(case)[1] == 1
    shown = learning.shown_to_network("lesions", case)
    other = replace(case, images=0.5 * case.images.astype(np.float32) + 90)
    np.testing.assert_allclose(learning.shown_to_network("lesions", other), shown, atol=1e-3)
    assert not shown[~lungs].any() and shown[lungs].min() >= 0.05


# Who tests


@pytest.mark.parametrize(
    ("task", "without", "source", "name", "part"),
    [
        ("lesions", ["medseg9"], "medseg9", "2", "test"),
        ("lesions", ["medseg9"], "medseg9", "3", None),  # volume 2 once more
        ("lesions", ["medseg9"], "ct20", "9", "validation"),
        ("lesions", ["medseg9"], "ct20", "1", "trained"),
        ("lesions", ["ct20"], "ct20", "9", "test"),
        ("lesions", ["ct20"], "medseg9", "3", "trained"),
        ("lesions", ["medseg9"], "COVID19-DL", "test", "test"),
        ("lesions", [], "COVID19-DL", "test", "trained"),
        ("lesions", [], "P001", "P001", "test"),
        ("lungs", ["lctsc3"], "lctsc3", "x", "test"),
        ("lungs", ["lctsc3"], "medseg9", "1", "trained"),
    ],
)
def test_the_part_of_a_case(task, without, source, name, part):
    assert runs.part_of(a_case(source, name), spec(task, *without)) == part


def test_what_nobody_marked_is_not_learnt():
    assert runs.part_of(a_case("lctsc3", marked=False), spec("lesions", "medseg9")) is None
    assert runs.part_of(a_case("normal001", lungs_known=False), spec("lungs", "lctsc3")) is None


# Counting


def test_counts_at_each_threshold_are_those_of_thresholding():
    generator = np.random.default_rng(2)
    probability, truth, region = (
        generator.random((9, 11)),
        generator.random((9, 11)) < 0.4,
        generator.random((9, 11)) < 0.8,
    )
    found = runs.confusion_at(runs.THRESHOLDS, probability, truth, region)
    for threshold, matrix in zip(runs.THRESHOLDS, found, strict=True):
        predicted = (probability > threshold) & region
        expected = [[(~truth & ~predicted).sum(), (~truth & predicted).sum()],
                    [(truth & ~predicted).sum(), (truth & predicted).sum()]]  # fmt: skip
        np.testing.assert_array_equal(matrix, expected)
    unknown = runs.confusion_at((0.5,), probability)
    np.testing.assert_array_equal(unknown[0], [[(probability <= 0.5).sum(), (probability > 0.5).sum()], [0, 0]])


def test_area_under_the_curve_of_slices():
    sklearn = pytest.importorskip("sklearn.metrics")
    generator = np.random.default_rng(3)
    infected, marked = generator.permutation([1] * 12 + [0] * 10 + [-1]), generator.integers(0, 9, 23)
    assert table.slice_auc(infected, marked) == pytest.approx(
        sklearn.roc_auc_score(infected[infected >= 0], marked[infected >= 0])
    )
    assert table.slice_auc(np.repeat([1, 0], [99, 9]), np.arange(108)) is None


def made_counts():
    """Two test scans and one that validates, whose Dice is 2 x 9 / 21 at best."""
    per_slice = {
        "validation": [[[80, 10], [0, 10]], [[88, 2], [1, 9]], [[90, 0], [8, 2]]],
        "one": [[[70, 20], [2, 8]], [[85, 5], [4, 6]], [[90, 0], [9, 1]]],
        "two": [[[90, 5], [2, 3]], [[95, 0], [3, 2]], [[95, 0], [5, 0]]],
    }
    middle = runs.HALF
    confusion = np.zeros((3, len(runs.THRESHOLDS), 2, 2), int)
    for row, matrices in zip(confusion, per_slice.values(), strict=True):
        row[: middle - 2], row[middle - 2 : middle], row[middle:] = (np.array(of) for of in matrices)
    return {
        "thresholds": np.array(runs.THRESHOLDS),
        "slices": np.array(["001"] * 3),
        "cases": np.array(list(per_slice)),
        "sources": np.array(["ct20", "medseg9", "medseg9"]),
        "parts": np.array(["validation", "test", "test"]),
        "infected": np.ones(3, int),
        "lung_pixels": np.array([50, 40, 60]),
        "confusion": confusion,
    }


def test_scores_are_at_the_threshold_of_the_validation_scans():
    config = {"task": "lungs", "without": ["medseg9"], "architecture": "fpn", "encoder": "e", "seed": 0}
    config["recipe"] = {"epochs": 16}
    (row,) = table.score_rows({**config, "split": {"trained": []}}, {}, made_counts())
    scores = dict(zip(table.COLUMNS, row, strict=True))
    assert (scores["epochs"], scores["tested on"]) == (16, "medseg9") and scores["scans"] == scores["slices"] == 2
    assert scores["threshold"] == 0.45 == runs.THRESHOLDS[runs.HALF - 1]  # next to 9 / 21
    assert scores["Dice: all pixels"] == pytest.approx(2 * 8 / (2 * 8 + 5 + 7))
    assert scores["Dice: mean of scans"] == pytest.approx((12 / (12 + 9) + 4 / (4 + 3)) / 2)
    assert scores["sensitivity"] == pytest.approx(8 / 15) and scores["precision"] == pytest.approx(8 / 13)
    assert scores["share of lungs"] is None and scores["AUC of slices"] is None


def test_lesions_have_a_lower_threshold_where_the_network_is_too_sure_and_scores_by_slice():
    config = {"task": "lesions", "without": ["medseg9"], "architecture": "fpn", "encoder": "e", "seed": 0}
    config["recipe"] = {"epochs": 16}
    counts = made_counts()
    told = runs.facts({**config, "split": {"trained": []}}, {}, counts)
    half = 9 / 21
    logit = np.log(half / (1 - half)) * told["temperature"]
    assert told["threshold"] == min(runs.THRESHOLDS, key=lambda at: abs(at - 1 / (1 + np.exp(-logit))))
    (row,) = table.score_rows({**config, "split": {"trained": []}}, {}, counts)
    scores = dict(zip(table.COLUMNS, row, strict=True))
    at = runs.THRESHOLDS.index(told["threshold"])
    assert scores["share of lungs"] == pytest.approx(counts["confusion"][1:, at, :, 1].sum())  # of 100 pixels
    assert scores["AUC of slices"] is None
    assert runs.best_threshold(np.zeros_like(counts["confusion"][0])) == runs.HALF  # nothing validates
    counts["confusion"][counts["parts"] == "validation", :, 1] = 0  # there is nothing to find
    assert runs.best_threshold(counts["confusion"][0]) == runs.HALF


def test_shares_stand_beside_probabilities_as_they_are_and_as_they_are_written():
    config = {"task": "lesions", "without": ["medseg9"], "architecture": "fpn", "encoder": "e", "seed": 0}
    config |= {"recipe": {"epochs": 16}, "split": {"trained": []}}
    temperature = runs.facts(config, {}, made_counts())["temperature"]
    rows = [dict(zip(table.BINS, row, strict=True)) for row in table.reliability_rows(config, {}, made_counts())]
    first = rows[0]
    assert (first["as it is: from"], first["as it is: to"]) == (
        runs.THRESHOLDS[runs.HALF - 3],
        runs.THRESHOLDS[runs.HALF - 2],
    )
    assert (first["pixels"], first["share"]) == (23, pytest.approx(3 / 23))  # 36 are above the first, 13 above the next
    for row in rows:
        for end in ("from", "to"):
            odds = (row[f"as it is: {end}"] / (1 - row[f"as it is: {end}"] + 1e-9)) ** (1 / temperature)
            assert row[f"scaled: {end}"] == pytest.approx(odds / (1 + odds), abs=1e-3)


# Together


def data_of(*cases):
    data = runs.NetworkData("lesions")
    object.__setattr__(data, "__dict__", {**data.__dict__, "cases": cases})
    return data


def stand_in(architecture, *, encoder, num_classes, input_shape, seed):
    """Two convolutions in place of the study's networks."""
    import keras

    inputs = keras.Input(input_shape)
    first, last = (keras.initializers.HeNormal(seed=seed + number) for number in range(2))
    x = keras.layers.Conv2D(4, 3, padding="same", kernel_initializer=first)(inputs)
    x = keras.layers.ReLU()(keras.layers.BatchNormalization()(x))
    outputs = keras.layers.Conv2D(num_classes, 1, activation="softmax", kernel_initializer=last)(x)
    return keras.Model(inputs, outputs)


@pytest.fixture(scope="module", params=["stand-in", pytest.param("as it is", marks=pytest.mark.slow)])
def trained(request, tmp_path_factory):
    """The cases and the folder of a small run, and the folder of all runs."""
    from unet_segnet.runs.job import complete

    out = tmp_path_factory.mktemp("runs")
    cases = (a_case("medseg9", "1"), a_case("ct20", "1"), a_case("ct20", "9"), a_case("P001", "P001", marked=False))
    job = runs.NetworkJob(spec("lesions", "medseg9"), AnnealedRecipe(epochs=1, steps=1, batch_size=2))
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "stand-in":
            patch.setattr("unet_segnet.models.build_model", stand_in)
        return cases, complete(job, data_of(*cases), out), out


def test_a_small_training_leaves_its_counts_and_a_table(trained, tmp_path, capsys):
    from unet_segnet.networks.load import load_model

    cases, path, out = trained
    assert path == out / "networks/lesions-without-medseg9/fpn-mobilenet_v2/seed0"
    with np.load(path / "counts.npz") as counts:
        assert counts["parts"].tolist() == ["test"] * 3 + ["validation"] * 3 + ["test"] * 3
        assert counts["confusion"].shape == (9, len(runs.THRESHOLDS), 2, 2)
        assert (counts["confusion"].sum(axis=(2, 3)) == 32 * 32).all()
        assert counts["confusion"][:3, 0, 1].sum() == cases[0].lesions.sum()
        assert not counts["confusion"][6:, :, 1].any()  # nobody marked them
    model = load_model(path / "model.keras")
    assert (model.takes, model.class_names) == ("lung levels", ("not infected", "infected"))
    assert model.threshold in runs.THRESHOLDS
    table.write_score_table(out, tmp_path / "results")
    assert "medseg9" in capsys.readouterr().out
    assert (tmp_path / "results/scores.csv").is_file() and (tmp_path / "results/runs.json").is_file()


def test_other_pixels_are_another_run(trained):
    cases, path, _ = trained
    changed = replace(cases[0], lungs=~cases[0].lungs)
    told = json.loads((path / "config.json").read_text())["data_sha256"]
    assert data_of(*cases).sha256 == told != data_of(changed, *cases[1:]).sha256


def test_a_run_becomes_the_project_s_network(trained, tmp_path, monkeypatch):
    from argparse import Namespace

    from experiments import publish
    from unet_segnet.networks import load

    _, path, _ = trained
    monkeypatch.setattr(publish, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(load, "WEIGHTS", tmp_path / "weights")
    publish.publish(Namespace(runs=[path], weights=True, force=False))
    assert (tmp_path / "results/networks/lesions-without-medseg9/fpn-mobilenet_v2/seed0/counts.npz").is_file()
    model, facts = load.load_model("lesions"), load.model_facts("lesions")
    assert model.count_params() == json.loads((path / "result.json").read_text())["parameters"]
    assert model.takes == "lung levels" and model.threshold == facts["told"]["threshold"]
    assert (facts["problem"], facts["data"]["name"]) == ("lesions", "ct20")
    assert [row["tested on"] for row in facts["scores"]] == ["medseg9", "P001"]
    card = (tmp_path / "weights/lesions.md").read_text(encoding="utf-8")
    assert "not for clinical use" in card and "CC BY-NC-SA 4.0" in card
    table.write_score_table(tmp_path / "results", tmp_path / "results/networks")
    assert (tmp_path / "results/networks/scores.csv").is_file()


def test_the_cards_of_the_committed_networks_have_all_their_twins():
    from experiments import RESULTS
    from experiments.networks.card import network_card, network_facts
    from unet_segnet.networks.load import WEIGHTS, model_facts
    from unet_segnet.runs.reading import read_run

    for problem in ("lungs", "lesions"):
        run = read_run(RESULTS / "networks" / f"{problem}-all" / "linknet-mobilenet_v2" / "seed0", runs.KIND)
        facts = network_facts(run.config, run.result, run.counts, RESULTS)
        assert json.loads(json.dumps(facts["scores"])) == model_facts(problem)["scores"]
        card = (WEIGHTS / f"{problem}.md").read_text(encoding="utf-8")
        assert network_card(model_facts(problem)) == card and "of its twins without some sources" in card


@pytest.mark.parametrize("source", ["COVID19-DL", "ct20", "lctsc3", "normal001"])
def test_real_sources_lie_as_the_networks_take_them(source):
    folder = "covid-ct-md" if source == "normal001" else source
    if not (data_root() / folder).is_dir():
        pytest.skip(f"{folder} is not in the data folder")
    cases = read_cases(source)
    assert source in SOURCES and sum(len(case.images) for case in cases) >= 52
    for case in cases:
        assert case.images.shape == (len(case.names), SIZE, SIZE) and case.images.dtype == np.float16
        bodies, lungs = learning.lung_examples(case)
        shown = learning.shown_to_network("lesions", case)
        assert 0.2 < np.median(shown[shown > 0]) < 0.6
        from unet_segnet.inference.network_lungs import uncrop

        if case.lungs_known:  # no lung is cut off by the box around the body
            assert np.median(bodies[lungs == 1]) < -550
            back = uncrop(lungs.astype(np.float32), case.boxes, case.lungs.shape[1:]) > 0.5
            assert (back & case.lungs).sum() > 0.97 * case.lungs.sum()
        if case.lesions is not None and case.lesions.any():
            assert (case.lesions & ~case.lungs).sum() < 0.05 * case.lesions.sum()


# Whole scans


def test_labels_of_some_slices_find_theirs():
    from unet_segnet.data.resize import resize_labels

    case = a_case(num_slices=2)
    lungs, lesions = (
        np.stack([np.roll(masks[0], shift, axis=0) for shift in (0, 3, 6)]) for masks in (case.lungs, case.lesions)
    )
    some = [resize_labels(masks[[2, 0]], (16, 16)) for masks in (lungs, lesions)]
    other, same = whole.both_labels(lungs, lesions, *some)
    np.testing.assert_array_equal(other, some[1])
    np.testing.assert_array_equal(same, other)


def test_a_network_is_one_that_never_saw_the_source(tmp_path):
    for name, without in (("lungs-all", []), ("lungs-without-medseg9", ["medseg9"]), ("lesions-all", [])):
        folder = tmp_path / "networks" / name / "fpn-e" / "seed0"
        folder.mkdir(parents=True)
        (folder / "config.json").write_text(json.dumps({"without": without}))
        (folder / "model.keras").write_bytes(b"")
    for task, source, name in (
        ("lungs", "medseg9", "lungs-without-medseg9"), ("lungs", "P001", "lungs-all"),
        ("lesions", "P001", "lesions-all"), ("lesions", "lctsc3", "lesions-all"),
    ):  # fmt: skip
        assert whole.network_without(tmp_path, task, source, "fpn-e", 0).parts[-4] == name
    with pytest.raises(InputError, match="no network of lesions that was trained without normal001"):
        whole.network_without(tmp_path, "lesions", "normal001", "fpn-e", 0)


def test_rows_of_scans_and_of_all():
    lungs, lesions = "lungs: both", "lesions end to end: network"
    scans = [
        {"slices": 3, lungs: np.array([8, 10, 9]), lesions: np.array([2, 4, 4])},
        {"slices": 4, lungs: np.array([1, 2, 2]), lesions: np.array([0, 0, 0])},
    ]
    pooled, mean = (
        dict(zip(whole.COLUMNS, whole._row("s", "all", scans, mean=of), strict=True)) for of in (False, True)
    )
    assert (pooled["slices"], pooled[lungs], pooled[lesions]) == (7, pytest.approx(18 / 23), pytest.approx(4 / 8))
    assert mean[lungs] == pytest.approx((16 / 19 + 2 / 4) / 2) and np.isnan(mean[lesions])
    assert pooled["lungs: network"] is None


def test_a_whole_scan_is_counted(tmp_path):
    from scan_files import network_affine, save_nifti
    from stand_ins import Bright

    from unet_segnet.data.phantom import phantom_slices
    from unet_segnet.networks.load import model_path

    phantom = phantom_slices(4, seed=1, size=96)
    affine = network_affine((0, 0, 0)) @ np.diag([5.0, 5.0, 1.0, 1.0])
    arrays = (phantom.images.astype(np.int16), phantom.lungs.astype(np.uint8), (phantom.labels > 0).astype(np.uint8))
    paths = [
        save_nifti(tmp_path / f"{number}.nii.gz", np.moveaxis(array, 0, 2), affine)
        for number, array in enumerate(arrays)
    ]
    files = whole.Files("made", "1", *paths)
    found = whole.counts_of(files, str(model_path("lungs")), {"network": Bright()}, 0.6)
    assert found["slices"] == 4 and whole.dice_of(found["lungs: both"]) > 0.85
    both, called, true = found["lesions in true lungs: network"]
    assert true == (phantom.labels > 0).sum() and both <= called
    inside, lungs = found["called infected, percent: network"]
    assert 0 < inside < lungs and inside == found["by slice: network"].sum()
