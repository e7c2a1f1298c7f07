"""Verdicts of the second study: on its own table as it is, on runs as they were made."""

from dataclasses import replace

import numpy as np
import pytest
from made_comparison import made_counts, made_run

from experiments.bizopoulos2021 import curves, published
from experiments.bizopoulos2021.evidence import Evidence, collect
from experiments.bizopoulos2021.tables import analysis
from experiments.bizopoulos2021.verdicts import judge_losses, judge_scores, judge_speed, outcomes
from experiments.bizopoulos2021.verdicts.claims import JUDGES, verdicts
from experiments.reporting.judgement import (
    DOES_NOT,
    RELEASE,
    REPLICATES,
    REPLICATION,
    SLIP,
    TABLES,
    TRAINING,
    UNDECIDED,
)

UNSUITABLE = JUDGES["thresholds-unsuitable"]
NOTHING = Evidence((), "none")
ENCODERS = ("vgg11", "vgg13", "vgg19", "resnet18", "resnet34", "efficientnet-b0")
CARD = "NVIDIA GeForce RTX 2080 Ti"

pytestmark = pytest.mark.usefixtures("no_committed_runs")


@pytest.fixture(scope="module")
def found():
    return {verdict.name: verdict for verdict in verdicts(NOTHING)}


@pytest.fixture(scope="module")
def evidence(tmp_path_factory):
    """All architectures with six encoders, both initialisations, all experiments, on seven scans in eight volumes."""
    out = tmp_path_factory.mktemp("runs")
    for experiment in published.EXPERIMENTS:
        for architecture in published.ARCHITECTURES:
            for encoder in ENCODERS:
                for weights in (None, "imagenet"):
                    made_run(out, experiment, architecture, encoder, weights, num_volumes=8)
    return collect(out)


def test_each_claim_has_its_judge(found):
    assert [claim.name for claim in published.claims()] == list(JUDGES) == list(found)


def test_without_runs_only_table_and_release_decide(found):
    for verdict in found.values():
        assert (verdict.verdict == UNDECIDED) == bool(verdict.decides) == (not verdict.basis)
        assert verdict.basis != TRAINING
        assert verdict.evidence.endswith(".") and "nan" not in verdict.evidence
        assert verdict.quote and verdict.source


@pytest.mark.parametrize(
    ("name", "verdict", "basis", "parts"),
    [
        ("best-pairs", SLIP, TABLES, ("unet-resnet18", "95.58", "fpn-xception", "fpn-efficientnet-b4", "two halves")),
        ("mean-dice-experiments", SLIP, TABLES, ("92.74, 84.52, 85.94", "which is what is stated")),
        ("mean-dice-architectures", SLIP, TABLES, ("12 of the 12", "lung 93.21, 93.63, 92.67, 91.45")),
        ("mean-dice-initialisations", SLIP, TABLES, ("87.10 ± 4.10", "88.36 ± 3.62", "as one pair")),
        (
            "best-worst-encoder",
            DOES_NOT,
            TABLES,
            ("worst are dpn98 (87.83 %) and resnet34", "efficientnet-b4", "vgg19"),
        ),
        ("parameters-correlate", UNDECIDED, "", ("100 models", "0.18 (lung, p = 0.068)", "-0.07 (lesion B")),
        ("largest-not-best", REPLICATES, TABLES, ("linknet-dpn98", "74.11")),
        ("linknet-larger", DOES_NOT, TABLES, ("25.41", "27.83")),
        ("empty-prediction-right", DOES_NOT, RELEASE, ("373 of the 829", "100.0 %", "55.0 %")),
        ("lung-masks-help", REPLICATES, TABLES, ("by encoder +1.42", "25 of 25 encoders", "not at hand")),
        ("imagenet-helps", REPLICATES, TABLES, ("by encoder +1.26", "25 of 25 encoders", "no scores by scan")),
        ("two-weeks", UNDECIDED, "", ("2.6 days", "10.1 s an epoch", "4.1 s", "0.44 s")),
    ],
)
def test_what_the_article_says_of_itself(found, name, verdict, basis, parts):
    assert (found[name].verdict, found[name].basis) == (verdict, basis)
    for part in parts:
        assert part in found[name].evidence


