"""Several networks on one scan: the mean decides, where they disagree is a map; mirror images where learnt from."""

from types import SimpleNamespace

import numpy as np
import pytest
from scan_files import network_affine, save_nifti
from stand_ins import Bright

from unet_segnet.errors import InputError
from unet_segnet.inference.prediction import mirrors_of
from unet_segnet.inference.segmentation import segment
from unet_segnet.networks.ensemble import Ensemble


class Constant(Bright):
    """Gives each pixel left of a column one probability of being infected, and the others another one."""

    def __init__(self, left, right):
        super().__init__()
        self.map = np.where(np.arange(48) < 20, left, right).astype(np.float32)

    def predict_on_batch(self, grey):
        infected = np.broadcast_to(self.map, grey.shape[:3])  # whatever the slice shows
        return np.stack([1 - infected, infected], axis=-1)


@pytest.fixture
def scan(tmp_path):
    values = np.random.default_rng(0).integers(-900, 100, (48, 48, 5)).astype(np.int16)
    return save_nifti(tmp_path / "case.nii.gz", values, network_affine())


def test_the_mean_decides_and_the_standard_deviation_tells_where_networks_disagree(scan):
    members = [Constant(0.9, 0.1), Constant(0.8, 0.1), Constant(0.1, 0.1)]
    model = Ensemble(members, ("a", "b", "c"), "three", left_out=("d",))
    result = segment(scan, model, "none", batch_size=2, probabilities=True, disagreement=True)
    assert (result.labels[:, :, :20] == 1).all() and (result.labels[:, :, 20:] == 0).all()  # two of three are sure
    np.testing.assert_allclose(result.probabilities[..., :20, 1], np.mean([0.9, 0.8, 0.1]), atol=1e-3)
    spread = np.std([0.9, 0.8, 0.1])
    np.testing.assert_allclose(result.disagreement[:, :, :20], spread, atol=1e-3)
    np.testing.assert_allclose(result.disagreement[:, :, 20:], 0, atol=1e-6)
    assert f"disagreement: {spread:.2f} on average where lesion is marked (standard deviation, at most 0.5)" in (
        result.notes
    )
    assert "network: the mean of the probabilities of 3 networks (a, b, c)" in result.notes
    assert "network: d is left out, its training diverged" in result.notes
    written = result.disagreement_map()
    assert written.shape == result.scan.array.shape and written.dtype == np.float32
    np.testing.assert_array_equal(written > 0.1, result.array() > 0)


def test_the_sum_of_several_lesions_counts_for_disagreement(scan):
    """Networks that call the same pixels another lesion agree that it is one."""

    class Kind(Bright):
        class_names = ("healthy", "glass", "scar")

        def __init__(self, of):
            super().__init__()
            self.of, self.output_shape = np.asarray(of, np.float32), (None, 48, 48, 3)

        def predict_on_batch(self, grey):
            return np.broadcast_to(self.of, (*grey.shape[:3], 3))

    model = Ensemble([Kind([0.2, 0.7, 0.1]), Kind([0.2, 0.1, 0.7])], ("a", "b"), "two")
    assert segment(scan, model, "none", disagreement=True).disagreement.max() < 1e-3


def test_networks_with_a_threshold_disagree_inside_the_lungs_as_their_calibrated_probabilities_do(scan, tmp_path):
    lungs = np.zeros((48, 48, 5), np.uint8)
    lungs[8:20, 10:38], lungs[26:40, 10:38] = 1, 1
    mask = save_nifti(tmp_path / "lungs.nii.gz", lungs, network_affine())
    members = [Constant(0.9, 0.9), Constant(0.6, 0.6)]
    for member in members:
        member.takes, member.threshold, member.temperature = "lung levels", 0.7, 2.0
    result = segment(scan, Ensemble(members, ("a", "b"), "two"), mask, disagreement=True)
    inside = result.lungs > 0
    np.testing.assert_array_equal(result.labels > 0, inside)  # the mean of 0.75 is above the threshold
    odds = np.sqrt(np.array([0.9 / 0.1, 0.6 / 0.4]))
    np.testing.assert_allclose(result.disagreement[inside], (odds / (1 + odds)).std(), atol=1e-3)
    assert inside.any() and not result.disagreement[~inside].any()


def test_one_network_cannot_disagree(scan):
    with pytest.raises(InputError, match="`disagreement` is that of several networks"):
        segment(scan, Bright(), "none", disagreement=True)


def test_mirror_images_along_the_axes_that_a_network_learnt_from(scan):
    model = Constant(0.9, 0.2)
    model.mirror_axes = (2,)
    plain, mirrored = (segment(scan, model, "none", probabilities=True, tta=tta) for tta in (False, True))
    np.testing.assert_array_equal(plain.probabilities[0, 0, :, 1] > 0.5, np.arange(48) < 20)
    expected = (model.map + model.map[::-1]) / 2
    np.testing.assert_allclose(mirrored.probabilities[..., 1], np.broadcast_to(expected, (5, 48, 48)), atol=1e-3)
    assert "test-time augmentation: mean over each slice and 1 mirror images of it" in mirrored.notes
    assert not [note for note in plain.notes if "test-time" in note]


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ({"mirror_axes": (1,)}, ((), (1,))),
        ({"mirror_axes": (1, 2)}, ((), (1,), (2,), (1, 2))),
        ({"takes": "lung levels"}, ((), (1,), (2,))),
    ],
)
def test_which_mirror_images_there_are(facts, expected):
    assert mirrors_of(SimpleNamespace(**facts), True) == expected
    assert mirrors_of(SimpleNamespace(**facts), False) == (expected if "takes" in facts else ((),))


def test_a_segnet_allows_no_mirror_images():
    from unet_segnet.models import build_model

    model = build_model("segnet", variant="released", input_shape=(16, 16, 1))
    model.mirror_axes = (1,)
    with pytest.raises(InputError, match="a SegNet's scores are cut off at 0"):
        mirrors_of(model, True)


@pytest.mark.parametrize(
    ("facts", "line"),
    [
        ({}, "does not say that it learnt from such"),
        ({"mirror_axes": ()}, "does not say that it learnt from such"),
        (
            {"mirror_axes": (1,), "class_names": ("none", "lesion, Left lung", "copyright")},
            "Left lung tells sides apart",
        ),
    ],
)
def test_networks_that_allow_no_mirror_images_are_told(facts, line):
    with pytest.raises(InputError, match=line):
        mirrors_of(SimpleNamespace(**facts), True)
