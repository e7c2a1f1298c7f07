"""MetaImage and NRRD: values and place as SimpleITK wrote them, labels on other formats' scans, what is refused."""

import bz2
import gzip
import zlib

import numpy as np
import pytest
import SimpleITK
from PIL import Image
from scan_files import network_affine, save_dicom, save_nifti, unreadable

from unet_segnet.errors import InputError
from unet_segnet.scans import find_scans, lay_on, read_scan, scan_name, to_network, write_labels, write_seg_nrrd
from unet_segnet.scans.itk import values_beside

VALUES = np.random.default_rng(5).integers(-1000, 900, (6, 10, 8)).astype(np.int16)  # (slice, row, column)
LABELS = np.random.default_rng(6).integers(0, 4, (6, 10, 8)).astype(np.uint8)
AFFINE = network_affine()  # of (column, row, slice): PLS would be its transpose
LPS = np.diag([-1.0, -1.0, 1.0, 1.0]) @ AFFINE
SPACING = np.linalg.norm(LPS[:3, :3], axis=0)


def image_of(array, affine=LPS):
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    image = SimpleITK.GetImageFromArray(array)
    image.SetSpacing(spacing.tolist())
    image.SetOrigin(affine[:3, 3].tolist())
    image.SetDirection((affine[:3, :3] / spacing).ravel().tolist())
    return image


@pytest.mark.parametrize("name", ["a.mha", "a.mhd", "a.nrrd", "a.nhdr", "a.seg.nrrd", "A.MHA"])
@pytest.mark.parametrize("dtype", [np.int16, np.float64])
@pytest.mark.parametrize("compressed", [True, False])
def test_values_and_place(tmp_path, name, dtype, compressed):
    SimpleITK.WriteImage(image_of(VALUES.astype(dtype)), str(tmp_path / name), compressed)
    (path,) = find_scans(tmp_path)
    scan = read_scan(path)
    np.testing.assert_array_equal(scan.array, VALUES.transpose(2, 1, 0))
    np.testing.assert_allclose(scan.affine, AFFINE, atol=1e-6)
    assert scan.spacing == pytest.approx(SPACING) and scan.units == "HU" and scan.name.lower() == "a"
    assert scan.notes == ("values: Hounsfield units",)


@pytest.mark.parametrize("name", ["labels.mha", "labels.nrrd", "labels.nii.gz"])
def test_labels_of_any_format_on_scans_of_any(tmp_path, name):
    SimpleITK.WriteImage(image_of(LABELS), str(tmp_path / name))
    labels = read_scan(tmp_path / name)
    scans = [
        save_nifti(tmp_path / "scan.nii.gz", VALUES.transpose(2, 1, 0), AFFINE),
        save_dicom(tmp_path / "series", VALUES, AFFINE[:, [1, 0, 2, 3]]),
        tmp_path / "scan.nrrd",
    ]
    SimpleITK.WriteImage(image_of(VALUES), str(scans[2]))
    for path in scans:
        scan = read_scan(path)
        found = to_network(lay_on(scan, labels), like=to_network(scan)).images
        pairs = np.stack([found, to_network(scan).images]).reshape(2, -1).astype(int)
        expected = np.stack([LABELS, VALUES]).reshape(2, -1).astype(int)
        assert sorted(map(tuple, pairs.T)) == sorted(map(tuple, expected.T))


def test_segments_that_slicer_cropped(tmp_path):
    scan = read_scan(save_nifti(tmp_path / "scan.nii.gz", VALUES.transpose(2, 1, 0), AFFINE))
    part = SimpleITK.RegionOfInterest(image_of(LABELS), (3, 4, 2), (2, 1, 3))
    expected = np.zeros((8, 10, 6), np.uint8)
    expected[2:5, 1:5, 3:5] = LABELS.transpose(2, 1, 0)[2:5, 1:5, 3:5]
    for image in (part, SimpleITK.Flip(part, (True, False, True)), SimpleITK.PermuteAxes(part, (2, 0, 1))):
        SimpleITK.WriteImage(image, str(tmp_path / "part.seg.nrrd"))
        laid = lay_on(scan, read_scan(tmp_path / "part.seg.nrrd"))
        np.testing.assert_array_equal(laid.array, expected)
        assert "covers a part of the scan" in laid.mask_notes[-1]
    SimpleITK.WriteImage(part, str(tmp_path / "part.nrrd"))  # of another program nobody knows what is beside it
    with pytest.raises(InputError, match="is 3x4x2, the scan is 8x10x6"):
        lay_on(scan, read_scan(tmp_path / "part.nrrd"))
    part.SetOrigin(np.add(part.GetOrigin(), 0.5 * LPS[:3, 0]).tolist())
    SimpleITK.WriteImage(part, str(tmp_path / "part.seg.nrrd"))
    with pytest.raises(InputError, match="mm away from the scan"):
        lay_on(scan, read_scan(tmp_path / "part.seg.nrrd"))


