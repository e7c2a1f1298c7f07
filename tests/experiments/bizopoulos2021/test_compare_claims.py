"""Verdicts of the second study: on its own table as it is, on runs as they were made."""

from dataclasses import replace

import numpy as np
import pytest
from made_comparison import made_counts, made_run

from experiments.bizopoulos2021 import curves, published
from experiments.bizopoulos2021.evidence import Evidence, collect
from experiments.bizopoulos2021.tables import analysis
from experiments.bizopoulos2021.verdicts import judge_losses, judge_scores, outcomes
from experiments.bizopoulos2021.verdicts.claims import JUDGES, verdicts
from experiments.reporting.judgement import DOES_NOT, REPLICATES, UNDECIDED

UNSUITABLE = JUDGES["thresholds-unsuitable"]
NOTHING = Evidence((), "none")

pytestmark = pytest.mark.usefixtures("no_committed_runs")


@pytest.fixture(scope="module")
def found():
    return {verdict.name: verdict for verdict in verdicts(NOTHING)}


@pytest.fixture(scope="module")
def evidence(tmp_path_factory):
    """All architectures with three encoders, both initialisations, all experiments."""
    out = tmp_path_factory.mktemp("runs")
    for experiment in published.EXPERIMENTS:
        for architecture in published.ARCHITECTURES:
            for encoder in ("resnet18", "vgg11", "efficientnet-b0"):
                for weights in (None, "imagenet"):
                    made_run(out, experiment, architecture, encoder, weights)
    return collect(out)


def test_each_claim_has_its_judge(found):
    assert [claim.name for claim in published.claims()] == list(JUDGES) == list(found)


def test_without_runs_only_table_and_text_decide(found):
    for claim in published.claims():
        verdict = found[claim.name]
        assert (verdict.verdict == UNDECIDED) == claim.source.endswith("Judged by runs of ours"), claim.name
        assert bool(verdict.decides) == claim.source.endswith("Judged by runs of ours")
        assert verdict.evidence.endswith(".") and "nan" not in verdict.evidence


@pytest.mark.parametrize(
    ("name", "verdict", "parts"),
    [
        ("best-pairs", DOES_NOT, ("unet-resnet18", "95.58", "fpn-xception", "fpn-efficientnet-b4", "two halves")),
        ("mean-dice-experiments", DOES_NOT, ("92.74, 84.52, 85.94", "which is what is stated")),
        ("mean-dice-architectures", DOES_NOT, ("12 of the 12", "lung 93.21, 93.63, 92.67, 91.45")),
        ("mean-dice-initialisations", DOES_NOT, ("87.10 ± 4.10", "88.36 ± 3.62")),
        ("best-worst-encoder", REPLICATES, ("worst are efficientnet-b4 (88.45 %) and vgg19", "dpn98", "resnet34")),
        ("parameters-correlate", DOES_NOT, ("0.15 (lung", "0.10 (lesion A", "-0.05 (lesion B", "0.30 (lung")),
        ("largest-not-best", REPLICATES, ("linknet-dpn98", "74.11")),
        ("linknet-larger", DOES_NOT, ("25.41", "27.83")),
        ("empty-prediction-right", DOES_NOT, ("373 of the 829", "100.0 %", "55.0 %")),
    ],
)
def test_what_the_article_contradicts_itself_in(found, name, verdict, parts):
    assert found[name].verdict == verdict
    for part in parts:
        assert part in found[name].evidence


@pytest.mark.parametrize(
    ("judge", "verdict", "part"),
    [
        ("architecture_order", REPLICATES, "FPN less PSPNet +4"),
        ("pspnet_fastest", REPLICATES, "PSPNet 0.50"),
        ("linknet_slowest", REPLICATES, "LinkNet 3.00"),
        ("lung_masks_help", REPLICATES, "higher in 24 of 24"),
        ("imagenet_helps", REPLICATES, "higher in 36 of 36"),
        ("imagenet_converges_faster", REPLICATES, "36 pairs"),
        ("losses_fall_early", REPLICATES, "24 of 24"),
        # Twenty epochs do not tell where losses end up.
        ("gap_closes", UNDECIDED, "first and"),
        ("a_b_converge", UNDECIDED, "24 pairs"),
        ("pspnet_converges_faster", UNDECIDED, "n=18"),
        ("linknet_converges_slowest", UNDECIDED, "n=18"),
        ("fpn_varies_most", UNDECIDED, "standard deviation over encoders"),
        ("volumes_match", UNDECIDED, "lesion A: U-Net 6"),
    ],
)
def test_runs_decide(evidence, judge, verdict, part):
    judgement = JUDGES[judge.replace("_", "-")](evidence)
    assert judgement.verdict == verdict, judgement.evidence
    assert part in judgement.evidence
    assert "72 runs (not as in the article: on ct20, 32 pixels, normalise minmax, 20 epochs)" in judgement.evidence


