"""How the processor is used: settings that have to be made before a backend is imported.

Importing this module imports nothing heavy.
"""

import contextlib
import ctypes
import os
import platform


def prepare_processor() -> None:
    """Make the settings with which training is fastest on a processor. Call it before the backend is imported."""
    keep_freed_memory()
    if is_x86():
        # TensorFlow itself turns oneDNN on only where there are AVX-512 instructions; with AVX2 it pays too.
        os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")


def is_x86() -> bool:
    """Whether this is a processor for which TensorFlow has oneDNN's kernels, turned on or off by the environment."""
    return platform.machine().lower() in ("x86_64", "amd64")


def prefer_exact() -> None:
    """Have TensorFlow's own kernels, unless the user chose. Call it before `prepare_processor`.

    oneDNN's normalisation rounds twice as much: a replay of MATLAB's stream moves away from MATLAB's losses, and the
    article's SegNet, 26 convolutions deep, by more than 1e-4 from what another runtime makes of it.
    """
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
    os.environ.setdefault("NVIDIA_TF32_OVERRIDE", "0")  # float32 on a GPU is not TensorFloat-32 then


def keep_freed_memory() -> None:
    """Let glibc keep the memory of large tensors for the next ones instead of returning it to the system.

    Fresh pages must be faulted in and zeroed by the kernel, which costs several times what a memory-bound layer itself
    does (`experiments.bench` measures it). Only threads that begin afterwards are held to it. Without glibc this does
    nothing.
    """
    trim_threshold, top_pad, mmap_max, arena_max = -1, -2, -4, -8  # malloc.h
    _tell_malloc((mmap_max, 0), (trim_threshold, 2**31 - 1), (top_pad, 2**28), (arena_max, 1))


def return_large_arrays() -> None:
    """After `keep_freed_memory`, let glibc return arrays of 32 MiB and more, the most that it can tell apart.

    For inference: volumes of a scan come and go, and what is kept of them leaves gaps; the feature maps of a few slices
    are smaller.
    """
    mmap_threshold, mmap_max = -3, -4
    _tell_malloc((mmap_threshold, 2**25), (mmap_max, 2**16))


def return_freed_memory() -> None:
    """Return what is free at the moment, after a step that took much; without glibc this does nothing."""
    with contextlib.suppress(AttributeError, OSError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)


def _tell_malloc(*settings: tuple[int, int]) -> None:
    with contextlib.suppress(AttributeError, OSError, TypeError):
        mallopt = ctypes.CDLL(None).mallopt
        for parameter, value in settings:
            mallopt(parameter, value)
