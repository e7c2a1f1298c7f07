"""A verdict on every claim of the second study's article: one function per claim of `claims.csv`."""

from __future__ import annotations

from collections.abc import Callable

from experiments.bizopoulos2021.evidence import Evidence
from experiments.bizopoulos2021.published import claims
from experiments.bizopoulos2021.verdicts import claims_runs as runs
from experiments.bizopoulos2021.verdicts import claims_tables as table
from experiments.reporting.content import Verdict
from experiments.reporting.judgement import Judgement

WHERE = {"table": "Table II as printed", "text": "the article's text", "runs": "runs of ours"}
JUDGES: dict[str, Callable[[Evidence], Judgement]] = {
    "best-pairs": table.best_pairs,
    "mean-dice-experiments": table.mean_dice_experiments,
    "mean-dice-architectures": table.mean_dice_architectures,
    "mean-dice-initialisations": table.mean_dice_initialisations,
    "best-worst-encoder": table.best_worst_encoder,
    "parameters-correlate": table.parameters_correlate,
    "largest-not-best": table.largest_not_best,
    "linknet-larger": table.linknet_larger,
    "empty-prediction-right": table.empty_prediction_right,
    "architecture-order": runs.architecture_order,
    "pspnet-fastest": runs.pspnet_fastest,
    "linknet-slowest": runs.linknet_slowest,
    "lung-masks-help": runs.lung_masks_help,
    "imagenet-helps": runs.imagenet_helps,
    "imagenet-converges-faster": runs.imagenet_converges_faster,
    "gap-closes": runs.gap_closes,
    "a-b-converge": runs.a_b_converge,
    "losses-fall-early": runs.losses_fall_early,
    "pspnet-converges-faster": runs.pspnet_converges_faster,
    "fpn-varies-most": runs.fpn_varies_most,
    "linknet-converges-slowest": runs.linknet_converges_slowest,
    "volumes-match": runs.volumes_match,
    "thresholds-unsuitable": runs.thresholds_unsuitable,
}


def verdicts(evidence: Evidence) -> tuple[Verdict, ...]:
    """One verdict per claim, in the order of `claims.csv`.

    Raises:
        KeyError: a claim without a function that judges it.
    """
    found = []
    for claim in claims():
        judgement = JUDGES[claim.name](evidence)
        source = f"{claim.source}. Judged by {WHERE[claim.about]}"
        found.append(Verdict(claim.name, claim.claim, source, judgement.verdict, judgement.evidence, judgement.decides))
    return tuple(found)
