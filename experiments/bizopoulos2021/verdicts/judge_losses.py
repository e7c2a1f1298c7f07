"""Claims of the second study about what happens in training, which only finished runs decide: one function each."""

from __future__ import annotations

from itertools import product

import numpy as np

from experiments.bizopoulos2021.curves import (
    KINDS,
    Key,
    curves,
    cut,
    early_and_late,
    epochs_to_common_level,
    epochs_to_converge,
    means_of_encoders,
    paired,
    roughness,
)
from experiments.bizopoulos2021.evidence import Evidence
from experiments.bizopoulos2021.published import ARCHITECTURES, EXPERIMENTS, number, stated
from experiments.bizopoulos2021.tables.analysis import MASKS, MIN_PAIRS, PRETRAINING, gain
from experiments.bizopoulos2021.verdicts.outcomes import (
    COMMAND,
    all_of,
    beyond_chance,
    if_long_enough,
    judged,
    named,
    not_run,
    units_text,
)
from experiments.reporting.judgement import Judgement, how_many

MIN_ENCODERS = 3  # before the spread over encoders means something
HALF = 0.25  # cycles a pixel, half of the highest frequency along an axis


def imagenet_converges_faster(evidence: Evidence) -> Judgement:
    """Holds where the validation loss first reaches the level common to both runs earlier, by encoder."""
    pairs = paired(curves(evidence.comparable)["validation_loss"], *PRETRAINING)
    decides = f"At least {MIN_PAIRS} encoders with runs that differ in their initialisation alone: {COMMAND}."
    if not pairs:
        return not_run("", decides)
    epochs = means_of_encoders({key: epochs_to_common_level(pair) for key, pair in pairs.items()})
    found = gain(epochs[:, 0] - epochs[:, 1])
    text = (
        f"the validation loss that both reach takes {epochs[:, 0].mean():.1f} epochs from random and "
        f"{epochs[:, 1].mean():.1f} from ImageNet weights ({units_text(found)})"
    )
    return judged(evidence.comparable, beyond_chance(found), text, "", decides)


def gap_closes(evidence: Evidence) -> Judgement:
    """Holds where the validation losses of random and ImageNet weights are closer in the last quarter of the epochs."""
    return _closing(evidence, PRETRAINING, "runs that differ in their initialisation alone")


def a_b_converge(evidence: Evidence) -> Judgement:
    """Holds where the validation losses of lesion A and B are closer in the last quarter of the epochs."""
    return _closing(evidence, MASKS, "runs of lesion A and B of the same models")


def _closing(evidence: Evidence, change: tuple[int, str, str], needed: str) -> Judgement:
    runs = evidence.of_equal_slices if change == MASKS else evidence.comparable
    pairs = paired(curves(runs)["validation_loss"], *change)
    decides = f"At least {MIN_PAIRS} encoders with {needed}: {COMMAND}."
    if not pairs:
        return not_run("", decides)
    gaps = means_of_encoders({key: early_and_late(np.abs(a - b)) for key, (a, b) in pairs.items()})
    found = gain(gaps[:, 0] - gaps[:, 1])
    holds, decides = if_long_enough(beyond_chance(found), (a for a, _ in pairs.values()), decides)
    text = (
        f"the validation losses differ by {gaps[:, 0].mean():.3f} in the first and {gaps[:, 1].mean():.3f} in the last "
        f"quarter of the epochs ({units_text(found)})"
    )
    return judged(runs, holds, text, "", decides)


def losses_fall_early(evidence: Evidence) -> Judgement:
    """Holds where the mean loss of each experiment and architecture falls faster per epoch early than after.

    Fails where one falls more slowly early beyond chance, by encoder and among all of them.
    """
    found, gains = curves(evidence.comparable), []
    for kind, name in KINDS.items():
        early = int(number(f"{name}_fast_epochs"))
        for experiment, architecture in product(EXPERIMENTS, ARCHITECTURES):
            falls = {
                key: (c[0] - c[early - 1]) / (early - 1) - (c[early - 1] - c[-1]) / (len(c) - early)
                for key, c in found[kind].items()
                if (key[0], key[2]) == (experiment, architecture) and len(c) > early
            }
            if falls:
                gains.append(gain(means_of_encoders(falls)))
    all_of_them = len(KINDS) * len(EXPERIMENTS) * len(ARCHITECTURES)
    decides = f"Runs of each architecture in each experiment, longer than 15 epochs: {COMMAND}."
    if not gains:
        return not_run("", decides)
    faster = sum(of.mean > 0 for of in gains)
    holds = True if faster == all_of_them else None
    if any(of.mean < 0 and beyond_chance(of, all_of_them) is False for of in gains):
        holds = False
    text = f"{faster} of {len(gains)} mean curves fall faster early ({all_of_them} there would be)"
    return judged(evidence.comparable, holds, text, "", decides)


