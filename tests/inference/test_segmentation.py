"""From a scan to labels and figures: the same from every format and from every orientation, in place."""

import contextlib
import itertools
import shutil

import nibabel
import nibabel.orientations as nio
import numpy as np
import pytest
from PIL import Image
from scan_files import SPACING, network_affine, save_dicom, save_nifti
from stand_ins import Bright

from unet_segnet.data.phantom import phantom_slices
from unet_segnet.data.preprocess import window_to_8bit
from unet_segnet.errors import InputError
from unet_segnet.inference.segmentation import segment
from unet_segnet.scans import lay_on, read_scan


@pytest.mark.parametrize(
    ("shape", "said"),
    [
        ((None, 48, 48, 3), "48x48x3"),
        ((None, 48, 64, 1), "48x64x1"),
        ((None, None, None, 1), "NonexNonex1"),
        ([(None, 48, 48, 1)] * 2, "several at once"),
        ((None, 60000, 60000, 1), "60000x60000x1"),
    ],
)
def test_networks_that_take_no_square_grey_slices_are_refused(files, shape, said):
    other = Bright()
    other.input_shape = shape
    with pytest.raises(InputError, match=f"the network takes {said}; expected square slices of one grey channel"):
        segment(files / "case.nii.gz", other)


@pytest.fixture(scope="module")
def phantom():
    return phantom_slices(6, seed=1, size=48)


@pytest.fixture(scope="module")
def files(phantom, tmp_path_factory):
    """One patient as NIfTI, DICOM and pictures, each with its lung mask."""
    folder = tmp_path_factory.mktemp("patient")
    affine = network_affine()
    upright = phantom.images.transpose(0, 2, 1)
    lungs = phantom.lungs.transpose(0, 2, 1).astype(np.uint8)
    save_nifti(folder / "case.nii.gz", np.moveaxis(phantom.images, 0, 2).astype(np.int16), affine)
    save_nifti(folder / "case_lungs.nii.gz", np.moveaxis(phantom.lungs, 0, 2).astype(np.uint8), affine)
    save_dicom(folder / "series", np.rint(upright), affine[:, [1, 0, 2, 3]])
    for name in ("pictures", "masks"):
        (folder / name).mkdir()
    for number, (image, mask) in enumerate(zip(window_to_8bit(np.rint(upright)), lungs, strict=True)):
        Image.fromarray(image).save(folder / f"pictures/{number}.png")
        Image.fromarray(mask * 255).save(folder / f"masks/{number}.png")
    save_nifti(folder / "upright_lungs.nii.gz", np.moveaxis(lungs, 0, 2), affine[:, [1, 0, 2, 3]])
    return folder


def test_three_formats_give_the_same_labels_and_volumes(files):
    cases = (("case.nii.gz", "case_lungs.nii.gz"), ("series", "upright_lungs.nii.gz"), ("pictures", "masks"))
    results = [segment(files / scan, Bright(), files / lungs, batch_size=4) for scan, lungs in cases]
    assert results[0].labels.any()
    for result in results[1:]:
        np.testing.assert_array_equal(result.labels, results[0].labels)
        np.testing.assert_array_equal(result.lungs, results[0].lungs)
    voxel_ml = np.prod(SPACING) / 1000
    for result in results[:2]:
        whole = result.severity.involvement(region="whole scan")
        assert whole.volume_ml == pytest.approx(result.labels.sum() * voxel_ml, rel=1e-6)
    assert np.isnan(results[2].severity.involvement().volume_ml)


def test_turned_and_mirrored_scans_give_the_same_labels_in_the_same_place(files, tmp_path):
    image, mask = (nibabel.load(files / name) for name in ("case.nii.gz", "case_lungs.nii.gz"))
    expected = segment(files / "case.nii.gz", Bright(), files / "case_lungs.nii.gz")
    points = np.argwhere(expected.array() > 0)
    world = np.sort(nibabel.affines.apply_affine(image.affine, points).round(3), axis=0)
    turns = list(itertools.product(itertools.permutations(range(3)), itertools.product((1, -1), repeat=3)))
    for number, (axes, flips) in enumerate(turns[5::9]):
        turn = np.array(list(zip(axes, flips, strict=True)))
        paths = []
        for name, source in (("image", image), ("mask", mask)):
            array = np.asarray(source.dataobj)
            affine = source.affine @ nio.inv_ornt_aff(turn, array.shape)
            path = tmp_path / f"{name}{number}.nii.gz"
            paths.append(save_nifti(path, nio.apply_orientation(array, turn), affine))
        result = segment(paths[0], Bright(), paths[1])
        np.testing.assert_array_equal(result.labels, expected.labels)
        found = nibabel.affines.apply_affine(nibabel.load(paths[0]).affine, np.argwhere(result.array() > 0))
        np.testing.assert_allclose(np.sort(found.round(3), axis=0), world, atol=2e-3)


