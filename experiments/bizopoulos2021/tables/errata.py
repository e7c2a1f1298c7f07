"""What the second study's article and its released code get wrong, computed anew."""

from __future__ import annotations

import numpy as np

from experiments.bizopoulos2021.published import (
    ARCHITECTURES,
    COSTS,
    DICE,
    EXPERIMENTS,
    INITIALISATIONS,
    cost_grid,
    filled_scores,
    number,
    parameter_grid,
    score_grid,
    stated,
    table2,
)
from experiments.bizopoulos2021.tables.analysis import published_dice
from unet_segnet.data.normalise import normalise
from unet_segnet.output.tabular import Table

MODELS_OF_A_NETWORK = len(EXPERIMENTS) * len(INITIALISATIONS)
PASSES_OF_TRAINING = 3  # forward, and back to inputs and to kernels
WINOGRAD = 4  # at best so many times fewer multiplications of a 3x3 convolution (tiles of 4x4)
DAY = 24 * 60 * 60
Row = tuple[str, str, str, str, str]


def days_by_table() -> float:
    """What Table II's seconds per epoch of training and validation come to over all trainings, days."""
    seconds = sum(cost_grid(column).sum() for column in COSTS[1:])
    return float(seconds) * MODELS_OF_A_NETWORK * number("epochs") / DAY


def seconds_by_text() -> float:
    """What two weeks leave for an epoch of one training, seconds."""
    trainings = parameter_grid("printed").size * MODELS_OF_A_NETWORK
    return number("trained_days") * DAY / (trainings * number("epochs"))


def least_seconds(passes: int = PASSES_OF_TRAINING) -> float:
    """What U-Net on VGG19 needs at least for the training slices of an epoch at the card's peak, seconds."""
    operations = 2e9 * number("unet_vgg19_gmacs") * number("train_slices") * passes
    return operations / (1e12 * number("card_teraflops"))


def timing_text() -> str:
    """Why Table II's seconds are no times of training, in sentences."""
    printed = table2()["unet", "vgg19"][COSTS[1]]
    return (
        f"Table II's seconds come to {days_by_table():.1f} days for all trainings of {number('epochs'):.0f} epochs; "
        f"two weeks are {seconds_by_text():.1f} s an epoch. The released code times the forward pass alone, on the "
        "processor that starts its operations. U-Net on VGG19, with "
        f"{stated('unet_vgg19_gmacs')} 10^9 multiply-adds a slice forward, would train its "
        f"{number('train_slices'):.0f} slices in no less than {least_seconds():.1f} s at the card's peak of "
        f"{stated('card_teraflops')} 10^12 operations a second ({least_seconds() / WINOGRAD:.1f} s if every "
        f"convolution spared three of four multiplications); printed are {printed} s."
    )


def errata_table() -> Table:
    """What is wrong, where it stands, as printed, as it should be, and what that is computed from."""
    return Table(
        "Slips of the article and of its released code, each computed anew.",
        ("slip", "where", "printed", "correct", "computed from"),
        (
            *_free_slices(),
            _seconds(),
            _two_weeks(),
            *_initialisations(),
            _linknet(),
            (
                "epochs",
                "Experimental setup",
                stated("epochs"),
                stated("released_epochs"),
                "the released code, before and after the article's second version",
            ),
            _padding(),
            (
                "sensitivity and specificity",
                "Table II",
                "sensitivity, specificity",
                "precision, negative predictive value",
                "the released code, in every version until the end of 2022: FP and FN exchanged",
            ),
            (
                "all scores 1",
                "Experimental setup",
                "where nothing is predicted",
                "where the truth is empty",
                "the released code, in every version until spring 2022: TP + FN called TP + FP",
            ),
        ),
    )


def _free_slices() -> list[Row]:
    slices, filled = number("test_slices"), number("test_slices_with_lesion")
    rows = [
        (
            "slices that count 100 whatever is predicted",
            "Table II, lesions",
            "none",
            f"{slices - filled:.0f} of {slices:.0f} ({100 * (1 - filled / slices):.0f} %)",
            "the released code and the numbers of slices in the text",
        )
    ]
    means = published_dice().mean(axis=(2, 3))
    for e, (experiment, name) in enumerate(EXPERIMENTS.items()):
        if experiment != "lung":
            mean = means[e, list(INITIALISATIONS).index("imagenet")]
            rows.append(
                (
                    f"mean Dice of {name}, ImageNet, on slices with lesion",
                    "Results, A",
                    stated(f"{experiment}_dice"),
                    f"{filled_scores(mean):.1f}",
                    f"Table II and {filled:.0f} of {slices:.0f} slices",
                )
            )
    return rows


def _seconds() -> Row:
    return (
        "seconds per epoch, U-Net on VGG19",
        "Table II",
        f"{table2()['unet', 'vgg19'][COSTS[1]]}",
        f"at least {least_seconds():.1f}",
        f"{stated('unet_vgg19_gmacs')} 10^9 multiply-adds a slice, three passes, {stated('card_teraflops')} 10^12 "
        "operations a second",
    )


def _two_weeks() -> Row:
    return (
        "time of all trainings, days",
        "Experimental setup",
        f"{number('trained_days'):.0f}",
        f"{days_by_table():.1f} by Table II",
        f"its seconds per epoch, {MODELS_OF_A_NETWORK} trainings of each of {parameter_grid('printed').size} networks",
    )


def _initialisations() -> list[Row]:
    rows = []
    for i, (start, name) in enumerate(zip(("random", "imagenet"), INITIALISATIONS.values(), strict=True)):
        dice = score_grid()[:, i, ..., DICE]
        printed = f"{stated(f'{start}_dice')} ± {stated(f'{start}_dice_std')}"
        rows.append(
            (
                f"mean Dice and its deviation, {name}",
                "Results, D",
                printed,
                f"{dice.mean():.2f} ± {dice.std():.2f}",
                "Table II; the released code lists the two means first, then the two deviations",
            )
        )
    return rows


def _padding() -> Row:
    """What rotation and scaling bring in from outside a slice, in the released code."""
    value = number("released_padding_hu")
    taken = normalise(np.full((1, 1, 1), value), stated("normalise")).item()
    return (
        "padding of rotated and scaled slices",
        "Experimental setup",
        "zero",
        f"{value:.0f} HU, {taken:+.1f} as the networks take it; 0.0 in lesion B, and always here",
        "the released code, which pads before it normalises and blanks all but the lungs afterwards",
    )


def _linknet() -> Row:
    linknet, unet = (
        np.mean(parameter_grid("printed")[list(ARCHITECTURES).index(name)]) for name in ("linknet", "unet")
    )
    return (
        "parameters of LinkNet against U-Net",
        "Results, B",
        "more",
        f"{linknet:.2f} against {unet:.2f} million",
        "Table II, means",
    )