def nrrd(path, *lines, values=VALUES):
    head = ["NRRD0004", "type: short", "dimension: 3", "sizes: 8 10 6", "endian: little", *lines, "", ""]
    path.write_bytes("\n".join(head).encode() + values.tobytes())
    return path


def test_nrrd_in_other_coordinates_and_without_any(tmp_path):
    ras = ["encoding: raw", "space: right-anterior-superior", "space origin: (1,2,3)"]
    scan = read_scan(nrrd(tmp_path / "a.nrrd", *ras, "space directions: (0,-0.8,0) (0.7,0,0) (0,0,-5)"))
    expected = np.array([[0, 0.7, 0, 1], [-0.8, 0, 0, 2], [0, 0, -5, 3], [0, 0, 0, 1]])
    np.testing.assert_allclose(scan.affine, expected)
    scan = read_scan(nrrd(tmp_path / "b.nrrd", "encoding: raw", "spacings: 0.7 0.8 5"))
    assert scan.affine is None and scan.spacing == (0.7, 0.8, 5.0) and to_network(scan).axes == "LPS"
    assert "does not tell how the axes run" in scan.notes[1]
    scan = read_scan(nrrd(tmp_path / "c.nrrd", "encoding: raw"))
    assert scan.affine is None and scan.spacing is None and "tells no geometry" in scan.notes[1]
    np.testing.assert_array_equal(scan.array, VALUES.transpose(2, 1, 0))


def test_other_byte_orders_encodings_and_places_of_the_values(tmp_path):
    more = np.concatenate([VALUES[:1], VALUES])  # something stands before the values
    packed, gz, bz = (
        np.frombuffer(content, np.uint8)
        for content in (
            zlib.compress(VALUES.tobytes()),
            b"a\nb\n" + gzip.compress(VALUES.tobytes()),
            bz2.compress(VALUES.tobytes()),
        )
    )
    for path in (
        meta(tmp_path / "big.mha", values=VALUES.byteswap(), BinaryDataByteOrderMSB=True),
        meta(tmp_path / "end.mha", values=more, HeaderSize=-1),
        meta(tmp_path / "packed.mha", values=packed, CompressedData=True, CompressedDataSize=packed.size),
        nrrd(tmp_path / "bz2.nrrd", "encoding: bzip2", values=bz),
        nrrd(tmp_path / "end.nrrd", "encoding: raw", "byte skip: -1", values=more),
        nrrd(tmp_path / "lines.nrrd", "encoding: gzip", "line skip: 2", values=gz),
    ):
        np.testing.assert_array_equal(read_scan(path).array, VALUES.transpose(2, 1, 0), err_msg=path.name)
        if path.name != "bz2.nrrd":  # which SimpleITK was built without
            np.testing.assert_array_equal(SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(path))), VALUES)


def test_an_empty_mask_in_bzip2_is_whole(tmp_path):
    """A thousand times smaller than deflate's smallest."""
    head = ["NRRD0004", "type: uchar", "dimension: 3", "sizes: 256 256 40", "encoding: bzip2", "", ""]
    (tmp_path / "a.nrrd").write_bytes("\n".join(head).encode() + bz2.compress(bytes(256 * 256 * 40)))
    scan = read_scan(tmp_path / "a.nrrd")
    assert scan.array.shape == (256, 256, 40) and not scan.array.any()


