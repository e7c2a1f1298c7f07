"""A verdict on every claim of the second study's article: one function per claim of `claims.csv`."""

from __future__ import annotations

from collections.abc import Callable

from experiments.bizopoulos2021.evidence import Evidence
from experiments.bizopoulos2021.published import claims
from experiments.bizopoulos2021.verdicts import judge_article as article
from experiments.bizopoulos2021.verdicts import judge_losses as losses
from experiments.bizopoulos2021.verdicts import judge_scores as scores
from experiments.bizopoulos2021.verdicts import judge_speed as speed
from experiments.reporting.content import Verdict
from experiments.reporting.judgement import Judgement, judge

JUDGES: dict[str, Callable[[Evidence], Judgement]] = {
    "best-pairs": article.best_pairs,
    "mean-dice-experiments": article.mean_dice_experiments,
    "mean-dice-architectures": article.mean_dice_architectures,
    "mean-dice-initialisations": article.mean_dice_initialisations,
    "best-worst-encoder": article.best_worst_encoder,
    "parameters-correlate": article.parameters_correlate,
    "largest-not-best": article.largest_not_best,
    "linknet-larger": article.linknet_larger,
    "empty-prediction-right": article.empty_prediction_right,
    "two-weeks": speed.two_weeks,
    "pspnet-fastest": speed.pspnet_fastest,
    "linknet-slowest": speed.linknet_slowest,
    "lung-masks-help": scores.lung_masks_help,
    "imagenet-helps": scores.imagenet_helps,
    "imagenet-converges-faster": losses.imagenet_converges_faster,
    "gap-closes": losses.gap_closes,
    "first-layer-textures": losses.first_layer_textures,
    "a-b-converge": losses.a_b_converge,
    "losses-fall-early": losses.losses_fall_early,
    "validation-varies-more": losses.validation_varies_more,
    "pspnet-converges-faster": losses.pspnet_converges_faster,
    "fpn-varies-most": losses.fpn_varies_most,
    "linknet-converges-slowest": losses.linknet_converges_slowest,
    "volumes-match": scores.volumes_match,
    "thresholds-unsuitable": scores.thresholds_unsuitable,
}


def verdicts(evidence: Evidence) -> tuple[Verdict, ...]:
    """One verdict per claim, in the order of `claims.csv`."""
    return judge(claims(), JUDGES, evidence)
