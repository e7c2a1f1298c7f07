"""Verdicts: every claim has one, and made trainings reach each verdict that trainings can reach."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from made_runs import evidence, made_folds, made_grid, made_run, write_history, write_last_epochs
from scipy import stats

from experiments import RESULTS
from experiments.reporting.content import VERDICTS
from experiments.saood2021 import article, published, spread
from experiments.saood2021.article import vgg16_parameters
from experiments.saood2021.evidence import FinishedRun, Network
from experiments.saood2021.published import claims, stated
from experiments.saood2021.runs import read_finished
from experiments.saood2021.tables import with_authors
from experiments.saood2021.tables.batches import batches_table, pairs_of_rates, side_pairs
from experiments.saood2021.tables.selection import released_accuracies
from experiments.saood2021.verdicts import judge_recipe, judge_slices, judge_spread
from experiments.saood2021.verdicts.claims import JUDGES, verdicts
from unet_segnet.data import Slices, paper_split
from unet_segnet.measures import metrics

ROOT = Path(__file__).parents[3]
YES, NO, _, OPEN = VERDICTS


def verdict(name, *runs, slices=None):
    judged = JUDGES[name](evidence(*runs, slices=slices))
    assert judged.evidence and bool(judged.decides) == (judged.verdict == OPEN) == (not judged.basis)
    return judged.verdict


def made_slices(lesion_columns, notes=(), num_slices=100):
    """Slices whose lung is a square and whose lesion lies in the given columns, a different part of them each."""
    images = np.zeros((num_slices, 16, 16), np.uint8)
    images[:, 2:14, 2:14] = 50
    labels = np.zeros_like(images)
    for index, label in enumerate(labels):
        label[3 : 4 + index % 8, lesion_columns] = 1 + index % 3
    names = tuple(f"{index:03d}" for index in range(num_slices))
    return Slices(images, labels, None, names, notes=notes)


@pytest.fixture(scope="module")
def paper_run():
    """The committed replay of SegNet 4, whose truth is that of the paper's slices."""
    folder = RESULTS / "grid/released-binary-segnet/exp4-seed0-matlab"
    run, counts = read_finished(folder)
    return FinishedRun(folder, run.config, run.result, counts, True)


class TestClaims:
    def test_every_claim_has_a_function_and_every_function_a_claim(self):
        assert [claim.name for claim in claims()] == list(JUDGES)
        assert all(claim.claim.endswith(".") and claim.quote and claim.source for claim in claims())

    def test_every_function_judges_without_any_run_or_slice(self):
        found = verdicts(evidence())
        assert [item.name for item in found] == list(JUDGES)
        assert all(item.evidence and bool(item.decides) == (item.verdict == OPEN) for item in found)
        of = {item.name: item.verdict for item in found}
        needs_trainings = (
            "segnet-wins-binary",
            "unet-wins-multiclass",
            "segnet-accuracy-binary",
            "best-configurations",
        )
        assert {of[name] for name in needs_trainings} == {OPEN}

    def test_twice_the_same(self):
        runs = made_grid()
        assert verdicts(evidence(*runs)) == verdicts(evidence(*runs))

    def test_parameters_of_vgg16(self):
        """Counted by hand for two stages; for all five, those of Keras' VGG16 without its top."""
        by_hand = (9 * 3 + 1) * 64 + (9 * 64 + 1) * 64 + (9 * 64 + 1) * 128 + (9 * 128 + 1) * 128
        assert vgg16_parameters(2) == by_hand and vgg16_parameters(5) == 14_714_688
        assert vgg16_parameters(5) == pytest.approx(stated("encoder_parameters"), rel=0.005)


def several(net, number=4, problem="binary", first_seed=0, **changes):
    """Trainings that differ a little: the share of healthy pixels called class 1 grows with the seed."""
    experiment = 7 if (net, problem) == ("segnet", "multiclass") else 4
    false = changes.pop("false", 0.04)
    return [
        made_run(net, problem, experiment=experiment, seed=seed, false=false * (1 + 0.02 * seed), noise=0, **changes)
        for seed in range(first_seed, first_seed + number)
    ]


