"""Write a trained network for another runtime, or for the Hugging Face hub, checked against Keras.

    unet-segnet export binary --format onnx
    unet-segnet export runs/.../model.keras --format openvino --out segnet.xml --check COVID19-DL
    unet-segnet export runs/.../model.keras --format hub --out mine --license CC-BY-4.0

The file says in its metadata what goes in and what comes out: slices, their grey levels, orientation and size, the
classes. onnx and openvino need packages of their own, see requirements-export.txt. The folder of hub holds
the network, a card and the licence; look through it, then push it with `hf upload USER/NAME FOLDER`.
"""

import argparse
import importlib.util
from collections.abc import Sequence
from pathlib import Path

from unet_segnet.errors import InputError
from unet_segnet.networks.find import find_model
from unet_segnet.output.console import HelpFormatter, run_command

PACKAGES = {
    "onnx": ("onnx", "tf2onnx", "onnxruntime"),
    "saved_model": (),
    "openvino": ("onnx", "tf2onnx", "openvino"),
    "hub": (),
}
ENDINGS = {"onnx": ".onnx", "saved_model": "_saved_model", "openvino": ".xml", "hub": "_hub"}
CHECKED_SLICES = 8


def main(arguments: Sequence[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(
        prog="unet-segnet export",
        description=__doc__,
        formatter_class=HelpFormatter,
    )
    parser.add_argument(
        "model",
        metavar="MODEL",
        help="binary or multiclass, the first study's; for hub, lesions or lungs too; or a .keras file, the folder of "
        "a run, or a network trained in MATLAB (.mat)",
    )
    parser.add_argument("--format", choices=tuple(PACKAGES), required=True, help="of the file to write")
    parser.add_argument(
        "--out",
        type=Path,
        metavar="PATH",
        help="what to write: a .onnx file, a folder (saved_model, hub), or an .xml file with its .bin beside it "
        "(openvino); by default MODEL's name here",
    )
    parser.add_argument(
        "--check",
        metavar="DATA|none",
        default="phantom",
        help=f"a data set with labels (its name, a folder, or a manifest), of which {CHECKED_SLICES} slices go through "
        "both networks; none writes without a check",
    )
    parser.add_argument(
        "--license",
        metavar="ID",
        help="of hub, the licence of the weights of a network of yours, as the SPDX list has it: CC-BY-4.0, MIT, ...",
    )
    parser.add_argument("--force", action="store_true", help="replace an earlier export")
    options = parser.parse_args(arguments)
    run_command(lambda: export(options), options)


def export(options) -> None:
    """Load, convert, check, write, and say what came out."""
    require_packages(options.format)
    if options.license and options.format != "hub":
        raise InputError("--license belongs to --format hub")
    from unet_segnet.output.console import import_keras
    from unet_segnet.processor import prefer_exact

    prefer_exact()
    import_keras()
    path = options.out or Path(Path(options.model).resolve().stem + ENDINGS[options.format])
    source, known = find_model(options.model)
    if options.format == "hub":
        export_to_hub(source, known, path, options)
        return
    from unet_segnet.networks.export import check_target, describe_network, export_network

    check_target(path, options.format, options.force)
    model, class_names, known = load(source)
    facts = {**describe_network(model, Path(options.model).name, class_names), **known}
    images = None
    if options.check != "none":
        images = slices_to_check(options.check, model.input_shape)
        facts["checked_on"] = f"{len(images)} slices of {Path(options.check).name}"
    check = export_network(model, path, options.format, facts, images, options.force)
    if check is None:
        print(f"{path}: not checked")
    else:
        print("\n".join(check.lines()))
    print(f"written {path}")


def export_to_hub(source: str, facts: dict, path: Path, options) -> None:
    """Write a network as a folder for the hub, and say what is left to do.

    Arguments:
        source: what `load_model` takes.
        facts: known of it.
        path: the folder.
        options: the command's.

    Raises:
        InputError: see `unet_segnet.networks.hub_folder`; or the network is none that `predict` takes, or the
            project's own and a licence is given.
    """
    import tempfile

    from unet_segnet.inference.segmentation import names_of_classes
    from unet_segnet.networks.hub_folder import HubNetwork, check_hub_target, check_licence, write_hub_folder
    from unet_segnet.networks.load import load_model, model_facts, model_path, pretrained, slice_size
    from unet_segnet.networks.save import save_network

    check_hub_target(path, options.force)
    card, licence = None, options.license
    if own := pretrained().get(source):
        if licence:
            raise InputError(f"{source}: has a licence, {model_facts(source)['licence']}; leave --license out")
        card, licence = own.with_suffix(".md").read_text(encoding="utf-8"), model_facts(source)["licence"]
    elif licence:
        check_licence(licence)
    model, file = load_model(source), model_path(source)
    try:
        slice_size(model)
        facts = {key: fact for key, fact in facts.items() if fact is not None}
        facts["class_names"] = list(facts.get("class_names") or names_of_classes(model))
    except InputError as error:
        raise InputError(f"{source}: {error}") from error
    images = None if options.check == "none" else slices_to_check(options.check, model.input_shape)
    with tempfile.TemporaryDirectory() as place:
        if file.suffix == ".mat":
            file = Path(place) / "network.keras"
            save_network(model, file, facts)
        name = facts.get("network") or Path(options.model).resolve().stem
        network = HubNetwork(name, file, facts, card, licence)
        difference = write_hub_folder(network, path, images, options.force)
    if images is None:
        print(f"{path}: loaded again, its weights are the same; no slices were compared")
    else:
        print(f"largest difference of a probability on {len(images)} slices, once loaded again: {difference:.1e}")
    if licence is None:
        print("no licence is given, so that others may not use it: give one with --license, or write it into README.md")
    if card is None:
        marks = ", and hold a mark of each slice that the network learnt from" if facts.get("slices") else ""
        print(f"look through README.md and unet_segnet.json: they name your data and classes{marks}")
    print(f"written {path}; to push it: hf upload USER/NAME {path}")


def require_packages(file_format: str) -> None:
    """Refuse a format whose packages are not installed.

    Raises:
        InputError: names them and how to get them.
    """
    missing = [name for name in PACKAGES[file_format] if importlib.util.find_spec(name) is None]
    if missing:
        raise InputError(
            f"--format {file_format} needs {', '.join(missing)}, not installed here; `pip install {' '.join(missing)}` "
            "(versions: requirements-export.txt)"
        )


def load(source: str):
    """A trained network, its class names, and what else is known of it.

    Returns:
        The `keras.Model`; the names, in the order of its probabilities; a dict with the facts of the model where
        it is the project's own ("model_facts"), else empty.

    Raises:
        InputError: see `unet_segnet.networks.load.load_model`; or it is a network of the second study, whose inputs are
            not those that an exported file tells of.
    """
    from unet_segnet.data.slices import BINARY_NAMES, MULTICLASS_NAMES
    from unet_segnet.networks.load import check_takes_grey, in_folder, load_model, model_facts

    if in_folder(source):
        raise InputError(f"{source}: is a folder; an export takes one network, such as the model.keras of a run")
    model = load_model(source)
    check_takes_grey(model, source)
    if model.output_shape[-1] == 1:
        raise InputError(
            f"{source}: a network of the second study (one probability of a pixel), whose input an export cannot tell; "
            "expected one that tells 2 classes or more apart"
        )
    if Path(source).suffix == ".mat":
        from unet_segnet.matlab import load_network

        return model, load_network(source).class_names, {}
    num_classes = model.output_shape[-1]
    names = {len(names): names for names in (BINARY_NAMES, MULTICLASS_NAMES)}
    numbered = tuple(f"class {number}" for number in range(num_classes))
    class_names = getattr(model, "class_names", None) or names.get(num_classes, numbered)
    if Path(source).suffix == ".keras":
        return model, class_names, {}
    facts = model_facts(source)
    return model, tuple(facts["data"]["classes"]), {"model_facts": facts}


def slices_to_check(data: str, input_shape: tuple):
    """A few slices, evenly spread over a data set, as a network takes them.

    Arguments:
        data: name or path of a labelled data set, or "phantom".
        input_shape: (None, height, width, channels); slices are resized to the longer side, then cut.

    Returns:
        (num_slices, height, width, channels) uint8.

    Raises:
        InputError: see `unet_segnet.data.load_slices` and, of own scans, `unet_segnet.cohort.load.load_cohort`.
    """
    import numpy as np

    from unet_segnet.cohort.cases import is_own
    from unet_segnet.cohort.load import load_cohort
    from unet_segnet.data import load_slices
    from unet_segnet.data.phantom import phantom_slices
    from unet_segnet.data.preprocess import prepare

    _, height, width, channels = input_shape
    size = max(height, width)
    if data == "phantom":  # all 100 slices would take a minute
        slices = prepare(phantom_slices(CHECKED_SLICES, size=256), size=size)
    elif is_own(data):
        slices = load_cohort(data, size=size).slices
    else:
        slices = load_slices(data, None, size=size)
    images = slices.images
    spread = np.unique(np.linspace(0, len(images) - 1, CHECKED_SLICES).round().astype(int))
    return np.repeat(images[spread, :height, :width, None], channels, axis=-1)
