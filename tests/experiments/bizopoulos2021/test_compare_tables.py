"""Tables of the second study: what was published stands in them as printed, ours as counted by hand."""

from itertools import product
from pathlib import Path

import numpy as np
import pytest
from made_comparison import made_counts, made_run
from scipy import stats
from tables import records

from experiments.bizopoulos2021 import evidence as collecting
from experiments.bizopoulos2021 import published
from experiments.bizopoulos2021.counts import score_grid
from experiments.bizopoulos2021.evidence import Evidence, collect
from experiments.bizopoulos2021.tables import analysis, errata, scores
from experiments.bizopoulos2021.tables import table2 as tables
from unet_segnet.measures.metrics import EMPTY_RULES

NOTHING = Evidence((), "none")
ROOT = Path(__file__).parents[3]

pytestmark = pytest.mark.usefixtures("no_committed_runs")


@pytest.fixture(scope="module")
def evidence(tmp_path_factory):
    """Two encoders of U-Net, one of FPN, in lung; one pair in lesion A and B; two seeds of one of them."""
    out = tmp_path_factory.mktemp("runs")
    for encoder in ("resnet18", "vgg11"):
        made_run(out, "lung", "unet", encoder)
    made_run(out, "lung", "fpn", "resnet18", "imagenet")
    made_run(out, "lesion_a", "unet", "resnet18", counts=made_counts("lesion_a", 0.5))
    made_run(out, "lesion_a", "unet", "resnet18", seed=1, counts=made_counts("lesion_a", 0.7))
    made_run(out, "lesion_b", "unet", "resnet18", counts=made_counts("lesion_b", 0.8))
    return collect(out)


def rows_of(table, **cells):
    return [row for row in records(table) if all(row[key] == value for key, value in cells.items())]


def test_published_figures_stand_as_printed():
    made = tables.table_two(NOTHING)
    for experiment in published.EXPERIMENTS:
        table = made[f"table2_{experiment}"]
        for (architecture, encoder), printed in published.table2().items():
            (row,) = rows_of(table, architecture=tables.GLOBAL[architecture], encoder=encoder)
            for (start, title), (score, name) in product(
                published.INITIALISATIONS.items(), zip(published.SCORES, tables.SCORE_NAMES, strict=True)
            ):
                assert row[f"{title}, published: {name}"] == printed[f"{experiment}__{start}__{score}"]
                assert row[f"{title}, ours: {name}"] is None
    for (architecture, encoder), printed in published.table2().items():
        (row,) = rows_of(made["table2_costs"], architecture=tables.GLOBAL[architecture], encoder=encoder)
        assert row["parameters: published"] == printed["parameters_millions"]
        assert row["training s: published"] == printed["train_seconds_per_epoch"]
        assert row["validation s: published"] == printed["validation_seconds_per_epoch"]
        if encoder not in ("mean", "std"):
            assert row["parameters: used"] == published.parameters()[architecture, encoder].used * 1e-6


def test_numbers_of_parameters_agree_with_the_printed_ones():
    assert list(published.parameters()) == published.models()
    assert len(published.models()) == 100
    for model, of in published.parameters().items():
        assert of.printed == published.table2()[model]["parameters_millions"]
        assert round(of.built / 1e6, 2) == pytest.approx(of.printed, abs=0.0101)
        assert of.used <= of.built
    assert sum(of.used < of.built for of in published.parameters().values()) == 46
    assert published.parameters()["pspnet", "resnet18"].used == 830113


def test_printed_means_and_deviations_are_those_of_the_rows_dividing_by_n():
    """Except in the last digit of a few, which the tables' notes count."""
    wrong = 0
    for place, architecture in enumerate(tables.GLOBAL):
        for e, experiment in enumerate(published.EXPERIMENTS):
            grid = published.score_grid()[e]
            grid = grid[:, place] if place < 4 else grid.reshape(2, 100, 3)
            for i, start in enumerate(published.INITIALISATIONS):
                for s, score in enumerate(published.SCORES):
                    for what, function in (("mean", np.mean), ("std", np.std)):
                        printed = published.table2()[architecture, what][f"{experiment}__{start}__{score}"]
                        difference = abs(function(grid[i, :, s]) - printed)
                        assert difference < 0.0101
                        wrong += difference > 0.00501
    notes = [tables.table_two(NOTHING)[f"table2_{experiment}"].notes[-1] for experiment in published.EXPERIMENTS]
    assert wrong == sum(int(note.split()[0]) for note in notes) > 0
    assert all(" of the 60 " in note for note in notes)