class TestComparedNetworks:
    @pytest.mark.parametrize(
        ("claim", "problem", "winner", "other"),
        [("segnet-wins-binary", "binary", "segnet", "unet"), ("unet-wins-multiclass", "multiclass", "unet", "segnet")],
    )
    def test_four_of_each_decide(self, claim, problem, winner, other):
        good, bad = {"missed": 0.03, "false": 0.03}, {"missed": 0.3, "false": 0.08}
        ahead = several(winner, problem=problem, **good), several(other, problem=problem, **bad)
        behind = several(winner, problem=problem, **bad), several(other, problem=problem, **good)
        assert verdict(claim, *ahead[0], *ahead[1]) == YES
        assert verdict(claim, *behind[0], *behind[1]) == NO
        assert verdict(claim, *ahead[0], *ahead[1][:3]) == OPEN  # though far apart
        judged = JUDGES[claim](evidence(*ahead[0], *ahead[1]))
        assert judged.basis == "training" and "p = 0.029" in judged.evidence and "in 0% of the pairs" in judged.evidence

    def test_a_lead_within_chance_is_open(self):
        segnet, unet = several("segnet"), several("unet", missed=0.0499)
        judged = JUDGES["segnet-wins-binary"](evidence(*segnet, *unet))
        assert judged.verdict == OPEN and "SegNet 4 (4 trainings) less U-Net 4 (4 trainings)" in judged.evidence

    def test_other_configurations_do_not_stand_for_the_best(self):
        others = [made_run("unet", experiment=9, seed=seed, false=0.1) for seed in range(4)]
        assert verdict("segnet-wins-binary", *several("segnet", false=0.01), *others) == OPEN

    def test_replayed_random_numbers_are_told(self):
        """They count where two networks are compared, and beside the authors' own run they do not."""
        run, unet = made_run(), made_run("unet")
        replayed = replace(run, counts=replace(run.counts, stream="matlab"))
        judged = JUDGES["segnet-wins-binary"](evidence(replayed, run, unet))
        assert "SegNet 4 (2 trainings, 1 replayed) less U-Net 4 (1 training)" in judged.evidence
        judged = JUDGES["segnet-wins-binary"](evidence(replayed, unet))
        assert "SegNet 4 (1 training, the authors' random numbers)" in judged.evidence
        ordinary = several("segnet", 3, false=0.05)
        replays = [replace(of, counts=replace(of.counts, stream="matlab")) for of in several("segnet", 1, first_seed=3)]
        judged = JUDGES["segnet-accuracy-binary"](evidence(*ordinary, *replays))
        assert judged.verdict == OPEN and "SegNet 4 (3 trainings): accuracy" in judged.evidence
        assert "; with the authors' random numbers accuracy " in judged.evidence

    def test_scores_are_means_over_trainings_as_in_the_tables(self):
        """Of pixels put together, the training that predicts most would weigh most."""
        runs = [made_run(false=0.03, noise=0), made_run("unet", noise=0), made_run("unet", false=0.5, seed=1, noise=0)]
        segnet, *unet = (metrics.dice(run.counts.test_confusion.sum(axis=0))[1] for run in runs)
        judged = JUDGES["segnet-wins-binary"](evidence(*runs))
        assert f"(2 trainings): {segnet - np.mean(unet):+.3f} (Mann-Whitney" in judged.evidence

    def test_five_folds_decide_too(self):
        ahead = made_folds("segnet", false=0.03), made_folds("unet", false=0.08)
        assert verdict("segnet-wins-binary", *ahead[0], *ahead[1]) == YES
        assert verdict("segnet-wins-binary", *ahead[0], *ahead[1][:4]) == OPEN
        judged = JUDGES["segnet-wins-binary"](evidence(*ahead[0], *ahead[1]))
        assert "ahead in 5 of 5 (corrected t, p < 0.001, which judges); slice by slice (n=100" in judged.evidence

    def test_trainings_and_folds_that_contradict_each_other_leave_it_open(self):
        folds = [*made_folds("segnet", false=0.03), *made_folds("unet", false=0.08)]
        assert (
            verdict("segnet-wins-binary", *folds, *several("segnet", false=0.08), *several("unet", false=0.03)) == OPEN
        )

    def test_variants_that_disagree_are_open(self):
        better, worse = {"missed": 0.03, "false": 0.03}, {"missed": 0.3, "false": 0.08}
        released = [*several("segnet", **better), *several("unet", **worse)]
        paper = [*several("segnet", variant="paper", **worse), *several("unet", variant="paper", **better)]
        judged = JUDGES["segnet-wins-binary"](evidence(*released, *paper))
        assert judged.verdict == OPEN and "disagree" in judged.decides
        assert "Networks as released:" in judged.evidence and "Networks as described:" in judged.evidence


