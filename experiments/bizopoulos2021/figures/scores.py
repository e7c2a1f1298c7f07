"""Which of Figures 2 to 8 the evidence allows, with their captions; those it does not, in plain words."""

from __future__ import annotations

import numpy as np

from experiments.bizopoulos2021.counts import CompareRun
from experiments.bizopoulos2021.curves import KINDS, curves, cut, paired
from experiments.bizopoulos2021.evidence import Evidence
from experiments.bizopoulos2021.figures.masks import picture_figures
from experiments.bizopoulos2021.published import ARCHITECTURES, EXPERIMENTS, INITIALISATIONS, parameter_grid, stated
from experiments.bizopoulos2021.tables.analysis import (
    COUNTS,
    mask_gains,
    of_models,
    other_slices,
    own_dice,
    published_dice,
)
from experiments.reporting.content import Figure
from unet_segnet.plots.compare_losses import loss_bands
from unet_segnet.plots.compare_masks import first_layer_kernels
from unet_segnet.plots.compare_scores import dice_against_parameters, dice_boxes

NAMES = tuple(ARCHITECTURES.values())
DIFFERENCE = "lesion B - A"
KERNEL_ARCHITECTURE = "unet"  # Figure 8 shows U-Net with ResNet18
COUNT_TEXTS = {
    "printed": "parameters as published, millions",
    "used": "parameters that receive a gradient, millions",
}


def figures(evidence: Evidence) -> tuple[tuple[Figure, ...], tuple[str, ...]]:
    """Figures 2 to 8 as far as the evidence reaches, and a sentence for each part that is missing."""
    made, missing = picture_figures(evidence)
    made += [_parameter_figure(evidence, which) for which in COUNTS]
    made.append(_box_figure(evidence))
    for make in (_loss_figure, _kernel_figure):
        figure, sentences = make(evidence)
        made += [figure] if figure else []
        missing += sentences
    return tuple(sorted(made, key=lambda figure: figure.name)), tuple(missing)


def _parameter_figure(evidence: Evidence, which: str) -> Figure:
    counts = parameter_grid(which)
    sources = (published_dice(), own_dice(evidence.comparable))
    panels = {name: [of_models(grid[e]) for grid in sources] for e, name in enumerate(EXPERIMENTS.values())}
    differences = (published_dice(), own_dice(evidence.of_equal_slices))
    panels[DIFFERENCE] = [of_models(mask_gains(grid)) for grid in differences]
    points = {
        title: tuple([(counts[a], grid[a]) for a in range(len(NAMES))] for grid in grids)
        for title, grids in panels.items()
    }
    return Figure(
        f"figure4_parameters_{COUNTS[which]}",
        f"Figure 4. Dice against {COUNTS[which]} parameters",
        "The 100 models of Table II in each experiment, each with the mean Dice of its two initialisations, as the "
        f"released code draws them; {_ran(evidence)}. Green: density of the published points (Gaussian kernels, "
        "Scott's bandwidth). "
        + (
            "As the article counts: with the head of EfficientNet and all that PSPNet never uses."
            if which == "printed"
            else "Parameters that receive a gradient alone, which are all that our models have."
        )
        + "".join(f" {sentence}" for sentence in other_slices(evidence)),
        dice_against_parameters(points, NAMES, COUNT_TEXTS[which]),
        "Four scatter plots of Dice over the number of parameters, one per experiment and one of their difference.",
    )


def _box_figure(evidence: Evidence) -> Figure:
    sources = (published_dice(), own_dice(evidence.comparable))
    panels = {
        name: {title: tuple(grid[e, :, a].ravel() for grid in sources) for a, title in enumerate(NAMES)}
        for e, name in enumerate(EXPERIMENTS.values())
    }
    panels["all experiments"] = {
        title: tuple(grid[:, i].ravel() for grid in sources) for i, title in enumerate(INITIALISATIONS.values())
    }
    return Figure(
        "figure6_boxes",
        "Figure 6. Dice by architecture and by initialisation",
        "Published (the models of Table II, 50 for each architecture and experiment, 300 for each initialisation) "
        f"beside ours: {_ran(evidence)}. Boxes from quartile to quartile; fewer than five values are points.",
        dice_boxes(panels),
        "Box plots of Dice for four architectures in three experiments, and for two initialisations.",
    )


