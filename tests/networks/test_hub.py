"""Networks to and from the Hugging Face hub: folders, its cache, and a server of this machine in its place."""

import functools
import json
import shutil
import sys
import threading
from argparse import Namespace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest
from forked import run_command
from own_data import write_volume
from PIL import Image

from unet_segnet import layers
from unet_segnet.commands import export as command
from unet_segnet.data.phantom import write_phantom
from unet_segnet.errors import InputError
from unet_segnet.inference.segmentation import prepare, segment
from unet_segnet.networks import hub, hub_folder
from unet_segnet.networks.facts import read_facts
from unet_segnet.networks.find import find_model
from unet_segnet.networks.load import load_model, model_facts, model_path, model_sha256
from unet_segnet.networks.save import save_network

huggingface_hub = pytest.importorskip(
    "huggingface_hub", reason="huggingface_hub is not installed: pip install -r requirements-hub.txt"
)
constants, errors = (pytest.importorskip(f"huggingface_hub.{name}") for name in ("constants", "errors"))
COMMIT = "0123456789abcdef0123456789abcdef01234567"
GREY = {
    "class_names": ["healthy", "ground glass", "consolidation"],
    "window": [-1000.0, 200.0],
    "label_values": [[0, 0], [3, 1], [5, 2]],
    "learnt_from": "whole slices",
    "thresholds": [80, 160],
    "data": "ward 7",
    "trained_on": {"slices": 120, "patients": 4},
    "slices": ["00ff00ff00ff00ff"],
    "network": "released-segnet",
}
LUNGS = {
    "class_names": ["not infected", "infected"],
    "takes": "lung levels",
    "threshold": 0.35,
    "scaling": [0.5, -0.25],
    "seen": {"grain": [0.0, 0.001]},
    "data": "made up",
}
TOLD = ("class_names", "window", "label_values", "takes", "learnt_from", "threshold", "scaling", "seen")


def small_network(num_classes, size=32):
    """A network with a layer of this project, so that Keras alone must be told of it."""
    keras.utils.set_random_seed(1)
    inputs = keras.Input((size, size, 1))
    pooled, places = layers.MaxPooling2D()(keras.layers.Conv2D(4, 3, padding="same", activation="relu")(inputs / 200))
    x = layers.MaxUnpooling2D()([pooled, places])
    return keras.Model(inputs, keras.layers.Conv2D(num_classes, 3, padding="same", activation="softmax")(x), name="net")


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Networks with all kinds of facts, one in half precision."""
    folder = tmp_path_factory.mktemp("files")
    save_network(small_network(3), folder / "grey.keras", GREY)
    save_network(small_network(2), folder / "lungs.keras", LUNGS, half=True)
    save_network(small_network(2), folder / "plain.keras")
    return folder


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    """A cache folder of the test's own; no connection; no proxy is asked."""
    import pooch

    hub._downloaded_file.cache_clear()
    monkeypatch.setattr(pooch, "os_cache", lambda name: tmp_path / "cache" / name)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub-cache"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)


@pytest.fixture
def export(tmp_path, monkeypatch):
    """Calls the command for the hub; returns the folder."""
    monkeypatch.setattr(command, "CHECKED_SLICES", 2)

    def call(model, out=tmp_path / "folder", check="none", license=None, force=False):
        command.export(Namespace(model=str(model), format="hub", out=out, check=check, license=license, force=force))
        return out

    return call


def downloaded(folder, cache, name="me/net"):
    """Lay a folder into the hub's cache as a download leaves it: links to contents; returns its source."""
    place = Path(cache) / f"models--{name.replace('/', '--')}"
    snapshot = place / "snapshots" / COMMIT
    for part in ("refs", "blobs", f"snapshots/{COMMIT}"):
        (place / part).mkdir(parents=True)
    (place / "refs" / "main").write_text(COMMIT)
    for number, file in enumerate(sorted(folder.iterdir())):
        shutil.copy(file, place / "blobs" / str(number))
        (snapshot / file.name).symlink_to(f"../../blobs/{number}")
    return f"hf://{name}"


