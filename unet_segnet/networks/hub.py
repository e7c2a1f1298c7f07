"""Networks from the Hugging Face hub: found, downloaded, and made one `.keras` file that is read as any other.

A network on the hub is a folder in the layout in which Keras saves to `hf://` and loads from it: the members of a
`.keras` file, unpacked. Keras' own loading reads the weights as soon as it has them. Here the same download is packed
into a `.keras` file first, so that `unet_segnet.networks.load` looks at it before it reads it, in safe mode, and so
that the network has one file whose SHA-256 stands in results.
"""

import hashlib
import os
import re
import zipfile
from functools import cache
from pathlib import Path

from unet_segnet import __version__
from unet_segnet.errors import InputError, one_line
from unet_segnet.networks.facts import MEMBER
from unet_segnet.output.files import read_small, whole_file

HUB = "hf://"  # as Keras has it, before USER/NAME
PARTS = ("metadata.json", "config.json", "model.weights.h5", MEMBER)
MAX_BYTES = 2**30  # of them all


def is_hub(source: str | Path) -> bool:
    """Whether a network is one on the hub, or a folder as on the hub."""
    return str(source).startswith(HUB) or all(os.path.isfile(Path(source) / part) for part in PARTS)


def hub_file(source: str | Path) -> Path:
    """The `.keras` file of a network on the hub, or of a folder as on the hub, in the user's cache folder.

    Arguments:
        source: "hf://USER/NAME", which is looked up once in a process, or a folder.

    Raises:
        InputError: it cannot be downloaded, or is no network of this project.
    """
    if str(source).startswith(HUB):
        return _downloaded_file(str(source))
    return _cached(Path(source), str(source), Path(source).absolute().name)


def read_parts(folder: Path, source: str) -> dict[str, bytes]:
    """The parts of a network's folder.

    Arguments:
        folder: as on the hub.
        source: what the errors call it.

    Raises:
        InputError: one is missing, or they are too large.
    """
    parts, missing = {}, []
    for part in PARTS:
        try:
            parts[part] = read_small(folder / part, MAX_BYTES)
        except FileNotFoundError:
            missing.append(part)
        except (OSError, ValueError) as error:
            raise InputError(f"{source}: its {part} cannot be read ({one_line(error)})") from error
    if missing:
        raise InputError(_lacks(source, missing))
    return parts


def check_half(folder: Path) -> None:
    """Refuse a folder that has some parts of a network, so that it is a damaged one; one alone may be another's.

    Raises:
        InputError: names those that it lacks.
    """
    missing = [part for part in PARTS if not os.path.isfile(folder / part)]
    if 0 < len(missing) < len(PARTS) - 1:
        raise InputError(_lacks(folder, missing))


def _lacks(source: str | Path, missing: list[str]) -> str:
    return (
        f"{source}: is no network of this project, it has no {', '.join(missing)}; expected what "
        "`unet-segnet export --format hub` writes"
    )


def write_archive(parts: dict[str, bytes], path: Path) -> None:
    """Write them as a `.keras` file, the same for the same parts; whole or not at all."""
    with whole_file(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for part, content in parts.items():
            archive.writestr(zipfile.ZipInfo(part), content)  # dated 1980


@cache
def _downloaded_file(source: str) -> Path:
    return _cached(_download(source), source, source.removeprefix(HUB).replace("/", "--"))


def _cached(folder: Path, source: str, name: str) -> Path:
    import pooch

    parts = read_parts(folder, source)
    digest = hashlib.sha256(b"".join(hashlib.sha256(content).digest() for content in parts.values())).hexdigest()
    path = Path(pooch.os_cache("unet_segnet")) / "hub" / f"{name}-{digest[:8]}.keras"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_archive(parts, path)
    except OSError as error:
        raise InputError(
            f"{path}: cannot be written ({error.strerror or error}); set XDG_CACHE_HOME to a folder that can"
        ) from error
    return path


def _download(source: str) -> Path:
    """The folder of a network on the hub, in the hub's own cache; there already, only what is new is downloaded."""
    name = source.removeprefix(HUB)
    if not re.fullmatch(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", name, re.ASCII):
        raise InputError(f"{source}: no name of a network on the Hugging Face hub; expected hf://USER/NAME")
    try:
        from huggingface_hub import errors, snapshot_download
    except ImportError as error:
        raise InputError(
            f"{source}: to load networks from the Hugging Face hub needs huggingface_hub, not installed here; "
            "`pip install huggingface_hub` (versions: requirements-hub.txt)"
        ) from error
    try:
        folder = snapshot_download(
            name, allow_patterns=list(PARTS), library_name="unet_segnet", library_version=__version__
        )
    except errors.GatedRepoError as error:
        raise InputError(
            f"{source}: its owner asks who downloads it; accept the conditions on its page, then `hf auth login`"
        ) from error
    except errors.RepositoryNotFoundError as error:
        raise InputError(
            f"{source}: the Hugging Face hub has no such network, or a private one; check the name, or `hf auth login`"
        ) from error
    except errors.LocalEntryNotFoundError as error:  # what was downloaded before is taken without a connection
        raise InputError(
            f"{source}: the Hugging Face hub cannot be reached, and no earlier download is here; connect this machine, "
            f"or download it elsewhere (`hf download {name} --local-dir FOLDER`) and give that folder"
        ) from error
    except Exception as error:  # connections fail in many ways
        raise InputError(f"{source}: cannot be downloaded ({one_line(error)}); try again later") from error
    return Path(folder)