class TestStatedScores:
    @pytest.mark.parametrize(("false", "expected"), [(0.046, YES), (0.1, NO)])
    def test_accuracy(self, false, expected):
        """An ordinary one of four, or far from all of them."""
        assert verdict("segnet-accuracy-binary", *several("segnet", false=false)) == expected

    def test_three_confirm_nothing_but_may_deny(self):
        """Their spread is that of other repeated trainings."""
        repeated = several("unet", false=0.05)
        assert verdict("segnet-accuracy-binary", *several("segnet", 3, false=0.046), *repeated) == OPEN
        judged = JUDGES["segnet-accuracy-binary"](evidence(*several("segnet", 1, false=0.2), *repeated))
        assert judged.verdict == NO
        assert "with the spread of 4 trainings of 1 configuration that were repeated" in judged.evidence

    def test_the_wider_of_repeats_and_last_epochs_is_borrowed(self, tmp_path):
        run = made_run(false=0.05, noise=0, folder=tmp_path)
        assert spread.borrowed(evidence(run), [run], spread.accuracy) is None
        write_last_epochs(run, [0.0, 0.1, 0.2, 0.3])
        with np.load(tmp_path / "last_epochs.npz") as arrays:
            scores = [metrics.global_accuracy(of).mean() for of in arrays["test_confusion"]]
        found = spread.borrowed(evidence(run), [run], spread.accuracy)
        assert found.deviation == pytest.approx(np.std(scores, ddof=1)) and "last 4 epochs" in found.source
        # Two repeats with half its deviation have one degree of freedom: the quantile is four times that of three.
        gap = found.deviation * np.sqrt(2) / 2
        repeats = [made_run("unet", seed=seed, noise=0, false=0.04 + gap * seed) for seed in (0, 1)]
        wider = spread.borrowed(evidence(run, *repeats), [run], spread.accuracy)
        assert "repeated" in wider.source and wider.freedom == 1 and wider.deviation < found.deviation

    def test_what_the_text_rounds_is_judged_as_the_tables_print_it(self):
        """Trainings at the printed level whose interval does not reach the rounded 0.95."""
        runs = [made_run("segnet", seed=seed, noise=0, false=0.0458 + 0.0004 * seed) for seed in range(4)]
        low = np.mean(spread.of_trainings(runs, spread.accuracy)) - 3 * np.std(
            spread.of_trainings(runs, spread.accuracy), ddof=1
        )
        assert low > published.stated("binary_accuracy")
        judged = JUDGES["segnet-accuracy-binary"](evidence(*runs))
        assert judged.verdict == YES and "stated 0.954" in judged.evidence and "rounds to 0.95." in judged.evidence

    def test_a_described_network_does_not_judge_what_a_released_one_scored(self):
        runs = [*several("segnet", 3, false=0.046), *several("segnet", false=0.2, variant="paper")]
        judged = JUDGES["segnet-accuracy-binary"](evidence(*runs))
        assert judged.verdict == OPEN and "Networks as described: SegNet 4 (4 trainings)" in judged.evidence

    def test_all_stated_scores_must_be_ordinary(self):
        """A specificity of 0.954, as the released counts have it; the text's 0.945 is a misprint."""
        ordinary = several("segnet", missed=0.044, false=0.045)
        ordinary[0] = several("segnet", 1, missed=0.043, false=0.045)[0]
        assert verdict("segnet-scores-binary", *ordinary) == YES
        assert verdict("segnet-scores-binary", *several("segnet", missed=0.044, false=0.15)) == NO
        assert verdict("segnet-scores-binary", made_run(experiment=5)) == OPEN

    def test_effusion(self):
        assert verdict("unet-effusion", *several("unet", problem="multiclass")) == NO
        assert verdict("unet-effusion") == OPEN

    def test_the_authors_run_is_compared_slice_by_slice(self):
        """With the paper's slices under their own names."""
        names = tuple(f"{index + 1:03}" for index in paper_split().test)
        run = made_run(noise=0)
        run = replace(run, counts=replace(run.counts, test_names=names))
        expected = metrics.global_accuracy(run.counts.test_confusion) - released_accuracies("segnet", 4)
        judged = JUDGES["segnet-accuracy-binary"](evidence(run))
        assert f"on the same slices: {expected.mean():+.4f} [" in judged.evidence


