"""Archives of runs: what goes in comes out, what is hostile is refused with one line and nothing written."""

import hashlib
import io
import json
import os
import random
import signal
import stat
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
from forked import ROOT, SERVER
from run_folders import contents, make_run, spec

from experiments.saood2021 import archive as archives
from experiments.saood2021.archive import merge, pack, read_archive
from experiments.saood2021.archive_checks import LIMIT, PER_ITERATION, PER_VALIDATION
from experiments.saood2021.options import study_parser
from experiments.saood2021.runs import read_finished
from experiments.study import exchange
from unet_segnet.errors import InputError
from unet_segnet.networks.facts import read_facts
from unet_segnet.networks.save import save_network
from unet_segnet.runs.folder import RunFolder, weights_by_content

FOUR = ("config.json", "history.npz", "counts.npz", "result.json")


@pytest.fixture
def out(tmp_path):
    """Five finished runs, one that diverged, one unfinished; the best two with a network, one with its last epochs."""
    out = tmp_path / "there"
    make_run(out, spec(), 95, network=5000, last_epochs=2)
    make_run(out, spec(experiment=5), 90, network=6000)
    make_run(out, spec("unet", "multiclass"), 80, network=7000)
    make_run(out, spec("unet", variant="paper"), 99, network=8000)
    make_run(out, spec(study="kfold", fold=2), 99, network=9000)
    diverged = make_run(out, spec(experiment=9), status="diverged", epoch=7)
    unfinished = make_run(out, spec(experiment=7))
    unfinished.result.unlink()
    assert not diverged.counts.exists()
    return out


@pytest.fixture
def packed(out, tmp_path):
    pack(out, tmp_path / "runs.zip")
    return tmp_path / "runs.zip"


def test_the_arrays_of_a_history_are_those_that_training_writes():
    from unet_segnet.training.class_weighted import HISTORY_KEYS

    assert {*PER_ITERATION, *PER_VALIDATION, "epoch_seconds"} == set(HISTORY_KEYS)


def test_pack_and_merge_bring_every_finished_run_and_the_best_networks(out, packed, tmp_path):
    here = tmp_path / "here"
    lines = merge([packed], here)
    assert "taken into" in lines[-1]
    expected = {
        name: content
        for name, content in contents(out).items()
        if "exp7-seed0" not in name and not name.endswith(".keras")
    }
    networks = [
        "grid/released-binary-segnet/exp4-seed0/model.keras",
        "grid/released-multiclass-unet/exp4-seed0/model.keras",
    ]
    expected |= {name: contents(out)[name] for name in networks}
    assert contents(here) == expected
    assert [name for name in expected if "last_epochs" in name] == [
        "grid/released-binary-segnet/exp4-seed0/last_epochs.npz"
    ]
    assert read_finished(here / "grid/released-binary-segnet/exp5-seed0")[1].test_names == ("t1", "t2")
    assert read_finished(here / "grid/released-binary-segnet/exp9-seed0")[1] is None


def test_the_side_study_comes_along_without_its_networks(tmp_path):
    """However good on its small slices."""
    make_run(tmp_path / "there", spec(), 90, network=5000)
    make_run(tmp_path / "there", spec(study="side"), 99, network=6000)
    make_run(tmp_path / "there", spec(study="side-cut"), 99, network=7000)
    pack(tmp_path / "there", tmp_path / "runs.zip")
    merge([tmp_path / "runs.zip"], tmp_path / "here")
    folders = {
        study: tmp_path / "here" / study / "released-binary-segnet" / "exp4-seed0"
        for study in ("grid", "side", "side-cut")
    }
    assert {study for study, folder in folders.items() if (folder / "model.keras").exists()} == {"grid"}
    assert all((folder / "result.json").exists() for folder in folders.values())


def test_a_network_comes_along_as_a_training_saves_it(tmp_path):
    """With its facts, which are one more file in it."""

    class Network:
        def save(self, path):
            with zipfile.ZipFile(path, "w") as model:
                for name in ("metadata.json", "config.json", "model.weights.h5"):
                    model.writestr(name, "{}")

    folder = make_run(tmp_path / "there", spec())
    save_network(Network(), folder.model, {"class_names": ["not infected", "infected"]})
    _, left_out = pack(tmp_path / "there", tmp_path / "runs.zip")
    assert left_out == []
    merge([tmp_path / "runs.zip"], tmp_path / "here")
    facts = read_facts(RunFolder(tmp_path / "here", spec()).model)
    assert facts == {"class_names": ["not infected", "infected"]}


