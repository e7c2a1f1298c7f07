"""What the backend computes on."""

from dataclasses import dataclass
from pathlib import Path

DTYPES = ("float32", "mixed_bfloat16")  # of layers
BFLOAT16_FLAGS = {"avx512_bf16", "amx_bf16", "bf16", "svebf16"}
BFLOAT16_CAPABILITY = (8, 0)
"""NVIDIA's compute capability from which on GPUs multiply bfloat16 themselves (Ampere)."""


@dataclass(frozen=True)
class Accelerator:
    """A GPU or another device beside the processor.

    Attributes:
        name: as its maker calls it, such as "NVIDIA H200"; where the backend does not tell, as the backend does.
        bfloat16: whether it is known to multiply bfloat16 itself.
    """

    name: str
    bfloat16: bool = False


def accelerators() -> list[Accelerator]:
    """The GPUs and other accelerators that the backend computes on, the first one by default; empty on a processor."""
    import keras

    if keras.config.backend() == "torch":
        return _of_torch()
    found = [name for name in map(str, keras.distribution.list_devices()) if not name.lower().startswith("cpu")]
    if not found:
        return []
    return _of_jax() if keras.config.backend() == "jax" else _of_tensorflow(found)


def _of_torch():
    """Keras lists no devices for PyTorch; where it puts a tensor, it computes."""
    import keras

    device = keras.ops.convert_to_tensor(0.0).device
    if device.type != "cuda":
        return [] if device.type == "cpu" else [Accelerator(str(device))]
    import torch

    return [Accelerator(torch.cuda.get_device_name(device), _capable(torch.cuda.get_device_capability(device)))]


def _of_jax():
    import jax

    return [
        Accelerator(device.device_kind, device.platform == "tpu" or _capable(getattr(device, "compute_capability", "")))
        for device in jax.devices()
    ]


def _of_tensorflow(names):
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    if not gpus:
        return [Accelerator(name, name.lower().startswith("tpu")) for name in names]
    details = [tf.config.experimental.get_device_details(gpu) for gpu in gpus]
    return [
        Accelerator(found.get("device_name", gpu.name), _capable(found.get("compute_capability", "")))
        for gpu, found in zip(gpus, details, strict=True)
    ]


def _capable(capability):
    """Whether a compute capability, (9, 0) or "9.0", is high enough; what other makers' GPUs say instead is not."""
    numbers = str(capability).strip("()").replace(",", ".").split(".")
    try:
        return tuple(int(number) for number in numbers) >= BFLOAT16_CAPABILITY
    except ValueError:
        return False


def has_bfloat16_units(cpuinfo: str | None = None) -> bool:
    """Whether accelerator or processor multiply bfloat16 themselves.

    Arguments:
        cpuinfo: what /proc/cpuinfo says, by whose flags a processor is judged; None: this machine, its accelerator
            where there is one. False where nothing is known of it.
    """
    if cpuinfo is None:
        if found := accelerators():
            return found[0].bfloat16
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