class TestBestConfigurations:
    """Eight repeated trainings beside the grids give the spread, small or as large as it is."""

    def grids(self, **best):
        multi = {"segnet": 7} | best
        return [*made_grid(seed=9, noise=0), *made_grid("multiclass", seed=9, noise=0, best=multi)]

    def repeats(self, step):
        return [
            made_run("unet", problem, "paper", 3, seed=seed, noise=0, false=0.04 + step * seed)
            for problem in ("binary", "multiclass")
            for seed in range(4)
        ]

    def both(self, grids):
        return [*grids, *(replace(run, counts=replace(run.counts, variant="paper")) for run in grids)]

    def test_decided_where_winners_would_recur(self):
        assert verdict("best-configurations", *self.both(self.grids()), *self.repeats(1e-4)) == YES
        assert verdict("best-configurations", *self.grids(segnet=1), *self.repeats(1e-4)) == NO
        assert verdict("best-configurations", *self.grids(), *self.repeats(1e-4)) == OPEN  # of one variant alone

    def test_open_by_design_where_they_would_not(self):
        judged = JUDGES["best-configurations"](evidence(*self.grids(segnet=1), *self.repeats(0.02)))
        assert judged.verdict == OPEN and "all four 2%" in judged.evidence

    def test_a_network_trained_four_times_has_a_spread_of_its_own(self):
        steady = [made_run("segnet", "binary", "paper", 3, seed=s, noise=0, false=0.04 + 1e-5 * s) for s in range(4)]
        judged = JUDGES["best-configurations"](evidence(*self.grids(), *self.repeats(0.02), *steady))
        assert "SegNet binary 100% (0.000)" in judged.evidence and "U-Net binary 4" in judged.evidence

    def test_open_without_a_spread(self):
        assert verdict("best-configurations", *self.grids()) == OPEN


def test_after_equal_updates_the_same_updates_are_compared():
    """Mini-batches of 2 are validated each 36 updates, of 12 each 6, by a loss that falls: the larger one is worse."""
    small, large = np.arange(36, 5761, 36), np.arange(6, 961, 6)
    assert judge_recipe._worse_after(960, (small, 1 / small), (large, 1.05 / large))
    assert not judge_recipe._worse_after(960, (small, 1 / small), (large, 0.95 / large))
    assert judge_recipe._worse_after(
        8, (np.array([4, 8]), np.array([2.0, 1.0])), (np.array([3, 6]), np.array([3.0, 1.5]))
    )