def _loss_figure(evidence: Evidence) -> tuple[Figure | None, list[str]]:
    command = "python -m experiments.compare"
    if not evidence.comparable:
        return None, [f"Figure 5 needs the losses of finished runs: {command}."]
    found, without = curves(evidence.comparable), []
    rows = {}
    for experiment, name in EXPERIMENTS.items():
        rows[name] = {
            title: [
                _stacked(
                    [curve for key, curve in found[kind].items() if (key[0], key[2]) == (experiment, architecture)]
                )
                for architecture in ARCHITECTURES
            ]
            for kind, title in KINDS.items()
        }
        without += [f"{NAMES[a]} {name}" for a, models in enumerate(rows[name]["training"]) if not len(models)]
    rows[DIFFERENCE], alike = {}, curves(evidence.of_equal_slices)
    for kind, title in KINDS.items():
        pairs = {
            architecture: paired(
                {k: c for k, c in alike[kind].items() if k[2] == architecture}, 0, "lesion_b", "lesion_a"
            )
            for architecture in ARCHITECTURES
        }
        rows[DIFFERENCE][title] = [_stacked([b - a for b, a in of.values()]) for of in pairs.values()]
    runs = evidence.comparable
    return (
        Figure(
            "figure5_losses",
            "Figure 5. Losses over the epochs",
            f"Soft Dice loss, mean (line) and standard deviation (band) over the models of each architecture; "
            f"{len(runs)} runs of ours on {runs[0].source}, cut to the shortest. Last row: lesion B less A of the same "
            "models." + "".join(f" {sentence}" for sentence in other_slices(evidence)),
            loss_bands(rows, NAMES),
            "Training and validation loss over epochs for each experiment, and the difference of lesion B and A.",
        ),
        [f"Figure 5 has no losses of {', '.join(without)}: {command}."] if without else [],
    )


def _stacked(found: list[np.ndarray]) -> np.ndarray:
    return cut(found) if found else np.empty((0, 0))


def _kernel_figure(evidence: Evidence) -> tuple[Figure | None, list[str]]:
    """The first layer of U-Net with ResNet18 from both initialisations, of the experiment that has more of them."""
    encoder = stated("volume_encoder")
    chosen: dict[str, dict[str, tuple[CompareRun, tuple[np.ndarray, np.ndarray]]]] = {}
    for run in evidence.comparable:
        kernels = run.first_layer() if (run.architecture, run.encoder) == (KERNEL_ARCHITECTURE, encoder) else None
        if kernels is not None and run.initialisation not in chosen.setdefault(run.experiment, {}):
            chosen[run.experiment][run.initialisation] = (run, kernels)
    command = f"python -m experiments.compare --only architecture={KERNEL_ARCHITECTURE},encoder={encoder}"
    if not any(chosen.values()):
        return None, [f"Figure 8 needs runs of U-Net with {encoder} that kept their first layer: {command}."]
    experiment = max((e for e in EXPERIMENTS if e in chosen), key=lambda e: len(chosen[e]))
    rows, missing = {}, []
    for start, name in INITIALISATIONS.items():
        found = chosen[experiment].get(start)
        if found:
            rows[f"{name} initialisation"] = dict(zip(("before training", "after training"), found[1], strict=True))
        else:
            missing.append(f"Figure 8 has no kernels of the {name} initialisation: {command}.")
    run = next(iter(chosen[experiment].values()))[0]
    size, count = (next(iter(chosen[experiment].values()))[1][0].shape[i] for i in (0, 3))
    return (
        Figure(
            "figure8_kernels",
            "Figure 8. First-layer kernels before and after training",
            f"The {count} kernels ({size}x{size}) of the first convolution of U-Net with {encoder}, "
            f"{EXPERIMENTS[experiment]}, trained on {run.source}; one scale (the article's: -0.4 to 0.4). ImageNet "
            "kernels are summed over their three input channels.",
            first_layer_kernels(rows),
            "Grids of small squares: convolution kernels before and after training, from random and ImageNet weights.",
        ),
        missing,
    )


def _ran(evidence: Evidence) -> str:
    """Our runs, for a caption."""
    runs = evidence.comparable
    if not runs:
        return "of ours none has run"
    data = " and ".join(sorted({run.source for run in runs}))
    return f"{len(runs)} {'run' if len(runs) == 1 else 'runs'} of ours on {data}"
