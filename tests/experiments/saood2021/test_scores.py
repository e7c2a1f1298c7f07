"""The paper's tables: from the authors' released counts they must come out as printed."""

import csv
import math
import os

import numpy as np
import pytest
from tables import records

from experiments.saood2021 import published
from experiments.saood2021.counts import RunCounts
from experiments.saood2021.tables.scores import accuracy_table, best_experiment, class_table, five_fold_table
from unet_segnet.measures.baselines import Baseline
from unet_segnet.output.tabular import Signed, Table

PIXELS = 256 * 256


def run(net="segnet", experiment=4, correct=(60000, 50000), seed=0, fold=None, validation=(60000,), **changes):
    """A binary run with slices of 256x256 of which so many background pixels are right, the others wrong."""
    counts, validated = (
        np.array([[[c, PIXELS - c], [0, 0]] for c in pixels]).reshape(-1, 2, 2) for pixels in (correct, validation)
    )
    names = tuple(f"{fold}-{i}" for i in range(len(counts)))
    values = {
        "net": net,
        "problem": "binary",
        "variant": "released",
        "experiment": experiment,
        "seed": seed,
        "fold": fold,
        "test_names": names,
        "test_confusion": counts,
        "validation_confusion": validated,
    }
    return RunCounts(**(values | changes))


def released_run(net, experiment):
    """A run with the authors' accuracy on each of the 18 slices."""
    metrics = published.image_metrics(net, experiment)
    correct = [round(m.global_accuracy * PIXELS) for m in metrics.values()]
    return run(net, experiment, correct, test_names=tuple(map(str, metrics)))


def pooled_run(matrix, **changes):
    """A run whose one test slice has this confusion matrix."""
    matrix = np.asarray(matrix)
    return run(**{"test_names": (f"fold {changes.get('fold')}",), "test_confusion": matrix[np.newaxis], **changes})


def baseline(matrix, name="all background"):
    return Baseline(name, "every pixel is not infected", np.asarray(matrix)[np.newaxis])


