"""Encoder weights by PyTorch's names: from files in the published format, and from networks of this project.

Published are the state dicts of segmentation_models_pytorch's encoders, one safetensors file each. The layers here
bear the names of the modules there, with "-" for ".", so that every tensor finds its variable by name; see `blocks` for
the two layouts.
"""

import functools
import hashlib
import re
from pathlib import Path

import keras
import numpy as np

from unet_segnet.data.catalogue import data_root
from unet_segnet.errors import InputError, one_line
from unet_segnet.models.encoders import ENCODERS
from unet_segnet.models.encoders.keras_applications import BUILDERS, keras_network, published_layers
from unet_segnet.output.files import expanded

PREFIX = "encoder."
HUB = "https://huggingface.co/smp-hub/{encoder}.imagenet/resolve/{revision}/model.safetensors"
# The revisions that segmentation_models_pytorch 0.6.0 asks the hub for.
REVISIONS = {
    "vgg11": "ad8b90e1051c38fdbf399cf5016886a1be357390",
    "vgg13": "1b70ff2580f101a8007a48b51e2b5d1e5925dc42",
    "vgg19": "2853d00d7bca364dbb98be4d6afa347e5aeec1f6",
    "resnet18": "3f2325ff978283d47aa6a1d6878ca20565622683",
    "resnet34": "7a57b34f723329ff020b3f8bc41771163c519d0c",
    "resnet50": "00cb74e366966d59cd9a35af57e618af9f88efe9",
    "resnet101": "cd7c15e8c51da86ae6a084515fdb962d0c94e7d1",
    "resnet152": "951dd835e9d086628e447b484584c8983f9e1dd0",
    "densenet121": "a17c96896a265b61338f66f61d3887b24f61995a",
    "densenet161": "9afe0fec51ab2a627141769d97d6f83756d78446",
    "densenet169": "8facfba9fc72f7750879dac9ac6ceb3ab990de8d",
    "densenet201": "ed5deb355d71659391d46fae5e7587460fbb5f84",
    "resnext50_32x4d": "329793c85d62fd340ae42ae39fb905a63df872e7",
    "dpn68": "c209aefdeae6bc93937556629e974b44d4e58535",
    "dpn98": "b2836c86216c1ddce980d832f7deaa4ca22babd3",
    "mobilenet_v2": "e67aa804e17f7b404b629127eabbd224c4e0690b",
    "xception": "01cfaf27c11353b1f0c578e7e26d2c000ea91049",
    "inceptionv4": "918fb54f07811d82a4ecde3a51156041d0facba9",
    "efficientnet-b0": "1bbe7ecc1d5ea1d2058de1a2db063b8701aff314",
    "efficientnet-b1": "5d637466a5215de300a8ccb13a39357df2df2bf4",
    "efficientnet-b2": "a96d4f0295ffbae18ebba173bf7f3c0c8f21990e",
    "efficientnet-b3": "074c54a6c473e0d294690d49cedb6cf463e7127d",
    "efficientnet-b4": "05cd5dde5dab658f00c463f9b9aa0ced76784f40",
    "efficientnet-b5": "69f4d28460a4e421b7860bc26ee7d832e03e01ca",
    "efficientnet-b6": "8570752016f7c62ae149cffa058550fe44e21c8b",
}
PICKLES = (".pth", ".pt", ".bin", ".ckpt", ".pkl", ".pickle", ".tar")
# What a published file holds beside the encoder: the classifier, and counters.
HEAD = re.compile(r"encoder\.(fc|_fc|last_linear|classifier|_conv_head|_bn1)\.|.*\.num_batches_tracked$")
PUBLISHED_NAMES = {
    "kernel": "weight",
    "bias": "bias",
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}


