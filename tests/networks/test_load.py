"""Trained networks by name and from files: the right one comes, and nothing else does."""

import hashlib
import io
import json
import subprocess
import sys
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest

from unet_segnet.errors import InputError
from unet_segnet.networks import load as pretrained
from unet_segnet.networks.facts import MEMBER

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def model():
    from unet_segnet.models import build_model

    return build_model("segnet", variant="released", input_shape=(16, 16, 1))


@pytest.fixture
def weights(model, tmp_path, monkeypatch):
    model.save(tmp_path / "binary.keras")
    (tmp_path / "binary.json").write_text('{"net": "segnet"}')
    monkeypatch.setattr(pretrained, "WEIGHTS", tmp_path)
    return tmp_path


def parts_of(network):
    """What is in a .keras file, by name."""
    with zipfile.ZipFile(network) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def write_parts(path, parts):
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, content)


def test_own_networks_are_found_by_problem(model, weights):
    assert pretrained.pretrained() == {"binary": weights / "binary.keras"}
    assert pretrained.model_facts("binary") == {"net": "segnet"}
    image = np.random.default_rng(0).integers(0, 256, (1, 16, 16, 1)).astype("float32")
    for source in ("binary", weights / "binary.keras"):
        loaded = pretrained.load_model(source)
        np.testing.assert_array_equal(loaded.predict_on_batch(image), model.predict_on_batch(image))


def test_a_file_that_is_replaced_while_it_is_read_is_told(weights, monkeypatch):
    import keras

    from unet_segnet.networks.find import find_model, load_found

    path = weights / "binary.keras"
    assert pretrained.load_model(path).sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    parts = parts_of(path)
    load = keras.saving.load_model

    def replaced(*arguments, **more):
        write_parts(path, parts)  # the same network, another file
        return load(*arguments, **more)

    with monkeypatch.context() as patched:
        patched.setattr(keras.saving, "load_model", replaced)
        with pytest.raises(InputError, match=r"binary\.keras: was changed while it was read; start the same command"):
            pretrained.load_model(path)
    found, facts = find_model(str(path))
    write_parts(path, {**parts, MEMBER: json.dumps({"window": [-1000.0, 200.0]}).encode()})
    with pytest.raises(InputError, match="was changed while it was read"):
        load_found(found, facts)
    assert load_found(*find_model(str(path))).window == (-1000.0, 200.0)


def test_what_a_network_takes_and_its_threshold_stand_in_its_file(model, tmp_path):
    from unet_segnet.networks.save import save_network

    path = tmp_path / "lesions.keras"
    save_network(model, path, {"takes": "lung levels", "threshold": 0.35})
    loaded = pretrained.load_model(path)
    assert (loaded.takes, loaded.threshold) == ("lung levels", 0.35)
    with pytest.raises(InputError, match="takes lung levels, no grey levels 0 to 255"):
        pretrained.check_takes_grey(loaded, path)
    assert pretrained.check_takes_grey(model, path) is None
    save_network(model, tmp_path / "odd.keras", {"takes": "anything"})
    with pytest.raises(InputError, match="impossible takes"):
        pretrained.load_model(tmp_path / "odd.keras")


def test_weights_in_half_precision_are_loaded_in_single(model, tmp_path):
    from unet_segnet.networks.save import save_network

    save_network(model, tmp_path / "whole.keras")
    save_network(model, tmp_path / "half.keras", {"data": "toy"}, half=True)
    assert (tmp_path / "half.keras").stat().st_size < 0.6 * (tmp_path / "whole.keras").stat().st_size
    loaded = pretrained.load_model(tmp_path / "half.keras")
    for kept, weight in zip(loaded.weights, model.weights, strict=True):
        assert kept.dtype == "float32"
        np.testing.assert_array_equal(np.asarray(kept), np.asarray(weight).astype("float16").astype("float32"))