def validation_varies_more(evidence: Evidence) -> Judgement:
    """Holds where the validation loss jumps more from epoch to epoch in those early epochs, beyond chance, by encoder.

    How much is `roughness`, which leaves the fall itself out. Why it does so is no part of the verdict: the reason that
    the article gives is told for what it is.
    """
    early = int(number("validation_fast_epochs"))
    found = curves(evidence.comparable)
    both = {
        key: [roughness(found[kind][key][:early]) for kind in KINDS]
        for key, curve in found["loss"].items()
        if len(curve) >= early
    }
    beside = (
        "The reason given tells them apart in nothing: both losses are one soft Dice (equation 1). Validation averages "
        "fewer slices, over weights that stand still."
    )
    decides = f"At least {MIN_PAIRS} encoders, {early} epochs or more: {COMMAND}."
    if not both:
        return not_run(beside, decides)
    rough = means_of_encoders(both)
    more = gain(rough[:, 1] - rough[:, 0])
    training, validation = rough.mean(axis=0)
    text = (
        f"in the first {early} epochs the loss jumps by {training:.3f} in training and {validation:.3f} in validation "
        f"(standard deviation from epoch to epoch about a straight course; {units_text(more)}; the validation loss "
        f"more in {sum(b > a for a, b in both.values())} of {how_many(len(both), 'model')})"
    )
    return judged(evidence.comparable, beyond_chance(more), text, beside, decides, any_length=True)


def pspnet_converges_faster(evidence: Evidence) -> Judgement:
    """Holds where PSPNet's training loss makes nine tenths of its fall sooner than each other's, by encoder."""
    return _convergence(evidence, "pspnet", ("loss",), sign=1)


def linknet_converges_slowest(evidence: Evidence) -> Judgement:
    """Holds where LinkNet's losses make nine tenths of their fall later than each other's, by encoder."""
    return _convergence(evidence, "linknet", tuple(KINDS), sign=-1)


def _convergence(evidence: Evidence, architecture: str, kinds: tuple[str, ...], sign: int) -> Judgement:
    """`sign` 1: is the architecture faster than each other one; -1: slower."""
    decides = f"At least {MIN_PAIRS} encoders with all four architectures: {COMMAND}."
    found, gains, texts = curves(evidence.comparable), [], []
    place = list(ARCHITECTURES).index(architecture)
    for kind in kinds:
        of_all = _with_all_architectures(found[kind])
        if not of_all:
            return not_run("", decides)
        epochs = means_of_encoders({key: list(map(epochs_to_converge, of)) for key, of in of_all.items()})
        for other in range(len(ARCHITECTURES)):
            if other != place:
                gains.append(gain(sign * (epochs[:, other] - epochs[:, place])))
        texts.append(f"{KINDS[kind]} loss, epochs to nine tenths of its fall: {named(epochs.mean(axis=0), '.1f')}")
        texts[-1] += f" ({how_many(len(epochs), 'encoder')})"
    holds, decides = if_long_enough(all_of(gains), found["loss"].values(), decides)
    return judged(evidence.comparable, holds, "; ".join(texts), "", decides)


def _with_all_architectures(by_key: dict[Key, np.ndarray]) -> dict[Key, list[np.ndarray]]:
    """Model that all four architectures ran with -> the curves of these; the key is the first one's."""
    found = {}
    for key in by_key:
        if key[2] == next(iter(ARCHITECTURES)):
            of = [by_key.get((*key[:2], name, key[3])) for name in ARCHITECTURES]
            if all(curve is not None for curve in of):
                found[key] = of
    return found


