"""Intervals, comparisons and selection: from made runs with a known answer, and from the authors' released slices."""

from dataclasses import replace

import numpy as np
import pytest
from made_runs import evidence, made_folds, made_grid, made_run
from scipy import stats
from tables import records

from experiments.saood2021 import published
from experiments.saood2021.tables.comparisons import (
    fold_comparison,
    network_comparison,
    released_comparison,
    score_intervals,
    seed_spread,
    selection_table,
)
from experiments.saood2021.tables.selection import resampled_choice
from experiments.saood2021.tables.trainings import stacked
from unet_segnet.measures import metrics

BINARY = ("binary", "released")


class TestNothingToCompute:
    def test_no_runs_no_table(self):
        for of in (score_intervals, network_comparison, fold_comparison, seed_spread):
            assert of(evidence(), *BINARY) is None
            assert of(evidence(made_run(variant="paper")), *BINARY) is None

    def test_one_network_alone_is_not_compared(self):
        assert network_comparison(evidence(made_run()), *BINARY) is None
        assert seed_spread(evidence(made_run()), *BINARY) is None
        assert fold_comparison(evidence(*made_folds("segnet")), *BINARY) is None

    def test_four_folds_are_not_enough(self):
        runs = [*made_folds("segnet"), *made_folds("unet", folds=range(4))]
        assert fold_comparison(evidence(*runs), *BINARY) is None


class TestScoreIntervals:
    def test_values_are_those_of_the_tables_with_the_published_beside(self):
        run = made_run()
        rows = records(score_intervals(evidence(run), *BINARY))
        confusion = run.counts.test_confusion
        assert len(rows) == 1 + 5 * 2
        assert rows[0]["reproduced: value"] == pytest.approx(metrics.global_accuracy(confusion).mean())
        assert rows[0]["published"] == 0.954
        dice = next(row for row in rows if (row["score"], row["class"]) == ("Dice", "infected"))
        assert dice["reproduced: value"] == pytest.approx(metrics.dice(confusion.sum(axis=0))[1])
        assert dice["published"] == 0.749818
        assert dice["reproduced: low"] < dice["reproduced: value"] < dice["reproduced: high"]
        assert (dice["inside"] == "yes") == (dice["reproduced: low"] <= 0.749818 <= dice["reproduced: high"])

    def test_own_best_stands_beside_the_published_best(self):
        rows = records(score_intervals(evidence(*made_grid(nets=["unet"], best={"unet": 2})), *BINARY))
        assert list(dict.fromkeys(row["exp."] for row in rows)) == [4, 2]
        assert {row["published"] for row in rows if row["exp."] == 2} == {0.901, None}

    def test_trainings_are_averaged_not_pooled(self):
        runs = [made_run(seed=s, missed=m) for s, m in ((0, 0.05), (1, 0.6))]
        rows = records(score_intervals(evidence(*runs), *BINARY))
        dice = next(row for row in rows if (row["score"], row["class"]) == ("Dice", "infected"))
        expected = np.mean([metrics.dice(run.counts.test_confusion.sum(axis=0))[1] for run in runs])
        assert dice["trainings"] == 2 and dice["reproduced: value"] == pytest.approx(expected)

    def test_four_classes(self):
        rows = records(score_intervals(evidence(made_run("unet", "multiclass")), "multiclass", "released"))
        assert len(rows) == 1 + 5 * 4 and {row["class"] for row in rows} == {"all", "C0", "C1", "C2", "C3"}
        assert next(r for r in rows if (r["score"], r["class"]) == ("Dice", "C3"))["published"] == 0.225