class TestAccuracyTable:
    def test_released_accuracies_give_table_3(self):
        """Means and sigmas as printed up to the printed truncation; SegNet 3 up to its slip."""
        runs = [released_run(net, e) for net in ("segnet", "unet") for e in range(1, 10)]
        table = accuracy_table(runs)
        assert len(table.rows) == 18
        assert "Table 3" in table.title and "n=18 test slices" in table.title and "released" in table.title
        for row in records(table):
            slip = row["network"] == "SegNet" and row["exp."] == 3
            assert row["reproduced: mean"] == pytest.approx(row["published: mean"], abs=0.0095 if slip else 1e-3)
            assert row["reproduced: sigma"] == pytest.approx(row["published: sigma"], abs=1e-3)
            assert row["diff."] == pytest.approx(row["reproduced: mean"] - row["published: mean"])
            assert row["reproduced: var"] == pytest.approx(row["reproduced: sigma"] ** 2)
            assert ("test" in (row["best"] or "") or row["best"] == "both") == (row["exp."] == 4)
        assert table.rows[4][:5] == ("SegNet", 5, "1e-3", 8, 1)
        assert table.rows[12][:5] == ("U-Net", 4, "5e-4", 2, 1)

    def test_released_means_stand_beside_the_printed_where_they_differ(self):
        rows = records(accuracy_table([released_run("segnet", 3)], released=True))
        means = [row["published: rel."] for row in rows]
        assert means[2] == pytest.approx(0.9096, abs=5e-5)
        assert means[:2] == [None, None] and means[3:] == [None] * 6

    def test_without_a_run_the_published_values_stand_alone(self):
        table = accuracy_table([], networks=["segnet", "unet"], problem="multiclass")
        assert [row["published: mean"] for row in records(table)][:2] == [0.703, 0.657]
        assert "none of our runs is finished" in table.title
        with pytest.raises(ValueError, match="at least one"):
            accuracy_table([])
        with pytest.raises(ValueError, match="of the multiclass problem"):
            accuracy_table([run()], problem="multiclass")
        assert len(class_table([], networks=["unet"], problem="binary").rows) == 1
        assert len(five_fold_table([], networks=["segnet", "unet"], problem="multiclass").rows) == 6

    def test_one_training_of_each_network_is_no_average(self):
        runs = [run("segnet", 4, stream="matlab"), run("unet", 4)]
        for table in (accuracy_table(runs), class_table(runs)):
            assert "spread" not in " ".join(table.columns)
            assert not any("veraged" in note for note in table.notes)

    def test_runs_of_two_random_streams_are_two_runs(self):
        """They share their seed, so that nothing may say that it is averaged over seeds."""
        runs = [run(experiment=4), run(experiment=4, stream="matlab")]
        table = accuracy_table(runs)
        assert records(table)[3]["runs"] == 2
        for notes in (table.notes, class_table(runs).notes):
            (note,) = (note for note in notes if "veraged" in note)
            assert (
                "averaged over the trainings of a configuration, which differ in seed or random stream" in note.lower()
            )

    def test_missing_runs_are_dashes_and_do_not_win(self):
        table = accuracy_table([run(experiment=2)], networks=["segnet", "unet"])
        rows = records(table)
        assert len(rows) == 18
        assert [row["best"] for row in rows] == [None, "alone", *[None] * 16]
        assert math.isnan(rows[0]["reproduced: mean"]) and rows[0]["runs"] == 0
        assert rows[0]["published: mean"] == 0.934
        lines = [line.split() for line in table.to_text().splitlines()]
        assert next(line for line in lines if line[:2] == ["SegNet", "1"]) == [
            "SegNet",
            "1",
            "1e-4",
            "4",
            "0",
            "-",
            "-",
            "-",
            "0.934",
            "0.053",
            "0.004",
            "-",
        ]

    def test_best_by_test_and_by_validation_may_differ(self):
        runs = [run(experiment=1, correct=(65000,), validation=(1000,)), run(experiment=7, correct=(64000,))]
        assert best_experiment(runs, "test") == 1 and best_experiment(runs, "validation") == 7
        best = {row["exp."]: row["best"] for row in records(accuracy_table(runs))}
        assert best[1] == "test" and best[7] == "val."

    def test_the_best_of_several_on_both_is_marked_so(self):
        runs = [run(experiment=e, correct=(c,), validation=(v,)) for e, c, v in ((1, 65000, 1000), (7, 64000, 900))]
        assert {row["exp."]: row["best"] for row in records(accuracy_table(runs)) if row["best"]} == {1: "both"}
        assert records(class_table(runs))[0]["source"] == "best on both"

    def test_equals_go_to_the_lowest_experiment_and_no_slices_to_none(self):
        assert best_experiment([run(experiment=5), run(experiment=3)], "test") == 3
        assert best_experiment([run(validation=())], "validation") is None

    def test_seeds_are_averaged_and_counted(self):
        runs = [run(seed=0, correct=(60000, 50000)), run(seed=5, correct=(64000, 62000)), run(experiment=1)]
        table = accuracy_table(runs)
        row = records(table)[3]
        accuracy = np.array([[60000, 50000], [64000, 62000]]) / PIXELS
        assert row["runs"] == 2
        assert row["reproduced: mean"] == pytest.approx(accuracy.mean())
        assert row["reproduced: sigma"] == pytest.approx(accuracy.std(axis=1, ddof=1).mean())
        assert row["reproduced: var"] == pytest.approx(accuracy.var(axis=1, ddof=1).mean())
        assert row["reproduced: spread"] == pytest.approx(accuracy.mean(axis=1).std(ddof=1))
        assert "seeds 0, 5" in table.title
        assert math.isnan(records(table)[0]["reproduced: spread"])

    def test_best_counts_the_mean_over_seeds_not_the_luckiest_one(self):
        lucky = [run(experiment=1, seed=s, correct=(c,)) for s, c in ((0, 65000), (1, 30000))]
        steady = [run(experiment=2, seed=s, correct=(60000,)) for s in (0, 1)]
        assert best_experiment(lucky + steady, "test") == 2

    def test_baselines_stand_below_and_in_the_notes(self):
        table = accuracy_table([run()], baselines=[baseline([[60000, 0], [5536, 0]])])
        last = records(table)[-1]
        assert last["network"] == "all background" and last["exp."] is None
        assert last["reproduced: mean"] == pytest.approx(60000 / PIXELS)
        assert "all background: every pixel is not infected." in table.notes

    def test_other_data_is_not_compared(self):
        table = accuracy_table([run()], data="phantom", notes=["One epoch only."])
        assert all(row["diff."] is None for row in records(table))
        assert "phantom" in table.title and any("not to be compared" in note for note in table.notes)
        assert table.notes[-1] == "One epoch only."
        assert not any("not to be compared" in note for note in accuracy_table([run()]).notes)

    def test_multiclass_is_table_5(self):
        counts = np.full((2, 4, 4), 10)
        table = accuracy_table([run(problem="multiclass", test_confusion=counts, net="unet")])
        assert table.title.startswith("Table 5.")
        assert records(table)[3]["published: mean"] == 0.908
        assert records(table)[3]["reproduced: mean"] == 0.25


