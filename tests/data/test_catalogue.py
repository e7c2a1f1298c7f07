"""Data sets by name, by path, and none at all."""

import sys
import types

import numpy as np
import pytest
from PIL import Image

from unet_segnet.data import Slices, load_slices
from unet_segnet.data.catalogue import data_root, find_data
from unet_segnet.data.nifti import write_volume
from unet_segnet.errors import InputError


@pytest.fixture
def root(tmp_path, monkeypatch):
    """A data root with COVID19-DL (8 bit, four classes) and medseg (HU, two classes), three slices each."""
    monkeypatch.setenv("UNET_SEGNET_DATA", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    labels = np.zeros((3, 16, 16), np.uint8)
    labels[:, 6:9, 6:9] = np.arange(1, 4)[:, None, None]
    tree = tmp_path / "COVID19-DL" / "dataset"
    (tree / "im/256").mkdir(parents=True)
    (tree / "mask/multi/256").mkdir(parents=True)
    for number, label in enumerate(labels, 1):
        Image.fromarray(np.full((16, 16), 90, np.uint8)).save(tree / f"im/256/i00{number}.png")
        Image.fromarray(label * np.uint8(85)).save(tree / f"mask/multi/256/tr_mask_z00{number}.png")
    medseg = tmp_path / "medseg"
    medseg.mkdir()
    write_volume(medseg / "tr_im.nii.gz", np.full((3, 32, 32), -741, np.int16))
    write_volume(medseg / "tr_mask.nii.gz", (labels.repeat(2, 1).repeat(2, 2) > 0).astype(np.uint8))
    lungs = np.zeros((3, 32, 32), np.uint8)
    lungs[:, 8:24] = 1
    write_volume(medseg / "tr_lungmasks_updated.nii.gz", lungs)
    return tmp_path


def test_a_point_is_the_folder_that_one_is_in(root, monkeypatch):
    monkeypatch.chdir(root / "medseg")
    assert find_data(".").resolve() == (root / "medseg").resolve()
    assert find_data("medseg") == root / "medseg"
    assert find_data("./").resolve() == (root / "medseg").resolve()
    assert find_data("../COVID19-DL").resolve() == (root / "COVID19-DL").resolve()
    with pytest.raises(InputError, match="no data set ''"):
        find_data("")
    (root / "medseg" / "inside").mkdir()
    assert find_data("medseg/inside") == root / "medseg" / "inside"


def test_default_is_the_release_then_medseg(root):
    assert find_data() == root / "COVID19-DL"
    assert load_slices(size=16).labels.max() == 3
    (root / "COVID19-DL").rename(root / "elsewhere")
    assert find_data() == root / "medseg"


def test_names_paths_and_what_the_folder_holds(root):
    by_name = load_slices("medseg", "binary", size=16)
    by_path = load_slices(str(root / "medseg"), "binary", size=16)
    assert by_name.sha256() == by_path.sha256()
    (root / "COVID19-DL").rename(root / "any name")
    assert len(load_slices("./any name", size=16)) == 3


def test_slices_are_ready_for_the_networks(root):
    slices = load_slices("medseg", "binary", size=16)
    assert (slices.images.dtype, slices.images.shape, slices.units) == (np.uint8, (3, 16, 16), "8-bit")
    assert slices.images[0, 8, 8] == 61 and slices.images[0, 0].max() == 0
    wide = load_slices("medseg", "binary", window=(-1000, 0), size=16)
    assert wide.images[0, 8, 8] == 66
    assert load_slices("medseg", "binary").images.shape == (3, 256, 256)


def test_problem_chooses_the_classes(root):
    assert load_slices(size=16).num_classes == 4
    binary = load_slices(problem="binary", size=16)
    assert binary.class_names == ("not infected", "infected") and binary.labels.max() == 1
    assert load_slices("medseg", None, size=16).num_classes == 2
    with pytest.raises(InputError, match="use `problem` binary"):
        load_slices("medseg", "multiclass")
    with pytest.raises(ValueError, match="ternary"):
        load_slices(problem="ternary")


def test_no_data_names_the_three_ways_out(tmp_path, monkeypatch):
    monkeypatch.setenv("UNET_SEGNET_DATA", str(tmp_path))
    for data in (None, "nowhere", str(tmp_path)):
        with pytest.raises(InputError) as error:
            load_slices(data)
        for way in ("unet-segnet data fetch", "the path of a data set", "unet-segnet data phantom"):
            assert way in str(error.value)
        assert "\n" not in str(error.value)


def test_volumes_alone_and_missing_masks_are_refused(root):
    only = root / "volumes"
    (only / "rp_im").mkdir(parents=True)
    write_volume(only / "rp_im" / "1.nii.gz", np.zeros((2, 8, 8), np.uint8))
    with pytest.raises(InputError, match="holds volumes"):
        load_slices("volumes")
    (root / "medseg" / "tr_mask.nii.gz").unlink()
    with pytest.raises(InputError, match="no masks"):
        load_slices("medseg")


def test_root_is_the_cache_folder_without_the_variable(monkeypatch):
    monkeypatch.delenv("UNET_SEGNET_DATA", raising=False)
    assert data_root().name == "unet_segnet"


def test_phantom_passes_through_the_same_preparation(monkeypatch):
    def phantom_slices(num_slices=2, seed=0, size=32):
        lungs = np.zeros((num_slices, size, size), bool)
        lungs[:, 8:24, 8:24] = True
        images = np.where(lungs, np.float32(-741), np.float32(40))
        names = tuple(f"{number:03}" for number in range(1, num_slices + 1))
        return Slices(images, lungs.astype(np.uint8) * 2, lungs, names, units="HU")

    module = types.ModuleType("unet_segnet.data.phantom")
    module.phantom_slices = phantom_slices
    monkeypatch.setitem(sys.modules, "unet_segnet.data.phantom", module)
    slices = load_slices("phantom", "binary", size=16)
    assert (slices.units, slices.images.shape, slices.num_classes) == ("8-bit", (2, 16, 16), 2)
    assert slices.images[0, 8, 8] == 61 and slices.images[0, 1].max() == 0


def test_release_is_loaded(real_data):
    slices = load_slices(str(real_data))
    assert slices.images.shape == (100, 256, 256) and len(slices.notes) == 1
    medians = [np.median(slices.images[(slices.labels == index) & (slices.images > 0)]) for index in (0, 1, 2)]
    assert medians == [61, 114, 168]