@pytest.mark.parametrize(
    ("name", "numbers", "verdict"),
    [
        ("mean-dice-initialisations", {"random_dice_std": "4.1", "imagenet_dice": "88.36"}, REPLICATES),
        ("mean-dice-initialisations", {"imagenet_dice": "88.36"}, DOES_NOT),
        (
            "mean-dice-experiments",
            {"lung_dice": "92.74", "lesion_a_dice": "84.52", "lesion_b_dice": "85.94"},
            REPLICATES,
        ),
        ("mean-dice-experiments", {"lung_dice": "95.0"}, DOES_NOT),
        ("mean-dice-architectures", {"unet_lung_dice": "95.0"}, DOES_NOT),
        ("best-pairs", {"lung_best_pair": "unet-vgg11"}, DOES_NOT),
        ("best-worst-encoder", {"best_encoder": "dpn98", "worst_encoder": "resnet34"}, REPLICATES),
    ],
)
def test_only_numbers_of_something_else_in_the_table_are_a_slip(monkeypatch, name, numbers, verdict):
    changed = published._stated() | numbers
    monkeypatch.setattr(published, "_stated", lambda: changed)
    assert JUDGES[name](NOTHING).verdict == verdict


@pytest.mark.parametrize(
    ("judge", "verdict", "part"),
    [
        ("lung_masks_help", REPLICATES, "6 of 6 encoders, p = 0.031), by scan +"),
        ("lung_masks_help", REPLICATES, "8 of 8 volumes, p = 0.008), of which two are one scan"),
        ("imagenet_helps", REPLICATES, "higher for 7 of 7 scans"),
        ("imagenet_converges_faster", REPLICATES, "6 encoders"),
        ("losses_fall_early", REPLICATES, "24 of 24"),
        # Seconds of another card than the article's.
        ("pspnet_fastest", UNDECIDED, "PSPNet 0.50"),
        ("linknet_slowest", UNDECIDED, "LinkNet 3.00"),
        # Twenty epochs do not tell where losses end up.
        ("gap_closes", UNDECIDED, "first and"),
        ("a_b_converge", UNDECIDED, "6 encoders"),
        ("pspnet_converges_faster", UNDECIDED, "6 encoders"),
        ("linknet_converges_slowest", UNDECIDED, "6 encoders"),
        ("fpn_varies_most", UNDECIDED, "mean distance from the curve of all encoders"),
        ("volumes_match", UNDECIDED, "lesion A: U-Net 6"),
    ],
)
def test_runs_decide(evidence, judge, verdict, part):
    judgement = JUDGES[judge.replace("_", "-")](evidence)
    assert (judgement.verdict, judgement.basis) == (verdict, TRAINING if verdict == REPLICATES else "")
    assert part in judgement.evidence, judgement.evidence
    assert "144 runs (not as in the article: on ct20, 32 pixels, normalise minmax, 20 epochs)" in judgement.evidence


@pytest.mark.parametrize(("good", "verdict"), [(0.0, REPLICATES), (100.0, DOES_NOT)])
def test_volumes_can_match_and_can_fail_to(evidence, monkeypatch, good, verdict):
    """Seven scans can tell by experiment, at 0.05 / 3; they could not for each of twelve models."""
    monkeypatch.setattr(judge_scores, "GOOD_DICE", good)
    monkeypatch.setattr(outcomes, "EPOCHS", 20)
    judgement = JUDGES["volumes-match"](evidence)
    assert (judgement.verdict, judgement.basis) == (verdict, TRAINING), judgement.evidence
    assert "7 scans, p = 0.016, 7 scans, p = 0.016, 7 scans, p = 0.016, architectures together" in judgement.evidence
    one = replace(evidence, runs=tuple(run for run in evidence.runs if run.architecture == "unet"))
    assert JUDGES["volumes-match"](one).verdict == UNDECIDED


def conceptual(out, data, experiments, encoders=ENCODERS, **more):
    test = {"test": {"name": "medseg9", "sha256": "1" * 64}, "sha256": data}
    for experiment in experiments:
        for architecture in published.ARCHITECTURES:
            for encoder in encoders:
                place = {"place": f"-{data}-medseg9-32", "data": data, "settings": test}
                made_run(out, experiment, architecture, encoder, num_volumes=8, **place, **more)


