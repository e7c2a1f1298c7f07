"""Trained networks as files for other runtimes: ONNX, TensorFlow's SavedModel, OpenVINO, each checked against Keras."""

import contextlib
import importlib.metadata
import json
import logging
import os
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import keras
import numpy as np

from unet_segnet import __version__
from unet_segnet.data.preprocess import DEFAULT_WINDOW
from unet_segnet.errors import InputError, one_line
from unet_segnet.layers import MaxPooling2D, MaxUnpooling2D
from unet_segnet.layers.pooling import pool, unpool
from unet_segnet.networks.export_check import Check, compare, traced_anew
from unet_segnet.networks.facts import WHOLE_SLICES
from unet_segnet.output.records import INTENDED_USE
from unet_segnet.output.whole_folder import check_own

SAVED_MODEL = "saved_model.pb"  # by which a SavedModel is known
SAVED_MODEL_NAMES = ("assets", "assets.extra", "variables", "fingerprint.pb")
SIDECAR = Path("assets.extra") / "unet_segnet.json"  # where a SavedModel holds files that TensorFlow does not read


def export_network(
    model: keras.Model,
    out: Path,
    file_format: str,
    facts: dict,
    images: np.ndarray | None = None,
    force: bool = False,
) -> Check | None:
    """Write a network for another runtime, with what one must know to use it, whole or not at all.

    The file takes `slices`, (batch, height, width, channels) float32, any batch size, and gives `probabilities`,
    (batch, height, width, num_classes) float32; layers of another data type are exported in float32.

    Arguments:
        model: from `unet_segnet.load_model`.
        out: of the file; of the .xml for OpenVINO, which has a .bin beside it; of the folder for a SavedModel.
        file_format: "onnx", "saved_model" or "openvino".
        facts: written into the file (ONNX: metadata_props; OpenVINO: rt_info, "unet_segnet"; SavedModel:
            assets.extra/unet_segnet.json) with the check under "checked"; where a format knows
            text alone, other values are JSON.
        images: (num_slices, height, width, channels) grey levels to check with; None writes an unchecked file.
        force: replace what is there.

    Returns:
        The check, or None without images.

    Raises:
        InputError: Keras runs on another backend than TensorFlow, the network cannot be converted, the exported
            network does not agree with Keras, or `out` cannot be written.
    """
    if keras.config.backend() != "tensorflow":
        raise InputError(
            f"export needs Keras on TensorFlow, here it runs on {keras.config.backend()}; unset KERAS_BACKEND"
        )
    if len(model.inputs) != 1 or len(model.outputs) != 1:
        raise InputError(f"{model.name}: expected a network with one input and one output")
    out, form = Path(out), FORMATS[file_format]
    check_target(out, file_format, force)
    model = _in_float32(model)
    networks = _plain_networks(model)
    try:
        with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.", suffix=".tmp") as folder:
            written, with_places = (Path(folder) / part / out.name for part in ("written", "with_places"))
            check = None
            with _quiet():
                _convert(form, networks, (written, with_places))
                if images is not None:
                    check = compare(model, form.load(written), form.load(with_places), images)
            if check is not None and not check.passed:
                raise InputError(f"{out}: not written, the exported network disagrees: {'; '.join(check.lines())}")
            facts = {**facts, "checked": asdict(check) if check else "no"}
            form.describe(written, facts)
            _move(written, out)
    except OSError as error:
        raise InputError(f"{out}: cannot be written ({error.strerror or error})") from error
    return check


