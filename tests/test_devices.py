"""Which data type is chosen for which machine."""

import pytest

from unet_segnet import devices

UNITS = "processor: 0\nflags\t\t: fpu avx512f avx512_bf16\n"
NONE = "flags\t\t: fpu avx2\nmodel name: amx_bf16\n"


def test_bfloat16_units_are_read_from_the_flags():
    assert devices.has_bfloat16_units(UNITS)
    assert devices.has_bfloat16_units("Features\t: fp asimd bf16\n")
    assert not devices.has_bfloat16_units(NONE)


@pytest.mark.parametrize(
    ("found", "cpuinfo", "dtype"),
    [(["gpu:0"], NONE, "mixed_bfloat16"), ([], UNITS, "mixed_bfloat16"), ([], NONE, "float32")],
)
def test_the_data_type_follows_the_machine(monkeypatch, tmp_path, found, cpuinfo, dtype):
    (tmp_path / "cpuinfo").write_text(cpuinfo)
    monkeypatch.setattr(devices, "accelerators", lambda: found)
    monkeypatch.setattr(devices, "Path", lambda _: tmp_path / "cpuinfo")
    assert devices.best_dtype() == dtype