def test_lungs_are_found_named_or_left_out(files, tmp_path):
    for name in ("case.nii.gz", "case_lungs.nii.gz"):  # as large as a chest: lengths in mm matter here
        image = nibabel.load(files / name)
        save_nifti(tmp_path / name, np.asarray(image.dataobj), image.affine @ np.diag([9.0, 10.0, 1.0, 1.0]))
    files = tmp_path
    found = segment(files / "case.nii.gz", Bright())
    given = segment(files / "case.nii.gz", Bright(), files / "case_lungs.nii.gz")
    overlap = 2 * ((found.lungs > 0) & (given.lungs > 0)).sum() / ((found.lungs > 0).sum() + (given.lungs > 0).sum())
    assert overlap > 0.9
    assert "lungs: found by Hounsfield units and a network" in found.notes
    whole = segment(files / "case.nii.gz", Bright(), "none")
    assert whole.lungs is None and whole.labels.sum() > 2 * given.labels.sum()  # the chest wall is bright too


def test_a_network_sees_the_part_of_slices_that_it_learnt_from(files):
    network = Bright()
    network.learnt_from = "whole slices"
    whole, given = (segment(files / "case.nii.gz", network, lungs) for lungs in ("none", files / "case_lungs.nii.gz"))
    np.testing.assert_array_equal(given.labels, whole.labels)
    (warning,) = [note for note in given.notes if note.startswith("WARNING")]
    assert "the lungs count in the figures alone" in warning and given.lungs.any()
    assert not any(note.startswith("WARNING") for note in whole.notes)
    network.learnt_from = "lungs alone"
    warning = "the network learnt from lungs alone, this scan shows whole slices"
    assert any(warning in note for note in segment(files / "case.nii.gz", network, "none").notes)
    given = segment(files / "case.nii.gz", network, files / "case_lungs.nii.gz")
    assert not any(note.startswith("WARNING") for note in given.notes)


def test_lungs_of_8_bit_slices_are_found_by_the_network(files):
    found, given = (
        segment(files / "pictures", Bright(), lungs, orientation="upright") for lungs in ("auto", files / "masks")
    )
    overlap = 2 * ((found.lungs > 0) & (given.lungs > 0)).sum() / ((found.lungs > 0).sum() + (given.lungs > 0).sum())
    assert overlap > 0.9
    assert any(note.startswith("lungs: found by a network, grey levels taken for") for note in found.notes)


class Dense:
    """Calls what is denser than healthy lung infected, by levels that refer to the lungs."""

    takes, threshold = "lung levels", 0.6
    input_shape, output_shape = (None, 48, 48, 1), (None, 48, 48, 2)

    def predict_on_batch(self, levels):
        assert levels.dtype == np.float32 and levels.min() >= 0 and levels.max() <= 1.5
        infected = np.clip(levels[..., 0], 0, 1)
        return np.stack([1 - infected, infected], axis=-1)


