"""Trained networks as files for other runtimes: ONNX, TensorFlow's SavedModel, OpenVINO, each checked against Keras.

SegNet's decoder puts values where the encoder's maxima stood, and a maximum can lead by less than float32's rounding
(in the even background of lung-masked slices it often does). Which place wins is then decided by the order in which
a runtime adds, and a whole neighbourhood of probabilities follows: Keras itself differs by up to 4e-3 between one
slice at a time and batches of three, on the released binary SegNet and its test slices. A largest difference alone
would say nothing there, so `compare` asks for more that can be known: each place that the exported network chose holds
a maximum of its window to within rounding, and the probabilities agree when Keras unpools to the very same places.
"""

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
from keras import ops

from unet_segnet import __version__
from unet_segnet.errors import InputError
from unet_segnet.layers import MaxPooling2D, MaxUnpooling2D, _pool, _take, _unpool

TOLERANCE = 1e-4  # of a probability
TIE = 1e-5  # of a maximum's lead, as a share of its layer's largest value: float32's rounding after some layers
BATCH_SIZE = 3
SIDECAR = Path("assets.extra") / "unet_segnet.json"  # where a SavedModel holds files that TensorFlow does not read


@dataclass(frozen=True)
class Check:
    """How far an exported network is from Keras.

    Attributes:
        num_slices: that both were given.
        difference: largest difference of a probability, with the same places in all unpooling layers.
        num_places: of maxima that unpooling uses, 0 for networks without it.
        num_other_places: those that the two networks see at different places of their windows.
        largest_lead: of a maximum over the value at the other place, as a share of its layer's largest value.
        difference_with_ties: largest difference of a probability, each network with its own places.
        num_other_classes: pixels whose most probable class differs, likewise.
    """

    num_slices: int
    difference: float
    num_places: int
    num_other_places: int
    largest_lead: float
    difference_with_ties: float
    num_other_classes: int

    @property
    def passed(self) -> bool:
        """Whether probabilities and places agree to within rounding."""
        return self.difference <= TOLERANCE and self.largest_lead <= TIE

    def lines(self) -> list[str]:
        """The check in words."""
        lines = [
            f"largest difference of a probability from Keras on {self.num_slices} slices: {self.difference:.1e} "
            f"(allowed {TOLERANCE:.0e})"
        ]
        if self.num_places:
            lines.append(
                f"pooling: {self.num_other_places} of {self.num_places} maxima stand at other places than in Keras, "
                f"where they lead by at most {self.largest_lead:.1e} of the layer's largest value (allowed {TIE:.0e}: "
                f"ties that rounding decides); with these the largest difference is {self.difference_with_ties:.1e}, "
                f"and {self.num_other_classes} pixels get another class"
            )
        return lines


def export_network(
    model: keras.Model,
    path: Path,
    file_format: str,
    facts: dict,
    images: np.ndarray | None = None,
    force: bool = False,
) -> Check | None:
    """Write a network for another runtime, with what one must know to use it, whole or not at all.

    The file takes `slices`, (batch, height, width, channels) float32, any batch size, and gives `probabilities`,
    (batch, height, width, num_classes) float32; layers of another data type are exported in float32.

    Arguments:
        model: from `pretrained.load_model`.
        path: of the file; of the .xml for OpenVINO, which has a .bin beside it; of the folder for a SavedModel.
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
            network does not agree with Keras, or the path cannot be written.
    """
    if keras.config.backend() != "tensorflow":
        raise InputError(
            f"export needs Keras on TensorFlow, here it runs on {keras.config.backend()}; unset KERAS_BACKEND"
        )
    if len(model.inputs) != 1 or len(model.outputs) != 1:
        raise InputError(f"{model.name}: expected a network with one input and one output")
    path, form = Path(path), FORMATS[file_format]
    check_target(path, file_format, force)
    model = _in_float32(model)
    plain, watched = _plain_networks(model)
    try:
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp") as folder:
            written, with_places = (Path(folder) / part / path.name for part in ("written", "with_places"))
            check = None
            with _quiet():
                _convert(form, plain, written)
                if images is not None:
                    _convert(form, watched, with_places)
                    check = compare(model, form.load(written), form.load(with_places), images)
            if check is not None and not check.passed:
                raise InputError(f"{path}: not written, the exported network disagrees: {'; '.join(check.lines())}")
            facts = {**facts, "checked": asdict(check) if check else "no"}
            form.describe(written, facts)
            _move(written, path)
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror or error})") from error
    return check


