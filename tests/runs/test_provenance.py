"""Where a result was computed: a processor's name tells it from others."""

import platform
import subprocess

import keras
import pytest

import unet_segnet
from unet_segnet.runs import provenance
from unet_segnet.runs.provenance import processor_name

BARE = "processor\t: 0\ncpu family\t: 25\nmodel\t\t: 17\nmodel name\t: AMD EPYC\nflags\t\t: fpu\n"


def test_a_bare_name_has_its_family_and_model_beside_it():
    assert processor_name(f"{BARE}\n{BARE}") == "AMD EPYC (family 25, model 17)"


def test_a_full_name_stands_for_itself():
    assert processor_name(BARE.replace("AMD EPYC", "AMD EPYC 9B14 96-Core")) == "AMD EPYC 9B14 96-Core"


def test_what_is_not_told_is_not_made_up():
    assert processor_name("model name: Some processor\n") == "Some processor"
    with pytest.raises(KeyError):
        processor_name("Processor: ARMv8\n")


@pytest.mark.parametrize(
    ("machine", "setting", "told"), [("x86_64", "0", False), ("x86_64", "1", True), ("arm64", "1", None)]
)
def test_the_kernels_that_round_differently_are_told(monkeypatch, machine, setting, told):
    monkeypatch.setattr(keras.config, "backend", lambda: "tensorflow")
    monkeypatch.setattr(platform, "machine", lambda: machine)
    monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", setting)
    assert provenance.provenance(provenance.begin()).get("onednn") is told


def test_the_commit_is_the_one_at_the_beginning(monkeypatch):
    described = iter(["before", "after"])
    monkeypatch.setattr(provenance, "_git", lambda folder, *words: next(described) if "describe" in words else "there")
    provenance._own_commit.cache_clear()
    try:
        started = provenance.begin()
        assert provenance.commit() == "after"  # for what starts other processes, whose code is the present one
        found = provenance.provenance(started)
        assert found["commit"] == "before" and found["versions"]["unet_segnet"] == unet_segnet.__version__
    finally:
        provenance._own_commit.cache_clear()


def test_a_repository_is_named_only_by_files_that_it_tracks(tmp_path, monkeypatch):
    """Installed packages lie in other projects' repositories, which ignore them."""

    def git(*words):
        settings = ("-c", "user.name=a", "-c", "user.email=a@example.com", "-c", "commit.gpgsign=false")
        subprocess.run(["git", *settings, *words], cwd=tmp_path, check=True, capture_output=True)

    file = tmp_path / "env" / "provenance.py"
    file.parent.mkdir()
    file.touch()
    monkeypatch.setattr(provenance, "__file__", str(file))
    assert provenance.commit() is None
    (tmp_path / "notes").touch()
    git("init")
    git("add", "notes")
    git("commit", "-m", "notes")
    assert provenance.commit() is None
    git("add", "env")
    git("commit", "-m", "env")
    assert provenance.commit()


@pytest.mark.parametrize(
    ("file", "command"),
    [
        ("tools/grid.py", "python -m tools.grid"),
        ("tools/bench/__main__.py", "python -m tools.bench"),
        ("unet_segnet/__main__.py", "unet-segnet"),
        ("bin/unet-segnet", "unet-segnet"),
        ("bin/mine.py", "python mine.py"),
    ],
)
def test_a_command_is_told_as_one_types_it(tmp_path, file, command):
    for package in ("tools", "tools/bench", "unet_segnet"):
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").touch()
    assert provenance._command(tmp_path / file) == command