def test_runs_tested_on_one_data_set_are_compared_whatever_they_were_trained_on(tmp_path):
    """Lesion B of other slices than A: in all that is of one experiment, and in nothing that compares A and B."""
    conceptual(tmp_path, "ct20", ("lung", "lesion_a"))
    conceptual(tmp_path, "COVID19-DL", ("lesion_b",))
    made_run(tmp_path, "lesion_b", encoder="vgg11", data="ct20")  # tested on ct20's own volumes
    found = collect(tmp_path)
    assert len(found.runs) == 73 and len(found.comparable) == 72
    assert {(run.experiment, run.data) for run in found.comparable} == {
        ("lung", "ct20"), ("lesion_a", "ct20"), ("lesion_b", "COVID19-DL"),
    }  # fmt: skip
    assert {run.data for run in found.of_equal_slices} == {"ct20"}
    run = found.comparable[0]
    assert run.source.endswith(", tested on medseg9") and not run.article_data
    assert "3" not in run.scans and run.scans.count("2") == 20  # volumes 2 and 3 are one scan
    told = JUDGES["losses-fall-early"](found).evidence
    assert told.startswith("A conceptual replication, 72 runs (not as in the article: on ")
    assert "on COVID19-DL, tested on medseg9" in told and "24 of 24" in told
    masks = JUDGES["lung-masks-help"](found)
    assert masks.basis == TABLES and "Ours of lesion B: trained on COVID19-DL, the others on ct20." in masks.evidence
    assert JUDGES["a-b-converge"](found).verdict == UNDECIDED
    tables = analysis.analysis_tables(found)
    assert all(row[-5] == 0 for row in tables["gains"].rows if row[0].startswith("lung masks"))
    assert any("Ours of lesion B" in note for note in tables["gains"].notes)
    assert any("A conceptual replication: medseg9 holds" in note for note in tables["architectures"].notes)


def test_lesion_b_on_the_slices_of_a_shows_what_masks_bring(tmp_path):
    conceptual(tmp_path, "ct20", ("lung", "lesion_a", "lesion_b"))
    conceptual(tmp_path, "COVID19-DL", ("lesion_b",))
    found = collect(tmp_path)
    assert len(found.of_equal_slices) == 72 and {run.data for run in found.of_equal_slices} == {"ct20"}
    masks = JUDGES["lung-masks-help"](found)
    assert (masks.verdict, masks.basis) == (REPLICATES, REPLICATION)
    # Of as many runs those on the article's own slices are averaged and compared.
    assert len(found.comparable) == 72
    assert {run.data for run in found.comparable if run.experiment == "lesion_b"} == {"COVID19-DL"}


def test_few_runs_on_the_slices_of_a_do_not_hide_many_on_others(tmp_path):
    conceptual(tmp_path, "ct20", ("lung", "lesion_a"))
    conceptual(tmp_path, "ct20", ("lesion_b",), ENCODERS[:1])
    conceptual(tmp_path, "COVID19-DL", ("lesion_b",))
    found = collect(tmp_path)
    assert [run.data for run in found.comparable if run.experiment == "lesion_b"] == ["COVID19-DL"] * 24


def test_what_masks_bring_is_told_of_the_runs_that_it_rests_on(tmp_path):
    """A and B of the same slices, beside more runs of B on others, which all else is judged by."""
    for seed in (0, 1):
        conceptual(tmp_path, "ct20", ("lung", "lesion_a"), seed=seed)
        conceptual(tmp_path, "COVID19-DL", ("lesion_b",), seed=seed)
    conceptual(tmp_path, "ct20", ("lesion_b",))
    found = collect(tmp_path)
    assert len(found.comparable) == 144 and {run.data for run in found.of_equal_slices} == {"ct20"}
    assert [run.data for run in found.comparable if run.experiment == "lesion_b"] == ["COVID19-DL"] * 48
    masks = JUDGES["lung-masks-help"](found)
    assert masks.basis == REPLICATION and masks.evidence.startswith("A conceptual replication, 120 runs")
    assert "on COVID19-DL" not in masks.evidence.partition(":")[0]
    assert not any("24 runs on ct20" in sentence for sentence in found.missing)


def test_too_few_pairs_decide_nothing(tmp_path):
    for weights in (None, "imagenet"):
        made_run(tmp_path, weights=weights)
    judgement = judge_scores.imagenet_helps(collect(tmp_path))
    assert judgement.basis == TABLES and "higher for 1 of 1 encoder, too few to test" in judgement.evidence
    assert judgement.evidence.endswith("By training it is open.")


def test_encoders_alone_decide_nothing_nor_do_scans(tmp_path):
    for place, encoders, volumes in (("encoders", ENCODERS, 6), ("scans", ENCODERS[:5], 7), ("both", ENCODERS, 7)):
        for encoder in encoders:
            for experiment in ("lesion_a", "lesion_b"):
                made_run(tmp_path / place, experiment, encoder=encoder, num_volumes=volumes)
    bases = {
        place: judge_scores.lung_masks_help(collect(tmp_path / place)).basis for place in ("encoders", "scans", "both")
    }
    assert bases == {"encoders": TABLES, "scans": TABLES, "both": TRAINING}  # seven volumes are six scans