def test_our_scores_stand_beside_them(evidence):
    table = tables.table_two(evidence)["table2_lung"]
    (row,) = rows_of(table, architecture="U-Net", encoder="resnet18")
    run = next(run for run in evidence.runs if (run.experiment, run.encoder) == ("lung", "resnet18"))
    dice = []
    for (_, false), (missed, found) in run.confusion:
        dice.append(1.0 if found + missed == 0 else 2 * found / (2 * found + false + missed))
    assert row["random, ours: Dice"] == pytest.approx(100 * np.mean(dice))
    assert row["ImageNet, ours: Dice"] is None
    own = [rows_of(table, architecture="U-Net", encoder=name)[0] for name in ("resnet18", "vgg11")]
    for what, function in (("mean", np.mean), ("std", np.std)):
        (row,) = rows_of(table, architecture="U-Net", encoder=what)
        assert row["random, ours: Dice"] == pytest.approx(function([of["random, ours: Dice"] for of in own]))
    (row,) = rows_of(table, architecture="U-Net", encoder="same")
    assert row["random, published: Dice"] == pytest.approx(np.mean([of["random, published: Dice"] for of in own]))
    assert row["ImageNet, published: Dice"] is None
    (row,) = rows_of(table, architecture="all", encoder="n")
    assert (row["random, ours: Dice"], row["ImageNet, ours: Dice"], row["random, published: Dice"]) == (2, 1, 100)
    assert not rows_of(table, architecture="PSPNet", encoder="same")


def test_seeds_are_averaged(evidence):
    grid = score_grid(evidence.runs)
    runs = [run for run in evidence.runs if run.experiment == "lesion_a"]
    assert len(runs) == 2
    np.testing.assert_allclose(
        grid[1, 0, 0, published.encoders().index("resnet18")],
        np.mean([run.scores().mean(axis=0) for run in runs], axis=0),
    )
    assert np.isfinite(grid).any(axis=-1).sum() == 5


def test_notes_say_that_the_test_set_is_another(evidence, tmp_path):
    notes = " ".join(tables.table_two(evidence)["table2_lung"].notes)
    assert "3 runs, 3 on ct20" in notes and "not the article's test set" in notes
    assert "3 of them with 32 pixels, normalise minmax, 20 epochs" in notes
    counts = [array[:829] for array in made_counts("lung", 0.9, num_volumes=9, num_slices=93)]
    for encoder, more in (("resnet18", {"counts": counts}), ("vgg11", {})):
        made_run(tmp_path / encoder, encoder=encoder, data="medseg", settings={"size": 512, "normalise": "hu"}, **more)
        notes = " ".join(tables.run_notes(collect(tmp_path / encoder).runs))
        assert "with 20 epochs; the article" in notes
        assert ("not the article's" in notes) == (not more)  # a name alone does not make it so


def test_costs_of_ours(evidence):
    (row,) = rows_of(tables.cost_table(evidence), architecture="U-Net", encoder="resnet18")
    assert row["parameters: ours"] == row["parameters: used"] == pytest.approx(14.321937)
    assert (row["training s: ours"], row["validation s: ours"]) == (2.0, 0.25)
    assert any("a processor" in note for note in tables.cost_table(evidence).notes)


def test_best_models(evidence):
    table = tables.table_two(evidence)["table2_best"]
    (row,) = rows_of(table, experiment="lesion B", initialisation="ImageNet", score="dice")
    assert (row["published: model"], row["published: %"], row["ours: model"]) == ("FPN efficientnet-b4", 89.0, None)
    (row,) = rows_of(table, experiment="lung", initialisation="random", score="dice")
    assert row["published: model"] == "U-Net resnet50" and row["ours: model"].startswith("U-Net ")
    assert row["ours: of"] == 2
    shared = [row["published: model"] for row in records(table) if "others" in row["published: model"]]
    assert shared and all(name.count(",") == 3 for name in shared)


def test_rules_stand_side_by_side_with_all_background(evidence):
    table = scores.empty_table(evidence)
    article = records(table)[0]
    assert (article["slices"], article["empty"]) == (829, 456)
    free = pytest.approx(45600 / 829)
    assert [article[f"{rule}: Dice"] for rule in EMPTY_RULES] == [free, 100, free, 0]
    assert [article[f"{rule}: %"] for rule in EMPTY_RULES] == [free, 100, free, free]
    (row,) = rows_of(table, experiment="lesion B", model=scores.BACKGROUND)
    assert (row["slices"], row["empty"]) == (30, 6)
    assert [row[f"{rule}: Dice"] for rule in EMPTY_RULES] == [pytest.approx(20), 100, pytest.approx(20), 0]
    (row,) = rows_of(table, experiment="lesion B", model="U-Net resnet18, random")
    for rule in ("truth", "prediction", "both"):
        assert row[f"{rule}: Dice"] == pytest.approx(0.8 * row["nan: Dice"] + 20) and row[f"{rule}: %"] == 20
    assert row["nan: Dice"] == pytest.approx(80, abs=0.5)


