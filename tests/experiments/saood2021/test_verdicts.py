"""Verdicts: every claim has one, and made trainings reach each verdict that trainings can reach."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from made_runs import evidence, made_folds, made_grid, made_run, write_history

from experiments.reporting.content import VERDICTS
from experiments.saood2021 import article
from experiments.saood2021.article import vgg16_parameters
from experiments.saood2021.published import claims, stated
from experiments.saood2021.verdicts import judge_recipe
from experiments.saood2021.verdicts.claims import JUDGES, verdicts
from unet_segnet.data import Slices
from unet_segnet.measures import metrics

ROOT = Path(__file__).parents[3]
YES, NO, OPEN = VERDICTS


def verdict(name, *runs, slices=None):
    judged = JUDGES[name](evidence(*runs, slices=slices))
    assert judged.evidence and bool(judged.decides) == (judged.verdict == OPEN)
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


class TestClaims:
    def test_every_claim_has_a_function_and_every_function_a_claim(self):
        assert [claim.name for claim in claims()] == list(JUDGES)
        assert all(claim.claim.endswith(".") and claim.source for claim in claims())

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


class TestComparedNetworks:
    def test_segnet_wins(self):
        worse = made_run("unet", missed=0.3, false=0.08)
        assert verdict("segnet-wins-binary", made_run(missed=0.03, false=0.03), worse) == YES

    def test_segnet_loses(self):
        assert verdict("segnet-wins-binary", made_run(false=0.08), made_run("unet", missed=0.03, false=0.03)) == NO

    def test_a_lead_within_chance_is_open(self):
        """Ahead by very little with slices that disagree."""
        runs = made_run(false=0.035, seed=1, noise=0.9), made_run("unet", seed=2, noise=0.9)
        judged = JUDGES["segnet-wins-binary"](evidence(*runs))
        assert "Dice +0.0" in judged.evidence
        assert judged.verdict == OPEN and "SegNet 4 (1 training) less U-Net 4" in judged.evidence

    def test_behind_within_chance_is_open_too(self):
        runs = made_run(seed=2, noise=0.9), made_run("unet", false=0.035, seed=1, noise=0.9)
        judged = JUDGES["segnet-wins-binary"](evidence(*runs))
        assert "Dice -0.0" in judged.evidence and judged.verdict == OPEN

    def test_other_configurations_do_not_stand_for_the_best(self):
        assert verdict("segnet-wins-binary", made_run(false=0.01), made_run("unet", experiment=9, false=0.1)) == OPEN

    def test_replayed_random_numbers_are_told(self):
        run = made_run()
        replayed = replace(run, counts=replace(run.counts, stream="matlab"))
        judged = JUDGES["segnet-accuracy-binary"](evidence(replayed))
        assert "1 training, the authors' random numbers" in judged.evidence
        judged = JUDGES["segnet-accuracy-binary"](evidence(replayed, run))
        assert "2 trainings, 1 replayed" in judged.evidence

    def test_scores_are_means_over_trainings_as_in_the_tables(self):
        """Of pixels put together, the training that predicts most would weigh most."""
        runs = [made_run(false=0.03, noise=0), made_run("unet", noise=0), made_run("unet", false=0.5, seed=1, noise=0)]
        segnet, *unet = (metrics.dice(run.counts.test_confusion.sum(axis=0))[1] for run in runs)
        judged = JUDGES["segnet-wins-binary"](evidence(*runs))
        assert f"(2 trainings), n=18 slices, Dice {segnet - np.mean(unet):+.3f} [" in judged.evidence

    @pytest.mark.parametrize(
        ("claim", "problem", "winner", "other", "experiment"),
        [
            ("segnet-wins-binary", "binary", "segnet", "unet", 4),
            ("unet-wins-multiclass", "multiclass", "unet", "segnet", 7),
        ],
    )
    def test_pairs_that_contradict_each_other_leave_it_open(self, claim, problem, winner, other, experiment):
        first = made_run(winner, problem, false=0.03, noise=0)
        far = made_run(other, problem, experiment=experiment, false=0.5, noise=0)
        near = made_run(other, problem, experiment=experiment, false=0.02, noise=0, seed=1)
        assert verdict(claim, first, far) == YES
        judged = JUDGES[claim](evidence(first, far, near))
        assert judged.verdict == OPEN and "pair by pair, the first is ahead in 1 of 2" in judged.evidence

    def test_variants_that_disagree_are_open(self):
        better, worse = {"missed": 0.03, "false": 0.03}, {"missed": 0.3, "false": 0.08}
        released = [made_run("segnet", **better), made_run("unet", **worse)]
        paper = [made_run("segnet", variant="paper", **worse), made_run("unet", variant="paper", **better)]
        judged = JUDGES["segnet-wins-binary"](evidence(*released, *paper))
        assert judged.verdict == OPEN and "disagree" in judged.decides
        assert "Networks as released:" in judged.evidence and "Networks as described:" in judged.evidence

    @pytest.mark.parametrize(("segnet", "unet", "expected"), [(0.3, 0.03, YES), (0.03, 0.3, NO)])
    def test_unet_and_four_classes(self, segnet, unet, expected):
        runs = [
            made_run("segnet", "multiclass", experiment=7, missed=segnet, false=segnet / 4),
            made_run("unet", "multiclass", missed=unet, false=unet / 4),
        ]
        assert verdict("unet-wins-multiclass", *runs) == expected
        assert verdict("unet-wins-multiclass", runs[0]) == OPEN


class TestStatedScores:
    @pytest.mark.parametrize(("false", "expected"), [(0.04, YES), (0.2, NO)])
    def test_accuracy(self, false, expected):
        assert verdict("segnet-accuracy-binary", made_run(false=false)) == expected
        assert verdict("unet-accuracy-multiclass", made_run("unet", "multiclass", false=false)) == expected

    def test_trainings_that_contradict_each_other_leave_it_open(self):
        bad, good, better = (made_run(false=share, seed=seed) for seed, share in enumerate((0.12, 0.04, 0.03)))
        assert [verdict("segnet-accuracy-binary", run) for run in (bad, good, better)] == [NO, YES, YES]
        judged = JUDGES["segnet-accuracy-binary"](evidence(bad, good, better))
        assert judged.verdict == OPEN and "one by one, 2 of 3 bear it out" in judged.evidence
        assert verdict("segnet-accuracy-binary", good, better) == YES

    def test_sensitivity_and_specificity(self):
        assert verdict("segnet-scores-binary", made_run(missed=0.044, false=0.05)) == YES
        assert verdict("segnet-scores-binary", made_run(missed=0.044, false=0.15)) == NO
        assert verdict("segnet-scores-binary", made_run(experiment=5)) == OPEN

    @pytest.mark.parametrize(("more", "uneven", "expected"), [(1, 0.5, YES), (1.3, 0.9, OPEN)])
    def test_effusion(self, more, uneven, expected):
        """A Dice of 0.225 and an F2 of 0.377 need false positives in C3, which the made runs put into C1.

        Where they are very uneven the interval holds the stated Dice, though ours is far from it.
        """
        good = made_run("unet", "multiclass")
        assert verdict("unet-effusion", good) == NO
        counts = good.counts.test_confusion.copy()
        size = counts[:, 3].sum(axis=-1)
        counts[:, 3, 3], counts[:, 3, 0] = (0.684 * size).astype(int), size - (0.684 * size).astype(int)
        shares = more * np.linspace(1 - uneven, 1 + uneven, 18)
        moved = (size * (2 * 0.684 / 0.225 - 1.684) * shares).astype(int)
        counts[:, 0, 3] += moved
        counts[:, 0, 0] -= moved
        assert verdict("unet-effusion", replace(good, counts=replace(good.counts, test_confusion=counts))) == expected


class TestBestConfigurations:
    def grids(self, **best):
        multi = {"segnet": 7} | best
        return [*made_grid(seed=1, noise=0.05), *made_grid("multiclass", seed=1, noise=0.05, best=multi)]

    def test_all_as_named(self):
        assert verdict("best-configurations", *self.grids()) == YES

    def test_another_is_better_beyond_chance(self):
        assert verdict("best-configurations", *self.grids(segnet=1)) == NO

    def test_incomplete_or_within_chance(self):
        assert verdict("best-configurations", *self.grids()[:-1]) == OPEN  # three grids agree, the fourth is missing
        runs = made_grid(noise=0.0, nets=["unet"], experiments=[e for e in range(1, 10) if e != 5])
        almost = made_run("unet", experiment=5, seed=3, false=0.03 * 0.98, noise=0.9)
        assert verdict("best-configurations", *runs, almost) == OPEN


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

    def test_worse_after_equal_epochs_and_updates(self, tmp_path):
        assert verdict("larger-batches-hurt", *self.grid(tmp_path, True, 0.9)) == YES

    def test_worse_after_equal_epochs_alone_is_confounded(self, tmp_path):
        assert verdict("larger-batches-hurt", *self.grid(tmp_path, True, 0.1)) == OPEN

    def test_not_worse(self, tmp_path):
        assert verdict("larger-batches-hurt", *self.grid(tmp_path, False, 0.1)) == NO

    def test_few_own_trainings_leave_it_to_the_released_ones(self):
        judged = JUDGES["larger-batches-hurt"](evidence(made_run(experiment=4), made_run(experiment=6, false=0.02)))
        assert judged.verdict == OPEN and "Own trainings: 0 of 1" in judged.evidence
        assert "11 of 12 pairs" in judged.evidence and "1 of 6" in judged.evidence
        assert "960 updates against 2,880 (SegNet)" in judged.evidence

    def test_pairs_are_smallest_and_largest_of_one_rate(self):
        assert judge_recipe._pairs("unet") == [(1, 3), (4, 6), (7, 9)]


class TestArticle:
    def test_released_numbers_decide(self):
        of = {item.name: item for item in verdicts(evidence())}
        assert of["accuracy-shows-quality"].verdict == NO and "-0.020" in of["accuracy-shows-quality"].evidence
        assert of["specificity-shows-healthy"].verdict == NO and "0.927" in of["specificity-shows-healthy"].evidence
        assert of["sigma-multiclass"].verdict == YES and "18 of 18" in of["sigma-multiclass"].evidence
        assert of["five-fold-close"].verdict == NO and "7 of 8 Dice" in of["five-fold-close"].evidence
        assert of["five-fold-steady"].verdict == NO and "Of the 38 others" in of["five-fold-steady"].evidence
        assert of["encoder-vgg16"].verdict == NO and "373,192" in of["encoder-vgg16"].evidence
        assert of["class-disparity"].verdict == YES and "703" in of["class-disparity"].evidence
        # by the article's own numbers SegNet's specificity is not above Inf-Net's
        assert of["exceeds-others"].verdict == NO
        assert "7 of the 8 comparisons" in of["exceeds-others"].evidence
        assert "not SegNet's specificity 0.954 beside Inf-Net's 0.96." in of["exceeds-others"].evidence
        assert of["not-infected-found"].verdict == NO
        assert "SegNet 1,045,094 (95.4%), and of what it calls infected 38% is not" in of["not-infected-found"].evidence

    def test_own_sigmas_join_the_printed_ones(self):
        steady = [*made_grid(noise=0.9), *made_grid("multiclass", noise=0.1)]
        assert verdict("sigma-multiclass", *steady) == OPEN
        loose = [*made_grid(noise=0.1), *made_grid("multiclass", noise=0.9)]
        assert verdict("sigma-multiclass", *loose) == YES

    def test_own_folds_are_told_beside_the_printed_ones(self):
        runs = [made_run(), *made_folds("segnet", missed=0.5)]
        judged = JUDGES["five-fold-close"](evidence(*runs))
        assert judged.verdict == NO and "Own trainings, released: 1 of 1 Dice differ" in judged.evidence
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

    def test_masks(self):
        note = "masks 033 and 039 stood in each other's place (...)"
        assert verdict("masks-paired") == OPEN
        assert verdict("masks-paired", slices=made_slices(slice(3, 6))) == YES
        assert verdict("masks-paired", slices=made_slices(slice(3, 6), (note,))) == NO

    def test_regions(self):
        assert verdict("infection-regions") == OPEN
        assert verdict("infection-regions", slices=made_slices(slice(3, 6))) == YES
        # Columns 3 to 5 of slices that lie sideways are in the front.
        judged = JUDGES["infection-regions"](evidence(slices=made_slices(slice(3, 6))))
        front, back = re.search(r"front and back half ([\d.]+)% against ([\d.]+)%", judged.evidence).groups()
        assert float(front) > float(back) == 0
        both = made_slices(slice(2, 14))
        labels = np.where(np.arange(100)[:, None, None] % 2 == 0, both.labels, both.labels[:, ::-1])
        assert verdict("infection-regions", slices=replace(both, labels=labels)) == NO

    def test_disparity_of_the_slices(self):
        slices = made_slices(slice(2, 14))
        assert verdict("class-disparity", slices=slices) == NO  # about 15 here


class TestTime:
    CPU, GPU = "AMD EPYC, 2 cores", "NVIDIA H200"

    def run(self, net, minutes, device=CPU, **changes):
        return made_run(net, device=device, training_seconds=60.0 * minutes, **changes)

    def test_alike_on_one_device(self):
        assert verdict("training-time-alike", self.run("segnet", 30), self.run("unet", 33)) == YES
        assert verdict("training-time-alike", self.run("segnet", 30), self.run("unet", 70)) == NO
        assert verdict("training-time-alike", self.run("segnet", 30), self.run("unet", 33, self.GPU)) == OPEN

    def test_other_threads_are_another_device(self):
        runs = self.run("segnet", 30, threads=1), self.run("unet", 90, threads=2)
        assert verdict("training-time-alike", *runs) == OPEN

    def test_another_data_type_is_another_device(self):
        runs = self.run("segnet", 30), self.run("unet", 90, dtype="mixed_bfloat16")
        assert verdict("training-time-alike", *runs) == OPEN

    def test_another_backend_is_another_device(self):
        segnet, unet = self.run("segnet", 30, backend="tensorflow"), self.run("unet", 90, backend="jax")
        assert verdict("training-time-alike", segnet, unet) == OPEN
        gpu = self.run("segnet", 1, self.GPU, backend="jax")
        assert "times as fast" not in JUDGES["gpu-speed-up"](evidence(segnet, gpu)).evidence

    def test_replays_are_compared_with_replays(self):
        segnet, unet = self.run("segnet", 30), self.run("unet", 90)
        replayed = self.replayed(segnet)
        assert verdict("training-time-alike", replayed, unet) == OPEN
        assert verdict("training-time-alike", replayed, segnet, unet) == NO

    def test_replays_with_the_same_kernels_are_compared(self):
        """Those in bfloat16 keep oneDNN's; otherwise the result says what computed."""
        segnet, unet = (self.run(net, time, dtype="mixed_bfloat16") for net, time in (("segnet", 30), ("unet", 90)))
        assert verdict("training-time-alike", segnet, self.replayed(unet)) == NO
        assert verdict("training-time-alike", segnet, self.replayed(self.run("unet", 90, onednn=True))) == OPEN
        segnet, unet = self.run("segnet", 30), self.run("unet", 90, onednn=True)
        assert verdict("training-time-alike", segnet, self.replayed(unet)) == NO
        assert verdict("training-time-alike", segnet, self.run("unet", 90, onednn=False)) == OPEN

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
        assert "31 minutes on average, 2 to 60 (n=2" in minutes.evidence and "25 minutes" in minutes.decides
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
