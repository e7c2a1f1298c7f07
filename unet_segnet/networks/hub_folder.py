"""A trained network as a folder for the Hugging Face hub: network, card and licence, ready to be pushed."""

import json
import re
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from unet_segnet.errors import InputError
from unet_segnet.networks.facts import BODIES, LUNG_LEVELS, MEMBER
from unet_segnet.networks.hub import PARTS, read_parts, write_archive
from unet_segnet.networks.load import load_model
from unet_segnet.output.records import INTENDED_USE
from unet_segnet.output.whole_folder import check_own, whole_folder

CARD, LICENCE = "README.md", "LICENSE"
FILES = {*PARTS, CARD, LICENCE}
TAGS = ("unet_segnet", "medical", "ct", "lung", "segmentation")


@dataclass(frozen=True)
class HubNetwork:
    """What goes into a folder.

    Attributes:
        name: of the network, for its card.
        file: a `.keras` file of it.
        facts: see `unet_segnet.networks.facts`; those in the file itself go before.
        card: what there is to read about it, Markdown; None: what its facts say.
        licence: of its weights, an identifier of the SPDX list such as "CC-BY-4.0"; None where none is given.
    """

    name: str
    file: Path
    facts: dict
    card: str | None = None
    licence: str | None = None


def check_hub_target(out: Path, force: bool = False) -> None:
    """Refuse a folder that must not be written to.

    Raises:
        InputError: there is one and no force; or it holds something else than an earlier export, such as a clone's
            `.git`.
    """
    if not out.exists() and not out.is_symlink():
        return
    if not force:
        raise InputError(f"{out}: is there already; give another place with `out`, or `force` to replace it")
    if not out.is_dir():
        raise InputError(f"{out}: is no folder and is not replaced; give another place with `out`")
    check_own(out, (MEMBER,), FILES)


def check_licence(licence: str) -> None:
    """Refuse what is no identifier of a licence.

    Raises:
        InputError: it is none.
    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9.+-]{0,63}", licence):
        raise InputError(f"`license` {licence}: expected an identifier of the SPDX list, such as CC-BY-4.0 or MIT")


def write_hub_folder(network: HubNetwork, out: Path, images: np.ndarray | None = None, force: bool = False) -> float:
    """Write the folder, whole or not at all, once the network in it is known to be the same.

    Arguments:
        network: what goes in.
        out: the folder.
        images: (num_slices, height, width, channels) values that both networks are given; None: their weights alone
            are compared.
        force: replace an earlier export.

    Returns:
        Largest difference of a probability between the network and the one loaded from the folder; 0.0 without images.

    Raises:
        InputError: the network cannot be loaded, what is loaded from the folder is another, or `out` cannot be
            written.
    """
    check_hub_target(out, force)
    model = load_model(network.file)
    with zipfile.ZipFile(network.file) as archive:
        parts = {part: archive.read(part) for part in PARTS if part in archive.namelist()}
    parts.setdefault(MEMBER, (json.dumps(network.facts, indent=1, sort_keys=True) + "\n").encode())
    with whole_folder(out, (MEMBER,), FILES) as new:
        for part, content in parts.items():
            (new / part).write_bytes(content)
        (new / CARD).write_text(hub_card(network, model, json.loads(parts[MEMBER])), encoding="utf-8")
        if network.licence:
            (new / LICENCE).write_text(_licence_text(network.licence), encoding="utf-8")
        return _compare(model, new, images, out)


def _compare(model, folder: Path, images: np.ndarray | None, out: Path) -> float:
    """Load the network from a folder as one loads it from the hub, and compare."""
    with tempfile.TemporaryDirectory() as place:
        write_archive(read_parts(folder, str(out)), Path(place) / "network.keras")
        again = load_model(Path(place) / "network.keras")
    pairs = zip(again.get_weights(), model.get_weights(), strict=True)
    difference = 0.0
    if images is not None:
        difference = float(np.max(np.abs(again.predict(images, verbose=0) - model.predict(images, verbose=0))))
    if not all(np.array_equal(*pair) for pair in pairs) or not difference <= 1e-4:  # rounding, on accelerators
        raise InputError(f"{out}: not written, the network in it is another (probabilities differ by {difference:.1e})")
    return difference


# What people read


def hub_card(network: HubNetwork, model, facts: dict) -> str:
    """The card in Markdown, with the block of metadata that the hub reads.

    Arguments:
        network: what goes into the folder.
        model: the network, loaded.
        facts: those in the folder.
    """
    metadata = [
        *([f"license: {network.licence.lower()}"] if network.licence else []),
        "library_name: keras",
        "pipeline_tag: image-segmentation",
        "tags:",
        *(f"- {tag}" for tag in TAGS),
    ]
    text = network.card or _card_of_facts(network.name, model, facts)
    option, argument = ("--lungs", "lungs") if facts.get("takes") == BODIES else ("--model", "model")
    use = USE.format(option=option, argument=argument)
    return "\n".join(["---", *metadata, "---", "", text.rstrip("\n"), "", *use.splitlines(), ""])


USE = """**Use.** With unet_segnet, and `pip install huggingface_hub`:

    unet-segnet predict scan.nii.gz {option} hf://USER/NAME --out segmented

or, in Python:

    from unet_segnet import segment

    result = segment("scan.nii.gz", {argument}="hf://USER/NAME")

Classes, window, threshold and what grey levels it takes stand in `unet_segnet.json` and are used as they stand. Keras
alone loads the network too, after `import unet_segnet.layers`, by `keras.saving.load_model("hf://USER/NAME")`, without
these."""


def _card_of_facts(name: str, model, facts: dict) -> str:
    _, height, width, _ = model.input_shape
    names = facts["class_names"]
    if facts.get("takes") == LUNG_LEVELS:
        taken = "grey levels that refer to the scan's own lungs"
    elif facts.get("takes"):
        taken = facts["takes"]
    else:
        taken = f"grey levels of {facts['learnt_from']}" if facts.get("learnt_from") else "grey levels"
        if window := facts.get("window"):
            taken += f", {window[0]:g} HU black and {window[1]:g} HU white"
    threshold = f", {names[1]} where its own is above {facts['threshold']:g}" if facts.get("threshold") else ""
    about = facts.get("trained_on") or {}
    counted = [f"{about[key]} {key}" for key in ("slices", "patients") if about.get(key)]
    lines = [
        f"# {name}",
        f"{INTENDED_USE.capitalize()}.",
        f"**What it does.** Marks {', '.join(names[1:])} in axial CT slices: {height}x{width} pixels in, {taken}; "
        f"probabilities of {', '.join(names)} out{threshold}. {model.count_params()} parameters.",
        f"**Training data.** {facts.get('data') or 'Not known'}{': ' if counted else ''}{', '.join(counted)}.",
        "**Scores.** None stand here yet: tell on which scans that it had never seen it was tested, and how well it "
        "did (`unet-segnet evaluate`).",
        "**Limits.** What it does on scans of other hospitals, scanners and diseases is not known: compare with labels "
        "of your own first.",
    ]
    return "\n\n".join(lines)


def _licence_text(licence: str) -> str:
    return (
        f"The weights of this network: {licence}, https://spdx.org/licenses/{licence}.html\n"
        "What they were trained on may ask for more, see README.md. The code that reads them, unet_segnet, has a "
        "licence of its own (MIT).\n"
    )