class TestClassTable:
    def test_released_matrices_give_table_4(self):
        runs = [pooled_run(published.confusion_matrix(net, 4), net=net) for net in ("segnet", "unet")]
        rows = records(class_table(runs))
        assert [(row["network"], row["exp."], row["source"], row["class"]) for row in rows[:3]] == [
            ("SegNet", 4, "alone", "not infected"),
            ("SegNet", 4, "alone", "infected"),
            ("SegNet", 4, "published", "infected"),
        ]
        assert [(row["source"], row["class"]) for row in rows[3:4]] == [("difference", "infected")]
        for ours, printed, difference in (rows[1:4], rows[5:8]):
            assert abs(difference["Dice"]) < 5e-7
            for score in ("sensitivity", "specificity", "Dice", "G-mean", "F2"):
                assert ours[score] == pytest.approx(printed[score], abs=5e-7)

    def test_choice_by_test_and_by_validation_both_shown(self):
        runs = [run(experiment=1, correct=(65000,), validation=(1000,)), run(experiment=7, correct=(64000,))]
        rows = records(class_table(runs))
        assert [(row["exp."], row["source"]) for row in rows[:4:2]] == [(1, "best on test"), (7, "best on val.")]

    def test_pools_slices_and_averages_over_seeds(self):
        first = np.array([[[50, 10], [5, 35]], [[70, 0], [0, 30]]])
        second = np.array([[[60, 0], [40, 0]], [[70, 0], [0, 30]]])
        runs = [run(seed=s, test_confusion=c) for s, c in enumerate((first, second))]
        rows = records(class_table(runs))
        assert rows[1]["sensitivity"] == pytest.approx((65 / 70 + 30 / 70) / 2)
        assert rows[1]["Dice"] == pytest.approx((130 / 145 + 60 / 100) / 2)

    def test_multiclass_has_c0_and_the_published_classes(self):
        counts = np.full((2, 4, 4), 10)
        counts[:, 3] = 0
        table = class_table(
            [run(problem="multiclass", test_confusion=counts)], baselines=[baseline(counts[0], "grey threshold")]
        )
        rows = records(table)
        assert [row["class"] for row in rows] == ["C0", "C1", "C2", "C3", "C1", "C2", "C3", "C0", "C1", "C2", "C3"]
        assert table.title.startswith("Table 6.") and rows[4]["exp."] == 7 and rows[4]["Dice"] == 0.479
        assert rows[7]["source"] == "baseline"
        assert math.isnan(rows[3]["sensitivity"]) and any("undefined" in note for note in table.notes)


