"""Batch normalisation folded into the convolutions before it, for networks that are applied and not trained."""

import keras
import numpy as np

from unet_segnet.layers import MaxUnpooling2D

CONVOLUTIONS = (keras.layers.Conv2D, keras.layers.DepthwiseConv2D, keras.layers.Conv2DTranspose)


def fold_normalisation(model: keras.Model) -> keras.Model:
    """A network that gives the same probabilities to within rounding (1e-5) with fewer passes over its feature maps.

    A batch normalisation is folded where it is all that takes what a convolution gives; both must be float32, their
    channels last. Networks that put maxima back in their places stay as they are: rounding decides between places
    (`export_check`).

    Arguments:
        model: any; its attributes, such as `threshold`, are not taken over.

    Returns:
        A network that has all layers but the folded ones in common with it; `model` itself where there is nothing to
        fold, where its layers are not told as a graph, or where one is applied more than once or is a network itself.
    """
    # Of layers, and of what is computed between them, such as `keras.ops.split`; a `Sequential` tells none.
    operations = [one for one in getattr(model, "operations", ()) if not isinstance(one, keras.layers.InputLayer)]
    if any(isinstance(one, keras.Model | MaxUnpooling2D) or len(one._inbound_nodes) != 1 for one in operations):
        return model
    takers: dict[int, list] = {id(output): [None] for output in model.outputs}  # of each tensor
    for operation in operations:
        for tensor in keras.tree.flatten(operation.input):
            takers.setdefault(id(tensor), []).append(operation)
    folded = {}  # name of a convolution -> the normalisation behind it
    for operation in operations:
        if isinstance(operation, CONVOLUTIONS) and _is_foldable(operation, behind := takers[id(operation.output)]):
            folded[operation.name] = behind[0]
    if not folded:
        return model
    gone = {normalisation.name for normalisation in folded.values()}

    def copy(layer):
        return type(layer).from_config({**layer.get_config(), "use_bias": True}) if layer.name in folded else layer

    def call(layer, *arguments, **settings):
        return arguments[0] if layer.name in gone else layer(*arguments, **settings)

    weights = {name: _folded_weights(model.get_layer(name), behind) for name, behind in folded.items()}
    copied = keras.models.clone_model(model, clone_function=copy, call_function=call)
    for name, of_layer in weights.items():
        copied.get_layer(name).set_weights(of_layer)
    return copied


def _is_foldable(convolution, behind: list) -> bool:
    """Whether all that stands behind a convolution is a batch normalisation of its channels, by its moving averages."""
    return (
        len(behind) == 1
        and isinstance(behind[0], keras.layers.BatchNormalization)
        and _is_plain_call(behind[0])
        and behind[0].axis in (-1, 3)
        and convolution.data_format == "channels_last"
        and convolution.activation is keras.activations.linear
        and {convolution.compute_dtype, behind[0].compute_dtype} == {"float32"}
    )


def _is_plain_call(layer) -> bool:
    """Whether a layer is given a tensor and nothing else, such as `training`, which would be for always."""
    arguments = layer._inbound_nodes[0].arguments
    return len(arguments.args) == 1 and all(value is None or value is False for value in arguments.kwargs.values())


def _folded_weights(convolution, normalisation) -> list[np.ndarray]:
    """Kernel and bias of a convolution that gives what the normalisation behind it gave."""
    kernel, *bias = (np.asarray(weights, np.float64) for weights in convolution.get_weights())
    mean, variance = (
        np.asarray(keras.ops.convert_to_numpy(moment), np.float64)
        for moment in (normalisation.moving_mean, normalisation.moving_variance)
    )
    scale = 1 / np.sqrt(variance + normalisation.epsilon)
    if normalisation.scale:
        scale *= keras.ops.convert_to_numpy(normalisation.gamma)
    shift = (sum(bias) - mean) * scale
    if normalisation.center:
        shift += keras.ops.convert_to_numpy(normalisation.beta)
    if isinstance(convolution, keras.layers.DepthwiseConv2D):
        kernel = kernel * scale.reshape(kernel.shape[2:])  # (height, width, channels, multiplier)
    elif isinstance(convolution, keras.layers.Conv2DTranspose):
        kernel = kernel * scale[:, None]  # (height, width, filters, channels)
    else:
        kernel = kernel * scale  # (height, width, channels, filters)
    return [kernel.astype(np.float32), shift.astype(np.float32)]
