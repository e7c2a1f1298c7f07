"""What a backend computes on, and which data type is chosen for it."""

import sys
from types import SimpleNamespace

import keras
import pytest

from unet_segnet import devices
from unet_segnet.devices import Accelerator

UNITS = "processor: 0\nflags\t\t: fpu avx512f avx512_bf16\n"
NONE = "flags\t\t: fpu avx2\nmodel name: amx_bf16\n"


def test_bfloat16_units_are_read_from_the_flags():
    assert devices.has_bfloat16_units(UNITS)
    assert devices.has_bfloat16_units("Features\t: fp asimd bf16\n")
    assert not devices.has_bfloat16_units(NONE)


@pytest.mark.parametrize(
    ("found", "cpuinfo", "dtype"),
    [
        ([Accelerator("NVIDIA H200", True)], NONE, "mixed_bfloat16"),
        ([Accelerator("NVIDIA GeForce GTX 1050 Ti", False)], UNITS, "float32"),
        ([], UNITS, "mixed_bfloat16"),
        ([], NONE, "float32"),
    ],
)
def test_the_data_type_follows_the_machine(monkeypatch, tmp_path, found, cpuinfo, dtype):
    (tmp_path / "cpuinfo").write_text(cpuinfo)
    monkeypatch.setattr(devices, "accelerators", lambda: found)
    monkeypatch.setattr(devices, "Path", lambda _: tmp_path / "cpuinfo")
    assert devices.best_dtype() == dtype


@pytest.fixture
def backend(monkeypatch):
    """A function that pretends a backend, which lists these devices; its library is given as a stand-in."""

    def pretend(name, library, listed=("gpu:0",)):
        monkeypatch.setattr(keras.config, "backend", lambda: name)
        monkeypatch.setattr(keras.distribution, "list_devices", lambda: list(listed))
        monkeypatch.setitem(sys.modules, name, library)

    return pretend


def test_a_processor_alone_is_no_accelerator():
    if keras.config.backend() == "torch":
        places = [str(keras.ops.convert_to_tensor(0.0).device)]
    else:
        places = keras.distribution.list_devices()
    assert bool(devices.accelerators()) == any("cpu" not in str(place).lower() for place in places)


@pytest.mark.parametrize(("capability", "bfloat16"), [("9.0", True), ("8.0", True), ("7.5", False), ("gfx942", False)])
def test_jax_names_its_gpus(backend, capability, bfloat16):
    gpu = SimpleNamespace(device_kind="NVIDIA H200", platform="gpu", compute_capability=capability)
    backend("jax", SimpleNamespace(devices=lambda: [gpu]))
    assert devices.accelerators() == [Accelerator("NVIDIA H200", bfloat16)]


def test_jax_names_its_tpus(backend):
    tpu = SimpleNamespace(device_kind="TPU v4", platform="tpu")
    backend("jax", SimpleNamespace(devices=lambda: [tpu, tpu]), ("tpu:0", "tpu:1"))
    assert devices.accelerators() == 2 * [Accelerator("TPU v4", True)]


@pytest.mark.parametrize(
    ("details", "expected"),
    [
        ({"device_name": "Tesla T4", "compute_capability": (7, 5)}, Accelerator("Tesla T4", False)),
        ({"device_name": "NVIDIA A100", "compute_capability": (8, 0)}, Accelerator("NVIDIA A100", True)),
        ({}, Accelerator("/physical_device:GPU:0", False)),
    ],
)
def test_tensorflow_names_its_gpus(backend, details, expected):
    config = SimpleNamespace(
        list_physical_devices=lambda kind: [SimpleNamespace(name="/physical_device:GPU:0")],
        experimental=SimpleNamespace(get_device_details=lambda gpu: details),
    )
    backend("tensorflow", SimpleNamespace(config=config))
    assert devices.accelerators() == [expected]


@pytest.mark.parametrize(
    ("kind", "expected"),
    [("cuda", [Accelerator("NVIDIA H200", True)]), ("mps", [Accelerator("mps", False)]), ("cpu", [])],
)
def test_pytorch_computes_where_keras_puts_a_tensor(backend, monkeypatch, kind, expected):
    cuda = SimpleNamespace(get_device_name=lambda device: "NVIDIA H200", get_device_capability=lambda device: (9, 0))
    backend("torch", SimpleNamespace(cuda=cuda))

    class Device(SimpleNamespace):
        def __str__(self):
            return self.type

    monkeypatch.setattr(keras.ops, "convert_to_tensor", lambda value: SimpleNamespace(device=Device(type=kind)))
    assert devices.accelerators() == expected