def test_the_projects_own_results_pass_the_checks(tmp_path):
    _, left_out = pack(ROOT / "experiments" / "results", tmp_path / "runs.zip")
    assert left_out == []
    merge([tmp_path / "runs.zip"], tmp_path / "here")
    name = "grid/released-binary-segnet/exp4-seed0-matlab/counts.npz"
    assert (tmp_path / "here" / name).read_bytes() == (ROOT / "experiments" / "results" / name).read_bytes()


def test_equal_runs_give_equal_archives(out, packed, tmp_path):
    for path in out.rglob("*"):
        os.utime(path, (0, 0))
    pack(out, tmp_path / "again.zip")
    assert (tmp_path / "again.zip").read_bytes() == packed.read_bytes()
    pack(out, packed)  # the same bytes over the same bytes is no harm


def test_an_archive_that_is_there_is_replaced_with_force_only(out, packed):
    before = packed.read_bytes()
    make_run(out, spec(experiment=1))
    with pytest.raises(InputError, match="is there already"):
        pack(out, packed)
    assert packed.read_bytes() == before
    pack(out, packed, force=True)
    assert len(read_archive(packed)) == 7


def test_large_archives_are_split_below_the_limit(tmp_path):
    out = tmp_path / "there"
    for net in ("segnet", "unet"):
        for problem in ("binary", "multiclass"):
            make_run(out, spec(net, problem), network=7 * 2**20)
    pack(out, tmp_path / "runs.zip")
    parts = sorted(tmp_path.glob("*.zip"))
    assert [path.name for path in parts] == ["runs-1.zip", "runs-2.zip"]
    assert all(path.stat().st_size <= LIMIT for path in parts)
    merge(parts, tmp_path / "here")
    assert contents(tmp_path / "here") == contents(out)


def test_a_damaged_run_is_left_out_by_name_and_the_others_are_packed(out, tmp_path):
    (out / "grid/released-binary-segnet/exp5-seed0/history.npz").write_bytes(b"no")
    _, left_out = pack(out, tmp_path / "runs.zip")
    assert len(left_out) == 1
    assert "exp5-seed0/history.npz" in left_out[0]
    assert len(read_archive(tmp_path / "runs.zip")) == 5


def test_nothing_to_pack_is_said(tmp_path):
    with pytest.raises(InputError, match="no finished run to pack"):
        pack(tmp_path, tmp_path / "runs.zip")
    assert not list(tmp_path.iterdir())


def test_merging_again_changes_nothing(packed, tmp_path):
    here = tmp_path / "here"
    merge([packed], here)
    before = {path: path.stat().st_mtime_ns for path in here.rglob("*") if path.is_file()}
    assert "there already: 6" in merge([packed, packed], here)[-1]
    assert {path: path.stat().st_mtime_ns for path in here.rglob("*") if path.is_file()} == before


def test_a_different_run_is_refused_without_force_and_nothing_is_written(packed, tmp_path):
    here = tmp_path / "here"
    make_run(here, spec("unet", "multiclass"), right=70)  # the last of the archive's grid
    before = contents(here)
    with pytest.raises(InputError, match=r"runs\.zip: grid/released-multiclass-unet/exp4-seed0: differs from the run"):
        merge([packed], here)
    assert contents(here) == before
    merge([packed], here, force=True)
    assert read_finished(here / "grid/released-multiclass-unet/exp4-seed0")[1].test_confusion[0, 0, 0] == 80


