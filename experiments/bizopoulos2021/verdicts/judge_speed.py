"""Claims of the second study about time, which only its own card decides: one function each.

Seconds of another machine are told and decide nothing, as in the first study. Those of Table II are no times of
training (`tables.errata`), and are not judged by.
"""

from __future__ import annotations

from collections import Counter

import numpy as np

from experiments.bizopoulos2021.counts import run_grid
from experiments.bizopoulos2021.curves import KINDS
from experiments.bizopoulos2021.evidence import Evidence
from experiments.bizopoulos2021.published import ARCHITECTURES, stated
from experiments.bizopoulos2021.tables.analysis import MIN_PAIRS, by_encoder, gain
from experiments.bizopoulos2021.tables.errata import timing_text
from experiments.bizopoulos2021.verdicts.outcomes import COMMAND, all_of, judged, named, not_run
from experiments.reporting.judgement import Judgement, how_many, undecided


def two_weeks(evidence: Evidence) -> Judgement:
    """Cannot be decided: the time of another machine, of which the printed seconds say nothing."""
    return undecided(timing_text(), f"A log of the 600 trainings, or some of them timed whole on a {stated('card')}.")


def pspnet_fastest(evidence: Evidence) -> Judgement:
    """Holds where PSPNet needs fewer seconds per epoch than each other, in training and in validation, by encoder."""
    return _speed(evidence, "pspnet", sign=1)


def linknet_slowest(evidence: Evidence) -> Judgement:
    """Holds where LinkNet needs more seconds per epoch than each other, in training and in validation, by encoder."""
    return _speed(evidence, "linknet", sign=-1)


def _speed(evidence: Evidence, architecture: str, sign: int) -> Judgement:
    """`sign` 1: is the architecture faster than each other one; -1: slower."""
    beside = "The seconds of Table II are those of forward passes on the processor that starts them, not of training."
    decides = f"At least {MIN_PAIRS} encoders with all four architectures on a {stated('card')}: {COMMAND}."
    machines = Counter((run.device, *run.conditions) for run in evidence.comparable)
    machine = max(machines, key=lambda of: (stated("card") in of[0], machines[of]), default=None)
    runs = [run for run in evidence.comparable if (run.device, *run.conditions) == machine]
    if not runs:
        return not_run(beside, decides, by_training=False)
    seconds = run_grid(runs, lambda run: np.array(run.seconds))
    seconds = np.moveaxis(seconds, (2, 3), (-2, -1))  # (3, 2, training or validation, architecture, 25)
    common = np.where(np.isnan(seconds).any(axis=(2, 3), keepdims=True), np.nan, seconds)
    if np.isnan(common).all():
        return not_run(beside, decides, by_training=False)
    place, gains, texts = list(ARCHITECTURES).index(architecture), [], []
    for part, what in enumerate(KINDS.values()):
        of = np.stack([by_encoder(common[:, :, part, a]) for a in range(len(ARCHITECTURES))])  # (4, 25)
        gains += [gain(sign * (of[a] - of[place])) for a in range(len(ARCHITECTURES)) if a != place]
        texts.append(f"{what} {named(np.nanmean(of, axis=1), '.2f')} s")
    number = int((~np.isnan(of[0])).sum())
    return judged(
        evidence.comparable,
        all_of(gains) if stated("card") in machine[0] else None,
        f"{'; '.join(texts)}, means of {how_many(number, 'encoder')} on {', '.join(machine)}",
        beside,
        decides,
        any_length=True,
        by_training=False,  # on another card
    )