def test_too_few_pairs_decide_nothing(tmp_path):
    for weights in (None, "imagenet"):
        made_run(tmp_path, weights=weights)
    judgement = judge_scores.imagenet_helps(collect(tmp_path))
    assert judgement.verdict == UNDECIDED and "higher in 1 of 1" in judgement.evidence
    assert "At least 6 pairs" in judgement.decides


def test_what_does_not_help_does_not_replicate(tmp_path):
    for encoder in ("vgg11", "vgg13", "vgg19", "resnet18", "resnet34", "resnet50"):
        for experiment, share in (("lesion_a", 0.7), ("lesion_b", 0.6)):
            made_run(tmp_path / "long", experiment, "fpn", encoder, counts=made_counts(experiment, share), epochs=200)
            made_run(tmp_path / "short", experiment, "fpn", encoder, counts=made_counts(experiment, share))
    judgement = judge_scores.lung_masks_help(collect(tmp_path / "long"))
    assert judgement.verdict == DOES_NOT and "higher in 0 of 6" in judgement.evidence
    judgement = judge_scores.lung_masks_help(collect(tmp_path / "short"))
    assert judgement.verdict == UNDECIDED and "200 epochs each on real slices" in judgement.decides


@pytest.mark.parametrize(
    ("differences", "holds"),
    [
        ([1.0] * 8, True),
        ([-1.0, -2, -3, -4, -5, -6, -7], False),
        ([-1.0, -2, 3, -4, 5, -6, 2], None),  # a negative mean by chance
        ([1.0, 2, 3, 4, 5, 6, 7, 8, -60], None),
        ([*range(1, 16), -150], True),  # higher beyond chance, whatever the mean
        ([-1.0] * 5, None),
    ],
)
def test_a_gain_is_denied_by_what_is_beyond_chance_alone(differences, holds):
    found = analysis.gain(np.array(differences, float), np.zeros(len(differences)))
    assert outcomes.beyond_chance(found) is holds, found


def test_initialisations_are_no_encoders(tmp_path, monkeypatch):
    """Nor are encoders compared that not all architectures ran with."""
    for architecture in published.ARCHITECTURES:
        for encoder in ("vgg11", "vgg13"):
            for weights in (None, "imagenet"):
                made_run(tmp_path, "lung", architecture, encoder, weights, epochs=200)
    made_run(tmp_path, "lung", "fpn", "resnet18", epochs=200)

    def history(run):
        # From ImageNet weights FPN ends up elsewhere; over encoders, LinkNet varies the most.
        level = 0.4 if (run.architecture, run.initialisation) == ("fpn", "imagenet") else 0.1
        level += 0.1 if (run.architecture, run.encoder) == ("linknet", "vgg11") else 0
        level += 0.5 if (run.architecture, run.encoder) == ("fpn", "resnet18") else 0
        return dict.fromkeys(("loss", "validation_loss"), np.full(200, level))

    evidence = collect(tmp_path)
    monkeypatch.setattr(type(evidence.runs[0]), "history", history)
    assert judge_losses.fpn_varies_most(evidence).evidence.startswith("The runs that this needs are not at hand.")
    for architecture in published.ARCHITECTURES:
        made_run(tmp_path, "lung", architecture, "vgg19", epochs=200)
    judgement = judge_losses.fpn_varies_most(collect(tmp_path))
    assert judgement.verdict == DOES_NOT
    assert "U-Net 0.000, LinkNet 0.047, FPN 0.000, PSPNet 0.000" in judgement.evidence


def test_the_phantom_decides_nothing(tmp_path):
    for architecture in published.ARCHITECTURES:
        for encoder in ("vgg11", "vgg13", "vgg19"):
            made_run(tmp_path, "lung", architecture, encoder, data="phantom")
    judgement = judge_scores.pspnet_fastest(collect(tmp_path))
    assert judgement.verdict == UNDECIDED and "PSPNet 0.50" in judgement.evidence
    assert "real slices" in judgement.decides


@pytest.mark.parametrize("threads", [2, 4])
def test_times_of_other_threads_are_not_compared(tmp_path, threads):
    for architecture in published.ARCHITECTURES:
        for encoder in ("vgg11", "vgg13", "vgg19"):
            made_run(tmp_path, "lung", architecture, encoder, threads=threads if architecture == "pspnet" else 2)
    judgement = judge_scores.pspnet_fastest(collect(tmp_path))
    assert judgement.verdict == (REPLICATES if threads == 2 else UNDECIDED)


def test_only_runs_of_one_recipe_are_compared(tmp_path):
    for encoder in ("vgg11", "vgg13", "resnet18"):
        made_run(tmp_path, "lesion_a", encoder=encoder)
        made_run(tmp_path, "lesion_b", encoder=encoder, settings={"size": 64})
    made_run(tmp_path, "lung")
    evidence = collect(tmp_path)
    assert [run.experiment for run in evidence.comparable] == ["lesion_a", "lesion_a", "lesion_a", "lung"]
    assert judge_scores.lung_masks_help(evidence).evidence.startswith("The runs that this needs are not at hand.")