class TestLargerBatches:
    def grid(self, folder, larger_is_worse, loss_of_large, variant="released"):
        """Both networks' nine configurations with histories: mini-batches of 4 or 2, 8, 12 make so many updates."""
        runs = []
        for net in ("segnet", "unet"):
            for e in range(1, 10):
                size = (e - 1) % 3
                false = 0.03 + 0.01 * (size if larger_is_worse else -size)
                run = made_run(net, variant=variant, experiment=e, false=false, folder=folder / f"{net}{e}")
                # The small batch's validation loss is 0.5 after 960 updates; it falls on to 2880.
                final, updates = ((0.0, 2880), (0.3, 1440), (loss_of_large, 960))[size]
                runs.append(write_history(run, updates, final))
        return runs

    def both_problems(self, runs):
        """As many pairs as the article has: 12 of equal epochs."""
        four = [made_run(run.counts.net, "multiclass", experiment=run.counts.experiment, false=0.2) for run in runs]
        larger = {3, 6, 9}
        return [
            *runs,
            *(
                made_run(run.counts.net, "multiclass", experiment=run.counts.experiment, false=0.25)
                if run.counts.experiment in larger
                else run
                for run in four
            ),
        ]

    def test_worse_after_equal_epochs(self, tmp_path):
        runs = self.both_problems(self.grid(tmp_path, True, 0.9))
        judged = JUDGES["larger-batches-epochs"](evidence(*runs))
        assert (judged.verdict, judged.basis) == (
            YES,
            "training",
        ) and "Own trainings: 12 of 12 (sign" in judged.evidence

    def test_equal_updates(self, tmp_path):
        assert verdict("larger-batches-updates", *self.grid(tmp_path / "worse", True, 0.9)) == YES  # 6 of 6, p = 0.03
        assert verdict("larger-batches-updates", *self.grid(tmp_path / "better", True, 0.1)) == NO
        assert verdict("larger-batches-updates") == OPEN

    def test_few_own_trainings_leave_it_to_the_article(self):
        runs = evidence(made_run(experiment=4), made_run(experiment=6, false=0.02))
        judged = JUDGES["larger-batches-epochs"](runs)
        assert (judged.verdict, judged.basis) == (YES, "tables")
        assert "Own trainings: 0 of 1" in judged.evidence
        assert "11 of 12 pairs" in judged.evidence and "p = 0.006" in judged.evidence
        assert judge_recipe._by_signs([True] * 11 + [False], [True, False] * 8, "", "tables").basis == "tables"
        assert "960 updates against 2,880 (SegNet)" in judged.evidence
        assert "1 of 6" in JUDGES["larger-batches-updates"](runs).evidence

    def side(self, better_at_updates, pairs=12):
        """The side study: the largest mini-batch is worse in all pairs but, at equal updates, some."""
        runs, number = [], 0
        for net, batch in (("segnet", 4), ("unet", 2)):
            for problem in ("binary", "multiclass"):
                for small, large in ((1, 3), (4, 6), (7, 9)):
                    if number == pairs:
                        return runs
                    cut = 0.15 if number < better_at_updates else 0.05
                    number += 1
                    for study, experiment, size, false in (
                        ("side", small, batch, 0.05), ("side", large, 12, 0.1), ("side-cut", small, batch, cut),
                    ):  # fmt: skip
                        run = made_run(net, problem, experiment=experiment, false=false)
                        epochs = 162 * batch // 12 if study == "side-cut" else 162
                        recipe = {"batch_size": size, "epochs": epochs, "learning_rate": 1e-3}
                        about = {"split": {"train": ["x"] * 72}, "data": {"size": 128}}
                        runs.append(replace(run, config={"study": study, "recipe": recipe, **about}))
        return runs

    def test_the_whole_side_study_judges_equal_updates(self, tmp_path):
        grid = self.grid(tmp_path, True, 0.9)  # by the validation loss: worse in all pairs

        def judged(side, name="larger-batches-updates"):
            return JUDGES[name](replace(evidence(*grid), side=tuple(side)))

        assert (judged(self.side(0)).verdict, judged(self.side(0)).basis) == (YES, "side study")
        assert judged(self.side(6)).verdict == OPEN and "all that was planned has run" in judged(self.side(6)).decides
        assert judged(self.side(12)).verdict == NO
        assert "Side study (128 pixels, ours)" in judged(self.side(12)).evidence
        assert "in 0 of 12 pairs of 12 planned" in judged(self.side(12)).evidence
        part = judged(self.side(11, pairs=11))  # told, but the grid judges
        assert part.verdict == YES and "in 0 of 11 pairs of 12 planned" in part.evidence
        told = judged(self.side(12), "larger-batches-epochs")
        assert "Side study (128 pixels, ours): after equal epochs the largest" in told.evidence
        assert "in 12 of 12 pairs" in told.evidence
        assert told.basis == JUDGES["larger-batches-epochs"](evidence(*grid)).basis

    def test_pairs_of_the_side_study_have_equal_seeds(self):
        runs = self.side(0, pairs=1)
        more = [replace(run, counts=replace(run.counts, seed=1, test_confusion=run.counts.test_confusion[:, ::-1]))
                for run in runs if run.counts.experiment == 1]  # fmt: skip
        assert side_pairs([*runs, *more]) == side_pairs(runs)
        assert side_pairs([run for run in runs if run.counts.experiment != 1] + more) == []

    def test_the_side_studys_table(self):
        table = batches_table(self.side(3), "made")
        assert len(table.rows) == 24
        equal = {name: [row for row in table.rows if row[0] == f"equal {name}"] for name in ("epochs", "updates")}
        place = table.columns.index("updates: smallest")
        assert {row[place : place + 2] for row in equal["epochs"]} == {(2916, 972), (5832, 972)}
        assert {row[place : place + 2] for row in equal["updates"]} == {(972, 972)}
        difference = table.columns.index("accuracy: diff.")
        assert sum(row[difference] > 0 for row in equal["updates"]) == 3
        assert all(row[difference] < 0 for row in equal["epochs"])
        assert "made, 128x128 pixels" in table.title
        assert batches_table([], "made") is None
        for run in (shorter := self.side(3)):
            run.config["recipe"]["epochs"] = max(run.config["recipe"]["epochs"] // 162, 1)  # one epoch of each
        assert {row[0] for row in batches_table(shorter, "made").rows} == {"equal epochs"}

    def test_pairs_are_smallest_and_largest_of_one_rate(self):
        assert pairs_of_rates("unet") == [(1, 3), (4, 6), (7, 9)]


class TestArticle:
    def test_released_numbers_decide(self):
        of = {item.name: item for item in verdicts(evidence())}
        expected = {
            "segnet-margins": (NO, "tables", "sensitivity -0.0082, specificity +0.0054"),
            "accuracy-shows-quality": (NO, "tables", "four classes: 0 of 18 configurations are above it"),
            "specificity-shows-healthy": (OPEN, "", "SegNet 0.927"),
            "sigma-multiclass": (YES, "tables", "18 of 18 configurations"),
            "five-fold-close": (YES, "tables", "0 of 40 scores lie outside"),
            "five-fold-steady": (NO, "tables", "Of the 38 others"),
            "encoder-vgg16": (NO, "release", "373,192"),
            "class-disparity": (YES, "tables", "703"),
            "larger-batches-epochs": (YES, "tables", "11 of 12"),
            "not-infected-count": (OPEN, "", "SegNet 1,045,094 (95.4%; at random 973,755)"),
            "not-infected-reliable": (OPEN, "", "SegNet 0.726, U-Net 0.708"),
            "unet-opacities": (NO, "tables", "0.483 (ground glass) and 0.597"),
            # by the article's own numbers SegNet's specificity is not above Inf-Net's
            "exceeds-others": (NO, "tables", "7 of the 8 comparisons"),
        }
        for name, (wanted, basis, number) in expected.items():
            assert (of[name].verdict, of[name].basis) == (wanted, basis), name
            assert number in of[name].evidence, name
        assert "not SegNet's specificity 0.954 beside Inf-Net's 0.96." in of["exceeds-others"].evidence
        assert "with a bias. 35 of them are above the folds' means, of Dice 8 of 8" in of["five-fold-close"].evidence

    def test_kappa_of_a_released_matrix(self):
        """(agreement - chance) / (1 - chance), written out."""
        matrix = published.confusion_matrix("segnet", 4).astype(float)
        total = matrix.sum()
        agreement = (matrix[0, 0] + matrix[1, 1]) / total
        chance = sum(matrix[k].sum() * matrix[:, k].sum() for k in (0, 1)) / total**2
        told = JUDGES["not-infected-reliable"](evidence()).evidence
        assert f"SegNet {(agreement - chance) / (1 - chance):.3f}" in told

    def test_kappa_over_the_slices(self, paper_run):
        """The counts of each slice add up to the released matrix; the interval of U-Net's kappa reaches below 0.6."""
        truth = with_authors.test_truth(evidence(paper_run))
        for net in ("segnet", "unet"):
            counts = with_authors.released_counts(net, 4, truth)
            assert np.array_equal(counts.sum(axis=0), published.confusion_matrix(net, 4))
            assert np.array_equal(counts.sum(axis=2), truth) and counts.min() >= 0
            shares = np.trace(counts, axis1=1, axis2=2) / counts.sum(axis=(1, 2))
            assert shares == pytest.approx(released_accuracies(net, 4))
        judged = JUDGES["not-infected-reliable"](evidence(paper_run))
        assert judged.verdict == OPEN
        segnet, unet = re.search(r"intervals are ([\d.]+) to [\d.]+ and ([\d.]+) to", judged.evidence).groups()
        assert float(segnet) > 0.6 > float(unet)

    def test_sigma_beside_that_of_no_network(self, paper_run):
        """Calling everything healthy is as wrong as a slice has lesion: its sigma is that of the lesions' sizes."""
        truth = paper_run.counts.test_confusion.sum(axis=2)
        share = truth[:, 0] / truth.sum(axis=1)
        judged = JUDGES["sigma-consistent"](evidence(paper_run))
        assert f"Calling every pixel healthy has {share.std(ddof=1):.3f}" in judged.evidence
        # Computed apart: SegNet's sigma is lower beyond chance, U-Net's within it.
        assert judged.verdict == OPEN and "SegNet p = 0.00062, U-Net p = 0.086" in judged.evidence
        assert verdict("sigma-consistent") == verdict("sigma-consistent", made_run()) == OPEN

    def test_variances_of_pairs(self):
        """Pitman and Morgan: t of the ratio of the variances and the correlation, written out."""
        random = np.random.default_rng(0)
        shared = random.normal(size=18)
        first, second = shared + random.normal(0, 1, 18), shared + random.normal(0, 0.3, 18)
        ratio, r = first.var(ddof=1) / second.var(ddof=1), np.corrcoef(first, second)[0, 1]
        t = (ratio - 1) * np.sqrt(16) / (2 * np.sqrt(ratio * (1 - r**2)))
        more, p = judge_spread._variances(first, second)
        assert more and p == pytest.approx(2 * stats.t.sf(abs(t), 16))
        assert judge_spread._variances(second, first) == (False, pytest.approx(p))

    def test_own_sigmas_are_means_over_trainings(self):
        runs = [made_run(seed=seed, noise=0.9) for seed in (0, 1)]
        runs += [made_run("segnet", "multiclass", seed=0)]
        sigmas = [metrics.global_accuracy(run.counts.test_confusion).std(ddof=1) for run in runs[:2]]
        told = JUDGES["sigma-multiclass"](evidence(*runs)).evidence
        assert f"with four classes and {np.mean(sigmas):.3f} with two: higher in" in told

    def test_own_folds_are_told_beside_the_printed_ones(self):
        runs = [made_run(), *made_folds("segnet", missed=0.5)]
        judged = JUDGES["five-fold-close"](evidence(*runs))
        assert judged.verdict == YES and "Own trainings, released: " in judged.evidence  # which do not judge
        assert " of 5 scores lie outside" in judged.evidence
        assert "alike" not in judged.evidence
        assert "Own trainings" not in JUDGES["five-fold-close"](evidence(*runs[:-1])).evidence
        runs[0] = replace(runs[0], counts=replace(runs[0].counts, stream="matlab"))
        judged = JUDGES["five-fold-close"](evidence(*runs))
        assert (
            "Not all trained alike: SegNet 4 with MATLAB's random numbers in float32; SegNet 4 (fold 1"
            in judged.evidence
        )

    def test_own_sigmas_over_folds_are_told_beside_the_printed_ones(self):
        folds = made_folds("segnet")
        assert "Own trainings" not in JUDGES["five-fold-steady"](evidence(*folds[:-1])).evidence
        own = JUDGES["five-fold-steady"](evidence(*folds)).evidence.partition("Own trainings, released: ")[2]
        dice = [metrics.dice(run.counts.test_confusion.sum(axis=0))[1] for run in folds]
        assert own.startswith("0 of 5 are above it, the highest ")
        assert f"{np.std(dice, ddof=1):.3f} (SegNet infected dice)" in own

    def test_own_trainings_are_told(self):
        judged = JUDGES["accuracy-shows-quality"](evidence(made_run(), made_run("unet", variant="paper")))
        assert "binary, released" in judged.evidence and "binary, paper" in judged.evidence
        judged = JUDGES["specificity-shows-healthy"](evidence(made_run("unet", "multiclass", false=0.1, noise=0)))
        assert "C0 sensitivity 0.900" in judged.evidence

    def test_regions(self):
        assert verdict("infection-regions") == OPEN
        assert verdict("infection-regions", slices=made_slices(slice(3, 6))) == YES
        # Columns 3 to 5 of slices that lie sideways are in the front.
        judged = JUDGES["infection-regions"](evidence(slices=made_slices(slice(3, 6))))
        front, back = re.search(r"front and back half ([\d.]+)% against ([\d.]+)%", judged.evidence).groups()
        assert float(front) > float(back) == 0
        both = made_slices(slice(2, 14))
        labels = np.where(np.arange(100)[:, None, None] % 2 == 0, both.labels, both.labels[:, ::-1])
        assert verdict("infection-regions", slices=replace(both, labels=labels)) == OPEN

    def test_disparity_of_the_slices(self):
        slices = made_slices(slice(2, 14))
        assert verdict("class-disparity", slices=slices) == NO  # about 15 here

    def test_contrast_by_grey_level(self):
        """The area under the ROC curve of scikit-learn; bright lesions stand out, equal ones do not."""
        from sklearn.metrics import roc_auc_score

        random = np.random.default_rng(0)
        levels, lesion = random.integers(0, 256, 500).astype(np.uint8), random.random(500) < 0.3
        levels[lesion] = np.minimum(levels[lesion] + 40.0, 255)
        assert judge_slices.grey_area(levels, lesion) == pytest.approx(roc_auc_score(lesion, levels))
        assert np.isnan(judge_slices.grey_area(levels, np.zeros(500, bool)))
        plain = made_slices(slice(3, 6))
        assert verdict("no-contrast", slices=plain) == YES
        images = plain.images + (40 * (plain.labels > 0)).astype(np.uint8)
        assert verdict("no-contrast", slices=replace(plain, images=images)) == NO
        images[::3] = plain.images[::3]  # areas of 0.5 and 1: 0.83 on average, of six slices within chance
        some = replace(plain, images=images)
        assert verdict("no-contrast", slices=some.subset(range(6))) == verdict("no-contrast") == OPEN

    @pytest.mark.parametrize(("lost", "expected"), [(0, NO), (1, YES), (0.15, OPEN)])
    def test_position(self, monkeypatch, lost, expected):
        """A stand-in for a network that finds what is bright, but in a share of the slices in the upper half alone.

        Where few slices lose much, their mean loss may be chance: neither large nor small is shown.
        """

        def predict(model, images):
            found = images > 60
            found[: round(lost * len(images)), images.shape[1] // 2 :] = False
            return found.astype(np.uint8)

        monkeypatch.setattr("unet_segnet.inference.prediction.predict", predict)
        slices = made_slices(slice(3, 6))
        slices = replace(slices, images=slices.images + (40 * (slices.labels > 0)).astype(np.uint8))
        with_network = replace(
            evidence(slices=slices), networks=(Network("own-x", "x", "segnet", "binary", lambda: None, None),)
        )
        assert JUDGES["position-key"](with_network).verdict == expected
        assert verdict("position-key", slices=slices) == OPEN


class TestTime:
    """Times of another machine decide nothing; ours are told, each beside its like."""

    CPU, GPU = "AMD EPYC, 2 cores", "NVIDIA H200"

    def run(self, net, minutes, device=CPU, **changes):
        return made_run(net, device=device, training_seconds=60.0 * minutes, **changes)

    def told(self, *runs):
        judged = JUDGES["training-time-alike"](evidence(*runs))
        assert judged.verdict == OPEN
        return judged.evidence

    def test_both_networks_on_one_device_are_told(self):
        assert "SegNet 30 and U-Net 70 minutes" in self.told(self.run("segnet", 30), self.run("unet", 70))

    @pytest.mark.parametrize(
        "changes", [{"device": GPU}, {"threads": 1}, {"dtype": "mixed_bfloat16"}, {"backend": "jax"}]
    )
    def test_other_conditions_are_another_device(self, changes):
        here = {"threads": 2, "backend": "tensorflow"}
        segnet, unet = self.run("segnet", 30, **here), self.run("unet", 90, **{**here, **changes})
        assert "minutes (" not in self.told(segnet, unet)
        gpu = self.run("segnet", 1, self.GPU, backend="jax")
        assert "times as fast" not in JUDGES["gpu-speed-up"](evidence(segnet, gpu)).evidence

    def test_replays_are_compared_with_replays(self):
        segnet, unet = self.run("segnet", 30), self.run("unet", 90)
        assert "minutes (" not in self.told(self.replayed(segnet), unet)
        assert "without oneDNN" in self.told(self.replayed(segnet), self.replayed(unet))

    def test_replays_with_the_same_kernels_are_compared(self):
        """Those in bfloat16 keep oneDNN's; otherwise the result says what computed."""
        segnet, unet = (self.run(net, time, dtype="mixed_bfloat16") for net, time in (("segnet", 30), ("unet", 90)))
        assert "U-Net 90 minutes" in self.told(segnet, self.replayed(unet))
        assert "U-Net 90" not in self.told(segnet, self.replayed(self.run("unet", 90, onednn=True)))
        segnet, unet = self.run("segnet", 30), self.run("unet", 90, onednn=True)
        assert "U-Net 90 minutes" in self.told(segnet, self.replayed(unet))

    @staticmethod
    def replayed(run):
        return replace(run, counts=replace(run.counts, stream="matlab"))

    def test_one_device_makes_no_ratio_of_devices(self):
        runs = evidence(self.run("segnet", 60), self.run("segnet", 40, dtype="mixed_bfloat16", seed=1))
        assert "times as fast" not in JUDGES["gpu-speed-up"](runs).evidence

    def test_a_gpu_is_compared_with_a_processor_on_equal_terms(self):
        """Neither two processors, nor a replay with own random numbers, nor one data type with another."""
        slow, fast = self.run("unet", 160), self.run("unet", 20, self.GPU)
        replay = replace(fast, counts=replace(fast.counts, stream="matlab"))
        others = self.run("unet", 60, "another processor, 2 cores"), replay, self.run("unet", 9, self.GPU, dtype="bf")
        for other in others:
            assert "times as fast" not in JUDGES["gpu-speed-up"](evidence(slow, other)).evidence
        judged = JUDGES["gpu-speed-up"](evidence(slow, *others, fast))
        assert "Own U-Net 4 (binary, released, float32): NVIDIA H200 is 3.0 times as fast as another" in judged.evidence

    def test_what_cannot_be_decided_is_told(self):
        runs = evidence(self.run("segnet", 60), self.run("segnet", 2, self.GPU))
        minutes, factor = JUDGES["training-minutes"](runs), JUDGES["gpu-speed-up"](runs)
        assert (minutes.verdict, factor.verdict) == (OPEN, OPEN)
        assert "31 minutes on average, 2 to 60 (n=2" in minutes.evidence and "25 minutes" in minutes.evidence
        assert "NVIDIA H200 is 30.0 times as fast as AMD EPYC, 2 cores" in factor.evidence

    def test_a_measured_step_on_two_devices_of_one_machine_is_told(self, monkeypatch, tmp_path):
        monkeypatch.setattr(article, "BENCH", tmp_path)
        assert "beside it" not in JUDGES["gpu-speed-up"](evidence()).evidence
        (tmp_path / "processor.csv").write_text(
            "network,variant,batch,ratio,machine\nsegnet,released,4,34.6,NVIDIA H200\n"
        )
        told = JUDGES["gpu-speed-up"](evidence()).evidence
        assert "SegNet (released, mini-batch 4) is 35 times as fast on NVIDIA H200 as on the processor" in told


def test_without_keras():
    """The statistics and verdicts cost no import of a backend."""
    import subprocess
    import sys

    code = (
        "import sys; from experiments.saood2021.tables import comparisons, errata; "
        "from experiments.saood2021.evidence import Evidence; "
        "from experiments.saood2021.verdicts import claims; "
        "claims.verdicts(Evidence((), None, 'COVID19-DL')); "
        "assert not {'keras', 'tensorflow', 'matplotlib'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