class TestFiveFoldTable:
    def test_pools_a_fold_and_spreads_over_folds(self):
        slices = np.array([[[50, 10], [10, 30]], [[80, 0], [10, 10]]])
        runs = [
            run(fold=0, test_confusion=slices),
            pooled_run([[90, 0], [0, 10]], fold=1),
            pooled_run([[50, 0], [25, 25]], fold=2),
        ]
        row = records(five_fold_table(runs))[1]
        sensitivity = np.array([40 / 60, 1.0, 0.5])
        dice = np.array([80 / 110, 1.0, 50 / 75])
        assert row["network"] == "SegNet exp. 4" and row["class"] == "infected"
        assert row["sensitivity: mean"] == pytest.approx(sensitivity.mean())
        assert row["sensitivity: sigma"] == pytest.approx(sensitivity.std(ddof=1))
        assert row["Dice: mean"] == pytest.approx(dice.mean())
        assert row["Dice: sigma"] == pytest.approx(dice.std(ddof=1))

    def test_published_values_and_title(self):
        table = five_fold_table([run(fold=k) for k in range(5)])
        assert table.title.startswith("Table 7.") and "n=10 test slices in 5 folds" in table.title
        published_row = records(table)[2]
        assert published_row["network"] == "SegNet, publ."
        assert (published_row["Dice: mean"], published_row["Dice: sigma"]) == (0.703, 0.055)
        ours, difference = records(table)[1], records(table)[3]
        assert difference["network"] == "SegNet, diff." and difference["Dice: sigma"] is None
        assert difference["Dice: mean"] == pytest.approx(ours["Dice: mean"] - 0.703)

    def test_undefined_folds_are_left_out_and_said(self):
        runs = [pooled_run([[90, 10], [0, 0]], fold=0), pooled_run([[50, 0], [25, 25]], fold=1)]
        table = five_fold_table(runs)
        row = records(table)[1]
        assert row["sensitivity: mean"] == 0.5 and math.isnan(row["sensitivity: sigma"])
        assert row["Dice: mean"] == pytest.approx((0 + 50 / 75) / 2)
        note = next(note for note in table.notes if "NaN" in note)
        assert "SegNet exp. 4 infected sensitivity 1 of 2" in note and "Dice" not in note

    def test_seeds_of_a_fold_are_averaged_first(self):
        runs = [
            pooled_run([[50, 0], [25, 25]], fold=0, seed=0),
            pooled_run([[50, 0], [0, 50]], fold=0, seed=1),
            pooled_run([[50, 0], [50, 0]], fold=1, seed=0),
        ]
        row = records(five_fold_table(runs))[1]
        assert row["sensitivity: mean"] == pytest.approx((0.75 + 0) / 2)
        assert row["sensitivity: sigma"] == pytest.approx(np.std([0.75, 0], ddof=1))

    def test_baselines_on_the_same_folds(self):
        folds = [
            [baseline([[90, 0], [10, 0]]), baseline([[80, 10], [0, 10]], "grey threshold")],
            [baseline([[70, 0], [30, 0]]), baseline([[70, 0], [15, 15]], "grey threshold")],
        ]
        rows = records(five_fold_table([run(fold=k) for k in range(2)], folds))[-4:]
        assert [row["network"] for row in rows] == ["all background"] * 2 + ["grey threshold"] * 2
        assert rows[1]["sensitivity: mean"] == 0 and rows[1]["specificity: mean"] == 1
        assert rows[3]["sensitivity: mean"] == 0.75

    def test_unfinished_folds_are_said(self):
        table = five_fold_table([*(run(fold=k) for k in range(5)), run("unet", fold=3)])
        assert "U-Net exp. 4: 1 of 5 folds." in table.notes
        assert "SegNet exp. 4: 3 of 5 folds." in five_fold_table([run(fold=k) for k in range(3)]).notes


@pytest.mark.parametrize(
    ("runs", "message"),
    [
        ([], "at least one"),
        ([run(), run(experiment=1, variant="paper")], "share problem, variant and encoder weights"),
        ([run(), run(seed=1, encoder_weights="imagenet")], "share problem, variant and encoder weights"),
        ([run(), run()], "differ in network"),
        ([run(fold=1)], "not have a fold"),
        ([run(), run(experiment=1, correct=(1, 2, 3))], "same slices"),
    ],
)
def test_runs_that_do_not_belong_together_are_refused(runs, message):
    for table in (accuracy_table, class_table):
        with pytest.raises(ValueError, match=message):
            table(runs)


def test_folds_are_needed_for_table_7_and_counts_must_fit():
    with pytest.raises(ValueError, match="each have a fold"):
        five_fold_table([run()])
    with pytest.raises(ValueError, match=r"must be \(2, 4, 4\)"):
        run(problem="multiclass")


