"""Networks trained in MATLAB as Keras models: `load_network`.

Reading the file (`mat_file`) and building the model are two steps: `build_network` makes a model of any `LayerGraph`,
translating layer by layer with the table in `translations`.
"""

from dataclasses import dataclass

import keras
import numpy as np

from unet_segnet.errors import InputError
from unet_segnet.matlab.mat_file import Layer, LayerGraph, read_layer_graph
from unet_segnet.matlab.translations import TRANSLATIONS, class_names_and_weights, input_mean


@dataclass(frozen=True)
class MatlabNetwork:
    """A network trained in MATLAB.

    Attributes:
        model: `keras.Model`, (batch, H, W, C) grey levels as MATLAB's network takes them, uint8 or float, to
            (batch, H, W, num_classes) probabilities; the input normalisation is its first layer.
        mean: what the zerocenter or z-score normalisation subtracts: a float, or an array (C,) or (H, W, C);
            0.0 without one.
        class_names: in the order of the probabilities.
        class_weights: (num_classes,) float64 weights of the training loss, or None where it had none.
        layers: the layers as MATLAB saved them, in its order.
    """

    model: keras.Model
    mean: float | np.ndarray
    class_names: tuple[str, ...]
    class_weights: np.ndarray | None
    layers: tuple[Layer, ...]


def load_network(path) -> MatlabNetwork:
    """Read a network that MATLAB trained and saved.

    Args:
        path: `.mat` file (version 7 or 7.3) that holds one DAGNetwork or SeriesNetwork for semantic segmentation,
            under any variable name.

    Returns:
        The network, with its weights, as a Keras model.

    Raises:
        InputError: the file is missing, damaged, no MATLAB file or holds no such network; or a layer is of a class
            or has a setting that is not supported.

    Source: MATLAB R2020a: trainNetwork. The authors' binary SegNet reproduces their confusion matrix on the
    18 test slices within 4 of 1,179,648 pixels.
    """
    return build_network(read_layer_graph(path), source=str(path))


def build_network(graph: LayerGraph, source: str = "network") -> MatlabNetwork:
    """Build the Keras model of a layer graph: exactly one image input, one pixel classification, no cycle.

    Args:
        graph: layers and connections.
        source: what error messages call it, such as the file's path.

    Raises:
        InputError: as for `load_network`.
    """
    for layer in graph.layers:
        if layer.type not in TRANSLATIONS and layer.type != "PixelClassificationLayer":
            raise InputError(
                f"{source}: layer {layer.name!r} is of type {layer.type}, which is not supported; "
                f"supported are {', '.join([*TRANSLATIONS, 'PixelClassificationLayer'])}"
            )
    image_input = _only(graph, "ImageInputLayer", source)
    classification = _only(graph, "PixelClassificationLayer", source)
    outputs, inputs, probabilities = {}, None, None
    for layer, incoming in _in_order(graph, source):
        try:
            arguments = {port: outputs[origin] for port, origin in incoming.items()}
            if layer is classification:
                (probabilities,) = arguments.values()
                continue
            produced = TRANSLATIONS[layer.type](layer, arguments)
        except (LookupError, TypeError, ValueError) as error:
            reason = f"there is no {error}" if isinstance(error, KeyError) else str(error).strip().split("\n")[0]
            raise InputError(
                f"{source}: layer {layer.name!r} of type {layer.type} cannot be built: {reason}"
            ) from error
        inputs = produced.pop("image", inputs)
        outputs.update({f"{layer.name}/{port}": value for port, value in produced.items()})

    try:
        names, weights = class_names_and_weights(classification)
    except (TypeError, ValueError) as error:
        raise InputError(f"{source}: layer {classification.name!r} has damaged class names or weights") from error
    if len(names) != probabilities.shape[-1]:
        raise InputError(
            f"{source}: layer {classification.name!r} names {len(names)} classes, "
            f"but the network ends in {probabilities.shape[-1]} channels"
        )
    try:
        model = keras.Model(inputs, probabilities, name="matlab_network")
    except ValueError as error:  # such as two layers of one name
        raise InputError(f"{source}: {str(error).split(chr(10))[0]}") from error
    return MatlabNetwork(
        model=model,
        mean=input_mean(image_input),
        class_names=names,
        class_weights=weights,
        layers=graph.layers,
    )


def _only(graph: LayerGraph, kind: str, source: str) -> Layer:
    """The one layer of a type that a network must have exactly once."""
    found = [layer for layer in graph.layers if layer.type == kind]
    if len(found) != 1:
        raise InputError(f"{source}: a network needs exactly one {kind}, this one has {len(found)}")
    return found[0]


def _in_order(graph: LayerGraph, source: str):
    """Yield each layer after the layers that feed it, with {input port: "feeding layer/output port"}."""
    incoming = {layer.name: {} for layer in graph.layers}
    feeders = {layer.name: set() for layer in graph.layers}
    for connection in graph.connections:
        (origin, output), (destination, port) = (
            _split(end, incoming, default) for end, default in zip(connection, ("out", "in"), strict=True)
        )
        for name in (origin, destination):
            if name not in incoming:
                raise InputError(f"{source}: a connection names the layer {name!r}, which does not exist")
        incoming[destination][port] = f"{origin}/{output}"
        feeders[destination].add(origin)

    done, waiting = set(), list(graph.layers)
    while waiting:
        ready = [
            layer
            for layer in waiting
            if feeders[layer.name] <= done and (incoming[layer.name] or layer.type == "ImageInputLayer")
        ]
        if not ready:
            names = ", ".join(repr(layer.name) for layer in waiting[:3])
            raise InputError(f"{source}: these layers are not connected to the image input: {names}")
        for layer in ready:
            yield layer, incoming[layer.name]
        done.update(layer.name for layer in ready)
        waiting = [layer for layer in waiting if layer.name not in done]


def _split(end: str, layers, default: str) -> tuple[str, str]:
    """Split "layer/port"; a layer's own name may contain a slash."""
    if end in layers or "/" not in end:
        return end, default
    name, _, port = end.rpartition("/")
    return name, port