def slices(num_slices=3):
    return np.random.default_rng(0).integers(0, 256, (num_slices, 32, 32, 1)).astype("float32")


def told(model):
    return {name: getattr(model, name, None) for name in TOLD}


@pytest.mark.parametrize("name", ["grey", "lungs"])
def test_a_network_comes_back_the_same_with_its_facts(name, files, export, tmp_path):
    folder = export(files / f"{name}.keras", check="phantom")
    source, path = downloaded(folder, tmp_path / "hub-cache"), files / f"{name}.keras"
    before, after = load_model(path), load_model(source)
    np.testing.assert_array_equal(after.predict_on_batch(slices()), before.predict_on_batch(slices()))
    assert told(after) == told(before) and told(after)["class_names"] is not None
    assert find_model(source)[1] == find_model(str(path))[1] == read_facts(path)
    assert told(load_model(folder)) == told(before)  # downloaded by other means
    assert model_sha256(source) == model_sha256(find_model(source)[0])


def test_keras_alone_loads_it_from_the_hub(files, export, tmp_path):
    source = downloaded(export(files / "grey.keras"), tmp_path / "hub-cache")
    found = keras.saving.load_model(source)
    expected = load_model(files / "grey.keras").predict_on_batch(slices())
    np.testing.assert_array_equal(found.predict_on_batch(slices()), expected)


def test_a_scan_is_segmented_the_same(files, export, tmp_path):
    write_volume(tmp_path / "scans", "a", size=48)
    source = downloaded(export(files / "lungs.keras"), tmp_path / "hub-cache")
    scan, lungs = (tmp_path / "scans" / kind / "a.nii.gz" for kind in ("images", "lungs"))
    before, after = (segment(scan, model, lungs=lungs, probabilities=True) for model in (files / "lungs.keras", source))
    np.testing.assert_array_equal(after.labels, before.labels)
    np.testing.assert_array_equal(after.probabilities, before.probabilities)
    assert after.notes == before.notes and "infected where its probability is above" in " ".join(after.notes)


SLOW = [pytest.param(problem, marks=pytest.mark.slow) for problem in ("lesions", "lungs", "multiclass")]


@pytest.mark.parametrize("problem", ["binary", *SLOW])
def test_the_own_networks_for_the_hub(problem, export, capsys):
    folder = export(problem, check="phantom")
    assert {path.name for path in folder.iterdir()} == hub_folder.FILES
    assert "once loaded again: 0.0e+00" in capsys.readouterr().out
    card = huggingface_hub.ModelCard.load(folder / "README.md")
    licence = model_facts(problem)["licence"]
    assert card.data.license == licence.lower() and card.data.library_name == "keras"
    assert card.data.pipeline_tag == "image-segmentation" and "unet_segnet" in card.data.tags
    own = (Path(command.__file__).parents[1] / "networks" / "weights" / f"{problem}.md").read_text(encoding="utf-8")
    assert own.strip() in card.text
    assert f"{licence}, https://spdx.org/licenses/{licence}.html" in (folder / "LICENSE").read_text()
    before, after = load_model(problem), load_model(folder)
    image = np.random.default_rng(0).integers(0, 256, (1, *before.input_shape[1:])).astype("float32")
    np.testing.assert_array_equal(after.predict_on_batch(image), before.predict_on_batch(image))
    known, found = find_model(problem)[1], find_model(str(folder))[1]
    assert {key: found.get(key) for key in known if known[key]} == {key: known[key] for key in known if known[key]}
    for name in ("takes", "threshold", "scaling", "seen"):
        assert told(after)[name] == told(before)[name]
    option = "--lungs" if problem == "lungs" else "--model"
    assert f"predict scan.nii.gz {option} hf://USER/NAME" in card.text
    with pytest.raises(InputError, match="--license belongs to --format hub"):
        command.export(Namespace(model=problem, format="saved_model", license="MIT"))
    with pytest.raises(InputError, match=f"{problem}: has a licence, {licence}; leave --license out"):
        export(problem, license="MIT", force=True)


