"""What there is to know of a network that becomes part of the project: its facts and its model card."""

from pathlib import Path

import numpy as np

from experiments.networks.runs import KIND, facts
from experiments.networks.sources import SIZE
from experiments.networks.table import COLUMNS, NOTES, score_rows
from unet_segnet.runs.reading import read_run

ORIGIN = ("parameters", "command", "commit", "device", "versions", "finished_at")
LIMITS = {
    "lesions": "With other lung diseases no accuracy was measured; how much it calls infected of three cancer patients "
    "stands in `experiments/results/networks/whole.md` (lctsc3). Whoever marked the lesions elsewhere may mean "
    "something else by them",
    "lungs": "Other lung diseases were not tested but for three cancer patients (lctsc3), and whoever marked lungs "
    "elsewhere may leave out or count in what is dense in them",
}
SOURCES_AND_LICENCES = (
    "COVID19-DL (CC0) and ct20, the COVID-19 CT Lung and Infection Segmentation Dataset of Zenodo 3757476 (called "
    "CC BY 4.0 in one place, CC BY-NC-SA 4.0 in another), MedSeg's nine volumes of Radiopaedia's (CC BY-NC-SA 3.0), "
    "the Lung CT Segmentation Challenge 2017 (CC BY 3.0), COVID-CT-MD's sample"
)
SHOWN = (
    "without", "epochs", "tested on", "scans", "slices", "Dice: all pixels", "Dice: mean of scans", "Dice: 95 % from",
    "Dice: to", "sensitivity", "precision", "share of lungs", "AUC of slices",
)  # fmt: skip


def network_facts(config: dict, result: dict, counts: dict[str, np.ndarray], results: Path) -> dict:
    """What is known of a run's network, ready for JSON.

    A network that was trained on all sources has the scores of its twins, which were trained without some and tested
    on these.

    Arguments:
        config, result, counts: of the run.
        results: folder of all runs, with the twins in it.
    """
    told = facts(config, result, counts)
    twins = [] if config["without"] else [read_run(folder, KIND) for folder in KIND.folders(results)]
    twins = [(twin.config, twin.result, twin.counts) for twin in twins if _is_twin(twin.config, config)]
    scores = [
        dict(zip(COLUMNS, row, strict=True)) for run in twins or [(config, result, counts)] for row in score_rows(*run)
    ]
    return {
        "problem": config["task"],
        "net": f"{config['architecture']} {config['encoder']}",
        "data": {"classes": told["class_names"], "name": ", ".join(trained_on(config))},
        "without": config["without"],
        "recipe": config["recipe"],
        "split": config["split"],
        "licence": "CC-BY-NC-SA-4.0",  # of the weights, as the strictest of their sources asks
        "told": told,
        **{key: result.get(key) for key in ORIGIN},
        "scores": scores,
    }


def _is_twin(other: dict, config: dict) -> bool:
    same = ("task", "architecture", "encoder", "size")
    hashes = {of["data_sha256"] for of in (other, config) if "data_sha256" in of}  # older runs have none
    recipes = [{**of["recipe"], "epochs": None} for of in (other, config)]  # the length was chosen with the sources
    return (
        bool(other["without"])
        and all(other[key] == config[key] for key in same)
        and len(hashes) < 2
        and recipes[0] == recipes[1]
    )


def trained_on(config: dict) -> list[str]:
    """The sources that a run learnt from."""
    return list(dict.fromkeys(name.partition("/")[0] for name in config["split"]["trained"]))


def network_card(about: dict) -> str:
    """The facts as a model card in Markdown."""
    from unet_segnet.output.records import INTENDED_USE
    from unet_segnet.output.tabular import Table

    rows = tuple(tuple(scores[column] for column in SHOWN) for scores in about["scores"])
    of_twins = not about["without"] and any(scores["without"] != "-" for scores in about["scores"])
    table = Table(
        "Scores on what was not trained on" + (", of its twins without some sources." if of_twins else "."),
        SHOWN,
        rows,
        NOTES,
    )
    recipe, is_lungs = about["recipe"], about["problem"] == "lungs"
    what = "Finds the lungs in whole axial CT slices" if is_lungs else "Marks infected tissue inside given lungs"
    takes = (
        f"Hounsfield units from {about['told']['window'][0]:g} to {about['told']['window'][1]:g}, or 8-bit grey levels"
        if is_lungs
        else "grey levels that refer to the scan's own lungs, so that scanner, window and units matter little"
    )
    left_out = f" Without {', '.join(about['without'])}, which it is tested on." if about["without"] else ""
    return "\n".join(
        [
            f"# {about['problem'].capitalize()}, for other people's scans",
            "",
            f"{INTENDED_USE.capitalize()}.",
            "",
            f"**What it does.** {what}: {SIZE}x{SIZE} pixels in, {takes}; probabilities of "
            f"{' and '.join(about['data']['classes'])} out. {about['net']}, {about['parameters']} parameters.",
            "",
            f"**Training data.** {about['data']['name']}.{left_out}",
            "",
            f"**Recipe.** `{about['command']}`: {recipe['epochs']} epochs of {recipe['steps']} mini-batches of "
            f"{recipe['batch_size']} slices, each source drawn as often as any other; soft Dice with cross-entropy; "
            f"AdamW, learning rate {recipe['learning_rate']:g}, annealed; weights averaged. Commit {about['commit']}, "
            f"on {about['device']}, {about['finished_at']}.",
            "",
            table.to_markdown(),
            f"**Limits.** Few patients of few hospitals, most of them with COVID-19. {LIMITS[about['problem']]}: "
            "compare with labels of your own first.",
            "",
            "**Licence.** CC BY-NC-SA 4.0 for the weights, as the strictest of their sources asks; MIT for the code. "
            f"All sources that such networks learn from: {SOURCES_AND_LICENCES}.",
            "",
        ]
    )