def test_what_is_found_on_empty_slices_costs_by_three_of_the_rules(tmp_path):
    confusion, names, volumes = made_counts("lesion_a", 0.6)
    confusion[::5] = [[[1000, 24], [0, 0]]]
    made_run(tmp_path, "lesion_a", counts=(confusion, names, volumes))
    table = scores.run_table(collect(tmp_path))
    (row,) = rows_of(table, model="U-Net resnet18, random")
    filled = row["slices, filled: Dice"]
    assert row["slices, truth: Dice"] == pytest.approx(0.8 * filled + 20) and row["slices, truth: %"] == 20
    for rule in ("prediction", "both", "nan"):
        assert row[f"slices, {rule}: Dice"] == pytest.approx(0.8 * filled) and row[f"slices, {rule}: %"] == 0


def test_table_two_on_slices_with_lesion_alone(evidence):
    """What the printed means leave for the 373 slices, once the 456 free ones are taken off."""
    table = tables.filled_table(evidence)
    (row,) = rows_of(table, architecture="all", encoder="mean")
    printed = {"lesion A": (85.47, 67.7), "lesion B": (86.44, 69.9)}
    for name, (of_all, of_filled) in printed.items():
        assert row[f"{name}, ImageNet: published"] == pytest.approx(of_all, abs=0.005)
        assert round(row[f"{name}, ImageNet: published, with lesion"], 1) == of_filled
        whole = (456 * 100 + 373 * row[f"{name}, ImageNet: published, with lesion"]) / 829
        assert whole == pytest.approx(row[f"{name}, ImageNet: published"])
    (row,) = rows_of(table, architecture="U-Net", encoder="resnet18")
    assert row["lesion B, random: ours, with lesion"] == pytest.approx(80, abs=0.5)
    assert row["lesion B, ImageNet: ours, with lesion"] is None


def test_times_of_the_table_are_none_of_training():
    seconds = sum(
        row["train_seconds_per_epoch"] + row["validation_seconds_per_epoch"]
        for (_, encoder), row in published.table2().items()
        if encoder not in ("mean", "std")
    )
    assert errata.days_by_table() == pytest.approx(seconds * 6 * 200 / 86400) == pytest.approx(2.6, abs=0.05)
    assert errata.seconds_by_text() == pytest.approx(14 * 86400 / (600 * 200))
    least = 80 * 3 * 2 * 120.4e9 / 14.2e12
    assert errata.least_seconds() == pytest.approx(least)
    printed = published.table2()["unet", "vgg19"]["train_seconds_per_epoch"]
    assert printed == 0.44 and printed < least / errata.WINOGRAD
    rows = {row["slip"]: row for row in records(errata.errata_table())}
    assert rows["time of all trainings, days"]["correct"] == "2.6 by Table II"
    assert rows["slices that count 100 whatever is predicted"]["correct"] == "456 of 829 (55 %)"
    assert [row["correct"] for name, row in rows.items() if "on slices with lesion" in name] == ["67.7", "69.9"]
    assert "0 HU, +1.0" in rows["padding of rotated and scaled slices"]["correct"]


def test_multiply_adds_of_the_model_that_the_times_are_held_against():
    from experiments.bizopoulos2021.estimates import network_cost

    cost = network_cost("unet", "vgg19", 512, 2)
    assert round(cost.inference / 1e9, 1) == published.number("unet_vgg19_gmacs")
    assert cost.step == pytest.approx(errata.PASSES_OF_TRAINING * cost.inference, rel=0.01)