def test_an_unfinished_run_is_replaced_if_its_settings_are_the_same(packed, tmp_path):
    here = tmp_path / "here"
    unfinished = make_run(here, spec())
    unfinished.result.unlink()
    (unfinished.path / "state.weights.h5").write_bytes(b"state")
    (unfinished.path / "counts.npz.123.tmp").write_bytes(b"left by a kill")
    merge([packed], here)
    assert unfinished.finished
    assert {path.name for path in unfinished.path.iterdir()} - {"lock"} == {*FOUR, "last_epochs.npz", "model.keras"}
    other = make_run(tmp_path / "other", spec(), epoch_seconds=(1.0,))
    other.result.unlink()
    with pytest.raises(InputError, match="differs from the run"):
        merge([packed], tmp_path / "other")


def test_a_run_that_another_process_holds_is_left_alone(packed, tmp_path):
    here = tmp_path / "here"
    folder = RunFolder(here, spec())
    with folder.lock():
        lines = merge([packed], here)
        assert f"left alone: {folder.path}: process {os.getpid()}" in lines[0]
        assert not folder.config.exists()
    assert "there already: 5" in merge([packed], here)[-1]
    assert folder.finished


def test_only_a_missing_network_is_added(out, packed, tmp_path):
    here = tmp_path / "here"
    merge([packed], here)
    model = here / "grid/released-binary-segnet/exp4-seed0/model.keras"
    content = model.read_bytes()
    model.unlink()
    assert "network: 1" in merge([packed], here)[-1]
    assert model.read_bytes() == content


def test_two_archives_that_contradict_each_other_are_refused(out, packed, tmp_path):
    make_run(tmp_path / "other", spec(), right=50)
    pack(tmp_path / "other", tmp_path / "other.zip")
    with pytest.raises(InputError, match=r"other\.zip: grid/.*: differs from the one in .*runs\.zip"):
        merge([packed, tmp_path / "other.zip"], tmp_path / "here")
    assert not (tmp_path / "here").exists()


# Hostile archives: each kind by hand.


def write(path, members):
    """A zip of (name or ZipInfo, content)."""
    with zipfile.ZipFile(path, "w") as archive:
        for member, content in members:
            archive.writestr(member, content)
    return path


def members_of(packed):
    with zipfile.ZipFile(packed) as archive:
        return [(name, archive.read(name)) for name in archive.namelist()]


def refused(path, tmp_path, match):
    here = tmp_path / "here"
    make_run(here, spec(experiment=2))
    before = contents(here)
    with pytest.raises(InputError, match=match) as caught:
        merge([path], here)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 600
    assert contents(here) == before
    assert {path.name for path in tmp_path.iterdir()} <= {"here", "there", "runs.zip", path.name}


@pytest.mark.parametrize(
    "name",
    [
        "/etc/config.json",
        "../grid/released-binary-segnet/exp1-seed0/config.json",
        "grid/released-binary-segnet/../config.json",
        "grid\\..\\config.json",
        "C:/grid/config.json",
    ],
)
def test_names_that_lead_out_are_refused(packed, tmp_path, name):
    bad = write(tmp_path / "bad.zip", [*members_of(packed), (name, b"{}")])
    refused(bad, tmp_path, "leads out of the folder")


@pytest.mark.parametrize(
    "name",
    [
        "readme.txt",
        "grid/released-binary-segnet/exp4-seed0/extra.json",
        "grid/released-binary-segnet/exp4-seed0/model.pkl",
        "grid/released-binary-segnet/exp4-seed0/sub/config.json",
        "grid/released-binary-segnet/",
        "runs/released-binary-segnet/exp4-seed0/config.json",
        "grid/released-binary-segnet/exp4-seed0/\x1b[2Jconfig.json",
    ],
)
def test_unknown_names_are_refused(packed, tmp_path, name):
    bad = write(tmp_path / "bad.zip", [*members_of(packed), (name, b"")])
    refused(bad, tmp_path, "is no file of a run|is a link or another special")


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFCHR, stat.S_IFIFO, stat.S_IFDIR])
def test_links_and_special_files_are_refused(packed, tmp_path, kind):
    link = zipfile.ZipInfo("grid/released-binary-segnet/exp1-seed0/config.json")
    link.external_attr = (kind | 0o777) << 16
    refused(write(tmp_path / "bad.zip", [*members_of(packed), (link, b"/etc/passwd")]), tmp_path, "is a link")


