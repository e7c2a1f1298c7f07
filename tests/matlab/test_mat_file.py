"""Reading networks from `.mat` files: written ones in both versions, and files that are none."""

import struct
import sys
import tracemalloc

import h5py
import numpy as np
import pytest
from saved_networks import save, saved, write_network
from scipy.io import savemat

from unet_segnet.errors import InputError
from unet_segnet.matlab import load_network, mat_file
from unet_segnet.matlab.mat_file import read_layer_graph

RELEASED = "results/networks/segnet2_result/segnet2_256_0.001_4_160.mat"


@pytest.mark.parametrize("version", ["v7", "v7.3"])
@pytest.mark.parametrize("kind", ["DAGNetwork", "SeriesNetwork"])
def test_a_network_is_read_whatever_its_variable_is_called(tmp_path, version, kind):
    kernel = write_network(tmp_path / "some.mat", version, kind)
    graph = read_layer_graph(tmp_path / "some.mat")
    assert [layer.type for layer in graph.layers] == [
        "ImageInputLayer",
        "ReLULayer",
        "Convolution2DLayer",
        "SoftmaxLayer",
        "PixelClassificationLayer",
    ]
    assert graph.connections == (
        ("in", "positive"),
        ("positive", "scores"),
        ("scores", "softmax"),
        ("softmax", "labels"),
    )
    network = load_network(tmp_path / "some.mat")
    assert network.class_names == ("C0", "C1", "C2", "C3")
    np.testing.assert_array_equal(network.class_weights, [0.5, 1, 2, 4])
    assert network.mean == 3.5
    images = np.random.default_rng(1).integers(0, 9, (2, 4, 6, 1), dtype=np.uint8)
    scores = np.exp(np.maximum(images - 3.5, 0) * kernel.ravel() + 1)
    np.testing.assert_allclose(
        network.model.predict(images, verbose=0), scores / scores.sum(-1, keepdims=True), rtol=1e-5
    )


def test_an_unknown_layer_is_named_with_its_type_and_file(tmp_path):
    write_network(tmp_path / "strange.mat", unknown=True)
    with pytest.raises(InputError, match=r"strange\.mat: layer 'positive' is of type StrangeLayer"):
        load_network(tmp_path / "strange.mat")


def test_the_released_network_keeps_its_layers_and_connections(real_data):
    graph = read_layer_graph(real_data / RELEASED)
    assert len(graph.layers) == 45 and len(graph.connections) == 50
    assert ("encoder1_maxpool/indices", "decoder1_unpool/indices") in graph.connections
    (first,) = [layer for layer in graph.layers if layer.name == "encoder1_conv1"]
    assert first.settings["Weights"]["Value"].shape == (3, 3, 1, 64)
    assert first.settings["PaddingMode"] == "manual"


# Files that hold no network


