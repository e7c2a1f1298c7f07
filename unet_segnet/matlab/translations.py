"""The Keras counterpart of each MATLAB layer class: `TRANSLATIONS`.

Each function takes a layer and what arrives at its input ports, {port: tensor}, and returns what leaves its output
ports. Supporting another class is one such function and one line in the table at the end. A setting that is missing
or not supported raises KeyError or ValueError; `build_network` turns them into the error that the user sees.
"""

from typing import NamedTuple

import keras
import numpy as np

from unet_segnet.layers import BatchNormalization, Conv2D, Conv2DTranspose, MaxPooling2D, MaxUnpooling2D, Softmax
from unet_segnet.matlab.mat_file import Layer

LARGEST_NEGATIVE = float(np.finfo("float32").min)

# Settings


def _numbers(layer: Layer, *names: str) -> list[int]:
    """The integers of a setting, under the first of its names that MATLAB's release used."""
    for name in names:
        if name in layer.settings:
            numbers = np.ravel(layer.settings[name])
            if not np.isfinite(numbers).all():
                raise ValueError(f"{name} is not finite")
            return [int(number) for number in numbers]
    raise KeyError(names[0])


def _sides(layer: Layer, *names: str):
    """((top, bottom), (left, right)) of a padding or cropping, given as 4 numbers, or as 2 in older releases."""
    sides = _numbers(layer, *names)
    top, bottom, left, right = sides if len(sides) == 4 else np.repeat(sides, 2).tolist()
    return (top, bottom), (left, right)


def _value(layer: Layer, name: str) -> np.ndarray:
    """The value of a learnable parameter, float32."""
    saved = layer.settings[name]
    return np.asarray(saved["Value"] if isinstance(saved, dict) else saved, "float32")


def _bias(layer: Layer) -> np.ndarray | None:
    """The bias, or None where it was frozen at zero."""
    bias = _value(layer, "Bias").ravel()
    frozen = isinstance(layer.settings["Bias"], dict) and not np.any(layer.settings["Bias"]["LearnRateFactor"])
    return None if frozen and not bias.any() else bias


def _name(layer: Layer, ending: str = "") -> str:
    """The layer's name without the character that Keras forbids."""
    return layer.name.replace("/", "-") + ending


# Layers


def _image_input(layer: Layer, _):
    image = keras.Input(tuple(_numbers(layer, "InputSize")), name=_name(layer))
    scale, offset = _normalisation(layer)
    if np.all(scale == 1) and np.all(offset == 0):
        return {"image": image, "out": image}
    # float32 whatever the policy: bfloat16 would round the mean.
    rescaling = keras.layers.Rescaling(
        scale.tolist(), offset.tolist(), dtype="float32", name=_name(layer, "-normalization")
    )
    return {"image": image, "out": rescaling(image)}


def _normalisation(layer: Layer) -> tuple[np.ndarray, np.ndarray]:
    """Factor and summand that MATLAB's input normalisation amounts to; each a number, (C,) or (H, W, C)."""
    saved = layer.settings.get("Normalization", "none")
    kind = saved if isinstance(saved, str) else saved["Type"] if len(saved) else "none"
    if kind == "none":
        return np.float64(1), np.float64(0)

    def statistic(*names):
        value = np.asarray(next(saved[name] for name in names if name in saved), "float64")
        if value.size == 1:
            return value.reshape(())
        return value.ravel() if max(value.shape[:2]) == 1 else value.reshape(_numbers(layer, "InputSize"))

    if kind == "zerocenter":
        return np.float64(1), -statistic("AverageImage", "Mean")
    if kind == "zscore":
        spread = statistic("StandardDeviation", "Std")
        return 1 / spread, -statistic("Mean", "AverageImage") / spread
    if kind in ("rescale-zero-one", "rescale-symmetric"):
        low, high = statistic("Min"), statistic("Max")
        width, start = (1.0, 0.0) if kind == "rescale-zero-one" else (2.0, -1.0)
        return width / (high - low), start - width * low / (high - low)
    raise ValueError(f"normalization {kind!r} is not supported")


def input_mean(layer: Layer) -> float | np.ndarray:
    """What the normalisation of an image input subtracts: 0.0, a float, (C,) or (H, W, C)."""
    scale, offset = _normalisation(layer)
    kind = layer.settings.get("Normalization")
    if not isinstance(kind, dict) or kind["Type"] not in ("zerocenter", "zscore"):
        return 0.0
    mean = -offset / scale
    return float(mean) if mean.ndim == 0 else mean


