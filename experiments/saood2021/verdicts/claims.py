"""A verdict on every claim of the article: one function per claim of `claims.csv`, judged anew from the evidence."""

from __future__ import annotations

from collections.abc import Callable

from experiments.reporting.content import Verdict
from experiments.reporting.judgement import Judgement, judge
from experiments.saood2021.evidence import Evidence
from experiments.saood2021.published import claims
from experiments.saood2021.verdicts import judge_article as article
from experiments.saood2021.verdicts import judge_recipe as recipe
from experiments.saood2021.verdicts import judge_scores as scores
from experiments.saood2021.verdicts import judge_slices as slices
from experiments.saood2021.verdicts import judge_spread as spread

JUDGES: dict[str, Callable[[Evidence], Judgement]] = {
    "segnet-wins-binary": scores.segnet_wins_binary,
    "segnet-margins": scores.segnet_margins,
    "unet-wins-multiclass": scores.unet_wins_multiclass,
    "segnet-accuracy-binary": scores.segnet_accuracy,
    "unet-accuracy-multiclass": scores.unet_accuracy,
    "segnet-scores-binary": scores.segnet_scores,
    "models-radiologist": slices.models_radiologist,
    "not-infected-count": article.not_infected_count,
    "not-infected-reliable": article.not_infected_reliable,
    "best-configurations": scores.best_configurations,
    "unet-effusion": scores.unet_effusion,
    "unet-opacities": article.unet_opacities,
    "larger-batches-epochs": recipe.larger_batches_epochs,
    "larger-batches-updates": recipe.larger_batches_updates,
    "accuracy-shows-quality": article.accuracy_shows_quality,
    "specificity-shows-healthy": article.specificity_shows_healthy,
    "sigma-consistent": spread.sigma_consistent,
    "sigma-multiclass": spread.sigma_multiclass,
    "five-fold-close": spread.five_fold_close,
    "five-fold-steady": spread.five_fold_steady,
    "encoder-vgg16": article.encoder_vgg16,
    "class-disparity": slices.class_disparity,
    "infection-regions": slices.infection_regions,
    "position-key": slices.position_is_key,
    "no-contrast": slices.no_contrast,
    "dream-discerns": slices.dream_discerns,
    "training-minutes": recipe.training_minutes,
    "training-time-alike": recipe.training_time_alike,
    "gpu-speed-up": recipe.gpu_speed_up,
    "exceeds-others": article.exceeds_others,
}


def verdicts(evidence: Evidence) -> tuple[Verdict, ...]:
    """One verdict per claim, in the order of `claims.csv`."""
    return judge(claims(), JUDGES, evidence)
