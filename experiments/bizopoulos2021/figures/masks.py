"""Figures 2, 3 and 7 of the second study: what needs the test volumes and networks whose weights are at hand."""

from __future__ import annotations

import numpy as np

from experiments.bizopoulos2021.counts import CompareRun
from experiments.bizopoulos2021.evidence import Evidence
from experiments.bizopoulos2021.pictures import SHOWN_ENCODERS, Pictures, chosen_runs, fullest_slice
from experiments.bizopoulos2021.published import ARCHITECTURES, EXPERIMENTS, stated
from experiments.reporting.content import Figure
from unet_segnet.measures.metrics import confusion_matrices, dice
from unet_segnet.plots.compare_masks import intensity_histograms, mask_errors, mask_surfaces

COMMAND = "python -m experiments.compare"


def picture_figures(evidence: Evidence) -> tuple[list[Figure], list[str]]:
    """Figures 2, 3 and 7 as far as the evidence reaches, and what is missing of them."""
    made, missing = [], []
    if evidence.histograms:
        made.append(_histogram_figure(evidence))
    else:
        missing.append("Figure 2 needs the test volumes: give the data set with --data.")
    drawn = any(pictures.slices for pictures in evidence.pictures)
    if not drawn:
        missing.append(
            f"Figures 3 and 7 need runs that kept their network ({COMMAND}), and the test volumes: --data with --runs."
        )
        return made, missing
    for make in (_mask_figure, _surface_figure):
        figure, sentences = make(evidence)
        made.append(figure)
        missing += sentences
    return made, missing


def _histogram_figure(evidence: Evidence) -> Figure:
    histograms = {EXPERIMENTS[experiment]: of for experiment, of in evidence.histograms.items()}
    return Figure(
        "figure2_histograms",
        "Figure 2. Intensities of the test images and of the masks",
        "Normalised as the networks take them; share of all pixels of the test volumes, and share of the pixels inside "
        f"the mask. Test volumes: {evidence.histogram_data}. The article's masks have a bar at 0 as well, of the "
        "pixels outside them.",
        intensity_histograms(histograms),
        "Three histograms of intensities; those of the mask lie within those of all pixels.",
    )


def _mask_figure(evidence: Evidence) -> tuple[Figure, list[str]]:
    """One slice; rows: experiments with the best, then with the worst encoder; columns: architectures that ran."""
    rows, others, without, told = {}, [], [], []
    drawn = [run for pictures in evidence.pictures for run in pictures.slices]
    ran = {run.architecture for run in drawn}
    # One encoder alone is neither the best nor the worst.
    shown = SHOWN_ENCODERS if len({run.encoder for run in drawn}) > 1 else SHOWN_ENCODERS[:1]
    for which in shown:
        for pictures in evidence.pictures:
            name = EXPERIMENTS[pictures.experiment]
            chosen = chosen_runs(list(pictures.slices), which)
            at = fullest_slice(pictures)
            told.append(f"slice {pictures.names[at]} ({name})")
            panels = {}
            for architecture, title in ARCHITECTURES.items():
                run = chosen.get(architecture)
                if architecture in ran:
                    panels[title] = None if run is None else _panel(pictures, run, at)
                if run is None:
                    without.append(f"{title} {name}")
                elif run.encoder != stated(which):
                    others.append(f"{title} {name}")
            rows[f"{name}, {which.split('_')[0]}" if len(shown) > 1 else name] = panels
    named = " and ".join(stated(which) for which in SHOWN_ENCODERS)
    first = evidence.pictures[0]
    return (
        Figure(
            "figure3_masks",
            "Figure 3. Predicted masks",
            f"Volume {first.volume} of {first.source}, {', '.join(dict.fromkeys(told))}: those with the largest masks. "
            f"The encoder that the article calls the best, {stated('best_encoder')}, and the worst, "
            f"{stated('worst_encoder')}, where they ran, otherwise another. Below: encoder and Dice of the slice, "
            "percent. Slices lie as in the volume's file, which may have them upside down.",
            mask_errors(rows),
            "CT slices with predicted masks; right, missed and falsely found pixels in three colours.",
        ),
        _lacking(f"Figure 3 shows other encoders than {named}, which did not run, for", others)
        + _lacking("Figure 3 has no", without, f"--only encoder={stated('best_encoder')}"),
    )


def _lacking(start: str, what: list[str], only: str = "") -> list[str]:
    """One sentence on what is missing, or none."""
    if not what:
        return []
    return [f"{start} {', '.join(dict.fromkeys(what))}{f': {COMMAND} {only}' if only else ''}."]


def _panel(pictures: Pictures, run: CompareRun, at: int):
    truth, prediction = pictures.masks[at], pictures.slices[run]
    counts = confusion_matrices(truth[None].astype(np.uint8), prediction[None].astype(np.uint8), 2)
    score = dice(counts)[0, 1]
    text = f"{run.encoder} {'-' if np.isnan(score) else f'{100 * score:.1f}'}"
    return pictures.images[at], truth, prediction, text


def _surface_figure(evidence: Evidence) -> tuple[Figure, list[str]]:
    encoder, rows, without, told = stated("volume_encoder"), {}, [], []
    ran = {run.architecture for pictures in evidence.pictures for run in pictures.predictions}
    for pictures in evidence.pictures:
        name = EXPERIMENTS[pictures.experiment]
        chosen = chosen_runs(list(pictures.predictions), "volume_encoder")
        rows[name] = {"truth": pictures.masks}
        for architecture, title in ARCHITECTURES.items():
            run = chosen.get(architecture)
            if architecture in ran:
                rows[name][title] = None if run is None else pictures.predictions[run]
            if run is None:
                without.append(f"{title} {name}")
            elif run.encoder != encoder:
                told.append(run.label)
    first = evidence.pictures[0]
    others = f" Others where it did not run: {'; '.join(dict.fromkeys(told))}." if told else ""
    return (
        Figure(
            "figure7_volumes",
            "Figure 7. True and predicted volumes",
            f"Volume {first.volume} of {first.source}, {len(first.names)} slices, masks stacked and drawn as surfaces "
            f"(marching cubes), slices made smaller first. Encoder {encoder}.{others} The height of the stack is not "
            "to scale.",
            mask_surfaces(rows),
            "Surfaces of the true mask and of the masks that each architecture predicts, for each experiment.",
        ),
        _lacking("Figure 7 has no", without, f"--only encoder={encoder}"),
    )
