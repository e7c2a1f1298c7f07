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
        A network with copies of the weights; `model` itself where there is nothing to fold, or where a layer is applied
        more than once or is a network itself.
    """
    layers = [layer for layer in model.layers if not isinstance(layer, keras.layers.InputLayer)]
    if any(isinstance(layer, keras.Model | MaxUnpooling2D) or len(layer._inbound_nodes) != 1 for layer in layers):
        return model
    takers: dict[int, list] = {id(output): [None] for output in model.outputs}  # of each tensor
    for layer in layers:
        for tensor in keras.tree.flatten(layer.input):
            takers.setdefault(id(tensor), []).append(layer)
    folded = {}  # name of a convolution -> the normalisation behind it
    for layer in layers:
        if isinstance(layer, CONVOLUTIONS) and _is_foldable(layer, behind := takers[id(layer.output)]):
            folded[layer.name] = behind[0]
    if not folded:
        return model
    gone = {normalisation.name for normalisation in folded.values()}

    def copy(layer):
        config = layer.get_config()
        if layer.name in folded:
            config["use_bias"] = True
        return layer if layer.name in gone else type(layer).from_config(config)

    def call(layer, *arguments, **settings):
        return arguments[0] if layer.name in gone else layer(*arguments, **settings)

    copied = keras.models.clone_model(model, clone_function=copy, call_function=call)
    for layer in layers:
        if layer.name in folded:
            copied.get_layer(layer.name).set_weights(_folded_weights(layer, folded[layer.name]))
        elif layer.name not in gone:
            copied.get_layer(layer.name).set_weights(layer.get_weights())
    return copied


def _is_foldable(convolution, behind: list) -> bool:
    """Whether all that stands behind a convolution is a batch normalisation of its channels."""
    return (
        len(behind) == 1
        and isinstance(behind[0], keras.layers.BatchNormalization)
        and behind[0].axis in (-1, 3)
        and convolution.data_format == "channels_last"
        and convolution.activation is keras.activations.linear
        and {convolution.compute_dtype, behind[0].compute_dtype} == {"float32"}
    )


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
