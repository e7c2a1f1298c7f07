"""Write a trained network as a file for another runtime, checked against Keras.

    unet-segnet export binary --format onnx
    unet-segnet export runs/.../model.keras --format openvino --out segnet.xml --check COVID19-DL

The file says in its metadata what goes in and what comes out: lung-masked slices, their grey levels, orientation and
size, the classes. onnx and openvino need packages of their own, see requirements-export.txt.
"""

import argparse
import importlib.util
from collections.abc import Sequence
from pathlib import Path

from unet_segnet.errors import InputError
from unet_segnet.output.console import HelpFormatter, run_command

PACKAGES = {
    "onnx": ("onnx", "tf2onnx", "onnxruntime"),
    "saved_model": (),
    "openvino": ("onnx", "tf2onnx", "openvino"),
}
ENDINGS = {"onnx": ".onnx", "saved_model": "_saved_model", "openvino": ".xml"}
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
        help="binary or multiclass, the project's own; or a .keras file, or a network trained in MATLAB (.mat)",
    )
    parser.add_argument("--format", choices=tuple(PACKAGES), required=True, help="of the file to write")
    parser.add_argument(
        "--out",
        type=Path,
        metavar="PATH",
        help="what to write: a .onnx file, a folder (saved_model), or an .xml file with its .bin beside it "
        "(openvino); by default MODEL's name here",
    )
    parser.add_argument(
        "--check",
        metavar="DATA|none",
        default="phantom",
        help=f"data set, name or path, of which {CHECKED_SLICES} slices go through both networks; none writes "
        "without a check",
    )
    parser.add_argument("--force", action="store_true", help="replace an earlier export")
    options = parser.parse_args(arguments)
    run_command(lambda: export(options), options)


def export(options) -> None:
    """Load, convert, check, write, and say what came out."""
    require_packages(options.format)
    from unet_segnet.output.console import import_keras
    from unet_segnet.processor import prefer_exact

    prefer_exact()
    import_keras()
    from unet_segnet.networks.export import check_target, describe_network, export_network

    path = options.out or Path(Path(options.model).stem + ENDINGS[options.format])
    check_target(path, options.format, options.force)
    model, class_names, known = load(options.model)
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
        data: name or path of a data set, or "phantom".
        input_shape: (None, height, width, channels); slices are resized to the longer side, then cut.

    Returns:
        (num_slices, height, width, channels) uint8.

    Raises:
        InputError: see `unet_segnet.data.load_slices`.
    """
    import numpy as np

    from unet_segnet.data import load_slices
    from unet_segnet.data.phantom import phantom_slices
    from unet_segnet.data.preprocess import prepare

    _, height, width, channels = input_shape
    size = max(height, width)
    if data == "phantom":  # all 100 slices would take a minute
        slices = prepare(phantom_slices(CHECKED_SLICES, size=256), size=size)
    else:
        slices = load_slices(data, None, size=size)
    images = slices.images
    spread = np.unique(np.linspace(0, len(images) - 1, CHECKED_SLICES).round().astype(int))
    return np.repeat(images[spread, :height, :width, None], channels, axis=-1)