class TestText:
    def tables(self):
        """Every kind of table at its widest: several seeds, both networks, four classes, baselines."""
        nets, seeds = ("segnet", "unet"), (0, 1, 2)
        for problem, size in (("binary", 2), ("multiclass", 4)):
            counts = np.arange(2 * size * size).reshape(2, size, size)
            change = {"problem": problem, "test_confusion": counts}
            grid = [run(n, e, seed=s, **change) for n in nets for e in range(1, 10) for s in seeds]
            folds = [run(n, 4, seed=s, fold=k, **change) for n in nets for k in range(5) for s in seeds]
            both = [baseline(counts[0]), baseline(counts[1], "grey threshold")]
            yield accuracy_table(grid, baselines=both)
            yield accuracy_table([of for of in grid if of.experiment == 4], nets, both)
            yield class_table(grid, baselines=both)
            yield five_fold_table(folds, [both] * 5)

    def test_fits_100_columns_and_columns_align(self):
        for table in self.tables():
            lines = table.to_text().splitlines()
            assert max(map(len, lines)) <= 100
            start, _, end = (i for i, line in enumerate(lines) if set(line) == {"-"})
            body = lines[start + 1 : end]
            rows = [line.ljust(100) for line in body if set(line) != {"-"} and "--- " not in line]
            assert len(rows) == len(table.rows) + 1
            blank = [all(row[i] == " " for row in rows) for i in range(100)]
            gutters = sum(blank[i] and not blank[i - 1] for i in range(1, 100))
            assert gutters >= len(table.columns)  # one behind each column
            assert all(len(line) <= len(lines[start]) for line in body)

    def test_exact_layout(self):
        table = Table(
            "A title.",
            ("name", "few: mean", "few: sigma", "n", "diff."),
            (("a", 0.12345, math.nan, 3, Signed(0.01)), ("longer", 1.0, 0.5, None, Signed(-0.5))),
            ("A note.",),
        )
        assert table.to_text().splitlines() == [
            "A title.",
            "------------------------------",
            "        --- few ---",
            "name     mean sigma  n   diff.",
            "------------------------------",
            "a       0.123     -  3  +0.010",
            "longer  1.000 0.500     -0.500",
            "------------------------------",
            "A note.",
        ]

    def test_latex(self):
        table = Table(
            "Half_of 100 %.", ("name", "few: mean", "few: sigma"), (("a & b", 0.12345, math.nan),), ("1 < 2",)
        )
        assert table.to_latex().splitlines() == [
            r"\begin{table}",
            r"\caption{Half\_of 100 \%.}",
            r"\begin{tabular}{lrr}",
            r"\toprule",
            r"\multicolumn{1}{c}{} & \multicolumn{2}{c}{few} \\",
            r"name & mean & sigma \\",
            r"\midrule",
            r"a \& b & 0.123 & - \\",
            r"\bottomrule",
            r"\end{tabular}",
            r"\par\smallskip\footnotesize",
            r"1 $<$ 2\par",
            r"\end{table}",
        ]

    def test_names_from_files_stay_in_their_cells(self):
        table = Table("A | title.", ("name",), (("a|b\n<b>c</b>",), ("p < 1",)), ("<i>x",))
        assert table.to_markdown().splitlines() == [
            r"**A \| title.**",
            "",
            "| name |",
            "|---|",
            r"| a\|b &lt;b>c&lt;/b> |",
            "| p < 1 |",
            "",
            "- &lt;i>x",
        ]

    def test_markdown(self):
        table = Table("A title.", ("name", "few: mean"), (("a", 0.12345), ("b", math.nan)), ("A note.",))
        assert table.to_markdown().splitlines() == [
            "**A title.**", "", "| name | few mean |", "|---|---|", "| a | 0.123 |", "| b | - |", "", "- A note.",
        ]  # fmt: skip


class TestCsv:
    def test_full_precision_and_no_rest(self, tmp_path):
        path = tmp_path / "new" / "table.csv"
        Table("t", ("name", "few: mean", "x"), (("a, b", 1 / 3, None), ("c", math.nan, 2))).to_csv(path)
        with path.open(newline="") as stream:
            rows = list(csv.reader(stream))
        assert rows == [["name", "few mean", "x"], ["a, b", repr(1 / 3), ""], ["c", "nan", "2"]]
        assert os.listdir(path.parent) == ["table.csv"]

    def test_a_failed_write_leaves_the_old_file(self, tmp_path, monkeypatch):
        path = tmp_path / "table.csv"
        path.write_text("old")

        def fail(*_):
            raise OSError("disk full")

        monkeypatch.setattr(os, "replace", fail)
        with pytest.raises(OSError, match="disk full"):
            Table("t", ("name",), (("a",),)).to_csv(path)
        assert path.read_text() == "old" and os.listdir(tmp_path) == ["table.csv"]