class TestNetworkComparison:
    def test_the_better_network_wins_on_every_slice(self):
        runs = [made_run("segnet", missed=0.02, false=0.02), made_run("unet", missed=0.2, false=0.08)]
        rows = records(network_comparison(evidence(*runs), *BINARY))
        accuracy = rows[0]
        assert (accuracy["score"], accuracy["slices: n"], accuracy["effect"]) == ("global accuracy", 18, 1)
        assert accuracy["p"] == pytest.approx(2 / 2**18)
        assert len(rows) == 7 and accuracy["Holm"] == pytest.approx(7 * 2 / 2**18)
        values = [metrics.global_accuracy(run.counts.test_confusion) for run in runs]
        assert accuracy["median diff."] == pytest.approx(np.median(values[0] - values[1]))

    def test_slices_are_paired_by_name_not_by_place(self):
        segnet, unet = made_run("segnet"), made_run("unet", seed=1, false=0.06)
        order = np.random.default_rng(0).permutation(18)
        counts = unet.counts
        shuffled = replace(
            counts,
            test_names=tuple(counts.test_names[i] for i in order),
            test_confusion=counts.test_confusion[order],
        )
        found = network_comparison(evidence(segnet, replace(unet, counts=shuffled)), *BINARY)
        assert found.rows == network_comparison(evidence(segnet, unet), *BINARY).rows

    def test_other_slices_are_refused(self):
        with pytest.raises(ValueError, match="same slices"):
            network_comparison(evidence(made_run("segnet"), made_run("unet", num_slices=17)), *BINARY)

    def test_without_the_published_best_the_validation_chooses(self):
        runs = [made_run("segnet", experiment=2, validation=0.3), made_run("segnet", experiment=5, validation=0.1)]
        found = network_comparison(evidence(*runs, made_run("unet", experiment=9)), *BINARY)
        assert found.title.startswith("SegNet 5 against U-Net 9")

    def test_classes_that_a_slice_lacks_leave_it_out(self):
        runs = [made_run(net, "multiclass", experiment=e) for net, e in (("segnet", 7), ("unet", 4))]
        for run in runs:
            run.counts.test_confusion[:4, 3, :] = 0
        rows = records(network_comparison(evidence(*runs), "multiclass", "released"))
        effusion = next(row for row in rows if (row["score"], row["class"]) == ("sensitivity", "C3"))
        assert (effusion["slices: n"], effusion["slices: left out"]) == (14, 4)


def test_the_authors_best_networks_do_not_differ_slice_by_slice():
    rows = records(released_comparison())
    assert len(rows) == 10 and {row["slices: n"] for row in rows} == {18}
    best = rows[:5]
    assert [row["score"] for row in best] == [
        *("global accuracy", "mean accuracy", "mean IoU", "weighted IoU", "mean BF score")
    ]
    accuracies = [[m.global_accuracy for m in published.image_metrics(net, 4).values()] for net in ("segnet", "unet")]
    assert best[0]["p"] == pytest.approx(stats.wilcoxon(*accuracies).pvalue) and best[0]["p"] > 0.7
    assert best[0]["mean: SegNet"] == pytest.approx(np.mean(accuracies[0]))
    assert all(row["Holm"] == 1 for row in best)


class TestFoldComparison:
    def test_computed_by_hand(self):
        runs = [*made_folds("segnet", missed=0.02), *made_folds("unet", missed=0.3, false=0.06)]
        rows = records(fold_comparison(evidence(*runs), *BINARY))
        assert [row["score"] for row in rows] == ["sensitivity", "specificity", "Dice", "G-mean", "F2"]
        dice = [metrics.dice(run.counts.test_confusion.sum(axis=0))[1] for run in runs]
        gap = np.array(dice[:5]) - dice[5:]
        t = gap.mean() / np.sqrt((1 / 5 + 20 / 70) * gap.var(ddof=1))
        assert rows[2]["t"] == pytest.approx(t) and rows[2]["p"] == pytest.approx(2 * stats.t.sf(t, 4))
        assert rows[2]["mean: SegNet"] == pytest.approx(np.mean(dice[:5]))
        assert rows[2]["Holm"] >= rows[2]["p"]

    def test_folds_without_a_class_are_left_out(self):
        runs = [*made_folds("segnet", "multiclass"), *made_folds("unet", "multiclass", missed=0.2)]
        for run in runs:
            if run.counts.fold == 3:
                run.counts.test_confusion[:, 3, :] = 0
        rows = records(fold_comparison(evidence(*runs), "multiclass", "released"))
        effusion = next(row for row in rows if (row["class"], row["score"]) == ("C3", "sensitivity"))
        assert (effusion["folds: n"], effusion["folds: left out"]) == (4, 1)