def test_committed_networks_have_their_facts_and_card():
    assert "binary" in pretrained.pretrained()
    for problem, path in pretrained.pretrained().items():
        facts = pretrained.model_facts(problem)
        assert facts["problem"] == problem
        assert facts["licence"].startswith("CC")
        assert "not for clinical use" in path.with_suffix(".md").read_text(encoding="utf-8")
        assert pretrained.load_model(problem).output_shape[-1] == len(facts["data"]["classes"])


@pytest.mark.slow
@pytest.mark.parametrize("problem", ["binary", "multiclass"])
def test_files_segmented_by_the_own_network_score_as_in_the_table(problem, real_data):
    """From the PNG files to Dice, as a user would, on the 18 test slices."""
    from unet_segnet import load_model, segment
    from unet_segnet.data.catalogue import read_slices
    from unet_segnet.measures.metrics import confusion_matrices, dice

    facts, model, truth = pretrained.model_facts(problem), load_model(problem), read_slices(real_data)
    names = facts["data"]["classes"]
    counts = np.zeros((1, len(names), len(names)), np.int64)
    for name in facts["test_slices"]:
        found = segment(real_data / "dataset" / "im" / "256" / f"i{name}.png", model).labels
        label = np.minimum(truth.labels[truth.names.index(name)], len(names) - 1)  # binary: all lesions are one class
        counts += confusion_matrices(label[None], found, len(names))
    scores = dict(zip(names, dice(counts)[0], strict=True))
    assert scores == pytest.approx(facts["scores"]["Dice"], abs=1e-4)


def test_what_is_no_network_is_one_line(weights, tmp_path):
    (tmp_path / "empty.keras").touch()
    (tmp_path / "text.keras").write_text("not an archive")
    (tmp_path / "cut.keras").write_bytes((weights / "binary.keras").read_bytes()[:2000])
    with zipfile.ZipFile(tmp_path / "other.keras", "w") as archive:
        archive.writestr("config.json", json.dumps({"class_name": "Lambda", "config": {}}))
    for name in ("empty", "text", "cut", "other"):
        with pytest.raises(InputError, match=f"{name}.keras") as caught:
            pretrained.load_model(tmp_path / f"{name}.keras")
        assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match="no such file"):
        pretrained.load_model(tmp_path / "none.keras")
    with pytest.raises(InputError, match=r"no trained network of that name .*there: binary"):
        pretrained.load_model("ternary")


def test_code_in_a_file_is_not_run(weights, tmp_path):
    """A Lambda layer carries Python bytecode; safe mode refuses it."""
    import keras

    inputs = keras.Input((2,))
    harmful = keras.Model(inputs, keras.layers.Lambda(lambda x: x + 1, output_shape=(2,))(inputs))
    harmful.save(tmp_path / "lambda.keras")
    with pytest.raises(InputError, match=r"lambda\.keras"):
        pretrained.load_model(tmp_path / "lambda.keras")