def describe_network(model: keras.Model, source: str, class_names: tuple[str, ...]) -> dict:
    """What one must know to use an exported network: what goes in, what comes out, what it is for.

    Arguments:
        model: the network; its `window`, the HU that stand for grey levels 0 and 255, where it has one.
        source: name or file that it comes from.
        class_names: in the order of the probabilities.
    """
    _, height, width, channels = model.input_shape
    low, high = getattr(model, "window", DEFAULT_WINDOW)
    is_whole = getattr(model, "learnt_from", None) == WHOLE_SLICES
    outside, masked = ("", "") if is_whole else ("; pixels outside the lungs are 0", ", after lung masking")
    return {
        "network": f"{model.name}, {model.count_params()} parameters, from {source}",
        "intended_use": f"for {INTENDED_USE}",
        "input": f"slices: (batch, {height}, {width}, {channels}) float32, axial CT slices of the lungs as grey levels "
        f"0..255, not divided by 255, the mean not subtracted (the network does that){outside}",
        "grey_levels": f"{low:g} HU and less are 0, {high:g} HU and more are 255, linear between, rounded",
        "orientation": "the patient lies sideways in the array: anterior at the left columns, posterior at the right, "
        "the right lung in the upper rows, the left one in the lower",
        "size": f"resized to {height}x{width}, bicubic with antialiasing{masked}",
        "output": f"probabilities: (batch, {height}, {width}, {len(class_names)}) float32",
        "class_names": list(class_names),
        "precision": "float32; OpenVINO needs INFERENCE_PRECISION_HINT=f32 on processors that know bfloat16",
        "written_by": {
            "unet_segnet": __version__,
            **{name: importlib.metadata.version(name) for name in ("keras", "tensorflow")},
        },
    }


# The network


def _in_float32(model):
    """The network with all layers in float32, whatever they were trained in."""
    if all(layer.compute_dtype == "float32" for layer in model.layers):
        return model

    def copy(layer):
        config = layer.get_config()
        if isinstance(layer, keras.layers.Layer):
            config["dtype"] = "float32"
        return type(layer).from_config(config)

    copied = keras.models.clone_model(model, clone_function=copy)
    copied.set_weights(model.get_weights())
    return copied


class _PlainPooling(MaxPooling2D):
    def call(self, x):
        return pool(x, self.pool_size)


class _PlainUnpooling(MaxUnpooling2D):
    def call(self, inputs):
        return unpool(*inputs, self.pool_size, self.pad)


def _plain_networks(model):
    """The network in operations that other runtimes know, sharing its weights; alone, and with the pooling places.

    Pooling and unpooling take their plain form: TensorFlow's compiled one cannot leave TensorFlow.
    """
    places = {}

    def call(layer, *args, **kwargs):
        if isinstance(layer, MaxPooling2D):
            pooled = _PlainPooling.from_config(layer.get_config())(*args)
            places[f"places_{len(places) + 1}"] = pooled[1]
            return pooled
        if isinstance(layer, MaxUnpooling2D):
            return _PlainUnpooling.from_config(layer.get_config())(*args)
        return layer(*args, **kwargs)

    traced = traced_anew(model, call)
    alone = {"probabilities": traced.outputs[0]}
    return tuple(keras.Model(traced.inputs[0], outputs, name=model.name) for outputs in (alone, {**alone, **places}))


# Formats


@dataclass(frozen=True)
class Format:
    """One file format.

    Attributes:
        suffix: of its file; "" for a folder.
        convert: (networks, paths) writes the network, and the same one with the pooling places as outputs.
        load: (path) gives a function of slices that returns arrays by name.
        describe: (path, facts) writes facts into the written file.
    """

    suffix: str
    convert: Callable
    load: Callable
    describe: Callable


def _signature(network):
    return [keras.InputSpec(shape=(None, *network.inputs[0].shape[1:]), dtype="float32", name="slices")]


def _to_onnx(networks, paths):
    import onnx.utils

    path, with_places = paths
    _, watched = networks  # of which the other is a part: converting takes half of the whole time
    watched.export(str(with_places), format="onnx", verbose=False, input_signature=_signature(watched))
    proto = onnx.load(with_places)
    for value in (*proto.graph.input, *proto.graph.output):
        for dimension in value.type.tensor_type.shape.dim[:1]:
            dimension.dim_param = "batch"
    if [value.name for value in proto.graph.input] != ["slices"]:
        raise ValueError("it holds operations that the converter does not know")
    onnx.checker.check_model(proto, full_check=True)
    onnx.save(proto, with_places)
    onnx.utils.extract_model(with_places, path, ["slices"], ["probabilities"])


def _load_onnx(path):
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return lambda slices: dict(zip(names, session.run(names, {"slices": slices}), strict=True))