def describe_network(model: keras.Model, source: str, class_names: tuple[str, ...], window=(-1100.0, 400.0)) -> dict:
    """What one must know to use an exported network: what goes in, what comes out, what it is for.

    Arguments:
        model: the network.
        source: name or file that it comes from.
        class_names: in the order of the probabilities.
        window: HU that stand for grey levels 0 and 255.
    """
    _, height, width, channels = model.input_shape
    low, high = window
    return {
        "network": f"{model.name}, {model.count_params()} parameters, from {source}",
        "intended_use": "for research, not for clinical use",
        "input": f"slices: (batch, {height}, {width}, {channels}) float32, axial CT slices of the lungs as grey levels "
        "0..255, not divided by 255, the mean not subtracted (the network does that); pixels outside the lungs are 0",
        "grey_levels": f"{low:g} HU and less are 0, {high:g} HU and more are 255, linear between, rounded",
        "orientation": "the patient lies sideways in the array: anterior at the left columns, posterior at the right, "
        "one lung above the other",
        "size": f"resized to {height}x{width}, bicubic with antialiasing, after lung masking",
        "output": f"probabilities: (batch, {height}, {width}, {len(class_names)}) float32",
        "class_names": list(class_names),
        "precision": "float32; OpenVINO needs INFERENCE_PRECISION_HINT=f32 on processors that know bfloat16",
        "written_by": {
            "unet_segnet": __version__,
            **{name: importlib.metadata.version(name) for name in ("keras", "tensorflow")},
        },
    }


def compare(model: keras.Model, run: Callable, run_with_places: Callable, images: np.ndarray) -> Check:
    """Compare an exported network with Keras, slice by slice and pixel by pixel.

    Arguments:
        model: the network in Keras.
        run: the exported network: (batch, height, width, channels) float32 to {"probabilities": array}.
        run_with_places: the same, which also gives the places of the maxima that unpooling uses, "places_1", ...
            in the order of the pooling layers.
        images: (num_slices, height, width, channels) grey levels.
    """
    own, steered = _checking_networks(model)
    difference = lead = difference_with_ties = 0.0
    num_places = num_other_places = num_other_classes = 0
    for start in range(0, len(images), BATCH_SIZE):
        batch = np.asarray(images[start : start + BATCH_SIZE], np.float32)
        exported, watched = run(batch)["probabilities"], run_with_places(batch)
        chosen = [watched[f"places_{number}"] for number in range(1, len(watched))]
        expected, *own_places = _predict(own, batch)
        same_places, *found_leads = _predict(steered, [batch, *chosen])
        difference = max(
            difference,
            _largest(watched["probabilities"] - same_places),
            _largest(watched["probabilities"] - exported),
        )
        lead = max([lead, *map(_largest, found_leads)])
        num_places += sum(part.size for part in chosen)
        num_other_places += sum(int(np.sum(a != b)) for a, b in zip(chosen, own_places, strict=True))
        difference_with_ties = max(difference_with_ties, _largest(exported - expected))
        num_other_classes += int(np.sum(exported.argmax(-1) != expected.argmax(-1)))
    return Check(len(images), difference, num_places, num_other_places, lead, difference_with_ties, num_other_classes)


def _largest(array) -> float:
    """Largest magnitude; infinite where a value is not a number, so that no comparison passes it."""
    largest = float(np.max(np.abs(array), initial=0.0))
    return largest if np.isfinite(largest) else float("inf")


def _predict(model, inputs) -> list[np.ndarray]:
    outputs = model.predict_on_batch(inputs)
    return [np.asarray(output) for output in (outputs if isinstance(outputs, list) else [outputs])]


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
        return _pool(x, self.pool_size)


class _PlainUnpooling(MaxUnpooling2D):
    def call(self, inputs):
        return _unpool(*inputs, self.pool_size, self.pad)


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

    traced = _traced(model, call)
    alone = {"probabilities": traced.outputs[0]}
    return tuple(keras.Model(traced.inputs[0], outputs, name=model.name) for outputs in (alone, {**alone, **places}))


