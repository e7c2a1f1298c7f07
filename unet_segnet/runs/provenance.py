"""Where a result comes from."""

import functools
import importlib.metadata
import os
import platform
import subprocess
import sys
import time
from pathlib import Path

from unet_segnet import __version__
from unet_segnet.processor import is_x86

PACKAGES = ("tensorflow", "keras", "numpy", "scipy", "jax", "torch")


def begin() -> float:
    """Note the commit whose code computes from here on, and return the time for `provenance`."""
    _own_commit()
    return time.monotonic()


def provenance(started: float) -> dict:
    """Where and with what something was computed: command, commit, versions, device, seconds.

    Arguments:
        started: what `begin` returned.
    """
    import keras

    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    kernels = {}
    if keras.config.backend() == "tensorflow" and is_x86():
        kernels["onednn"] = os.environ.get("TF_ENABLE_ONEDNN_OPTS") != "0"  # they round differently
    return {
        "command": " ".join([_command(Path(sys.argv[0])), *sys.argv[1:]]),
        "commit": _own_commit(),
        "backend": keras.config.backend(),
        "versions": {"python": platform.python_version(), "unet_segnet": __version__, **versions},
        "device": device_name(),
        "threads": int(os.environ.get("TF_NUM_INTRAOP_THREADS", 0)) or os.cpu_count(),
        **kernels,
        "system": f"{platform.system()} {platform.machine()}",
        "seconds": round(time.monotonic() - started, 1),
        "finished_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


def _command(file: Path) -> str:
    """What one types to run a file: a module of a package, the script `unet-segnet`, or a script of the user's."""
    names, folder = [file.stem], file.parent
    while (folder / "__init__.py").is_file():
        names.insert(0, folder.name)
        folder = folder.parent
    module = ".".join(name for name in names if name != "__main__")  # a package is run by its __main__
    if module in ("unet-segnet", "unet_segnet"):
        return "unet-segnet"
    return f"python -m {module}" if len(names) > 1 else f"python {file.name}"


@functools.cache
def _own_commit():
    """As it was when first asked for: what is committed during a training of hours is not the code that trained."""
    return commit()


def commit() -> str | None:
    """The commit of this checkout, "-dirty" where files were changed; None outside a checkout or without git.

    A package that is installed may lie in another project's repository, which does not track it: that project's commit
    says nothing of it.
    """
    file = Path(__file__).resolve()
    tracked = _git(file.parent, "ls-files", "--error-unmatch", file.name)
    return tracked and _git(file.parent, "describe", "--always", "--dirty")


def _git(folder: Path, *words: str) -> str | None:
    """What git prints in a folder; None where it fails, prints nothing or is not there."""
    try:
        done = subprocess.run(["git", *words], cwd=folder, capture_output=True, text=True, check=False)
    except OSError:
        return None
    return done.stdout.strip() or None if done.returncode == 0 else None


def device_name() -> str:
    """The name of the accelerator that a training runs on, or the processor's."""
    from unet_segnet.devices import accelerators

    if found := accelerators():
        return found[0].name
    try:
        model = processor_name(Path("/proc/cpuinfo").read_text(encoding="utf-8"))
    except (OSError, KeyError):
        model = platform.processor() or platform.machine()
    return f"{model}, {os.cpu_count()} cores"


def processor_name(cpuinfo: str) -> str:
    """The processor's name; family and model beside it where it is a bare "AMD EPYC", as virtual machines say.

    Arguments:
        cpuinfo: what /proc/cpuinfo says.

    Raises:
        KeyError: it does not name the processor.
    """
    facts = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in cpuinfo.splitlines())}
    name = facts["model name"]
    if any(letter.isdigit() for letter in name) or not {"cpu family", "model"} <= facts.keys():
        return name
    return f"{name} (family {facts['cpu family']}, model {facts['model']})"