def test_values_in_this_folder(tmp_path):
    """As Teem names them."""
    head = ["NRRD0004", "type: short", "dimension: 3", "sizes: 8 10 6", "endian: little", "encoding: raw"]
    (tmp_path / "a.nhdr").write_text("\n".join([*head, "data file: ./a.raw", ""]))
    (tmp_path / "a.raw").write_bytes(VALUES.tobytes())
    np.testing.assert_array_equal(read_scan(tmp_path / "a.nhdr").array, VALUES.transpose(2, 1, 0))
    assert values_beside(tmp_path / "a.nhdr") == tmp_path / "a.raw"


def test_values_to_each_voxel(tmp_path):
    lists = ["encoding: raw", "space: LPS", "space directions: none (1,0,0) (0,1,0) (0,0,2)"]
    path = nrrd(tmp_path / "layers.seg.nrrd", *lists)
    path.write_bytes(path.read_bytes().replace(b"dimension: 3", b"dimension: 4").replace(b"8 10 6", b"2 4 10 6"))
    with pytest.raises(InputError, match=r"several values to each voxel.*save a labelmap"):
        read_scan(path)
    path.write_bytes(path.read_bytes().replace(b"2 4 10 6", b"1 8 10 6"))
    np.testing.assert_array_equal(read_scan(path).array, VALUES.transpose(2, 1, 0))


def test_one_slice_and_a_fourth_axis(tmp_path):
    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(VALUES[0]), str(tmp_path / "flat.mha"))
    flat = read_scan(tmp_path / "flat.mha")
    np.testing.assert_array_equal(flat.array[..., 0], VALUES[0].T)
    assert flat.affine is None and not flat.is_volume and to_network(flat).axes == "LPS"  # as ITK shows it
    SimpleITK.WriteImage(SimpleITK.JoinSeries([image_of(VALUES)]), str(tmp_path / "four.mha"))
    four = read_scan(tmp_path / "four.mha")
    np.testing.assert_array_equal(four.array, VALUES.transpose(2, 1, 0))
    np.testing.assert_allclose(four.affine, AFFINE, atol=1e-6)