def test_a_bomb_is_refused_unopened(tmp_path, monkeypatch):
    with zipfile.ZipFile(tmp_path / "bomb.keras", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("model.weights.h5", bytes(5_000_000))
    monkeypatch.setattr(pretrained, "MAX_BYTES", 1_000_000)
    with pytest.raises(InputError, match="claims 5000000 bytes"):
        pretrained.load_model(tmp_path / "bomb.keras")


def test_a_description_of_layers_without_end_is_refused_unread(tmp_path, monkeypatch):
    with zipfile.ZipFile(tmp_path / "long.keras", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("config.json", "[" + "{}," * 1000 + "{}]")
    monkeypatch.setattr(pretrained, "MAX_CONFIG_BYTES", 1000)
    with pytest.raises(InputError, match="claims 3004 bytes unpacked; expected at most 1000"):
        pretrained.load_model(tmp_path / "long.keras")


def test_an_archive_of_a_version_to_come_is_one_line(tmp_path):
    with zipfile.ZipFile(tmp_path / "later.keras", "w") as archive:
        archive.writestr("config.json", "{}")
    content = bytearray((tmp_path / "later.keras").read_bytes())
    content[content.index(b"PK\1\2") + 6] = 200  # the version that is needed to read it
    (tmp_path / "later.keras").write_bytes(content)
    with pytest.raises(InputError, match=r"later\.keras: is damaged or no \.keras file"):
        pretrained.load_model(tmp_path / "later.keras")


def test_layers_that_claim_more_weights_than_there_are(weights, tmp_path):
    parts = parts_of(weights / "binary.keras")
    config = json.loads(parts["config.json"])
    last = [layer for layer in config["config"]["layers"] if layer["class_name"] == "Conv2D"][-1]
    last["config"]["filters"] = 20_000_000
    write_parts(tmp_path / "claims.keras", parts | {"config.json": json.dumps(config)})
    with pytest.raises(InputError, match=r"claims\.keras"):
        pretrained.load_model(tmp_path / "claims.keras")


def test_a_file_that_lacks_a_layers_weights_is_one_line_without_a_warning(weights, tmp_path, recwarn):
    parts = parts_of(weights / "binary.keras")
    stream = io.BytesIO(parts["model.weights.h5"])
    with h5py.File(stream, "a") as file:
        del file["layers/batch_normalization/vars/0"]
    write_parts(tmp_path / "lacks.keras", parts | {"model.weights.h5": stream.getvalue()})
    with pytest.raises(InputError, match=r"lacks\.keras: holds no network that can be loaded"):
        pretrained.load_model(tmp_path / "lacks.keras")
    assert not [str(warning.message) for warning in recwarn if "Skipping" in str(warning.message)]


def with_weights(network, to, change):
    """A copy of a network whose weights were changed, and rewritten by h5py as `change` has it."""
    parts = parts_of(network)
    old, new = io.BytesIO(parts["model.weights.h5"]), io.BytesIO()
    with h5py.File(old, "r") as source, h5py.File(new, "w", libver=change.pop("libver", None)) as target:
        for name in source:
            source.copy(name, target)
        name = "layers/batch_normalization/vars/0"
        values = target[name][()]
        del target[name]
        target.create_dataset(name, data=values, **change)
    write_parts(to, parts | {"model.weights.h5": new.getvalue()})
    return to


def odd_type():
    """A float32 whose exponent counts from elsewhere: HDF5 converts it on reading."""
    kind = h5py.h5t.IEEE_F32LE.copy()
    kind.set_ebias(120)
    return h5py.Datatype(kind)


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"chunks": (8,)}, "weights .layers/batch_normalization/vars/0. are in chunks, packed or of an odd type"),
        ({"compression": "gzip"}, "in chunks, packed or of an odd type"),
        ({"scaleoffset": 4}, "in chunks, packed or of an odd type"),
        ({"maxshape": (None,)}, "in chunks, packed or of an odd type"),
        ({"dtype": odd_type()}, "in chunks, packed or of an odd type"),
        ({"libver": "latest"}, "are not an HDF5 file as Keras writes it"),
    ],
)
def test_weights_that_keras_does_not_write(weights, tmp_path, change, line):
    plain = with_weights(weights / "binary.keras", tmp_path / "plain.keras", {})
    assert pretrained.load_model(plain).count_params() == pretrained.load_model("binary").count_params()
    with pytest.raises(InputError, match=rf"changed\.keras: .*{line}.*; save the network with Keras again"):
        pretrained.load_model(with_weights(weights / "binary.keras", tmp_path / "changed.keras", dict(change)))


def claim(file, name):
    """An array of 4 GiB of which nothing is in the file."""
    space, kind = h5py.h5s.create_simple((2**30,)), h5py.h5t.NATIVE_FLOAT
    h5py.h5d.create(file.id, name.encode(), kind, space)


def link_outside(file, name):
    file[name] = h5py.ExternalLink("other.h5", "x")