def _convolution(layer: Layer, inputs):
    (x,) = inputs.values()
    size, dilation = _numbers(layer, "FilterSize"), [1, 1]
    if "DilationFactor" in layer.settings:
        dilation = _numbers(layer, "DilationFactor")
    strides = _numbers(layer, "Stride")
    padding = "same"
    if layer.settings.get("PaddingMode") != "same":
        sides = _sides(layer, "PaddingSize", "Padding")
        reach = [(side - 1) * factor for side, factor in zip(size, dilation, strict=True)]
        if strides != [1, 1] or sides != tuple((length / 2, length / 2) for length in reach):
            padding = "valid"
            if np.any(sides):
                x = keras.layers.ZeroPadding2D(sides, name=_name(layer, "-padding"))(x)
    return _with_weights(
        Conv2D,
        layer,
        x,
        kernel_shape=(*size, *_numbers(layer, "NumChannels"), *_numbers(layer, "NumFilters")),
        filters=_numbers(layer, "NumFilters")[0],
        kernel_size=size,
        strides=strides,
        dilation_rate=dilation,
        padding=padding,
    )


def _transposed_convolution(layer: Layer, inputs):
    (x,) = inputs.values()
    size, strides = _numbers(layer, "FilterSize"), _numbers(layer, "Stride")
    same = "same" in (layer.settings.get("CroppingMode"), layer.settings.get("PaddingMode"))
    outputs = _with_weights(
        Conv2DTranspose,
        layer,
        x,
        kernel_shape=(*size, *_numbers(layer, "NumFilters"), *_numbers(layer, "NumChannels")),
        filters=_numbers(layer, "NumFilters")[0],
        kernel_size=size,
        strides=strides,
        padding="same" if same else "valid",
    )
    if same:
        return outputs
    sides = _sides(layer, "CroppingSize", "Cropping", "PaddingSize", "Padding")
    # A stride beyond the filter: Keras adds the rest of the last stride, MATLAB does not.
    rest = [max(stride - length, 0) for stride, length in zip(strides, size, strict=True)]
    crop = tuple((before, after + more) for (before, after), more in zip(sides, rest, strict=True))
    if not np.any(crop):
        return outputs
    return {"out": keras.layers.Cropping2D(crop, name=_name(layer, "-cropping"))(outputs["out"])}


def _with_weights(kind, layer: Layer, x, kernel_shape, **settings):
    """A convolution with its weights; MATLAB drops trailing dimensions of size 1, so the kernel is reshaped."""
    bias = _bias(layer)
    # Before the layer makes weights of the size that the settings claim.
    kernel = _value(layer, "Weights").reshape(kernel_shape, order="F")
    if (x.shape[-1],) != (num_channels := tuple(_numbers(layer, "NumChannels"))):
        raise ValueError(f"NumChannels is {num_channels}, its input has {x.shape[-1]}")
    convolution = kind(use_bias=bias is not None, name=_name(layer), **settings)
    out = convolution(x)
    convolution.set_weights([kernel] if bias is None else [kernel, bias])
    return {"out": out}


def _batch_normalisation(layer: Layer, inputs):
    (x,) = inputs.values()
    normalisation = BatchNormalization(epsilon=np.asarray(layer.settings["Epsilon"]).item(), name=_name(layer))
    values = [_value(layer, name).ravel() for name in ("Scale", "Offset", "TrainedMean", "TrainedVariance")]
    if any(value.shape != (x.shape[-1],) for value in values):
        raise ValueError(f"its values are not those of {x.shape[-1]} channels")
    out = normalisation(x)
    normalisation.set_weights(values)
    return {"out": out}


def _relu(layer: Layer, inputs):
    (x,) = inputs.values()
    return {"out": keras.layers.ReLU(name=_name(layer))(x)}


class _Unpooling(NamedTuple):
    """What an unpooling must know of its pooling: window, and height and width before it."""

    window: tuple[int, int]
    size: tuple[int, int]


