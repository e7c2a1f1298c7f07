"""What the backend computes on."""

from pathlib import Path

import keras

BFLOAT16_FLAGS = {"avx512_bf16", "amx_bf16", "bf16", "svebf16"}


def accelerators() -> list[str]:
    """Names of the GPUs and other accelerators that the backend sees; empty on a processor alone.

    Keras lists no devices for its PyTorch backend: there this is empty too.
    """
    if keras.config.backend() == "torch":
        return []
    return [str(device) for device in keras.distribution.list_devices() if not str(device).lower().startswith("cpu")]


def has_bfloat16_units(cpuinfo: str | None = None) -> bool:
    """Whether accelerator or processor multiply bfloat16 themselves.

    Arguments:
        cpuinfo: what /proc/cpuinfo says, by whose flags a processor is judged; None: this machine, accelerators
            included. False where nothing is known of it.
    """
    if cpuinfo is None:
        if accelerators():
            return True
        path = Path("/proc/cpuinfo")
        cpuinfo = path.read_text(encoding="utf-8") if path.exists() else ""
    names = ("flags", "Features")  # x86, Arm
    flags = {flag for line in cpuinfo.splitlines() if line.startswith(names) for flag in line.split()}
    return bool(flags & BFLOAT16_FLAGS)


def best_dtype() -> str:
    """The fastest data type to train in here: "mixed_bfloat16" where there are units for it, else "float32".

    Without such units bfloat16 is emulated and costs many times as much.
    """
    return "mixed_bfloat16" if has_bfloat16_units() else "float32"