def meta(path, values=VALUES, **changes):
    fields = {"ObjectType": "Image", "NDims": 3, "BinaryData": True, "BinaryDataByteOrderMSB": False}
    fields |= {"CompressedData": False, "CompressedDataSize": 0} if "CompressedData" in changes else {}
    fields |= {
        "HeaderSize": 0,
        "Offset": "1 2 3",
        "TransformMatrix": "1 0 0 0 1 0 0 0 1",
        "ElementSpacing": "0.7 0.8 5",
    }
    fields |= {"DimSize": "8 10 6", "ElementNumberOfChannels": 1, "ElementType": "MET_SHORT"}
    fields |= {"ElementDataFile": "LOCAL"} | changes
    lines = "".join(f"{key} = {value}\n" for key, value in fields.items() if value is not None)
    path.write_bytes(lines.encode() + values.tobytes())
    return path


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"DimSize": "30000 30000 30000"}, "claims 27000000000000 voxels"),
        ({"DimSize": "512 512 512"}, "is cut off"),
        ({"DimSize": "8 10 7"}, "is cut off"),
        ({"DimSize": "8 10"}, "2 sizes of 3 axes"),
        ({"NDims": "-32768"}, "3 sizes of -32768 axes"),
        ({"TransformMatrix": "1 0 0 0 1 0 0 0 nan"}, "where 9 numbers are expected"),
        ({"HeaderSize": "-7"}, "is cut off, or has a damaged header"),
        ({"CompressedData": "True"}, "has damaged values"),
        ({"ElementNumberOfChannels": 3}, "3 values to each voxel"),
        ({"ElementType": "MET_SHORT_ARRAY"}, "values of type 'MET_SHORT_ARRAY'"),
        ({"ElementDataFile": "/etc/hostname"}, "keeps its values in '/etc/hostname'"),
        ({"ElementDataFile": "LIST"}, "keeps its values in 'LIST'"),
        ({"ElementDataFile": "gone.raw"}, "gone.raw', which is not beside it"),
        ({"ElementDataFile": "9" * 300}, "which is not beside it"),
        ({"ElementSpacing": "700 800 5000"}, "claims voxels of 700 x 800 x 5e"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(tmp_path, changes, words):
    assert read_scan(meta(tmp_path / "good.mha")).spacing == (0.7, 0.8, 5.0)
    with pytest.raises(InputError, match=r"bad\.mha") as caught:
        read_scan(meta(tmp_path / "bad.mha", **changes))
    assert words in str(caught.value) and "\n" not in str(caught.value) and len(str(caught.value)) < 400


def test_other_damage(tmp_path):
    for name, content, words in (
        ("empty.mha", b"", "not a MetaImage file"),
        ("text.nrrd", b"no scan", "not an NRRD file"),
        ("cut.nrrd", b"NRRD0004\ntype: short\n", "cannot be read"),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError, match=f"{name}.*{words}"):
            read_scan(tmp_path / name)
    packed = nrrd(tmp_path / "bad.nrrd", "encoding: gzip", values=np.zeros(0))
    packed.write_bytes(packed.read_bytes() + gzip.compress(VALUES.tobytes())[:-40])
    with pytest.raises(InputError, match=r"bad\.nrrd"):
        read_scan(packed)
    values = VALUES.astype(np.float32)
    values[1, 2, 3] = np.nan
    SimpleITK.WriteImage(image_of(values), str(tmp_path / "nan.mha"))
    with pytest.raises(InputError, match=r"nan\.mha has values that are not finite"):
        read_scan(tmp_path / "nan.mha")


def test_names(tmp_path):
    assert [scan_name(tmp_path / name) for name in ("a.seg.nrrd", "b.1.mha", "c.NII.GZ")] == ["a", "b.1", "c"]


@pytest.mark.parametrize("name", ["a.mha", "a.nrrd", "a.nii.gz"])
def test_images_that_simpleitk_was_told_no_geometry_of_have_its_axes(tmp_path, name):
    """Its first axis is the column of a slice; pictures begin with rows, and are never laid on it as they lie."""
    square = VALUES[:, :8]
    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(square), str(tmp_path / name))
    scan = read_scan(tmp_path / name)
    assert scan.affine is None and scan.spacing is None and any("identity" in note for note in scan.notes)
    network = to_network(scan)
    assert network.axes == "LPS" and not network.is_measured
    np.testing.assert_array_equal(network.images, square.transpose(0, 2, 1))  # rows to the left, columns to the back
    (tmp_path / "slices").mkdir()
    for index, image in enumerate((square > 0).astype(np.uint8)):
        Image.fromarray(image).save(tmp_path / "slices" / f"{index}.png")
    with pytest.raises(InputError, match="cannot be known"):
        lay_on(scan, read_scan(tmp_path / "slices"))
    labels = (scan.array > 0).astype(np.uint8)
    write_labels(tmp_path / "labels.nii.gz", labels, scan)
    write_seg_nrrd(tmp_path / "labels.seg.nrrd", labels, scan, ("none", "bright"), ("#000000", "#ff0000"))
    expected = SimpleITK.ReadImage(str(tmp_path / name))
    for written in ("labels.nii.gz", "labels.seg.nrrd"):
        image = SimpleITK.ReadImage(str(tmp_path / written))
        assert image.GetDirection() == expected.GetDirection() and image.GetOrigin() == expected.GetOrigin()
        np.testing.assert_array_equal(SimpleITK.GetArrayFromImage(image), square > 0)


@pytest.mark.parametrize("fields", [{"TransformMatrix": None}, {"TransformMatrix": None, "Offset": None}])
def test_labels_of_a_metaimage_without_directions_lie_on_it(tmp_path, fields):
    path = meta(tmp_path / "a.mha", **fields)
    scan = read_scan(path)
    assert (scan.affine is None) == ("Offset" in fields) and to_network(scan).axes == "LPS"
    write_labels(tmp_path / "labels.nii.gz", np.ones(scan.array.shape, np.uint8), scan)
    theirs, ours = (SimpleITK.ReadImage(str(each)) for each in (path, tmp_path / "labels.nii.gz"))
    for what in ("GetSize", "GetSpacing", "GetOrigin", "GetDirection"):
        assert getattr(ours, what)() == pytest.approx(getattr(theirs, what)())


@pytest.mark.parametrize("name", ["scan.mha", "scan.nrrd"])
def test_a_file_that_may_not_be_read_is_one_line(tmp_path, monkeypatch, name):
    path = tmp_path / name
    SimpleITK.WriteImage(image_of(VALUES), str(path))
    unreadable(monkeypatch, path)
    with pytest.raises(InputError, match=rf"{name}: cannot be read \(Permission denied\)"):
        read_scan(path)