def test_compressed_members_and_bombs_are_refused(tmp_path):
    bomb = zipfile.ZipInfo("grid/released-binary-segnet/exp1-seed0/model.keras")
    bomb.compress_type = zipfile.ZIP_DEFLATED
    small = write(tmp_path / "bad.zip", [(bomb, bytes(10 * 2**20))])
    assert small.stat().st_size < 2**16
    refused(small, tmp_path, "is compressed")


def test_too_large_declared_sizes_are_refused(tmp_path):
    bomb = zipfile.ZipInfo("grid/released-binary-segnet/exp1-seed0/config.json")
    bomb.compress_type = zipfile.ZIP_DEFLATED
    refused(write(tmp_path / "bad.zip", [(bomb, bytes(20 * 2**20))]), tmp_path, "declares 20971520 bytes")


def test_sizes_that_lie_are_refused(packed, tmp_path):
    """The directory says that a member is longer than it is: it would reach into the next one."""
    content = bytearray(packed.read_bytes())
    with zipfile.ZipFile(packed) as archive:
        start = archive.start_dir
        size = archive.infolist()[0].file_size
    content[start + 20 : start + 28] = (size + 1000).to_bytes(4, "little") * 2
    bad = tmp_path / "bad.zip"
    bad.write_bytes(content)
    refused(bad, tmp_path, "exp4-seed0/config.json: ")


def test_overlapping_members_are_refused(tmp_path):
    """Many names in the directory for the bytes of one member."""
    names = [f"grid/released-binary-segnet/exp4-seed{n}/model.keras" for n in range(1000, 1100)]
    path = write(tmp_path / "bad.zip", [(names[0], bytes(2**20))])
    content = path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        start, end = archive.start_dir, content.rindex(b"PK\5\6")
    entry = content[start:end]
    directory = b"".join(entry.replace(names[0].encode(), name.encode()) for name in names)
    tail = bytearray(content[end:])
    tail[8:12] = len(names).to_bytes(2, "little") * 2
    tail[12:16] = len(directory).to_bytes(4, "little")
    path.write_bytes(content[:start] + directory + tail)
    with zipfile.ZipFile(path) as archive:
        assert len(archive.namelist()) == 100
    refused(path, tmp_path, "declare more bytes than the archive has")


def test_a_large_file_or_directory_is_refused_soon(tmp_path):
    large = tmp_path / "bad.zip"
    large.write_bytes(bytes(LIMIT + 1))
    refused(large, tmp_path, "is larger than 16777216 bytes")
    began = time.process_time()
    write(large, [(f"{n}", b"") for n in range(20_000)])
    with pytest.raises(InputError, match="one of 20000 members"):
        read_archive(large)
    large.write_bytes(b"PK\1\2" + bytes(100) + b"PK\1\2" * 60_000)
    with pytest.raises(InputError, match="lists 60001 files"):
        read_archive(large)
    assert time.process_time() - began < 10  # of this process: other tests run beside it


def test_a_name_twice_is_refused(packed, tmp_path):
    with pytest.warns(UserWarning, match="Duplicate"):
        bad = write(tmp_path / "bad.zip", [*members_of(packed), members_of(packed)[0]])
    refused(bad, tmp_path, "is there twice")


@pytest.mark.parametrize("missing", FOUR)
def test_half_a_run_is_refused(packed, tmp_path, missing):
    bad = f"grid/released-binary-segnet/exp4-seed0/{missing}"
    path = write(tmp_path / "bad.zip", [member for member in members_of(packed) if member[0] != bad])
    refused(path, tmp_path, f"not a whole run, it has no {missing}")