@pytest.mark.slow
def test_lungs_are_found_by_a_network_from_the_hub(export, tmp_path):
    write_phantom(tmp_path, num_slices=1, size=128, volumes=1, volume_slices=3)
    scan, source = tmp_path / "rp_im" / "1.nii.gz", downloaded(export("lungs"), tmp_path / "hub-cache")
    before, after = (prepare(scan, lungs=network).lungs.sides for network in (model_path("lungs"), source))
    assert (before > 0).mean() > 0.05
    np.testing.assert_array_equal(after, before)


def test_the_card_of_an_own_training(files, export, capsys):
    folder = export(files / "grey.keras", license="CC-BY-4.0")
    card = huggingface_hub.ModelCard.load(folder / "README.md")
    assert card.data.license == "cc-by-4.0"
    for text in (
        "# released-segnet",
        "ground glass, consolidation",
        "grey levels of whole slices, -1000 HU black",
        "ward 7: 120 slices, 4 patients",
    ):
        assert text in card.text
    assert "not for clinical use" in card.text
    assert "they name your data" in capsys.readouterr().out
    for licence in ("two words", "../LICENSE", "a\nb: c"):
        with pytest.raises(InputError, match="expected an identifier of the SPDX list"):
            export(files / "grey.keras", license=licence, force=True)


def test_a_network_without_facts_or_licence(files, export, capsys):
    folder = export(files / "plain.keras")
    out = capsys.readouterr().out
    assert "no licence is given" in out and "no slices were compared" in out
    assert not (folder / "LICENSE").exists()
    assert huggingface_hub.ModelCard.load(folder / "README.md").data.license is None
    assert json.loads((folder / "unet_segnet.json").read_text()) == {"class_names": ["not infected", "infected"]}


def test_networks_that_predict_does_not_take_are_not_exported(tmp_path, export):
    inputs = keras.Input((8, 8, 1))
    keras.Model(inputs, keras.layers.Conv2D(5, 1)(inputs)).save(tmp_path / "five.keras")
    with pytest.raises(InputError, match=r"five\.keras: the network tells 5 classes apart"):
        export(tmp_path / "five.keras")
    assert not (tmp_path / "folder").exists()


def test_only_an_earlier_export_is_replaced_and_only_by_the_whole_new_one(files, export, tmp_path, monkeypatch):
    folder = export(files / "grey.keras")
    with pytest.raises(InputError, match="is there already; give another place with `out`, or `force`"):
        export(files / "lungs.keras")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    monkeypatch.setattr(hub_folder, "read_parts", lambda folder, source: parts_of(files / "plain.keras", folder))
    with pytest.raises(InputError, match=r"folder: not written, the network in it is another"):
        export(files / "lungs.keras", force=True)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    monkeypatch.undo()
    export(files / "lungs.keras", force=True)
    assert json.loads((folder / "unet_segnet.json").read_text()) == LUNGS
    assert sorted(path.name for path in tmp_path.iterdir() if path.name.startswith((".", "folder"))) == ["folder"]

    (folder / ".git").mkdir()
    with pytest.raises(InputError, match=r"holds '\.git', which this command did not write and never removes"):
        export(files / "lungs.keras", force=True)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.txt").touch()
    with pytest.raises(InputError, match="is never replaced, not even with `force`"):
        export(files / "lungs.keras", out=tmp_path / "other", force=True)


@pytest.mark.parametrize("part", hub.PARTS)
def test_a_folder_that_lacks_a_part_is_told_by_its_name(files, export, part):
    folder = export(files / "grey.keras")
    (folder / part).unlink()
    with pytest.raises(InputError, match=rf"folder: is no network of this project, it has no {part}; expected what"):
        load_model(folder)


def parts_of(file, folder):
    """The parts of a folder, but another network's weights."""
    import zipfile

    parts = hub.read_parts(folder, "x")
    with zipfile.ZipFile(file) as archive:
        content = archive.read("model.weights.h5")
    stream = folder.parent / "other.h5"
    stream.write_bytes(content)
    with h5py.File(stream, "a") as weights:
        weights["layers/conv2d/vars/0"][:] += 1
    return parts | {"model.weights.h5": stream.read_bytes()}