def load_encoder_weights(model, encoder, source):
    """Replace the weights of a network's encoder; its decoder is left as it is.

    Arguments:
        model: network of the second study, changed in place.
        encoder: name in `ENCODERS`.
        source: a file, or "imagenet". A .safetensors file holds the published tensors of that encoder, or of a whole
            network with it ("encoder." in front of the names); the classifier is passed over; where the file has
            three channels and the network one, the first kernel is summed over them. A .keras file holds a network of
            this project with that encoder. For "imagenet" see `imagenet_tensors`.

    Raises:
        InputError: the file is missing, damaged or a pickle, or its names or shapes are not the encoder's; or ImageNet
            weights are neither there nor to be fetched. The network is then as it was.
    """
    if str(source) == "imagenet":
        tensors, source = imagenet_tensors(encoder)
    else:
        source = expanded(source)
        tensors = read_tensors(source)
    if any(name.startswith(PREFIX) for name in tensors):
        tensors = {name: tensor for name, tensor in tensors.items() if name.startswith(PREFIX)}
    else:
        tensors = {PREFIX + name: tensor for name, tensor in tensors.items()}
    unknown = sorted(
        name for name in tensors.keys() - _variables(_layers(model, PREFIX)).keys() if not HEAD.match(name)
    )
    if unknown:  # unless the network ends before its encoder does
        whole = keras.Input((64, 64, model.input_shape[-1]))
        known = _variables(_layers(keras.Model(whole, ENCODERS[encoder](whole)), PREFIX))
        unknown = [name for name in unknown if name not in known]
    if unknown:
        raise InputError(f"{source}: {_listed(unknown)} no part of {encoder}; give the file of the encoder asked for")
    assign_tensors(model, tensors, source, PREFIX)


def model_tensors(model, prefix=""):
    """The weights of a network of the second study as published: by PyTorch's names, in PyTorch's layout.

    Arguments:
        model: the network.
        prefix: take the layers whose module paths in PyTorch begin so.

    Returns:
        Dict of float32 arrays.
    """
    return _tensors(_variables(_layers(model, prefix)))


def assign_tensors(model, tensors, source, prefix=""):
    """Assign tensors in PyTorch's names and layout to a network, all or none.

    Arguments:
        model: the network, changed in place.
        tensors: dict of arrays; those that the network has not are passed over.
        source: file or place they come from, for messages.
        prefix: fill the layers whose module paths in PyTorch begin so.

    Raises:
        InputError: a tensor is missing, misshapen or not finite.
    """
    variables = _variables(_layers(model, prefix))
    missing = [name for name in variables if name not in tensors]
    if missing:
        raise InputError(f"{source}: {_listed(missing)} missing, of {len(variables)} tensors of {model.name}")
    first = next(name for name, (variable, _) in variables.items() if variable.name == "kernel")
    values = {}
    for name, (variable, axes) in variables.items():
        expected = tuple(variable.shape[axis] for axis in axes)
        tensor = np.asarray(tensors[name], dtype="float32")
        if name == first and expected[1] == 1 and tensor.shape == (expected[0], 3, *expected[2:]):
            tensor = tensor.sum(axis=1, keepdims=True)
        if tensor.shape != expected:
            raise InputError(
                f"{source}: {name} has shape {tensor.shape}, expected {expected} as in {model.name}: give the file of "
                "the same encoder"
            )
        if not np.isfinite(tensor).all():
            raise InputError(f"{source}: {name} holds numbers that are not finite; restore the file")
        values[name] = tensor.transpose(np.argsort(axes))
    for name, (variable, _) in variables.items():
        variable.assign(values[name])


