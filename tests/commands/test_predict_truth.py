"""True labels of a scan: what their values mean, before anything is segmented, and what is compared."""

import nibabel
import numpy as np
import pytest

from unet_segnet.cohort.classes import Classes
from unet_segnet.commands.predict_truth import compare_with, read_truth
from unet_segnet.data.phantom import phantom_slices
from unet_segnet.data.slices import BINARY_NAMES, MULTICLASS_NAMES
from unet_segnet.errors import InputError
from unet_segnet.inference.segmentation import prepare, segment

AFFINE = np.diag([-0.7, -0.7, 5.0, 1.0])
LESION = (slice(2, 4), slice(20, 24), slice(30, 35))  # 40 voxels


@pytest.fixture(scope="module")
def phantom():
    return phantom_slices(6, seed=3, size=64)


@pytest.fixture(scope="module")
def prepared(phantom, tmp_path_factory):
    """A scan with given lungs, as `predict` has it before inference."""
    folder = tmp_path_factory.mktemp("scan")
    save(folder / "ct.nii.gz", phantom.images.astype(np.int16))
    save(folder / "lungs.nii.gz", phantom.lungs.astype(np.uint8))
    return prepare(folder / "ct.nii.gz", folder / "lungs.nii.gz")


def save(path, slices):
    nibabel.save(nibabel.Nifti1Image(np.moveaxis(slices, 0, 2), AFFINE), path)
    return path


def marked(phantom, **values):
    """Labels: 0, and what is given of `left` and `right` lung and of a `lesion`."""
    labels = np.zeros(phantom.images.shape, np.uint8)
    middle = labels.shape[1] // 2
    for name, half in (("right", slice(0, middle)), ("left", slice(middle, None))):
        labels[:, half][phantom.lungs[:, half]] = values.get(name, 0)
    labels[LESION] = values["lesion"]
    return labels


class Marks:
    """A network of `names` that calls everything the class `index`; it takes slices of 64 x 64."""

    def __init__(self, names, index):
        self.class_names, self.index = names, index
        self.input_shape, self.output_shape = (None, 64, 64, 1), (None, 64, 64, len(names))

    def predict_on_batch(self, grey):
        return np.broadcast_to(
            np.eye(len(self.class_names), dtype=np.float32)[self.index], (*grey.shape[:3], len(self.class_names))
        )


@pytest.mark.parametrize(("names", "value"), [(BINARY_NAMES, 1), (BINARY_NAMES, 255), (MULTICLASS_NAMES, 255)])
def test_one_value_is_infected_or_not(phantom, prepared, tmp_path, names, value):
    """Whichever it is, and whatever the network tells apart; 255 stands for effusion in the released masks."""
    truth = read_truth(save(tmp_path / "t.nii.gz", marked(phantom, lesion=value)), prepared, names)
    assert truth.pairing.names == BINARY_NAMES and truth.labels.sum() == 40 and truth.labels[LESION].all()
    comparison = compare_with(truth, segment(prepared, Marks(names, len(names) - 1)))
    assert comparison.scan.dice[-1] == pytest.approx(2 * 40 / (40 + truth.labels.size))
    if len(names) > 2:
        assert any("infected or not" in note for note in truth.notes)
        shown, shown_names = truth.shown(names)
        assert shown_names == (*names, "infected (truth)") and set(np.unique(shown)) == {0, 4}


def test_lungs_in_the_labels_are_no_lesions(phantom, prepared, tmp_path):
    """Zenodo 3757476: 1 left lung, 2 right lung, 3 infection."""
    truth = read_truth(save(tmp_path / "t.nii.gz", marked(phantom, left=1, right=2, lesion=3)), prepared, BINARY_NAMES)
    assert truth.labels.sum() == 40 and any("lungs" in note for note in truth.notes)


@pytest.mark.parametrize("step", [1, 85])
def test_the_studys_classes_by_number_and_by_grey_level(phantom, prepared, tmp_path, step):
    labels = marked(phantom, lesion=step)
    labels[0, 0, 0], labels[0, 0, 1] = 2 * step, 3 * step
    truth = read_truth(save(tmp_path / "t.nii.gz", labels), prepared, MULTICLASS_NAMES)
    np.testing.assert_array_equal(truth.labels, labels // step)
    labels[0, 0, 1] = 0  # no effusion in this patient
    truth = read_truth(save(tmp_path / "t.nii.gz", labels), prepared, MULTICLASS_NAMES)
    np.testing.assert_array_equal(truth.labels, labels // step)


def test_values_mean_what_the_user_or_the_network_says(phantom, prepared, tmp_path):
    labels = marked(phantom, lesion=2)
    labels[0, 0, 0] = 1
    path = save(tmp_path / "t.nii.gz", labels)
    order = Classes(MULTICLASS_NAMES, {0: 0, 2: 1, 1: 2, 7: 3})
    truth = read_truth(path, prepared, MULTICLASS_NAMES, order)
    assert truth.labels[LESION].min() == 1 and truth.labels[0, 0, 0] == 2
    truth = read_truth(path, prepared, BINARY_NAMES, Classes(("nothing", "lesion"), {0: 0, 1: 0, 2: 1}))
    assert truth.labels.sum() == 40
    labels[0, 0, 0] = 3
    with pytest.raises(InputError, match=r"t\.nii\.gz: has unknown values \(3\)"):
        read_truth(save(tmp_path / "t.nii.gz", labels), prepared, MULTICLASS_NAMES, order)


def test_a_single_value_that_was_no_lesion_to_the_network_is_asked_about(phantom, prepared, tmp_path):
    """It learnt from labels with lungs (1, 2) and infection (3); these mark lesions alone, as 1."""
    learnt = Classes(BINARY_NAMES, {0: 0, 1: 0, 2: 0, 3: 1})
    lesions = save(tmp_path / "t.nii.gz", marked(phantom, lesion=1))
    with pytest.raises(InputError, match=r"t\.nii\.gz: marks 1 alone, which is no lesion .*--classes"):
        read_truth(lesions, prepared, BINARY_NAMES, learnt, of_network=True)
    assert not read_truth(lesions, prepared, BINARY_NAMES, learnt).labels.any()  # the user said so
    healthy = save(tmp_path / "h.nii.gz", marked(phantom, left=1, right=2, lesion=1))
    assert not read_truth(healthy, prepared, BINARY_NAMES, learnt, of_network=True).labels.any()


def test_values_that_nobody_knows_are_asked_for(phantom, prepared, tmp_path):
    labels = marked(phantom, lesion=5)
    labels[0, 0, 0] = 9
    with pytest.raises(InputError, match=r"t\.nii\.gz: .*classes\.csv"):
        read_truth(save(tmp_path / "t.nii.gz", labels), prepared, BINARY_NAMES)


def test_a_truth_without_lesions_is_one(phantom, prepared, tmp_path):
    truth = read_truth(save(tmp_path / "t.nii.gz", np.zeros(phantom.images.shape, np.uint8)), prepared, BINARY_NAMES)
    assert not truth.labels.any()
    comparison = compare_with(truth, segment(prepared, Marks(BINARY_NAMES, 1)))
    assert comparison.scan.dice[-1] == 0


def test_another_grid_is_refused(phantom, prepared, tmp_path):
    with pytest.raises(InputError, match=r"t\.nii\.gz is 64x64x5, the scan is 64x64x6"):
        read_truth(save(tmp_path / "t.nii.gz", marked(phantom, lesion=1)[1:]), prepared, BINARY_NAMES)