def _checking_networks(model):
    """The network with its pooling places as further outputs; and steered by given places, its further inputs.

    The steered one's further outputs are, for each pooling layer and slice, how far the maxima lead over the values
    at the given places, as a share of the layer's largest value.
    """
    own, given, leads = [], [], []
    steered = {}  # from a tensor's id to the same tensor of the steered network

    def call(layer, *args, **kwargs):
        outputs = layer(*args, **kwargs)
        args = keras.tree.map_structure(lambda x: steered.get(id(x), x), args)
        others = layer(*args, **kwargs)
        if isinstance(layer, MaxPooling2D):
            own.append(outputs[1])
            (x,), maxima = args, others[0]
            given.append(keras.Input(maxima.shape[1:], dtype="uint8"))
            lead = ops.max(maxima - _take(x, given[-1], layer.pool_size), axis=(1, 2, 3))
            leads.append(lead / (ops.max(ops.abs(x), axis=(1, 2, 3)) + 1e-30))
            others = maxima, given[-1]
        steered.update(zip(map(id, keras.tree.flatten(outputs)), keras.tree.flatten(others), strict=True))
        return outputs

    traced = _traced(model, call)
    (slices,), (probabilities,) = traced.inputs, traced.outputs
    return (
        keras.Model(slices, [probabilities, *own]),
        keras.Model([slices, *given], [steered[id(probabilities)], *leads]),
    )


def _traced(model, call):
    """The network with each layer called by `call(layer, *args, **kwargs)`, its input named slices."""
    slices = keras.tree.map_structure(lambda x: keras.Input(x.shape[1:], dtype="float32", name="slices"), model.input)
    return keras.models.clone_model(model, input_tensors=slices, clone_function=lambda layer: layer, call_function=call)


# Formats


@dataclass(frozen=True)
class Format:
    """One file format.

    Attributes:
        suffix: of its file; "" for a folder.
        convert: (network, path) writes the network.
        load: (path) gives a function of slices that returns arrays by name.
        describe: (path, facts) writes facts into the written file.
    """

    suffix: str
    convert: Callable
    load: Callable
    describe: Callable


def _signature(network):
    return [keras.InputSpec(shape=(None, *network.inputs[0].shape[1:]), dtype="float32", name="slices")]


def _to_onnx(network, path):
    import onnx

    network.export(str(path), format="onnx", verbose=False, input_signature=_signature(network))
    proto = onnx.load(path)
    for value in (*proto.graph.input, *proto.graph.output):
        for dimension in value.type.tensor_type.shape.dim[:1]:
            dimension.dim_param = "batch"
    if [value.name for value in proto.graph.input] != ["slices"]:
        raise ValueError("it holds operations that the converter does not know")
    onnx.checker.check_model(proto, full_check=True)
    onnx.save(proto, path)


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


def _to_saved_model(network, path):
    network.export(str(path), format="tf_saved_model", verbose=False, input_signature=_signature(network))


def _load_saved_model(path):
    layer = keras.layers.TFSMLayer(str(path), call_endpoint="serve")
    return lambda slices: {name: np.asarray(value) for name, value in layer(slices).items()}


def _describe_saved_model(path, facts):
    (path / SIDECAR).parent.mkdir()
    (path / SIDECAR).write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")


def _to_openvino(network, path):
    import openvino

    graph = path.with_suffix(".onnx")  # it runs 1.2 times as fast as what OpenVINO makes of TensorFlow's graph
    _to_onnx(network, graph)
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


def check_target(path: Path, file_format: str, force: bool = False) -> None:
    """Refuse a path that an export in this format cannot or must not be written to.

    Raises:
        InputError: wrong ending, no such folder, or something is there and may not be replaced: without force
            nothing, with force only a file, or a folder that holds a SavedModel.
    """
    suffix = FORMATS[file_format].suffix
    if suffix and path.suffix != suffix:
        raise InputError(f"{path}: expected a name that ends in {suffix}")
    if not path.parent.is_dir():
        raise InputError(f"{path}: there is no folder {path.parent}; create it first")
    for part in _parts(path):
        if os.path.lexists(part):
            if not force:
                raise InputError(f"{part}: is there already; use --force to replace it, or --out for another place")
            if part.is_file() if not suffix else not part.is_file():
                raise InputError(f"{part}: is no earlier export in this format and is not replaced; use --out")
            if not suffix and not (part / "saved_model.pb").is_file():
                raise InputError(f"{part}: holds no SavedModel and is not replaced; use --out")


def _parts(path):
    """The files of an export; the one that it is known by comes last."""
    return [path.with_suffix(".bin"), path] if path.suffix == ".xml" else [path]


def _move(written, path):
    for source, target in zip(_parts(written), _parts(path), strict=True):
        if target.is_dir():  # cannot be replaced in one step
            os.replace(target, source.with_name("replaced"))
        os.replace(source, target)


def _convert(form, network, path):
    path.parent.mkdir()
    try:
        form.convert(network, path)
    except Exception as error:  # the converters raise whatever they met
        reason = (" ".join(str(error).split()) or type(error).__name__)[:200]
        raise InputError(f"{path.name}: the network cannot be converted ({reason})") from error


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
