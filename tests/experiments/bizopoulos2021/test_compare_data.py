"""The data of the second study: what each experiment sees, what is refused, and how much memory it takes."""

import gzip
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import nibabel
import numpy as np
import pytest
from PIL import Image

from experiments.bizopoulos2021.data import open_data, slice_counts, split_slices
from unet_segnet.errors import InputError

ROOT = Path(__file__).parents[3]


def test_the_three_experiments_see_what_they_should(volumes_data):
    data = open_data(str(volumes_data), 48)
    slices = data.read_slices()
    lung, _ = data.parts("lung")
    np.testing.assert_array_equal(lung.masks, slices.lungs[:8])
    np.testing.assert_allclose(lung.images, (slices.images[:8] + 500) / 500)
    _, lesion_a = data.parts("lesion_a")
    np.testing.assert_array_equal(lesion_a.masks, slices.labels[8:] > 0)
    np.testing.assert_allclose(lesion_a.images, (slices.images[8:] + 500) / 500)
    assert lesion_a.names == ("009", "010")
    for volume in data.volumes("lesion_b"):
        assert volume.images.shape == volume.masks.shape == (3, 48, 48)
        whole = next(other for other in data.volumes("lesion_a") if other.name == volume.name)
        lungs = next(other for other in data.volumes("lung") if other.name == volume.name).masks
        np.testing.assert_array_equal(volume.images, whole.images * lungs)
        np.testing.assert_array_equal(volume.masks, whole.masks)


def test_real_slices_without_hounsfield_units(ct20_data):
    data = open_data(str(ct20_data), 256)
    description = data.describe()
    assert (description["units"], description["normalise"]) == ("8-bit", "minmax")
    train, validation = data.parts("lung")
    assert (len(train.names), len(validation.names)) == (80, 20)
    assert (train.images.min(), train.images.max()) == (0, 1)
    assert slice_counts(str(ct20_data)) == (100, 301)
    with pytest.raises(InputError, match="not Hounsfield units: use --normalise minmax"):
        open_data(str(ct20_data), 64, "hu").describe()


@pytest.fixture
def lungs_alone(tmp_path):
    """Ten slices as a PNG tree, black outside the lungs, with four classes."""
    folder = tmp_path / "alone"
    rng = np.random.default_rng(0)
    for number in range(1, 11):
        image, label = np.zeros((2, 32, 32), np.uint8)
        image[8:24, 8:24] = rng.integers(20, 200, (16, 16))
        label[10:14, 10:14] = 1 + number % 3
        for name, array in ((f"im/256/i{number:03}", image), (f"mask/multi/256/tr_mask_z{number:03}", label * 85)):
            path = folder / "dataset" / f"{name}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(array).save(path)
    return folder