def test_what_does_not_help_does_not_replicate(tmp_path):
    for encoder in ENCODERS:
        for experiment, share in (("lesion_a", 0.7), ("lesion_b", 0.6)):
            counts = made_counts(experiment, share, num_volumes=8)
            made_run(tmp_path / "long", experiment, "fpn", encoder, counts=counts, epochs=200)
            made_run(tmp_path / "short", experiment, "fpn", encoder, counts=counts)
    judgement = judge_scores.lung_masks_help(collect(tmp_path / "long"))
    assert (judgement.verdict, judgement.basis) == (DOES_NOT, TRAINING)
    assert "higher for 0 of 6 encoders" in judgement.evidence
    judgement = judge_scores.lung_masks_help(collect(tmp_path / "short"))  # too short to deny what Table II says
    assert (judgement.verdict, judgement.basis) == (REPLICATES, TABLES)


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
    found = analysis.gain(np.array(differences, float))
    assert outcomes.beyond_chance(found) is holds, found


def test_more_units_decide_more():
    """Of no difference one in twenty is decided at most; of one of 1 sd the more, the more units there are."""
    rng = np.random.default_rng(0)
    rates = {}
    for gap in (0, 1):
        for units in (5, 6, 8, 12, 25):
            drawn = rng.normal(gap, 1, (250, units))
            answers = [outcomes.beyond_chance(analysis.gain(of)) for of in drawn]
            rates.setdefault(gap, []).append(1 - answers.count(None) / len(answers))
    assert max(rates[0]) < 0.1 and rates[0][0] == rates[1][0] == 0  # 0.05, and what 250 draws add
    assert rates[1] == sorted(rates[1]) and rates[1][-1] > 0.95


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
    # Of 0.2, 0.1 and 0.1 the mean is 0.133; the distances are 0.067, 0.033 and 0.033.
    assert judgement.verdict == UNDECIDED  # three encoders are too few to test
    assert "U-Net 0.000, LinkNet 0.044, FPN 0.000, PSPNet 0.000 (3 encoders)" in judgement.evidence


def test_the_most_varied_is_judged_by_encoder(tmp_path, monkeypatch):
    for architecture in published.ARCHITECTURES:
        for encoder in (*ENCODERS, "resnet50", "resnet101"):
            made_run(tmp_path, "lung", architecture, encoder, epochs=200)
    evidence = collect(tmp_path)
    level = dict(zip((*ENCODERS, "resnet50", "resnet101"), np.linspace(-1, 1, 8), strict=True))
    spread = {"fpn": 0.1, "pspnet": 0.05}

    def history(run):
        curve = np.full(200, 0.4 + spread.get(run.architecture, 0.01) * level[run.encoder])
        return dict.fromkeys(("loss", "validation_loss"), curve)

    monkeypatch.setattr(type(evidence.runs[0]), "history", history)
    assert judge_losses.fpn_varies_most(evidence).verdict == REPLICATES
    spread["linknet"] = 0.2
    assert judge_losses.fpn_varies_most(evidence).verdict == DOES_NOT


def test_the_phantom_decides_nothing(tmp_path):
    for encoder in ENCODERS:
        for weights in (None, "imagenet"):
            made_run(tmp_path, "lung", encoder=encoder, weights=weights, data="phantom")
    judgement = judge_losses.imagenet_converges_faster(collect(tmp_path))
    assert judgement.verdict == UNDECIDED and "6 encoders" in judgement.evidence
    assert "real slices" in judgement.decides