def _describe_onnx(path, facts):
    import onnx

    proto = onnx.load(path)
    onnx.helper.set_model_props(proto, {name: _text(fact) for name, fact in facts.items()})
    onnx.save(proto, path)


def _to_saved_model(networks, paths):
    for network, path in zip(networks, paths, strict=True):
        network.export(str(path), format="tf_saved_model", verbose=False, input_signature=_signature(network))


def _load_saved_model(path):
    layer = keras.layers.TFSMLayer(str(path), call_endpoint="serve")
    return lambda slices: {name: np.asarray(value) for name, value in layer(slices).items()}


def _describe_saved_model(path, facts):
    (path / SIDECAR).parent.mkdir()
    (path / SIDECAR).write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")


def _to_openvino(networks, paths):
    import openvino

    graphs = [path.with_suffix(".onnx") for path in paths]  # 1.2 times as fast as OpenVINO's from TensorFlow's graph
    _to_onnx(networks, graphs)
    for graph, path in zip(graphs, paths, strict=True):
        openvino.save_model(openvino.convert_model(graph), path, compress_to_fp16=False)
        graph.unlink()


def _load_openvino(path):
    import openvino

    compiled = openvino.Core().compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    names = [output.any_name for output in compiled.outputs]
    return lambda slices: dict(zip(names, compiled(slices).values(), strict=True))


def _describe_openvino(path, facts):
    import openvino

    network = openvino.Core().read_model(path)
    for name, fact in facts.items():
        network.set_rt_info(_text(fact), ["unet_segnet", name])
    described = path.with_name(f"described{path.suffix}")
    openvino.save_model(network, described, compress_to_fp16=False)
    del network  # it still reads from the first file
    for suffix in (".xml", ".bin"):
        os.replace(described.with_suffix(suffix), path.with_suffix(suffix))


FORMATS = {
    "onnx": Format(".onnx", _to_onnx, _load_onnx, _describe_onnx),
    "saved_model": Format("", _to_saved_model, _load_saved_model, _describe_saved_model),
    "openvino": Format(".xml", _to_openvino, _load_openvino, _describe_openvino),
}


# Files


def check_target(out: Path, file_format: str, force: bool = False) -> None:
    """Refuse a path that an export in this format cannot or must not be written to.

    Raises:
        InputError: wrong ending, no such folder, or something is there and may not be replaced: without force
            nothing, with force only a file, or a folder that is empty or holds a SavedModel and nothing else.
    """
    suffix = FORMATS[file_format].suffix
    if suffix and out.suffix != suffix:
        raise InputError(f"{out}: expected a name that ends in {suffix}")
    if not out.parent.is_dir():
        raise InputError(f"{out}: there is no folder {out.parent}; create it first")
    for part in _parts(out):
        if os.path.lexists(part):
            if not force:
                raise InputError(f"{part}: is there already; give another place with `out`, or `force` to replace it")
            if part.is_file() if not suffix else not part.is_file():
                raise InputError(
                    f"{part}: is no earlier export in this format and is not replaced; give another place with `out`"
                )
            if not suffix:
                check_own(part, (SAVED_MODEL,), SAVED_MODEL_NAMES)


def _parts(path):
    """The files of an export; the one that it is known by comes last."""
    return [path.with_suffix(".bin"), path] if path.suffix == ".xml" else [path]


def _move(written, path):
    for source, target in zip(_parts(written), _parts(path), strict=True):
        if target.is_dir():  # cannot be replaced in one step
            os.replace(target, source.with_name("replaced"))
        os.replace(source, target)


def _convert(form, networks, paths):
    for path in paths:
        path.parent.mkdir()
    try:
        form.convert(networks, paths)
    except Exception as error:  # the converters raise whatever they met
        raise InputError(f"{paths[0].name}: the network cannot be converted ({one_line(error)})") from error


def _text(value) -> str:
    return value if isinstance(value, str) else json.dumps(value)


@contextlib.contextmanager
def _quiet():
    """Without what the converters say about themselves."""
    logger = logging.getLogger("tf2onnx")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