def test_volumes_of_another_data_set_test(volumes_data, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(volumes_data, other)
    for path in other.glob("tr_*"):
        path.unlink()
    alone, both = open_data(str(volumes_data), 48), open_data(str(volumes_data), 48, test=str(other))
    for one, two in zip(alone.volumes("lesion_b"), both.volumes("lesion_b"), strict=True):
        np.testing.assert_array_equal(one.images, two.images)
    without, with_test = alone.describe(), both.describe()
    assert "test" not in without
    assert with_test["test"]["name"] == "other"
    (other / "rp_im" / "2.nii.gz").unlink()
    shutil.copy(other / "rp_im" / "1.nii.gz", other / "rp_im" / "2.nii.gz")
    changed = open_data(str(volumes_data), 48, test=str(other)).describe()
    assert changed["test"]["sha256"] != with_test["test"]["sha256"]
    assert changed["sha256"] == with_test["sha256"] != without["sha256"]
    assert slice_counts(str(volumes_data), str(other)) == slice_counts(str(volumes_data))
    (other / "rp_msk" / "2.nii.gz").unlink()
    with pytest.raises(InputError, match=r"other lacks rp_msk/2\.nii\.gz"):
        open_data(str(volumes_data), 48, test=str(other))
    with pytest.raises(InputError, match=r"lacks tr_im\.nii\.gz.*--test"):
        open_data(str(other), 48)
    with pytest.raises(InputError, match="the phantom goes with itself alone"):
        open_data("phantom", 32, test=str(volumes_data))


def test_slices_of_the_lungs_alone_are_for_lesion_b(lungs_alone, volumes_data):
    """Volumes are cut out as they are, in the window that their grey levels stand for, and then scaled likewise."""
    data = open_data(str(lungs_alone), 32, test=str(volumes_data))
    data.check_experiments(["lesion_b"])
    with pytest.raises(InputError, match=r"alone: its slices show the lungs alone, .* not lung"):
        data.check_experiments(["lung", "lesion_b"])
    train, validation = data.parts("lesion_b")
    assert len(train.names) == 8 and len(validation.names) == 2
    assert train.images[0].max() == 1 and train.images[0][0, 0] == 0
    assert train.masks.sum() == 8 * 16
    assert slice_counts(str(lungs_alone), str(volumes_data)) == (10, 6)
    data = open_data(str(lungs_alone), 48, test=str(volumes_data))  # the volumes' own size
    for volume, source in zip(data.volumes("lesion_b"), ("1", "2"), strict=True):
        hu, lungs = (
            np.moveaxis(np.asarray(nibabel.load(volumes_data / kind / f"{source}.nii.gz").dataobj), 2, 0)
            for kind in ("rp_im", "rp_lung_msk")
        )
        grey = np.where(lungs > 0, np.minimum(np.maximum(hu, -1100.0), 400.0) + 1100, 0)
        expected = grey / grey.max(axis=(1, 2), keepdims=True)
        np.testing.assert_allclose(volume.images, expected, atol=1e-6)
    with pytest.raises(InputError, match="lacks tr_im"):
        open_data(str(lungs_alone), 32)


def test_nine_volumes_of_the_article_test_networks_trained_on_ct20(ct20_data):
    root = ct20_data.parent
    if not (root / "medseg9").is_dir():
        pytest.skip("no medseg9")
    assert slice_counts(str(ct20_data), str(root / "medseg9")) == (100, 516)
    assert slice_counts(str(root / "COVID19-DL"), str(root / "medseg9")) == (100, 516)


def test_a_changed_file_changes_the_hash(volumes_data, tmp_path):
    copy = tmp_path / "tiny"
    shutil.copytree(volumes_data, copy)
    hashes = [open_data(str(folder), 32).describe()["sha256"] for folder in (volumes_data, copy)]
    shutil.copy(copy / "rp_msk" / "1.nii.gz", copy / "rp_msk" / "2.nii.gz")
    hashes.append(open_data(str(copy), 32).describe()["sha256"])
    assert hashes[0] == hashes[1] != hashes[2]


def test_the_first_four_fifths_train():
    train, validation = split_slices(100)
    assert (train.tolist(), validation.tolist()) == (list(range(80)), list(range(80, 100)))


def test_the_phantom_is_drawn_once(tmp_path):
    data = open_data("phantom", 32, out=tmp_path)
    assert slice_counts("phantom") == (len(data.facts.names), sum(len(volume.names) for volume in data.volumes("lung")))
    written = (data.folder / "tr_im.nii.gz").stat().st_mtime_ns
    again = open_data("phantom", 32, out=tmp_path)
    assert (again.folder / "tr_im.nii.gz").stat().st_mtime_ns == written


@pytest.mark.parametrize("missing", ["rp_msk/2.nii.gz", "tr_lungmasks_updated.nii.gz"])
def test_a_missing_file_is_told_before_training(volumes_data, tmp_path, missing):
    copy = tmp_path / "copy"
    shutil.copytree(volumes_data, copy)
    (copy / missing).unlink()
    with pytest.raises(InputError, match=f"lacks {missing}"):
        open_data(str(copy), 32)


def test_a_damaged_volume_is_told_before_training(volumes_data, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(volumes_data, copy)
    path = copy / "rp_im" / "2.nii.gz"
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(InputError, match=r"2\.nii\.gz"):
        open_data(str(copy), 32).check()


def test_slices_are_counted_by_headers_that_are_believed_in_nothing(volumes_data, tmp_path):
    volumes = sorted((volumes_data / "rp_im").iterdir())
    expected = (
        nibabel.load(volumes_data / "tr_im.nii.gz").shape[2],
        sum(nibabel.load(path).shape[2] for path in volumes),
    )
    assert slice_counts(str(volumes_data)) == expected
    copy = tmp_path / "copy"
    shutil.copytree(volumes_data, copy)
    content = bytearray(gzip.decompress((copy / "rp_im/2.nii.gz").read_bytes()))
    content[108:112] = struct.pack("<f", 2.0**31)  # where the values begin; what lies before would be read
    (copy / "rp_im/2.nii.gz").write_bytes(gzip.compress(content))
    with pytest.raises(InputError, match=r"2\.nii\.gz claims that its values begin at byte 2\.14748e\+09"):
        slice_counts(str(copy))


STREAMED = """
import sys
from pathlib import Path
from experiments.bizopoulos2021.data import open_data
data = open_data(sys.argv[1], 512)
data.parts("lesion_b")
slices = sum(len(volume.names) for volume in data.volumes("lesion_b"))
status = Path("/proc/self/status").read_text().splitlines()  # getrusage counts what the parent had as well
print(slices, next(line.split()[1] for line in status if line.startswith("VmHWM")))
"""


@pytest.mark.slow
def test_nine_volumes_of_the_true_size_are_streamed(tmp_path):
    """100 slices of 512x512 and 829 of 630x630, by which the whole would take 4 GB."""
    from unet_segnet.data.nifti import write_volume

    def write(names, num_slices, size):
        rows, columns = np.mgrid[:size, :size]
        lungs = ((rows - size / 2) ** 2 + (columns - size / 2) ** 2 < (size / 3) ** 2).astype(np.uint8)
        image = np.where(lungs > 0, -800, 40).astype(np.int16)
        for name, array in zip(names, (image, lungs, lungs), strict=True):
            path = tmp_path / f"{name}.nii.gz"
            path.parent.mkdir(exist_ok=True)
            write_volume(path, np.repeat(array[None], num_slices, axis=0))

    write(("tr_im", "tr_mask", "tr_lungmasks_updated"), 100, 512)
    for number in range(1, 10):
        write((f"rp_im/{number}", f"rp_msk/{number}", f"rp_lung_msk/{number}"), 93 if number == 9 else 92, 630)
    result = subprocess.run(
        [sys.executable, "-c", STREAMED, str(tmp_path)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    slices, peak = map(int, result.stdout.split())
    assert slices == 829
    assert peak < 1.5 * 2**20  # KiB; a network in training takes as much again