def changed(packed, tmp_path, file, content):
    """The archive with other content in one file of one run."""
    name = f"grid/released-binary-segnet/exp4-seed0/{file}"
    members = [(member, content if member == name else old) for member, old in members_of(packed)]
    assert dict(members)[name] == content
    return write(tmp_path / "bad.zip", members)


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"format": 2}, "written by another version"),
        ({"experiment": 5}, "is that of grid/released-binary-segnet/exp5-seed0"),
        ({"net": "unet"}, "is that of grid/released-binary-unet"),
        ({"net": "../.."}, "impossible value of net"),
        ({"seed": True}, "impossible value of seed"),
        ({"seed": "0"}, "impossible value of seed"),
        ({"fold": 1}, "impossible value of fold"),
        ({"stream": None}, "impossible value of stream"),
        ({"encoder_weights": "imagenet"}, "is that of .*pretrained"),
        ({"encoder_weights": "x"}, "lacks or has too much: encoder_weights_sha256"),
        ({"encoder_weights": "x", "encoder_weights_sha256": 1}, "impossible value of encoder_weights_sha256"),
        ({"recipe": []}, "impossible value of recipe"),
        ({"split": {"train": 3, "validation": [], "test": []}}, "impossible value of split"),
        ({"split": {"train": [], "validation": [], "test": ["t1"]}}, r"slices are not those of config\.json"),
        ({"command": "rm"}, "lacks or has too much: command"),
    ],
)
def test_settings_that_cannot_be_are_refused(packed, tmp_path, changes, match):
    config = json.loads(dict(members_of(packed))["grid/released-binary-segnet/exp4-seed0/config.json"])
    refused(changed(packed, tmp_path, "config.json", json.dumps({**config, **changes})), tmp_path, match)


def test_a_run_knows_the_weights_of_its_encoder_by_their_content(tmp_path):
    here, there = tmp_path / "here" / "vgg16.weights.h5", tmp_path / "there" / "vgg16.weights.h5"
    for file in (here, there):
        file.parent.mkdir()
        file.write_bytes(b"weights")
    config = weights_by_content(str(here))
    assert config["encoder_weights"] == here.name
    assert config["encoder_weights_sha256"] == hashlib.sha256(b"weights").hexdigest()
    folder = RunFolder(tmp_path / "runs", spec())
    folder.path.mkdir(parents=True)
    folder.config.write_text(json.dumps(config))
    folder.check(weights_by_content(str(there)), force=False)
    there.write_bytes(b"others")
    with pytest.raises(InputError, match="encoder_weights_sha256"):
        folder.check(weights_by_content(str(there)), force=False)
    with pytest.raises(InputError, match=r"missing\.h5: cannot be read"):
        weights_by_content("missing.h5")
    assert [weights_by_content(source) for source in (None, "imagenet")] == [
        {"encoder_weights": source} for source in (None, "imagenet")
    ]


@pytest.mark.parametrize("seconds", ["x", -1, True, None, 1e300])
def test_times_that_cannot_be_are_refused(packed, tmp_path, seconds):
    result = json.loads(dict(members_of(packed))["grid/released-binary-segnet/exp4-seed0/result.json"])
    content = json.dumps({**result, "training_seconds": seconds})
    refused(changed(packed, tmp_path, "result.json", content), tmp_path, "training_seconds is no time")


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b'{"status": "finished"}', b"[" * 100_000, b"\xff\xfe\x00"])
@pytest.mark.parametrize("file", ["config.json", "result.json"])
def test_damaged_json_is_refused(packed, tmp_path, file, content):
    refused(changed(packed, tmp_path, file, content), tmp_path, file)


def npz(**arrays):
    stream = io.BytesIO()
    np.savez_compressed(stream, **arrays)
    return stream.getvalue()


def arrays_of(packed, file):
    content = dict(members_of(packed))[f"grid/released-binary-segnet/exp4-seed0/{file}"]
    with np.load(io.BytesIO(content), allow_pickle=False) as saved:
        return dict(saved)


def test_pickles_are_refused_and_never_opened(packed, tmp_path):
    class Trap:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "trapped"),)

    arrays = {**arrays_of(packed, "history.npz"), "loss": np.array([Trap()] * 54, dtype=object)}
    refused(changed(packed, tmp_path, "history.npz", npz(**arrays)), tmp_path, "history.npz: holds object")
    assert not (tmp_path / "trapped").exists()


def test_arrays_that_claim_a_petabyte_are_refused(packed, tmp_path):
    header = io.BytesIO()
    claim = {"descr": "<f8", "fortran_order": False, "shape": (2**47,)}
    np.lib.format.write_array_header_1_0(header, claim)
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as saved:
        for name in arrays_of(packed, "history.npz"):
            saved.writestr(f"{name}.npy", header.getvalue() + bytes(80))
    refused(changed(packed, tmp_path, "history.npz", stream.getvalue()), tmp_path, "does not fit its")