def read_tensors(path):
    """The tensors in a file.

    Arguments:
        path: a .safetensors file, or a .keras file of this project.

    Returns:
        Dict of arrays by PyTorch's names, in PyTorch's layout.

    Raises:
        InputError: no such file, damaged, or neither format. Pickles can run code and are never opened.
    """
    path = Path(path)
    if path.suffix in PICKLES:
        raise InputError(f"{path}: a pickle can run code and is not opened; give the same weights as .safetensors")
    if path.suffix not in (".safetensors", ".keras"):
        raise InputError(f"{path}: unknown format; expected encoder weights in a .safetensors or a .keras file")
    if not path.is_file():
        raise InputError(f"{path}: no such file; expected encoder weights in a .safetensors or a .keras file")
    if path.suffix == ".keras":
        from unet_segnet.networks.load import load_model

        tensors = model_tensors(load_model(path), PREFIX)
        if not tensors:
            raise InputError(f"{path}: its network has no encoder of the second study; give one that has")
        return tensors
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        return load_file(path)
    # A number type that NumPy has not is a KeyError, TypeError or AttributeError, by version.
    except (SafetensorError, OSError, KeyError, TypeError, AttributeError, ValueError) as error:
        raise InputError(f"{path}: is damaged or no safetensors file ({one_line(error)}); restore it") from error


def imagenet_folder():
    """Where ImageNet weights are looked for, as <encoder>.safetensors: `imagenet` beside the data sets."""
    return data_root() / "imagenet"


def imagenet_tensors(encoder):
    """ImageNet weights of an encoder: the file in `imagenet_folder`, else Keras' own where it has the same network.

    The published files are not downloaded: no list of their hashes is known to compare with.

    Arguments:
        encoder: name in `ENCODERS`.

    Returns:
        (dict of arrays by PyTorch's names in PyTorch's layout, where they come from).

    Raises:
        InputError: they are neither there nor to be fetched; the message says what to put where.
    """
    path = imagenet_folder() / f"{encoder}.safetensors"
    if path.is_file():
        return read_tensors(path), path
    remedy = f"put them there as {path}"
    if encoder in REVISIONS:
        remedy = f"download {HUB.format(encoder=encoder, revision=REVISIONS[encoder])} as {path}"
    remedy += ", or give the path of a .safetensors or .keras file"
    if encoder not in BUILDERS:
        raise InputError(f"no ImageNet weights of {encoder}: {remedy}")
    try:
        network = keras_network(encoder)
    except Exception as error:  # whatever a download or HDF5 may raise
        raise InputError(f"no ImageNet weights of {encoder} ({one_line(error)}): {remedy}") from error
    return _tensors(_variables(published_layers(encoder, network))), f"Keras' {network.name}"


def imagenet_sha256(encoder):
    """SHA-256 of what `imagenet_tensors` takes: of the file, or of Keras' own tensors by name.

    Arguments and errors as there; taken once for each encoder.
    """
    return _imagenet_sha256(encoder, imagenet_folder() / f"{encoder}.safetensors")


@functools.cache
def _imagenet_sha256(encoder, path):
    if path.is_file():
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    digest = hashlib.sha256()
    for name, tensor in sorted(imagenet_tensors(encoder)[0].items()):
        digest.update(f"{name}{tensor.shape}".encode() + tensor.tobytes())
    return digest.hexdigest()


def _layers(model, prefix):
    """Module path in PyTorch -> layer, of those that begin with the prefix."""
    layers = {layer.name.replace("-", "."): layer for layer in model.layers}
    return {path: layer for path, layer in layers.items() if path.startswith(prefix)}


def _variables(layers):
    """PyTorch's name -> (variable, its axes in PyTorch's order) of all weights of {module path: layer}."""
    return {
        f"{path}.{PUBLISHED_NAMES[variable.name]}": (variable, _axes(layer, variable))
        for path, layer in layers.items()
        for variable in layer.weights
        if variable.name in PUBLISHED_NAMES
    }


def _tensors(variables):
    return {
        name: np.ascontiguousarray(keras.ops.convert_to_numpy(variable).transpose(axes))
        for name, (variable, axes) in variables.items()
    }


def _axes(layer, variable):
    if len(variable.shape) != 4:
        return tuple(range(len(variable.shape)))
    return (2, 3, 0, 1) if isinstance(layer, keras.layers.DepthwiseConv2D) else (3, 2, 0, 1)


def _listed(names):
    more = f" and {len(names) - 1} more are" if len(names) > 1 else " is"
    return names[0] + more