def refused(path):
    with pytest.raises(InputError) as caught:
        load_network(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ") and "\n" not in message and "DAGNetwork" in message
    return message


def test_no_file_and_a_folder(tmp_path):
    assert "no such file" in refused(tmp_path / "absent.mat")
    assert "no such file" in refused(tmp_path)


@pytest.mark.parametrize(
    "content",
    [b"", b"MATLAB", b"not a network\n" * 50, b"\x89PNG\r\n\x1a\n" + bytes(500), bytes(1000), b"PK\x03\x04" * 100],
    ids=["empty", "short", "text", "png", "zeros", "zip"],
)
def test_other_files(tmp_path, content):
    (tmp_path / "other.mat").write_bytes(content)
    refused(tmp_path / "other.mat")


@pytest.mark.parametrize("version", ["v7", "v7.3"])
def test_truncated_and_overwritten_files(tmp_path, version):
    write_network(tmp_path / "whole.mat", version)
    whole = (tmp_path / "whole.mat").read_bytes()
    broken = tmp_path / "broken.mat"
    for share in (0.02, 0.3, 0.6, 0.9, 0.99):
        broken.write_bytes(whole[: int(share * len(whole))])
        refused(broken)
    broken.write_bytes(whole[:200] + bytes(len(whole) - 200))
    refused(broken)


def external_link(file):
    file["#refs#/more"] = h5py.ExternalLink("elsewhere.h5", "/secret")


def external_values(file):
    file.create_dataset("#refs#/more", (4,), "u1", external=[("elsewhere.h5", 0, 4)])


def virtual_values(file):
    layout = h5py.VirtualLayout((4,), "u1")
    layout[:] = h5py.VirtualSource("elsewhere.h5", "secret", (4,))
    file.create_virtual_dataset("#refs#/more", layout)


@pytest.mark.parametrize("refer", [external_link, external_values, virtual_values])
def test_a_file_that_leads_to_other_files(tmp_path, refer):
    write_network(tmp_path / "leads.mat", "v7.3")
    with h5py.File(tmp_path / "elsewhere.h5", "w") as file:
        file["secret"] = np.zeros(4, "u1")
    with h5py.File(tmp_path / "leads.mat", "r+") as file:
        refer(file)
    assert "'#refs#/more'" in (said := refused(tmp_path / "leads.mat")) and "in another file" in said


@pytest.mark.skipif(sys.platform != "linux", reason="memory is bounded where there is /proc")
def test_an_array_that_claims_gigabytes(tmp_path, monkeypatch):
    """A damaged header of an array of objects, whose reader fills what is claimed before it reads on."""
    import resource

    write_network(tmp_path / "claims.mat", "v7")
    limits = resource.getrlimit(resource.RLIMIT_AS)
    monkeypatch.setattr(mat_file, "_read_objects", lambda *_: np.empty(2**30, object))
    with pytest.raises(InputError, match=r"claims\.mat: .*it claims more than 1024 MiB of memory"):
        read_layer_graph(tmp_path / "claims.mat")
    assert resource.getrlimit(resource.RLIMIT_AS) == limits


@pytest.mark.skipif(sys.platform != "linux", reason="memory is bounded where there is /proc")
@pytest.mark.parametrize("gigabytes", [2, 3])
def test_a_name_that_claims_gigabytes(tmp_path, gigabytes):
    """SciPy sets aside what the name of a variable of version 5 claims to take."""
    element = lambda kind, length, content: struct.pack("<II", kind, length) + content  # noqa: E731
    flags, sizes = element(6, 8, struct.pack("<II", 6, 0)), element(5, 8, struct.pack("<ii", 1, 1))
    body = flags + sizes + element(1, gigabytes * 2**30, bytes(64))
    header = b"MATLAB 5.0 MAT-file".ljust(116) + bytes(8) + struct.pack("<H2s", 0x0100, b"IM")
    (tmp_path / "claims.mat").write_bytes(header + element(14, len(body), body))
    tracemalloc.start()
    said = refused(tmp_path / "claims.mat")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert "claims more than 1024 MiB of memory" in said and peak < 2**26


def test_a_truncated_released_network(real_data, tmp_path):
    whole = (real_data / RELEASED).read_bytes()
    for share in (0.1, 0.5, 0.999):
        (tmp_path / "broken.mat").write_bytes(whole[: int(share * len(whole))])
        refused(tmp_path / "broken.mat")


def test_files_with_other_variables(tmp_path):
    savemat(tmp_path / "numbers.mat", {"net": np.eye(3), "text": "DAGNetwork"})
    assert "net (double), text (char)" in refused(tmp_path / "numbers.mat")
    savemat(tmp_path / "old.mat", {"net": np.eye(3)}, format="4")
    assert "net" in refused(tmp_path / "old.mat")
    savemat(tmp_path / "none.mat", {})
    assert "holds nothing" in refused(tmp_path / "none.mat")
    write_network(tmp_path / "other.mat", kind="dlnetwork")
    assert "trained (dlnetwork)" in refused(tmp_path / "other.mat")


def test_a_structure_that_only_looks_like_a_network(tmp_path):
    net = saved("DAGNetwork", Version=1.0, Layers=np.eye(2))
    save(tmp_path / "odd.mat", {"net": net}, "v7", ["DAGNetwork"])
    assert "cannot be read" in refused(tmp_path / "odd.mat")
