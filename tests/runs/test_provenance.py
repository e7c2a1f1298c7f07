"""Where a result was computed: a processor's name tells it from others."""

import platform
from types import SimpleNamespace

import keras
import pytest

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
    monkeypatch.setattr(provenance.subprocess, "run", lambda *_, **__: SimpleNamespace(stdout=f"{next(described)}\n"))
    provenance._own_commit.cache_clear()
    try:
        started = provenance.begin()
        assert provenance.commit() == "after"  # for what starts other processes, whose code is the present one
        assert provenance.provenance(started)["commit"] == "before"
    finally:
        provenance._own_commit.cache_clear()