def test_a_network_that_refers_grey_levels_to_the_lungs(files, tmp_path):
    image, lungs = nibabel.load(files / "case.nii.gz"), files / "case_lungs.nii.gz"
    result = segment(files / "case.nii.gz", Dense(), lungs, batch_size=4, probabilities=True)
    assert result.labels.any() and not (result.labels.astype(bool) & (result.lungs == 0)).any()
    assert (result.probabilities[result.lungs == 0] == (1, 0)).all()  # where the network saw nothing
    np.testing.assert_array_equal(
        result.labels > 0, (result.probabilities[..., 1] > np.float16(0.6)) & (result.lungs > 0)
    )
    assert any(note.startswith("grey levels: referred") for note in result.notes)
    assert "labels: infected where its probability is above 0.6" in result.notes
    # Another scale of the same scan, which a window would not survive.
    save_nifti(tmp_path / "case.nii.gz", np.asarray(image.dataobj) // 2 - 300, image.affine)
    other = segment(tmp_path / "case.nii.gz", Dense(), lungs, batch_size=1)
    assert (other.labels != result.labels).mean() < 0.01


def test_lungs_that_are_not_known_and_networks_that_find_them_are_told(files):
    with pytest.raises(InputError, match="refers grey levels to the lungs, which `lungs` none leaves unknown"):
        segment(files / "case.nii.gz", Dense(), "none")
    other = Dense()
    other.takes = "slices cropped to the body"
    with pytest.raises(InputError, match="finds lungs, not lesions"):
        segment(files / "case.nii.gz", other, files / "case_lungs.nii.gz")


@pytest.fixture
def lung_network(tmp_path):
    """A file with a network that takes what is darker than about -600 HU for lung."""
    import keras

    from unet_segnet.networks.save import save_network

    inputs = keras.Input((48, 48, 1))
    scores = keras.layers.Conv2D(2, 1, name="scores")(inputs)
    network = keras.Model(inputs, keras.layers.Softmax()(scores))
    network.get_layer("scores").set_weights([np.array([[[[0.0, -40.0]]]]), np.array([0.0, 20.0])])
    path = tmp_path / "lungs.keras"
    save_network(network, path, {"takes": "slices cropped to the body", "threshold": 0.4, "window": [-1350.0, 150.0]})
    return path


@pytest.mark.parametrize("kind", ["HU", "8-bit"])
def test_lungs_are_found_by_a_network(lung_network, tmp_path, kind):
    truth = np.zeros((48, 40, 4), np.uint8)  # rows from right to left, columns to the back, slices to the head
    truth[6:18, 10:30], truth[30:44, 10:30] = 2, 1
    values = np.where(truth, -850, 40)
    values[22:24, 14:16, 1] = -900  # a pocket of air: too small for a lung
    if kind == "8-bit":
        values = np.clip((values + 1350) / 1500 * 255, 0, 255)
    save_nifti(tmp_path / "case.nii.gz", values.astype(np.int16 if kind == "HU" else np.uint8), network_affine())
    result = segment(tmp_path / "case.nii.gz", Dense(), lung_network)
    assert (result.lungs != np.moveaxis(truth, 2, 0)).mean() < 0.01
    assert "lungs: found by the network lungs.keras" in result.notes


def test_a_network_that_finds_no_lungs_is_told(lung_network, files, tmp_path):
    from unet_segnet.networks.load import WEIGHTS

    with pytest.raises(InputError, match="does not find lungs"):
        segment(files / "case.nii.gz", Dense(), WEIGHTS / "binary.keras")
    values = np.full((48, 48, 3), 40, np.int16)
    values[0] = -500
    save_nifti(tmp_path / "empty.nii.gz", values, network_affine())
    with pytest.raises(InputError, match=r"empty\.nii\.gz: the network found no lung"):
        segment(tmp_path / "empty.nii.gz", Dense(), lung_network)


def test_probabilities_and_progress(files):
    seen = []
    result = segment(
        files / "case.nii.gz",
        Bright(),
        files / "case_lungs.nii.gz",
        batch_size=4,
        probabilities=True,
        report=lambda done, total: seen.append((done, total)),
    )
    assert seen == [(4, 6), (6, 6)]
    maps = result.maps()
    assert maps.dtype == np.float32 and maps.shape == (*result.scan.array.shape, 2)
    np.testing.assert_array_equal(maps.argmax(axis=-1), result.array())


@pytest.mark.parametrize(
    ("lungs", "message"),
    [
        ("small.nii.gz", "is 4x4x4, the scan is 48x48x6"),
        ("empty.nii.gz", "marks no lung"),
        ("full.nii.gz", "marks every voxel as lung; expected 0 outside"),  # 1 and 2 in place of 0 and 1
        ("elsewhere.nii.gz", r"elsewhere\.nii\.gz: lies up to 300\.0 mm away"),
        ("stretched.nii.gz", "mm away from the scan, or along other axes"),
        ("case.nii.gz", r"case\.nii\.gz: expected a mask of whole numbers 0 to 255, not Hounsfield units"),
        ("lossy", "lossy: has [0-9]+ different values; expected a mask, of at most 16"),
    ],
)
def test_masks_that_do_not_fit_are_one_line(files, tmp_path, lungs, message):
    save_nifti(tmp_path / "small.nii.gz", np.ones((4, 4, 4), np.uint8), np.eye(4))
    for name, value in (("empty", 0), ("full", 1)):
        save_nifti(tmp_path / f"{name}.nii.gz", np.full((48, 48, 6), value, np.uint8), np.eye(4))
    elsewhere = network_affine()
    elsewhere[0, 3] += 300
    save_nifti(tmp_path / "elsewhere.nii.gz", np.ones((48, 48, 6), np.uint8), elsewhere)
    stretched = network_affine() @ np.diag([2.0, 1, 1, 1])
    save_nifti(tmp_path / "stretched.nii.gz", np.ones((48, 48, 6), np.uint8), stretched)
    (tmp_path / "case.nii.gz").symlink_to(files / "case.nii.gz")
    (tmp_path / "lossy").mkdir()
    for path in (files / "masks").iterdir():
        Image.open(path).save(tmp_path / "lossy" / f"{path.stem}.jpg")
    with pytest.raises(InputError, match=message):
        segment(files / "case.nii.gz", Bright(), tmp_path / lungs)


@pytest.mark.parametrize(
    ("scan", "names", "fits"),
    [
        ("pictures", [0, 1, 2, 3, 4, 5], True),
        ("pictures", [f"mask_{number}" for number in range(1, 7)], True),  # counted from 1
        ("pictures", list("abcdef"), True),  # which tell nothing
        ("pictures", [0, 1, 2, 3, 4, 6], False),
        ("pictures", ["mask0", "mask1", "mask3", "mask4", "mask5", "mask6"], False),
        ("series", [f"mask{number}" for number in range(6)], False),  # its numbers rise towards the feet
    ],
)
def test_pictures_of_other_slices_are_no_mask(files, tmp_path, scan, names, fits):
    for number, name in enumerate(names):
        shutil.copy(files / f"masks/{number}.png", tmp_path / f"{name}.png")
    context = contextlib.nullcontext() if fits else pytest.raises(InputError, match="are not those of the scan in")
    with context:
        lay_on(read_scan(files / scan), read_scan(tmp_path))


def test_a_soft_tissue_window_shows_no_lungs_alone(tmp_path):
    body = window_to_8bit(phantom_slices(3, seed=1, size=96).images, (-160, 240))
    for number, image in enumerate(body):
        Image.fromarray(np.ascontiguousarray(image.T)).save(tmp_path / f"{number}.png")
    with pytest.raises(InputError, match="most of the lungs is black, as in a window for soft tissue"):
        segment(tmp_path, Bright())


def test_lungs_at_the_edge_are_noted(tmp_path):
    images = phantom_slices(4, seed=1, size=96).images.astype(np.int16)
    affine = network_affine((0, 0, 0)) @ np.diag([10.0, 10.0, 1.0, 1.0])
    whole = save_nifti(tmp_path / "whole.nii.gz", np.moveaxis(images, 0, 2), affine)
    assert not any("edge" in note for note in segment(whole, Bright()).notes)
    first = np.flatnonzero(segment(whole, Bright()).lungs.any(axis=(0, 2)))[0]
    cut = save_nifti(tmp_path / "cut.nii.gz", np.moveaxis(images[:, first + 12 :], 0, 2), affine)
    assert "lungs: cut off by the picture's edge and left out there, in 4 of 4 slices" in segment(cut, Bright()).notes


def test_thirds_have_no_direction_that_nobody_knows(tmp_path, phantom):
    array = np.moveaxis(phantom.images.astype(np.int16), 0, 2)
    unknown = save_nifti(tmp_path / "unknown.nii.gz", array, np.eye(4))
    known = segment(unknown, Bright(), "none", orientation="LPS").severity.rows()[0]
    assert "share_upper_third" in known
    assumed = segment(unknown, Bright(), "none").severity.rows()[0]
    assert "share_first_third" in assumed and "share_upper_third" not in assumed


def test_where_no_lung_can_be_found_is_one_line(files, tmp_path):
    save_nifti(tmp_path / "water.nii.gz", np.full((48, 48, 3), -300, np.int16), network_affine())
    with pytest.raises(InputError, match=r"water\.nii\.gz: no lung was found"):
        segment(tmp_path / "water.nii.gz", Bright())
    Image.fromarray(np.full((48, 48), 90, np.uint8)).save(tmp_path / "grey.png")
    with pytest.raises(InputError, match=r"grey\.png: the network found no lung"):
        segment(tmp_path / "grey.png", Bright(), orientation="upright")
    with pytest.raises(InputError, match="expected 2"):
        three = Bright()
        three.output_shape = (None, 48, 48, 3)
        segment(files / "case.nii.gz", three)


def test_a_mask_is_no_scan_and_a_window_not_ignored(files, tmp_path):
    for number, values in enumerate(([0, 1, 5], [0, 255])):
        mask = np.resize(np.array(values, np.uint8), (48, 48, 3))
        save_nifti(tmp_path / f"{number}.nii.gz", mask, network_affine())
        with pytest.raises(InputError, match=rf"{number}\.nii\.gz: has the values of a mask; expected a scan"):
            segment(tmp_path / f"{number}.nii.gz", Bright(), "none")
    with pytest.raises(InputError, match="`window`: the network takes lung levels"):
        segment(files / "case.nii.gz", Dense(), files / "case_lungs.nii.gz", window=(-200, 0))


def test_a_network_that_gives_no_numbers_is_no_healthy_patient(files):
    class Broken(Bright):
        def predict_on_batch(self, grey):
            return np.full((len(grey), 48, 48, 2), np.nan, np.float32)

    with pytest.raises(InputError, match="probabilities that are no numbers"):
        segment(files / "case.nii.gz", Broken(), files / "case_lungs.nii.gz")


@pytest.mark.parametrize("shape", [(None, 4), (None, 48, 48, 48, 4), (None, 1, 1, 4), [(None, 48, 48, 2)] * 2])
def test_networks_that_give_no_class_of_each_pixel_are_refused(files, shape):
    other = Bright()
    other.output_shape = shape
    with pytest.raises(InputError, match=r"the network gives .*; expected 48x48 pixels"):
        segment(files / "case.nii.gz", other)


def test_a_scan_in_place_of_a_mask_or_of_the_truth_is_refused(tmp_path, phantom):
    """Else what is denser than water would count as lung, or as lesion."""
    from unet_segnet.commands.predict_truth import read_truth
    from unet_segnet.inference.segmentation import prepare

    scan = save_nifti(tmp_path / "scan.nii.gz", np.moveaxis(phantom.images.astype(np.int16), 0, 2), network_affine())
    with pytest.raises(InputError, match=r"scan\.nii\.gz: expected a mask of whole numbers 0 to 255, not Hounsfield"):
        segment(scan, Bright(), lungs=scan)
    with pytest.raises(InputError, match="is it a scan, or are images and masks exchanged"):
        read_truth(scan, prepare(scan, "none"), ("healthy", "infected"))


def test_mirror_images_are_averaged_in_place():
    from unet_segnet.inference.prediction import mirrored_mean

    class Gradual:
        """Its probability of infection grows with the row and the column, whatever the slice shows."""

        def predict_on_batch(self, images):
            rows, columns = np.mgrid[:4, :4] / 10
            infected = np.broadcast_to(rows + 2 * columns, images.shape[:3])
            return np.stack([1 - infected, infected + images[..., 0]], axis=-1)

    images = np.zeros((2, 4, 4), np.float32)
    images[1, 0, 3] = 1
    found = mirrored_mean(Gradual(), images)[..., 1]
    rows, columns = np.mgrid[:4, :4] / 10
    expected = (3 * (rows + 2 * columns) + (0.3 - 2 * rows) + 2 * (0.3 - 2 * columns)) / 3
    np.testing.assert_allclose(found[0], expected, atol=1e-6)
    np.testing.assert_allclose(found[1] - found[0], images[1], atol=1e-6)