class Server(BaseHTTPRequestHandler):
    """Answers as the hub where somebody downloads "me/net", which is `folder`; notes what was asked for."""

    folder: Path
    asked: list

    def do_GET(self):
        files = {path.name: path for path in self.folder.iterdir()}
        self.asked.append(self.path)
        name = self.path.rpartition("/")[2]
        status, headers, content = 200, {}, b"{}"
        if self.path.startswith("/api/models/me/net/revision/"):
            content = json.dumps({"id": "me/net", "sha": COMMIT, "siblings": [{"rfilename": name} for name in files]})
        elif self.path.startswith(f"/api/models/me/net/tree/{COMMIT}"):
            sizes = {name: path.stat().st_size for name, path in files.items()}
            rows = [{"type": "file", "oid": COMMIT, "path": name, "size": size} for name, size in sizes.items()]
            content = json.dumps(rows)
        elif self.path == f"/me/net/resolve/{COMMIT}/{name}":
            headers, content = {"X-Repo-Commit": COMMIT, "ETag": f'"{name}"'}, files[name].read_bytes()
        else:
            status, headers = 404, {"X-Error-Code": "RepoNotFound"}
        content = content.encode() if isinstance(content, str) else content
        self.send_response(status)
        for header, value in {**headers, "Content-Length": len(content)}.items():
            self.send_header(header, str(value))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)

    do_HEAD = do_GET  # noqa: N815

    def log_message(self, *words):
        """Nothing."""


@pytest.fixture
def served(monkeypatch):
    """Serves a folder on this machine in the hub's place; returns the list of what was asked for."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Served", (Server,), {"asked": []}))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()

    def serve(folder):
        server.RequestHandlerClass.folder = folder
        return server.RequestHandlerClass.asked

    address = f"http://127.0.0.1:{server.server_address[1]}"
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", address)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", address + "/{repo_id}/resolve/{revision}/{filename}")
    yield serve
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_network_is_downloaded_once_and_then_known_without_a_connection(files, export, served, monkeypatch):
    asked = served(export(files / "grey.keras"))
    first = load_model("hf://me/net")
    assert told(first) == told(load_model(files / "grey.keras"))
    np.testing.assert_array_equal(
        first.predict_on_batch(slices()), load_model(files / "grey.keras").predict_on_batch(slices())
    )
    assert {path.rpartition("/")[2] for path in asked if "/resolve/" in path} == set(hub.PARTS)  # no other file
    with pytest.raises(InputError, match="hf://me/other: the Hugging Face hub has no such network"):
        load_model("hf://me/other")
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")  # where nobody listens
    hub._downloaded_file.cache_clear()
    again = load_model("hf://me/net")
    np.testing.assert_array_equal(again.predict_on_batch(slices()), first.predict_on_batch(slices()))
    with pytest.raises(InputError, match="hf://me/other: the Hugging Face hub cannot be reached, and no earlier"):
        load_model("hf://me/other")


# What goes wrong


def response(status):
    import httpx2

    return httpx2.Response(status, request=httpx2.Request("GET", "https://hub.invalid"))


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (lambda of: of.RepositoryNotFoundError("x", response=response(404)), "has no such network, or a private one"),
        (lambda of: of.GatedRepoError("x", response=response(403)), "its owner asks who downloads it"),
        (lambda of: of.LocalEntryNotFoundError("x"), "cannot be reached, and no earlier download is here"),
        (lambda of: OSError("disk\nfull"), r"cannot be downloaded \(disk full\)"),
    ],
)
def test_downloads_that_fail_are_one_line(error, line, monkeypatch):
    def fail(*arguments, **settings):
        raise error(errors)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", fail)
    with pytest.raises(InputError, match=rf"^hf://me/net: .*{line}") as caught:
        load_model("hf://me/net")
    assert "\n" not in str(caught.value)


def test_without_a_connection_and_an_earlier_download():
    """By the package's own answer, not a made-up one."""
    with pytest.raises(InputError, match=r"hf://me/net: the Hugging Face hub cannot be reached"):
        load_model("hf://me/net")