def test_all_three_scores_per_slice_and_volume(evidence):
    (row,) = rows_of(scores.run_table(evidence), experiment="lesion B", model="U-Net resnet18, random")
    run = next(run for run in evidence.runs if run.experiment == "lesion_b")
    by_volume = []
    for volume in ("1", "2", "3"):
        counts = sum(c for c, name in zip(run.confusion, run.volumes, strict=True) if name == volume)
        (tn, fp), (fn, tp) = counts
        by_volume.append((tp / (tp + fn), tn / (tn + fp), 2 * tp / (2 * tp + fp + fn)))
    expected = 100 * np.mean(by_volume, axis=0)
    np.testing.assert_allclose([row[f"volumes: {name}"] for name in scores.SCORE_NAMES], expected)
    (volumes,) = rows_of(scores.volume_table("lesion_b", [run]), model="U-Net resnet18, random")
    np.testing.assert_allclose([volumes[f"volume: {name}"] for name in "123"], 100 * np.array(by_volume)[:, 2])
    assert volumes["std"] == pytest.approx(100 * np.std(np.array(by_volume)[:, 2]))
    full = run.confusion[run.confusion[:, 1].sum(axis=1) > 0]
    assert row["slices, nan: sens."] == pytest.approx(100 * np.mean(full[:, 1, 1] / full[:, 1].sum(axis=1)))


def test_two_volumes_of_one_scan_are_one_unit(tmp_path):
    """Of MedSeg's nine volumes the second and the third are one scan; other data are taken as they are."""
    for data, expected in (("medseg", list("1245")), ("hospital", list("12345"))):
        made_run(tmp_path / data, "lesion_a", data=data, num_volumes=5)
        (run,) = collect(tmp_path / data).runs
        assert list(run.scan_scores()) == expected and list(run.volume_scores()) == list("12345")
        of = [
            run.confusion[k]
            for k, volume in enumerate(run.volumes)
            if volume in (["2", "3"] if data == "medseg" else "2")
        ]
        (_, false), (missed, found) = sum(of)
        assert run.scan_scores()["2"][2] == pytest.approx(100 * 2 * found / (2 * found + false + missed))


def test_a_volume_without_foreground_has_no_score(tmp_path):
    confusion, names, volumes = made_counts("lesion_a", 0.6)
    confusion[:10] = [[[1024, 0], [0, 0]]]
    made_run(tmp_path, "lesion_a", counts=(confusion, names, volumes))
    run = collect(tmp_path).runs[0]
    (row,) = records(scores.volume_table("lesion_a", [run]))
    assert row["volume: 1"] is None and row["mean"] == pytest.approx(np.mean([row["volume: 2"], row["volume: 3"]]))


def test_correlations_are_the_known_ones():
    table = analysis.correlation_table(analysis.published_dice(), *[analysis.own_dice(())] * 2, ())
    known = {"lung": (0.18, 0.38), "lesion A": (0.13, 0.35), "lesion B": (-0.07, 0.15)}
    for name, values in known.items():
        for label, value in zip(("published", "used"), values, strict=True):
            (row,) = rows_of(table, Dice=name, parameters=label)
            assert round(row["published: mean"], 2) == value and row["published: n"] == 100  # each model once
    (row,) = rows_of(table, Dice="lung", parameters="published")
    assert row["published: p"] == "0.068"
    rows = [published.table2()[model] for model in published.models()]
    dice = [(row["lung__none__dice"] + row["lung__imagenet__dice"]) / 2 for row in rows]
    expected = stats.pearsonr([row["parameters_millions"] for row in rows], dice)
    found = analysis.correlation(published.parameter_grid("printed"), analysis.of_models(analysis.published_dice()[0]))
    assert (found.r, found.p) == (pytest.approx(expected.statistic), pytest.approx(expected.pvalue))
    assert np.isnan(analysis.correlation(np.ones(5), np.arange(5.0)).r)
    assert analysis.correlation(np.array([1, 2, np.nan]), np.array([1, 2, 3.0])).n == 2


def test_gains_of_pairs():
    change = np.random.default_rng(0).normal(1, 0.3, size=20)
    change[3] = np.nan
    found = analysis.gain(change)
    change = np.delete(change, 3)
    assert (found.n, found.improved) == (19, (change > 0).sum())
    assert (found.mean, found.largest) == (pytest.approx(change.mean()), pytest.approx(change.max()))
    assert found.p == pytest.approx(stats.wilcoxon(change).pvalue)
    assert analysis.gain(np.full(3, np.nan)).n == 0
    table = analysis.gain_table(NOTHING, ())
    (row,) = rows_of(table, gain="lung masks (B - A), random", unit="model")
    assert (row["published: improved"], round(row["published: mean"], 2), round(row["published: largest"], 2)) == (
        *(85, 1.88),
        8.36,
    )
    assert (row["ours: n"], row["ours: mean"], row["published: p"]) == (0, None, None)