def test_long_runs_decide_where_losses_end_up(monkeypatch, evidence):
    """Of 200 epochs, in which PSPNet falls the fastest, LinkNet the slowest, FPN's encoders differ the most."""
    at = np.arange(1, 201)

    def history(run):
        rate = {"unet": 0.1, "linknet": 0.05, "fpn": 0.1, "pspnet": 0.4}[run.architecture]
        spread = 0.1 if (run.architecture, run.encoder) == ("fpn", "vgg11") else 0
        start = 0.2 if run.initialisation == "imagenet" else 0.4
        start += 0.1 if run.experiment == "lesion_b" else 0
        loss = 0.1 + spread + start * np.exp(-rate * at)
        return {"loss": loss, "validation_loss": loss + 0.1}

    monkeypatch.setattr(type(evidence.runs[0]), "history", history)
    assert judge_losses.gap_closes(evidence).verdict == REPLICATES
    for name in (
        *("gap_closes", "a_b_converge", "pspnet_converges_faster", "linknet_converges_slowest", "fpn_varies_most"),
        *("losses_fall_early",),
    ):
        judgement = JUDGES[name.replace("_", "-")](evidence)
        assert judgement.verdict == REPLICATES, (name, judgement.evidence)


def test_epochs_by_hand():
    slow, fast = np.array([1.0, 0.8, 0.6, 0.5]), np.array([0.9, 0.5, 0.4, 0.45])
    np.testing.assert_array_equal(curves.epochs_to_common_level([slow, fast]), [4, 2])
    assert curves.epochs_to_converge(slow) == 4 and curves.epochs_to_converge(fast, 0.8) == 2
    assert curves.early_and_late(np.arange(8.0)) == (0.5, 6.5)
    by_key = {("lung", "none", "unet", "vgg11"): slow, ("lung", "imagenet", "unet", "vgg11"): fast[:3]}
    (pair,) = curves.paired(by_key, 1, "none", "imagenet")
    np.testing.assert_array_equal(pair, [slow[:3], fast[:3]])


class TestThresholds:
    def evidence(self, evidence, in_mask, article=True, epochs=200):
        """Runs on the article's volumes, whose pixels fill four bins evenly, the mask's as given."""
        shares = (np.arange(5.0), np.full(4, 0.25), np.array(in_mask, float))
        runs = tuple(
            replace(
                run, article_data=article, config={**run.config, "recipe": {**run.config["recipe"], "epochs": epochs}}
            )
            for run in evidence.runs
        )
        histograms = dict.fromkeys(published.EXPERIMENTS, shares)
        return replace(evidence, runs=runs, histograms=histograms, histograms_of_runs=True)

    def test_the_best_range_by_hand(self):
        everywhere, in_mask = np.array([0.1, 0.2, 0.3, 0.4]), np.array([0, 0.5, 0.5, 0])
        both = 2 * 0.2 * 1 / (0.2 + 0.5)  # the second and third bin
        first = 2 * 0.2 * 0.5 / (0.2 + 0.2)  # the second alone
        assert judge_scores._best_range(everywhere, in_mask, 0.2) == pytest.approx(max(both, first))

    def test_masks_that_are_spread_as_the_images_need_more_than_a_threshold(self, evidence):
        judged = UNSUITABLE(self.evidence(evidence, [0.25] * 4))
        assert judged.verdict == REPLICATES and "lesion A" in judged.evidence

    def test_masks_with_intensities_of_their_own_do_not(self, evidence):
        """All background in the first bins but the mask's prevalence: the range is as good as the truth."""
        found = self.evidence(evidence, [0, 0, 0, 1])
        counts = found.runs[0].confusion.sum(axis=0)
        prevalence = counts[1].sum() / counts.sum()
        apart = (np.arange(3.0), np.array([1 - prevalence, prevalence]), np.array([0.0, 1.0]))
        found = replace(found, histograms=dict.fromkeys(published.EXPERIMENTS, apart))
        judged = UNSUITABLE(found)
        assert judged.verdict == DOES_NOT and "and 100.0" in judged.evidence
        short = self.evidence(evidence, [0, 0, 0, 1], epochs=20)
        assert UNSUITABLE(replace(short, histograms=found.histograms)).verdict == UNDECIDED

    def test_other_volumes_and_missing_ones_decide_nothing(self, evidence):
        assert UNSUITABLE(self.evidence(evidence, [0.25] * 4, article=False)).verdict == UNDECIDED
        of_others = replace(self.evidence(evidence, [0.25] * 4), histograms_of_runs=False)
        assert "not at hand" in UNSUITABLE(of_others).evidence
