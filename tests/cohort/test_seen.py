"""Slices that a network was trained on are known again: by their pixels, and MedSeg's by their lesions."""

import numpy as np
import pytest
from own_data import write_cohort

from unet_segnet.cohort.domain import released_lesion_shares, released_marks
from unet_segnet.cohort.load import load_cohort
from unet_segnet.cohort.seen import seen_slices, slice_marks, training_marks
from unet_segnet.data import load_slices, paper_split
from unet_segnet.data.catalogue import RELEASED


@pytest.fixture
def volumes(tmp_path):
    return load_cohort(write_cohort(tmp_path / "volumes", 3, size=64), size=32)


def test_slices_are_known_by_every_pixel(volumes):
    images = volumes.slices.images
    facts = {"data": "elsewhere", "slices": slice_marks(images[[1, 5]])}
    assert seen_slices(facts, volumes) == [1, 5]
    other = images[[1, 5]].copy()
    other[0, 0, 0] ^= 1
    assert seen_slices({"slices": slice_marks(other)}, volumes) == [5]
    assert seen_slices({"data": "elsewhere"}, volumes) == seen_slices({}, volumes) == []


def test_networks_of_the_released_slices_that_say_no_more_were_trained_on_72():
    marks = training_marks({"data": RELEASED})
    assert marks == [released_marks()[index] for index in paper_split().train] and len(set(marks)) == 72
    assert training_marks({"data": RELEASED, "slices": ["a"]}) == ["a"]


def test_the_committed_marks_are_those_of_the_released_slices(real_data):
    cohort = load_cohort(real_data)
    images = load_slices(str(real_data)).images  # as grid and kfold read them
    assert slice_marks(images) == slice_marks(cohort.slices.images) == released_marks()
    shares = (cohort.slices.labels > 0).mean(axis=(1, 2))
    np.testing.assert_allclose(released_lesion_shares(), shares, atol=1e-6)
    assert seen_slices({"data": RELEASED}, cohort) == sorted(paper_split().train.tolist())
    fold = released_marks()[:70]
    assert seen_slices({"data": RELEASED, "slices": fold}, cohort) == list(range(70))


@pytest.mark.slow
def test_medsegs_slices_are_known_by_their_lesions(real_data, tmp_path):
    """The masks as MedSeg has them, 512 x 512; whatever stands for the images."""
    import nibabel

    masks = nibabel.load(real_data / "dataset" / "raw" / "tr_mask.nii.gz")
    labels = np.asarray(masks.dataobj).astype(np.uint8)
    lungs = np.ones_like(labels)
    lungs[0, 0] = 0  # a mask of everything is refused
    for name, array in (
        ("tr_im", np.where(labels > 0, -100, -700).astype(np.int16)),
        ("tr_mask", labels),
        ("tr_lungmasks_updated", lungs),
    ):
        nibabel.save(nibabel.Nifti1Image(array, masks.affine), tmp_path / f"{name}.nii.gz")
    cohort = load_cohort(tmp_path, lungs="none")
    assert seen_slices({"data": RELEASED}, cohort) == sorted(paper_split().train.tolist())
    assert seen_slices({"data": "elsewhere", "slices": ["0"]}, cohort) == []


def test_another_hundred_slices_are_not_taken_for_them(ct20_data):
    cohort = load_cohort(ct20_data)
    assert len(cohort) == 100 and seen_slices({"data": RELEASED}, cohort) == []