def test_gains_by_encoder():
    """The published gains of lung masks, encoder by encoder, summed by hand."""
    rows, differences = published.table2(), []
    for encoder in published.encoders():
        of = [
            rows[architecture, encoder][f"lesion_b__{start}__dice"]
            - rows[architecture, encoder][f"lesion_a__{start}__dice"]
            for architecture in published.ARCHITECTURES
            for start in published.INITIALISATIONS
        ]
        differences.append(np.mean(of))
    (row,) = rows_of(analysis.gain_table(NOTHING, ()), gain="lung masks (B - A)", unit="encoder")
    assert (row["published: n"], row["published: improved"]) == (25, 25)
    assert row["published: mean"] == pytest.approx(np.mean(differences))
    assert row["published: p"] == "< 0.001" and stats.wilcoxon(differences).pvalue < 0.001


def test_gains_of_the_committed_runs_by_volume_and_scan(monkeypatch):
    """B less A of U-Net on ResNet18: nine volumes, of which two are one scan."""
    monkeypatch.setattr(collecting, "RESULTS", ROOT / "experiments" / "results")
    found = collect(None)
    dice = {}
    for run in found.runs:
        for volume in dict.fromkeys(run.volumes):
            _, (missed, hit) = run.confusion[np.array(run.volumes) == volume].sum(axis=0)
            false = run.confusion[np.array(run.volumes) == volume, 0, 1].sum()
            dice[run.experiment, volume] = 2 * hit / (2 * hit + missed + false)
    differences = np.array([dice["lesion_b", str(n)] - dice["lesion_a", str(n)] for n in range(1, 10)])
    assert (round(differences.mean(), 3), (differences > 0).sum()) == (0.209, 7)
    assert round(stats.wilcoxon(differences).pvalue, 3) == 0.027
    table = analysis.gain_table(found, ())
    (row,) = rows_of(table, gain="lung masks (B - A), random", unit="volume")
    assert (row["ours: n"], row["ours: improved"], row["ours: p"]) == (9, 7, "0.027")
    assert row["ours: mean"] == pytest.approx(100 * differences.mean())
    (row,) = rows_of(table, gain="lung masks (B - A), random", unit="scan")
    assert (row["ours: n"], row["ours: improved"], row["ours: p"]) == (8, 6, "0.055")
    assert any(
        note == "Volumes 1 and 2 of ct20 are one scan." for note in scores.volume_table("lung", found.runs).notes
    )


def test_means_of_encoders_and_architectures(evidence):
    made = analysis.analysis_tables(evidence)
    (row,) = rows_of(made["encoders"], encoder="efficientnet-b4")
    assert row["published: all"] == max(of["published: all"] for of in records(made["encoders"]))
    (row,) = rows_of(made["encoders"], encoder="resnet18")
    assert row["ours: n"] == 4 and row["ours: lesion B"] is not None
    assert [row["architecture"] for row in records(made["architectures"])] == list(published.ARCHITECTURES.values())


def test_architectures_are_ordered_by_encoder_and_by_scan(tmp_path):
    """U-Net above FPN by what each encoder, and each scan, gives; Table II by its encoders alone."""
    dice: dict[str, list] = {"unet": [], "fpn": []}
    encoders = ("vgg11", "vgg13", "vgg19", "resnet18", "resnet34", "densenet121")
    for number, encoder in enumerate(encoders):
        for architecture, part in (("unet", 0.9), ("fpn", 0.6)):
            counts = made_counts("lung", part - 0.02 * number, num_volumes=8)
            made_run(tmp_path, "lung", architecture, encoder, counts=counts, num_volumes=8)
    found = collect(tmp_path)
    for run in found.runs:
        dice[run.architecture].append([scores[2] for scores in run.scan_scores().values()])
    row = next(row for row in records(analysis.order_table(found, ())) if row["difference"] == "U-Net - FPN")
    unet, fpn = (np.array(of) for of in dice.values())
    by_scan = (unet - fpn).mean(axis=0)
    assert row["ours, by scan: n"] == len(by_scan) == 7  # two volumes are one scan
    assert row["ours, by scan: mean"] == pytest.approx(by_scan.mean())
    assert row["ours, by encoder: n"] == row["ours, by encoder: higher"] == 6
    assert row["ours, by encoder: Holm"] == "0.031" and row["ours, by scan: Holm"] == "0.016"
    theirs = published.score_grid()[0, :, :, :, 2].mean(axis=0)
    differences = theirs[0] - theirs[2]
    assert row["published, by encoder: mean"] == pytest.approx(differences.mean())
    p = stats.wilcoxon(differences).pvalue
    assert float(row["published, by encoder: Holm"]) >= p  # corrected for six
