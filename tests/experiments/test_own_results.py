"""The table of the domain shift against the committed scores."""

import csv
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README = ROOT / "unet_segnet" / "cohort" / "README.md"
LAST = "ct20-released-unet"


@pytest.mark.parametrize(
    ("row", "folder", "method"),
    [
        ("SegNet, released variant, trained on the study's slices, as it is", "ct20-segnet", None),
        ("the same after 5 epochs on 90 slices of ct20", "ct20-from-segnet", None),
        ("U-Net, released variant, trained on the study's slices, as it is", "ct20-unet", None),
        ("the same after 5 epochs on 90 slices of ct20", "ct20-from-unet", None),
        ("SegNet, released variant, 20 epochs on ct20 alone", "ct20-released-segnet", None),
        ("U-Net, released variant, 20 epochs on ct20 alone", LAST, None),
        ("grey threshold, fitted on the same 90 slices", LAST, "grey threshold"),
    ],
)
def test_the_domain_shift_in_the_readme_is_what_was_measured(row, folder, method):
    with (ROOT / "experiments" / "results" / "own" / folder / "scores.csv").open(newline="", encoding="utf-8") as file:
        scores = list(csv.DictReader(file))
    method = method or scores[0]["method"]  # the network comes first
    cells = [
        f"{float(line['Dice value']):.3f} ({float(line['Dice low']):.3f} to {float(line['Dice high']):.3f})"
        for over in ("all pixels", "mean of patients")
        for line in scores
        if (line["method"], line["over"]) == (method, over)
    ]
    assert len(cells) == 2
    assert f"| {row} | {' | '.join(cells)} |" in README.read_text(encoding="utf-8")