@pytest.mark.parametrize(
    ("device", "threads", "num_encoders", "verdict"),
    [
        (CARD, 2, 6, REPLICATES),
        (CARD, 2, 8, REPLICATES),
        (CARD, 4, 6, UNDECIDED),
        (CARD, 2, 5, UNDECIDED),
        ("a processor", 2, 6, UNDECIDED),
    ],
)
def test_only_the_articles_card_and_equal_threads_decide_speed(tmp_path, device, threads, num_encoders, verdict):
    for architecture in published.ARCHITECTURES:
        for encoder in (*ENCODERS, "densenet121", "xception")[:num_encoders]:
            of = threads if architecture == "pspnet" else 2
            made_run(tmp_path, "lung", architecture, encoder, threads=of, device=device)
    evidence = collect(tmp_path)
    judgement = judge_speed.pspnet_fastest(evidence)
    assert (
        judgement.verdict == verdict
        and "Table II" in judgement.evidence
        and "Table II, seconds" not in judgement.evidence
    )
    assert judge_speed.linknet_slowest(evidence).verdict == verdict
    if verdict == REPLICATES:
        # One of six comparisons denies at a sixth of the level: of six encoders p is 0.03, of eight 0.008.
        denied = DOES_NOT if num_encoders == 8 else UNDECIDED
        assert judge_speed._speed(evidence, "fpn", 1).verdict == denied


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
        spread = 0.1 * (ENCODERS.index(run.encoder) - 2.5) if run.architecture == "fpn" else 0
        start = 0.2 if run.initialisation == "imagenet" else 0.4
        start += 0.1 if run.experiment == "lesion_b" else 0
        loss = 0.1 + spread + start * np.exp(-rate * at)
        return {"loss": loss, "validation_loss": loss + 0.1 + 0.05 * (-1) ** at}

    monkeypatch.setattr(type(evidence.runs[0]), "history", history)
    assert judge_losses.gap_closes(evidence).verdict == REPLICATES
    for name in (
        *("gap_closes", "a_b_converge", "pspnet_converges_faster", "linknet_converges_slowest", "fpn_varies_most"),
        *("losses_fall_early", "validation_varies_more"),
    ):
        judgement = JUDGES[name.replace("_", "-")](evidence)
        assert judgement.verdict == REPLICATES, (name, judgement.evidence)


def test_epochs_by_hand():
    slow, fast = np.array([1.0, 0.8, 0.6, 0.5]), np.array([0.9, 0.5, 0.4, 0.45])
    np.testing.assert_array_equal(curves.epochs_to_common_level([slow, fast]), [4, 2])
    assert curves.epochs_to_converge(slow) == 4 and curves.epochs_to_converge(fast, 0.8) == 2
    assert curves.early_and_late(np.arange(8.0)) == (0.5, 6.5)
    by_key = {("lung", "none", "unet", "vgg11"): slow, ("lung", "imagenet", "unet", "vgg11"): fast[:3]}
    ((key, pair),) = curves.paired(by_key, 1, "none", "imagenet").items()
    np.testing.assert_array_equal(pair, [slow[:3], fast[:3]])
    assert key == ("lung", "none", "unet", "vgg11")
    values = {key: 1, ("lung", "none", "fpn", "vgg11"): 3, ("lung", "none", "fpn", "vgg13"): 5}
    np.testing.assert_array_equal(curves.means_of_encoders(values), [2, 5])
    assert curves.roughness(np.linspace(1, 0, 9)) == pytest.approx(0, abs=1e-12)  # falling is not jumping
    noise = np.random.default_rng(0).normal(0, 0.3, 20_000)
    assert curves.roughness(noise) == pytest.approx(0.3, rel=0.02)


def stripes(frequency):
    """64 kernels (7, 7, 1, 64) of one frequency, cycles in seven pixels, in different phases."""
    x, phase = np.arange(7)[:, None], np.linspace(0, 3, 64)
    wave = np.cos(2 * np.pi * frequency * x / 7 + phase)
    return np.broadcast_to(wave[:, None, None], (7, 7, 1, 64)).astype(np.float32)


@pytest.mark.parametrize(
    ("low", "high", "seeds", "verdict"),
    [(32, 32, 2, REPLICATES), (64, 0, 2, UNDECIDED), (32, 32, 1, UNDECIDED), (0, 0, 2, UNDECIDED)],
)
def test_textures_are_of_low_and_of_high_frequency(tmp_path, low, high, seeds, verdict):
    kernels = np.random.default_rng(1).normal(0, 0.1, (7, 7, 1, 64)).astype(np.float32)
    kernels[..., :low] = stripes(1)[..., :low]
    kernels[..., 64 - high :] = stripes(3)[..., 64 - high :]
    for experiment in published.EXPERIMENTS:
        for seed in range(seeds):
            made_run(tmp_path, experiment, seed=seed, first_layer=kernels)
    judgement = judge_losses.first_layer_textures(collect(tmp_path))
    assert judgement.verdict == verdict, judgement.evidence
    if low == 32:
        assert "32 of 64 kernels become textures of low and 32 of high frequency" in judgement.evidence


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