def fpn_varies_most(evidence: Evidence) -> Judgement:
    """Holds where FPN's curves lie farther from their mean over the encoders than each other architecture's.

    Beyond chance, by encoder, in training and in validation (the test of Brown and Forsythe, paired). Over encoders
    alone: the mean is that of one experiment and initialisation, over the encoders that ran with all four.
    """
    decides = f"At least {MIN_PAIRS} encoders with all four architectures: {COMMAND}."
    found, gains, texts = curves(evidence.comparable), [], []
    place = list(ARCHITECTURES).index("fpn")
    for kind, name in KINDS.items():
        distances = _distances(_with_all_architectures(found[kind]))
        if not distances:
            return not_run("", decides)
        of_each = means_of_encoders(distances)
        for other in range(len(ARCHITECTURES)):
            if other != place:
                gains.append(gain(of_each[:, place] - of_each[:, other]))
        texts.append(f"{name} {named(of_each.mean(axis=0), '.3f')} ({how_many(len(of_each), 'encoder')})")
    holds, decides = if_long_enough(all_of(gains), found["loss"].values(), decides)
    text = f"mean distance from the curve of all encoders: {'; '.join(texts)}"
    return judged(evidence.comparable, holds, text, "", decides)


def _distances(of_all: dict[Key, list[np.ndarray]]) -> dict[Key, np.ndarray]:
    """Model -> (4,) each architecture's mean distance from the mean curve of its experiment and initialisation."""
    found = {}
    for start in {key[:2] for key in of_all}:
        of_start = {key: of for key, of in of_all.items() if key[:2] == start}
        if len(of_start) >= MIN_ENCODERS:
            stacked = cut([curve for of in of_start.values() for curve in of])
            stacked = stacked.reshape(len(of_start), len(ARCHITECTURES), -1)
            distances = np.abs(stacked - stacked.mean(axis=0)).mean(axis=2)
            found |= dict(zip(of_start, distances, strict=True))
    return found


def first_layer_textures(evidence: Evidence) -> Judgement:
    """Holds where training makes the kernels of U-Net's first layer on ResNet18 textures of low and of high frequency.

    A kernel is the more of a texture the more of its power (less its mean) lies in one frequency. The unit is the
    training: its mean over the kernels has to rise beyond chance. A texture has more in one frequency than 95 % of the
    random kernels that training began from; there have to be some below and some above half the highest frequency.
    """
    encoder = stated("volume_encoder")
    runs = [run for run in evidence.comparable if run.model == ("unet", encoder, "none")]
    kernels = [of for run in runs if (of := run.first_layer()) is not None]
    decides = (
        f"At least {MIN_PAIRS} trainings of U-Net with {encoder}, such as two seeds of each experiment: {COMMAND} "
        f"--only architecture=unet,encoder={encoder} --seeds 0,1."
    )
    if not kernels:
        return not_run("", decides)
    shares, low, high, like = [], [], [], []
    for before, after in kernels:
        (random, _), (trained, frequency) = map(_strongest_frequency, (before, after))
        shares.append((random.mean(), trained.mean()))
        textures = frequency[trained > np.quantile(random, 0.95)]
        low.append(int((textures < HALF).sum()))
        high.append(int((textures >= HALF).sum()))
        like.append(np.corrcoef(before.ravel(), after.ravel())[0, 1])
    starts = len({before.tobytes() for before, _ in kernels})  # the experiments of one seed begin alike
    before, after = np.array(shares).T
    found = gain(after - before)
    holds = beyond_chance(found)
    if holds and not (all(low) and all(high)):
        holds = None
    text = (
        f"the strongest frequency of a kernel has {100 * before.mean():.0f} % of its power before training and "
        f"{100 * after.mean():.0f} % after ({units_text(found, 'training')}, from "
        f"{how_many(starts, 'initialisation')}); {np.mean(low):.0f} of {kernels[0][1].shape[-1]} kernels become "
        f"textures of low and {np.mean(high):.0f} of high frequency; kernels before and after correlate by "
        f"{np.mean(like):.2f}"
    )
    return judged(evidence.comparable, holds, text, "", decides)


def _strongest_frequency(kernels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Share of each kernel's power in its strongest frequency, and that frequency, cycles a pixel; of (k, k, 1, n)."""
    planes = np.moveaxis(kernels[:, :, 0].astype(np.float64), 2, 0)
    power = np.abs(np.fft.fft2(planes - planes.mean(axis=(1, 2), keepdims=True))) ** 2
    size = planes.shape[1]
    frequency = np.hypot(*np.meshgrid(*[np.fft.fftfreq(size)] * 2)).ravel()
    power = power.reshape(len(planes), -1)
    strongest = power.argmax(axis=1)
    # A real kernel has each frequency twice, with either sign.
    return 2 * power[np.arange(len(planes)), strongest] / power.sum(axis=1), frequency[strongest]