def test_arrays_that_swell_are_refused(packed, tmp_path):
    arrays = {**arrays_of(packed, "history.npz"), "loss": np.zeros(20 * 2**20)}
    content = npz(**arrays)
    assert len(content) < 2**20
    refused(changed(packed, tmp_path, "history.npz", content), tmp_path, r"history.npz: declares \d+ bytes, more than")


@pytest.mark.parametrize(
    ("file", "arrays", "match"),
    [
        ("history.npz", {"loss": np.zeros(3)}, "rows differ in length"),
        ("history.npz", {"loss": np.zeros((54, 1))}, "expected rows of numbers"),
        ("history.npz", {"more": np.zeros(3)}, "expected nothing but accuracy"),
        ("history.npz", {"epoch_seconds": np.array([np.nan])}, "impossible seconds"),
        ("counts.npz", {"test_names": np.array(["t1", "<script>"])}, "test slices are not those of config"),
        ("counts.npz", {"test_confusion": np.zeros((2, 4, 4), np.int64)}, "expected a matrix of 2 classes"),
        ("counts.npz", {"test_confusion": np.full((2, 2, 2), -1)}, "impossible counts"),
        ("counts.npz", {"validation_bf": np.zeros(9)}, "impossible counts or scores"),
        ("last_epochs.npz", {"epoch": np.array([3, 2])}, "expected epochs one after another"),
        ("last_epochs.npz", {"epoch": np.array([1, 3])}, "expected epochs one after another"),
        ("last_epochs.npz", {"epoch": np.array([0, 1])}, "counted from 1"),
        ("last_epochs.npz", {"epoch": np.zeros(0, int)}, "counted from 1"),
        ("last_epochs.npz", {"epoch": np.array([2.0, 3.0])}, "counted from 1"),
        ("last_epochs.npz", {"epoch": np.array([3, 4])}, "beyond the training's 3"),
        ("last_epochs.npz", {"test_confusion": np.zeros((2, 2, 4, 4), int)}, "impossible counts of the test slices"),
        ("last_epochs.npz", {"test_confusion": np.zeros((3, 2, 2, 2), int)}, "impossible counts of the test slices"),
        ("last_epochs.npz", {"validation_confusion": np.full((2, 1, 2, 2), -1)}, "impossible counts of the validation"),
        ("last_epochs.npz", {"test_confusion": np.full((2, 2, 2, 2), 25)}, "are not those of counts"),
        ("last_epochs.npz", {"more": np.zeros(3)}, "expected nothing but"),
    ],
)
def test_arrays_that_cannot_be_are_refused(packed, tmp_path, file, arrays, match):
    content = npz(**{**arrays_of(packed, file), **arrays})
    refused(changed(packed, tmp_path, file, content), tmp_path, match)


def test_last_epochs_of_a_run_that_diverged_are_refused(packed, tmp_path):
    """It has counted nothing."""
    name = "grid/released-binary-segnet/exp9-seed0"
    stray = (f"{name}/last_epochs.npz", npz(**arrays_of(packed, "last_epochs.npz")))
    bad = write(tmp_path / "bad.zip", [*members_of(packed), stray])
    refused(bad, tmp_path, "last_epochs.npz: does not belong to a run that diverged")


def test_a_network_with_other_files_in_it_is_refused(packed, tmp_path):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as model:
        model.writestr("metadata.json", "{}")
        model.writestr("../model.weights.h5", "")
    refused(
        changed(packed, tmp_path, "model.keras", stream.getvalue()),
        tmp_path,
        "model.keras: expected nothing but config.json",
    )


@pytest.mark.parametrize("content", [b"", b"PK\5\6" + bytes(18), b"\x1f\x8b" + bytes(100), b"PK\3\4" * 50])
def test_what_is_no_archive_is_refused(tmp_path, content):
    bad = tmp_path / "bad.zip"
    bad.write_bytes(content)
    refused(bad, tmp_path, "is no sound zip archive|holds no run")


def test_what_cannot_be_read_is_refused(tmp_path):
    refused(tmp_path / "missing.zip", tmp_path, "cannot be read")
    with pytest.raises(InputError, match="is no plain file"):
        read_archive(Path("/dev/zero"))