def _max_pooling(layer: Layer, inputs):
    (x,) = inputs.values()
    window, strides = _numbers(layer, "PoolSize"), _numbers(layer, "Stride")
    same = layer.settings.get("PaddingMode") == "same"
    sides = ((0, 0), (0, 0)) if same else _sides(layer, "PaddingSize", "Padding")
    if np.any(layer.settings.get("HasUnpoolingOutputs", False)):
        size = x.shape[1:3]
        if same:
            sides = tuple((0, -length % stride) for length, stride in zip(size, strides, strict=True))
        if window != strides or np.any(sides):
            raise ValueError("pooling whose indices are used must neither overlap, leave gaps, nor be padded")
        out, indices = MaxPooling2D(tuple(window), name=_name(layer))(x)
        return {"out": out, "indices": indices, "size": _Unpooling(tuple(window), tuple(size))}
    if np.any(sides):
        x = keras.ops.pad(x, ((0, 0), *sides, (0, 0)), constant_values=LARGEST_NEGATIVE)
    pooling = keras.layers.MaxPooling2D(window, strides, "same" if same else "valid", name=_name(layer))
    return {"out": pooling(x)}


def _max_unpooling(layer: Layer, inputs):
    values, indices, pooling = inputs["in"], inputs["indices"], inputs["size"]
    pad = tuple(
        whole - pooled * length
        for whole, pooled, length in zip(pooling.size, values.shape[1:3], pooling.window, strict=True)
    )
    if any(not 0 <= rest < length for rest, length in zip(pad, pooling.window, strict=True)):
        raise ValueError("its input has not the size of the pooling whose indices it uses")
    return {"out": MaxUnpooling2D(pooling.window, pad, name=_name(layer))([values, indices])}


def _dropout(layer: Layer, inputs):
    (x,) = inputs.values()
    probability = np.asarray(layer.settings["Probability"]).item()
    # Without a seed PyTorch draws by itself, whatever state a training sets.
    return {"out": keras.layers.Dropout(probability, seed=0, name=_name(layer))(x)}


def _all_inputs(layer: Layer, inputs) -> list:
    """The tensors at in1, in2, ... in order."""
    ports = [f"in{number}" for number in range(1, _numbers(layer, "NumInputs")[0] + 1)]
    if set(inputs) != set(ports):
        raise ValueError(f"its inputs are {', '.join(ports)}, connected are {', '.join(sorted(inputs))}")
    return [inputs[port] for port in ports]


def _depth_concatenation(layer: Layer, inputs):
    return {"out": keras.layers.Concatenate(name=_name(layer))(_all_inputs(layer, inputs))}


def _addition(layer: Layer, inputs):
    return {"out": keras.layers.Add(name=_name(layer))(_all_inputs(layer, inputs))}


def _crop(layer: Layer, inputs):
    x, wanted = inputs["in"], inputs["ref"].shape[1:3]
    if layer.settings["Mode"] == "centercrop":
        start = [whole // 2 - part // 2 for whole, part in zip(x.shape[1:3], wanted, strict=True)]
    else:
        start = [number - 1 for number in reversed(_numbers(layer, "Location"))]  # saved as [x y] from 1
    rest = [whole - part - first for whole, part, first in zip(x.shape[1:3], wanted, start, strict=True)]
    if min(*start, *rest) < 0:
        raise ValueError(f"a window of {wanted} at {start} does not fit into {x.shape[1:3]}")
    sides = tuple(zip(start, rest, strict=True))
    return {"out": keras.layers.Cropping2D(sides, name=_name(layer))(x)}


def _softmax(layer: Layer, inputs):
    (x,) = inputs.values()
    return {"out": Softmax(dtype="float32", name=_name(layer))(x)}


def class_names_and_weights(layer: Layer) -> tuple[tuple[str, ...], np.ndarray | None]:
    """Class names and weights of a pixel classification."""
    names = layer.settings.get("Categories", layer.settings.get("ClassNames", []))
    weights = layer.settings.get("ClassWeights", "none")
    unweighted = isinstance(weights, str) or not np.size(weights)
    return tuple(map(str, names)), None if unweighted else np.ravel(weights).astype("float64")


TRANSLATIONS = {
    "ImageInputLayer": _image_input,
    "Convolution2DLayer": _convolution,
    "TransposedConvolution2DLayer": _transposed_convolution,
    "BatchNormalizationLayer": _batch_normalisation,
    "ReLULayer": _relu,
    "MaxPooling2DLayer": _max_pooling,
    "MaxUnpooling2DLayer": _max_unpooling,
    "DropoutLayer": _dropout,
    "DepthConcatenationLayer": _depth_concatenation,
    "AdditionLayer": _addition,
    "Crop2DLayer": _crop,
    "SoftmaxLayer": _softmax,
}