def test_seeds_of_two_data_types_differ_in_more_than_random_numbers():
    runs = [made_run(seed=0), made_run(seed=1)]
    assert not any("more than that" in note for note in seed_spread(evidence(*runs), *BINARY).notes)
    table = seed_spread(evidence(*runs, made_run(seed=2, dtype="mixed_bfloat16")), *BINARY)
    assert table.notes[-1] == "They differ in more than that: SegNet 4, float32 on None and mixed_bfloat16 on None."
    others = [made_run("unet", seed=seed, dtype="mixed_bfloat16") for seed in (0, 1)]
    table = seed_spread(evidence(*runs, *others), *BINARY)  # each network's in one data type
    assert not any("more than that" in note for note in table.notes)


def test_seed_spread():
    runs = [made_run(seed=s, false=f) for s, f in ((0, 0.02), (1, 0.04), (2, 0.09))] + [made_run("unet")]
    (row,) = records(seed_spread(evidence(*runs), *BINARY))
    means = [metrics.global_accuracy(run.counts.test_confusion).mean() for run in runs[:3]]
    assert (row["network"], row["exp."], row["trainings"]) == ("SegNet", 4, 3)
    assert row["accuracy: mean"] == pytest.approx(np.mean(means))
    assert row["accuracy: sigma"] == pytest.approx(np.std(means, ddof=1))
    assert (row["accuracy: min"], row["accuracy: max"]) == pytest.approx((min(means), max(means)))
    assert stacked([run.counts for run in runs[:3]]).shape == (18, 3, 2, 2)


def test_no_p_value_is_zero():
    runs = [made_run(false=0.02, noise=0.01), made_run("unet", false=0.09, noise=0.01)]
    table = network_comparison(evidence(*runs), *BINARY)
    assert all(row["p"] < 0.001 for row in records(table) if row["score"] == "global accuracy")
    assert "<0.001 |" in table.to_markdown() and "| 0.000 |" not in table.to_markdown()


class TestSelection:
    def test_the_authors_choice_decides_which_network_is_ahead(self):
        table = selection_table(evidence())
        found = {(row["network"], row["chosen on"]): row for row in records(table)}
        assert [found["SegNet", on]["exp."] for on in ("test acc.", "val. acc.", "val. loss")] == [4, 4, 7]
        assert [found["U-Net", on]["exp."] for on in ("test acc.", "val. acc.", "val. loss")] == [4, 7, 4]
        assert found["SegNet", "test acc."]["test: accuracy"] == pytest.approx(0.95435, abs=5e-6)
        assert found["U-Net", "val. acc."]["test: accuracy"] == pytest.approx(0.9395, abs=5e-4)
        assert found["SegNet", "val. loss"]["test: accuracy"] < found["U-Net", "val. loss"]["test: accuracy"]
        assert any("depends on the choice" in note for note in table.notes)

    def test_own_runs_by_validation_counts(self):
        runs = made_grid(nets=["segnet"])
        runs[6] = made_run(experiment=7, false=0.05, validation=0.001)
        rows = [row for row in records(selection_table(evidence(*runs))) if row["runs"] == "ours, released"]
        assert [(row["chosen on"], row["exp."], row["of"]) for row in rows] == [
            ("test acc.", 4, 9),
            ("val. acc.", 7, 9),
        ]
        assert rows[0]["diff."] == 0 > rows[1]["diff."]

    def test_dice_is_the_mean_over_trainings(self):
        runs = [made_run(), made_run(seed=1, false=0.5), made_run(experiment=5, false=0.4)]
        rows = [row for row in records(selection_table(evidence(*runs))) if row["runs"] == "ours, released"]
        dice = [metrics.dice(run.counts.test_confusion.sum(axis=0))[1] for run in runs[:2]]
        assert rows[0]["exp."] == 4 and rows[0]["test: Dice"] == pytest.approx(np.mean(dice))

    def test_one_configuration_is_no_choice(self):
        assert {row["runs"] for row in records(selection_table(evidence(made_run())))} == {"authors'"}

    def test_resampled_choice_of_equals_and_of_a_clear_winner(self):
        accuracies = np.random.default_rng(0).uniform(0.8, 0.9, (1, 18))
        shares, optimism = resampled_choice(np.concatenate([accuracies, accuracies + 0.05]))
        assert shares.tolist() == [0, 1] and abs(optimism) < 0.005
        noise = np.random.default_rng(1).normal(size=(9, 18))
        shares, optimism = resampled_choice(noise)
        assert shares.sum() == pytest.approx(1) and optimism > 0.2
