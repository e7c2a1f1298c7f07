"""How far a scan's grey levels lie from those that a network learnt from."""

import numpy as np
import pytest

from unet_segnet.data.normalise import lung_levels
from unet_segnet.inference.familiarity import familiarity, grey_figures, seen_ranges, unfamiliar_notes


def figures_of(images, lungs, units):
    return grey_figures(images, lung_levels(images, lungs), lungs, units)


@pytest.fixture
def scan():
    generator = np.random.default_rng(0)
    lungs = np.zeros((2, 32, 32), bool)
    lungs[:, 4:28, 6:26] = True
    return np.where(lungs, generator.normal(-820, 80, lungs.shape), 40).astype(np.float32), lungs


def test_figures_by_hand(scan):
    images, lungs = scan
    figures = figures_of(images, lungs, "HU")
    low, high = np.percentile(images[lungs], (20, 99.5))
    levels = np.clip(0.25 + (images - low) / (high - low), 0, 2)
    differences = [
        abs(levels[k, i + 1, j] - levels[k, i, j]) for k in range(2) for i in range(4, 27) for j in range(6, 26)
    ]
    expected = {
        "healthy_hu": low,
        "dense_hu": high,
        "median_level": np.median(levels[lungs]),
        "high_level": np.percentile(levels[lungs], 90),
        "grain": np.median(differences),
    }
    assert figures == pytest.approx(expected, abs=1e-3)


def test_a_window_changes_no_figure_but_those_in_hounsfield_units(scan):
    images, lungs = scan
    grey = figures_of(0.17 * images + 200, lungs, "8-bit")
    assert set(grey) == {"median_level", "high_level", "grain"}
    assert grey == pytest.approx({name: figures_of(images, lungs, "HU")[name] for name in grey}, abs=1e-3)
    assert figures_of(images, np.zeros_like(lungs), "HU") == {}


def test_what_lies_outside_is_told():
    seen = seen_ranges([{"median_level": 0.4, "grain": 0.05}, {"median_level": 0.6, "grain": 0.06, "healthy_hu": -850}])
    assert seen == {"healthy_hu": [-850, -850], "median_level": [0.4, 0.6], "grain": [0.05, 0.06]}
    inside = familiarity({"median_level": 0.5, "grain": 0.061}, seen)
    assert inside["median_level"] == {"value": 0.5, "learnt_from": [0.4, 0.6], "outside": 0}
    assert inside["grain"]["outside"] == pytest.approx(0.02) and not unfamiliar_notes(inside)
    outside = familiarity({"median_level": 0.28, "grain": 0.09, "dense_hu": 100}, seen)
    assert outside["median_level"]["outside"] == pytest.approx(0.6) and outside["grain"]["outside"] == pytest.approx(
        0.6
    )
    (note,) = unfamiliar_notes(outside)
    assert "median of the lungs' levels 0.28 (learnt from 0.4 to 0.6)" in note and "dense" not in note
    assert not familiarity({"grain": 1.0}, {})


def test_a_segmentation_tells_how_familiar_its_scan_is(tmp_path, scan):
    import keras

    from unet_segnet.inference.segmentation import segment
    from unet_segnet.networks.load import load_model
    from unet_segnet.networks.save import save_network
    from unet_segnet.scans import Scan

    images, lungs = scan
    inputs = keras.Input((32, 32, 1))
    network = keras.Model(inputs, keras.layers.Softmax()(keras.layers.Conv2D(2, 1)(inputs)))
    facts = {"takes": "lung levels", "threshold": 0.3, "temperature": 2.5, "seen": {"grain": [0.0, 0.001]}}
    save_network(network, tmp_path / "network.keras", facts)
    model = load_model(tmp_path / "network.keras")
    assert (model.temperature, model.seen) == (2.5, {"grain": [0.0, 0.001]})
    affine = np.diag([-1.0, -1.0, 5.0, 1.0])
    case = Scan("case", np.moveaxis(images, 0, 2), affine, "HU", (1.0, 1.0, 5.0), tmp_path / "case.nii.gz")
    from scan_files import save_nifti

    save_nifti(tmp_path / "lungs.nii.gz", np.moveaxis(lungs, 0, 2).astype(np.uint8), affine)
    result = segment(case, model, tmp_path / "lungs.nii.gz", probabilities=True)
    assert result.familiarity["grain"]["outside"] > 1
    assert any(note.startswith("unlike what the network learnt from: difference of") for note in result.notes)
    likely = 1 / (1 + np.exp(-np.log(0.3 / 0.7) / 2.5))
    assert f"labels: infected where its probability is above {likely:.2g}" in result.notes
    maps = result.probabilities[..., 1].astype(float)
    apart = np.abs(maps - likely) > 1e-3  # float16
    np.testing.assert_array_equal((result.labels > 0)[lungs & apart], (maps > likely)[lungs & apart])