def link_inside(file, name):
    file[name] = h5py.SoftLink("/x")


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (claim, "are claimed to take 4294967296 bytes that are not there"),
        (link_outside, "are a link to another place"),
        (link_inside, "are a link to another place"),
    ],
)
def test_weights_that_are_not_in_the_file(weights, tmp_path, change, line):
    """Refused before they are read: 4 GiB that a file of 2 MB claimed took Keras 16 GiB and minutes."""
    parts, name = parts_of(weights / "binary.keras"), "layers/batch_normalization/vars/0"
    stream = io.BytesIO(parts["model.weights.h5"])
    with h5py.File(stream, "a") as file:
        del file[name]
        change(file, name)
    write_parts(tmp_path / "claims.keras", parts | {"model.weights.h5": stream.getvalue()})
    with pytest.raises(InputError, match=rf"claims\.keras: weights '{name}' {line}, as Keras stores none"):
        pretrained.load_model(tmp_path / "claims.keras")


def link_in_archive():
    member = zipfile.ZipInfo("assets/link")
    member.create_system, member.external_attr = 3, 0o120777 << 16
    return member


@pytest.mark.parametrize(
    ("member", "line"),
    [
        ("../evil.txt", r"holds '\.\./evil\.txt'; expected"),
        ("/tmp/evil.txt", "holds '/tmp/evil.txt'; expected"),
        ("assets/more.txt", "holds 'assets/more.txt'; expected"),
        (link_in_archive(), "holds 'assets/link'; expected"),
        ("config.json", "holds a part twice; expected"),
    ],
)
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_archives_that_hold_more_than_a_network(weights, tmp_path, member, line):
    """Keras would unpack them all, into a temporary folder."""
    with zipfile.ZipFile(weights / "binary.keras", "a") as archive:
        archive.writestr(member, "/etc/passwd")
    with pytest.raises(InputError, match=rf"binary\.keras: {line}"):
        pretrained.load_model(weights / "binary.keras")


@pytest.mark.parametrize("start", [32, 48])
def test_weights_whose_file_goes_on_elsewhere(weights, tmp_path, start):
    """The old kind of file, but with an address of an extension, or of a driver's block."""
    parts = parts_of(weights / "binary.keras")
    content = bytearray(parts["model.weights.h5"])
    content[start : start + 8] = (96).to_bytes(8, "little")
    write_parts(tmp_path / "extended.keras", parts | {"model.weights.h5": bytes(content)})
    with pytest.raises(InputError, match=r"extended\.keras: its weights are not an HDF5 file as Keras writes it"):
        pretrained.load_model(tmp_path / "extended.keras")


@pytest.mark.parametrize("dtype", ["mixed_bfloat16", "bfloat16", "float16"])
def test_weights_of_other_types(tmp_path, dtype):
    import keras

    network = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Conv2D(2, 3, dtype=dtype, activation="softmax")])
    network.save(tmp_path / "network.keras")
    loaded = pretrained.load_model(tmp_path / "network.keras")
    for own, other in zip(loaded.weights, network.weights, strict=True):
        np.testing.assert_array_equal(*(keras.ops.convert_to_numpy(keras.ops.cast(w, "float32")) for w in (own, other)))


def test_a_name_that_is_too_long():
    with pytest.raises(InputError, match="no such file"):
        pretrained.load_model("9" * 5000 + ".keras")


def test_networks_of_both_studies_load_where_nothing_was_imported_before(model, tmp_path):
    from unet_segnet.models import build_model

    model.save(tmp_path / "segnet.keras")
    build_model("pspnet", encoder="mobilenet_v2", input_shape=(32, 32, 1)).save(tmp_path / "pspnet.keras")
    code = "import sys, unet_segnet\nfor path in sys.argv[1:]: print(unet_segnet.load_model(path).count_params())"
    command = [sys.executable, "-c", code, tmp_path / "segnet.keras", tmp_path / "pspnet.keras"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout.split()[0]) == model.count_params()


def test_the_studies_networks_say_that_they_learnt_from_mirror_images():
    """From Python as to the commands; their files do not."""
    from unet_segnet.networks.find import find_model

    own = pretrained.load_model("multiclass")
    assert own.mirror_axes and tuple(find_model("multiclass")[1]["mirror_axes"]) == own.mirror_axes
    assert not hasattr(pretrained.load_model("lungs"), "mirror_axes")