def test_mutated_archives_are_refused_cleanly_or_sound(packed, tmp_path):
    """Seeded: 400 archives with bytes changed, cut or repeated; whatever is taken passed every check."""
    original, chance = packed.read_bytes(), random.Random(8)
    path, refusals = tmp_path / "bad.zip", 0
    for _ in range(400):
        content = bytearray(original)
        for _ in range(chance.choice((1, 1, 3, 20))):
            where = chance.randrange(len(content))
            kind = chance.randrange(4)
            if kind == 0:
                content[where] = chance.randrange(256)
            elif kind == 1:
                del content[where : where + chance.randrange(1, 200)]
            elif kind == 2:
                content[where:where] = content[where : where + chance.randrange(1, 200)]
            else:  # the directory at the end holds the names and sizes
                content[-chance.randrange(1, min(2000, len(content)))] = chance.randrange(256)
        path.write_bytes(content)
        try:
            runs = read_archive(path)
        except InputError as error:
            refusals += 1
            assert str(error).startswith(f"{path}: ")
            assert "\n" not in str(error)
        else:
            assert {run.folder for run in runs} <= {run.folder for run in read_archive(packed)}
    assert refusals > 300


# Killed in the middle.


def test_a_merge_that_ends_at_any_write_leaves_whole_runs_or_none(packed, tmp_path, monkeypatch):
    whole = contents_after(packed, tmp_path / "undisturbed")
    writes, real = sum(len(run.files) for run in read_archive(packed)), archives._write
    for last in range(writes):
        here, left = tmp_path / f"killed{last}", [last]

        def write_until_killed(path, content, left=left):
            if not left[0]:
                path.with_name(f".{path.name}.1.tmp").write_bytes(content[: len(content) // 2])
                raise KeyboardInterrupt
            left[0] -= 1
            real(path, content)

        monkeypatch.setattr(archives, "_write", write_until_killed)
        with pytest.raises(KeyboardInterrupt):
            merge([packed], here)
        monkeypatch.setattr(archives, "_write", real)
        for result in here.rglob("result.json"):
            name = result.parent.relative_to(here).as_posix()
            assert {p for p in contents(here) if p.startswith(name)} == {p for p in whole if p.startswith(name)}
        assert contents_after(packed, here) == whole


def contents_after(packed, here):
    """What lies in a folder after a merge; without who held the lock of a run when its holder was killed."""
    merge([packed], here)
    return {name: content for name, content in contents(here).items() if not name.endswith("lock.json")}


def test_a_merge_killed_for_good_goes_on(tmp_path, capsys):
    out, here = tmp_path / "there", tmp_path / "here"
    for seed in range(12):
        make_run(out, spec(seed=seed))
    pack(out, tmp_path / "runs.zip")
    merging = ["--out", str(here), "--merge", str(tmp_path / "runs.zip")]
    # A run is five files that are moved into place: this is within the seventh.
    code = "import fault_child, sys; fault_child._die_at_move(33, False); fault_child.be('study', sys.argv[1:])"
    killed = subprocess.run([sys.executable, "-c", code, *merging], cwd=ROOT, env={**os.environ, **SERVER}, timeout=60)
    assert killed.returncode == -signal.SIGKILL
    results = list(here.rglob("result.json"))
    assert len(results) == 6 and len(list(here.rglob("config.json"))) == 7
    assert all(read_finished(result.parent)[1] for result in results)
    assert exchange(study_parser("", "").parse_args(merging)) == 0
    assert "taken into" in (told := capsys.readouterr().out) and f"there already: {len(results)}" in told
    names = {name: content for name, content in contents(here).items() if not name.endswith("lock.json")}
    assert names == contents(out)


def test_the_command_refuses_in_one_line(tmp_path):
    (tmp_path / "bad.zip").write_bytes(b"no")
    command = [sys.executable, "-m", "experiments.study", "--out", str(tmp_path / "here"), "--merge"]
    done = subprocess.run(
        [*command, str(tmp_path / "bad.zip")], cwd=ROOT, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "bad.zip: is no sound zip archive" in done.stderr
    assert not (tmp_path / "here").exists()