@pytest.mark.parametrize("name", ["", "net", "me/", "/net", "me/net/more", "me/../net", "me/n t", "-me/net", "me/nét"])
def test_names_that_are_none(name):
    with pytest.raises(InputError, match="expected hf://USER/NAME"):
        load_model(f"hf://{name}")


def test_a_missing_package_is_one_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(InputError, match=r"needs huggingface_hub, not installed here; `pip install huggingface_hub`"):
        load_model("hf://me/net")


def test_networks_of_other_projects(files, export, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    (other / "config.json").write_text('{"model_type": "bert"}')
    source = downloaded(other, tmp_path / "hub-cache")
    with pytest.raises(InputError, match=r"me/net: is no network of this project, it has no metadata.json, model.w"):
        load_model(source)
    pushed_by_keras = export(files / "grey.keras")
    (pushed_by_keras / "unet_segnet.json").unlink()  # its classes and window are not known
    with pytest.raises(
        InputError, match=r"it has no unet_segnet\.json; expected what `unet-segnet export --format hub`"
    ):
        load_model(downloaded(pushed_by_keras, tmp_path / "hub-cache", "me/keras"))


def chunked(folder):
    with h5py.File(folder / "model.weights.h5", "a") as weights:
        values = weights["layers/conv2d/vars/0"][()]
        del weights["layers/conv2d/vars/0"]
        weights.create_dataset("layers/conv2d/vars/0", data=values, chunks=values.shape)


def with_code(folder):
    inputs = keras.Input((8, 8, 1))
    harmful = keras.Model(inputs, keras.layers.Lambda(lambda x: x, output_shape=(8, 8, 1))(inputs))
    (folder / "config.json").write_text(json.dumps(keras.saving.serialize_keras_object(harmful)))


def impossible(folder):
    (folder / "unet_segnet.json").write_text('{"threshold": 7}')


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (chunked, r"me--net-\w+\.keras: weights 'layers/conv2d/vars/0' are in chunks"),
        (with_code, r"me--net-\w+\.keras: holds no network that can be loaded"),
        (impossible, r"me--net-\w+\.keras: its facts .* cannot be read \(impossible threshold\)"),
    ],
)
def test_what_is_on_the_hub_is_looked_at_before_it_is_read(change, line, files, export, tmp_path, monkeypatch):
    folder = export(files / "lungs.keras")
    change(folder)
    with pytest.raises(InputError, match=line):
        load_model(downloaded(folder, tmp_path / "hub-cache"))


def test_too_much_is_refused_unread(files, export, tmp_path, monkeypatch):
    folder = export(files / "lungs.keras")
    monkeypatch.setattr(hub, "MAX_BYTES", 1000)
    with pytest.raises(InputError, match=r"me/net: its config\.json cannot be read \(larger than 1000 bytes\)"):
        load_model(downloaded(folder, tmp_path / "hub-cache"))


# The commands


def test_predict_takes_a_folder_and_knows_its_results_again(scan_and_network, tmp_path):
    scan, folder = scan_and_network
    predict = functools.partial(
        run_command,
        "predict",
        scan,
        "--model",
        folder,
        "--out",
        tmp_path / "out",
        XDG_CACHE_HOME=str(tmp_path / "cache"),
    )
    first = predict()
    assert first.returncode == 0, first.stderr
    (folder / "README.md").write_text("another card")
    again = predict()
    assert again.returncode == 0 and "is there already, made from this scan with these settings" in again.stdout


@pytest.fixture
def scan_and_network(files, export, tmp_path):
    picture = np.zeros((48, 48), np.uint8)
    picture[8:40, 6:20], picture[8:40, 28:42] = 90, 91
    Image.fromarray(picture).save(tmp_path / "slice.png")
    return tmp_path / "slice.png", export(files / "grey.keras")
