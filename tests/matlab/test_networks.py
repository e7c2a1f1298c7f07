"""MATLAB networks as Keras models: every layer against plain NumPy, whole networks against our own builders."""

import csv
import math
from itertools import pairwise

import keras
import numpy as np
import pytest

from unet_segnet.errors import InputError
from unet_segnet.layers import MaxPooling2D
from unet_segnet.matlab import load_network
from unet_segnet.matlab.mat_file import Layer, LayerGraph
from unet_segnet.matlab.networks import build_network
from unet_segnet.models import build_model

GENERATOR = np.random.default_rng(0)


# Layer graphs as MATLAB saves them


def layer(kind, name=None, **settings):
    return Layer(name or kind, kind, {"Name": name or kind, **settings})


def row(*numbers):
    return np.array([numbers], "float64")


def learnable(value, rate=1.0):
    return {"Value": np.asarray(value, "float32"), "LearnRateFactor": row(rate), "L2Factor": row(1)}


def image_input(height, width, channels=1, **normalization):
    saved = normalization or {"Type": "none"}
    return layer("ImageInputLayer", "image", InputSize=row(height, width, channels), Normalization=saved)


def convolution(name, kernel, bias, rate=1.0, **settings):
    """A convolution; `kernel` is height x width x channels x filters, as in MATLAB and in Keras."""
    values = {"Stride": row(1, 1), "DilationFactor": row(1, 1), "PaddingMode": "same", **settings}
    size = {"FilterSize": row(*kernel.shape[:2]), "NumChannels": row(kernel.shape[2])}
    size["NumFilters"] = row(kernel.shape[3])
    bias = learnable(np.reshape(bias, (1, 1, -1)), rate)
    return layer("Convolution2DLayer", name, **size, **values, Weights=learnable(squeezed(kernel)), Bias=bias)


def transposed_convolution(name, kernel, bias, **settings):
    """A transposed convolution; `kernel` is height x width x filters x channels, as in MATLAB and in Keras."""
    size = {"FilterSize": row(*kernel.shape[:2]), "NumFilters": row(kernel.shape[2])}
    return layer(
        "TransposedConvolution2DLayer",
        name,
        **size,
        NumChannels=row(kernel.shape[3]),
        **settings,
        Weights=learnable(squeezed(kernel)),
        Bias=learnable(np.reshape(bias, (1, 1, -1))),
    )


def squeezed(kernel):
    """MATLAB has no trailing dimensions of size 1 beyond the second."""
    while kernel.ndim > 2 and kernel.shape[-1] == 1:
        kernel = kernel[..., 0]
    return kernel


def pooling(name, size=(2, 2), stride=(2, 2), padding=(0, 0, 0, 0), indices=False, mode="manual"):
    return layer(
        "MaxPooling2DLayer",
        name,
        PoolSize=row(*size),
        Stride=row(*stride),
        PaddingMode=mode,
        PaddingSize=row(*padding),
        HasUnpoolingOutputs=np.array([[indices]]),
    )


def classification(num_classes, weights=()):
    return layer(
        "PixelClassificationLayer",
        "labels",
        Categories=[f"class {number}" for number in range(num_classes)],
        ClassWeights=np.reshape(weights, (-1, 1)),
    )


def chain(*layers):
    return LayerGraph(layers, tuple((one.name, other.name) for one, other in pairwise(layers)))


def outputs_of(*layers, connections=None, size=(8, 8, 1), classes=None, images=None):
    """What reaches the end of a network with these layers between the image input and the classification."""
    layers = (image_input(*size), *layers, classification(classes or size[2]))
    graph = LayerGraph(layers, tuple(connections)) if connections else chain(*layers)
    network = build_network(graph)
    images = GENERATOR.normal(size=(2, *size)).astype("float32") if images is None else images
    return images, network.model.predict(images, verbose=0)


# NumPy references, written for reading


def slow_convolution(x, kernel, bias, stride, padding, dilation):
    top, bottom, left, right = padding
    x = np.pad(x, ((0, 0), (top, bottom), (left, right), (0, 0)))
    reach = [(kernel.shape[axis] - 1) * dilation[axis] + 1 for axis in (0, 1)]
    rows = range(0, x.shape[1] - reach[0] + 1, stride[0])
    columns = range(0, x.shape[2] - reach[1] + 1, stride[1])
    out = np.zeros((len(x), len(rows), len(columns), kernel.shape[3]))
    for i, r in enumerate(rows):
        for j, c in enumerate(columns):
            window = x[:, r : r + reach[0] : dilation[0], c : c + reach[1] : dilation[1]]
            out[:, i, j] = np.einsum("nhwc,hwcf->nf", window, kernel) + bias
    return out


def slow_transposed_convolution(x, kernel, bias, stride, crop):
    height, width = kernel.shape[:2]
    rows, columns = ((x.shape[axis + 1] - 1) * stride[axis] + kernel.shape[axis] for axis in (0, 1))
    out = np.zeros((len(x), rows, columns, kernel.shape[2])) + bias
    for i in range(x.shape[1]):
        for j in range(x.shape[2]):
            r, c = i * stride[0], j * stride[1]
            out[:, r : r + height, c : c + width] += np.einsum("nc,hwfc->nhwf", x[:, i, j], kernel)
    top, bottom, left, right = crop
    return out[:, top : rows - bottom, left : columns - right]


def slow_pooling(x, size, stride, padding):
    top, bottom, left, right = padding
    x = np.pad(x, ((0, 0), (top, bottom), (left, right), (0, 0)), constant_values=-np.inf)
    rows = range(0, x.shape[1] - size[0] + 1, stride[0])
    columns = range(0, x.shape[2] - size[1] + 1, stride[1])
    return np.array([[x[:, r : r + size[0], c : c + size[1]].max((1, 2)) for c in columns] for r in rows]).transpose(
        2, 0, 1, 3
    )


# Layers


@pytest.mark.parametrize(
    ("kernel_size", "stride", "padding", "dilation"),
    [
        ((3, 3), (1, 1), (1, 1, 1, 1), (1, 1)),
        ((3, 3), (1, 1), (0, 0, 0, 0), (1, 1)),
        ((3, 2), (2, 1), (1, 2, 0, 3), (1, 1)),
        ((1, 1), (1, 1), (0, 0, 0, 0), (1, 1)),
        ((3, 3), (1, 1), (2, 2, 2, 2), (2, 2)),
        ((3, 3), (1, 1), (1, 0, 2, 1), (2, 1)),
    ],
)
def test_convolution(kernel_size, stride, padding, dilation):
    kernel, bias = GENERATOR.normal(size=(*kernel_size, 2, 3)), GENERATOR.normal(size=3)
    settings = {"Stride": row(*stride), "DilationFactor": row(*dilation)}
    settings |= {"PaddingMode": "manual", "PaddingSize": row(*padding)}
    x, y = outputs_of(convolution("conv", kernel, bias, **settings), size=(7, 9, 2), classes=3)
    np.testing.assert_allclose(y, slow_convolution(x, kernel, bias, stride, padding, dilation), rtol=1e-4, atol=1e-4)


def test_convolution_same_with_a_stride_pads_more_behind():
    kernel, bias = GENERATOR.normal(size=(3, 3, 2, 3)), np.zeros(3)
    conv = convolution("conv", kernel, bias, Stride=row(2, 2), PaddingMode="same", PaddingSize=row(0, 1, 0, 1))
    x, y = outputs_of(conv, size=(8, 8, 2), classes=3)
    np.testing.assert_allclose(y, slow_convolution(x, kernel, bias, (2, 2), (0, 1, 0, 1), (1, 1)), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("shape", [(3, 3, 1, 1), (1, 1, 4, 1), (1, 1, 1, 2)])
def test_kernels_that_lost_their_last_dimensions(shape):
    kernel, bias = GENERATOR.normal(size=shape), np.ones(shape[3])
    pad = (shape[0] // 2,) * 4
    x, y = outputs_of(convolution("conv", kernel, bias), size=(5, 5, shape[2]), classes=shape[3])
    np.testing.assert_allclose(y, slow_convolution(x, kernel, bias, (1, 1), pad, (1, 1)), rtol=1e-4, atol=1e-4)


def test_a_bias_frozen_at_zero_is_no_parameter():
    kernel = GENERATOR.normal(size=(3, 3, 1, 2))
    for bias, rate, count in (([0, 0], 0.0, 18), ([0, 0], 1.0, 20), ([0, 1], 0.0, 20)):
        conv = convolution("conv", kernel, bias, rate)
        model = build_network(chain(image_input(8, 8), conv, classification(2))).model
        assert model.count_params() == count


@pytest.mark.parametrize(
    ("kernel_size", "stride", "crop"),
    [((2, 2), (2, 2), (0, 0, 0, 0)), ((4, 3), (2, 1), (1, 1, 0, 2)), ((2, 1), (3, 2), (0, 0, 0, 0))],
)
def test_transposed_convolution(kernel_size, stride, crop):
    kernel, bias = GENERATOR.normal(size=(*kernel_size, 3, 2)), GENERATOR.normal(size=3)
    settings = {"Stride": row(*stride), "CroppingMode": "manual", "CroppingSize": row(*crop)}
    x, y = outputs_of(transposed_convolution("up", kernel, bias, **settings), size=(4, 5, 2), classes=3)
    np.testing.assert_allclose(y, slow_transposed_convolution(x, kernel, bias, stride, crop), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("size", "crop"), [(4, (1, 1)), (3, (0, 1)), (2, (0, 0))])
def test_transposed_convolution_cropped_to_same(size, crop):
    kernel, bias = GENERATOR.normal(size=(size, size, 3, 2)), GENERATOR.normal(size=3)
    up = transposed_convolution("up", kernel, bias, Stride=row(2, 2), CroppingMode="same")
    x, y = outputs_of(up, size=(4, 5, 2), classes=3)
    assert y.shape == (2, 8, 10, 3)
    np.testing.assert_allclose(y, slow_transposed_convolution(x, kernel, bias, (2, 2), crop * 2), rtol=1e-4, atol=1e-4)


def test_older_releases_name_the_cropping_otherwise():
    kernel, bias = GENERATOR.normal(size=(4, 4, 1, 1)), np.zeros(1)
    x, y = outputs_of(transposed_convolution("up", kernel, bias, Stride=row(2, 2), Cropping=row(1, 0)))
    np.testing.assert_allclose(
        y, slow_transposed_convolution(x, kernel, bias, (2, 2), (1, 1, 0, 0)), rtol=1e-4, atol=1e-4
    )


@pytest.mark.parametrize(
    ("size", "stride", "padding", "mode"),
    [
        ((2, 2), (2, 2), (0, 0, 0, 0), "manual"),
        ((3, 3), (2, 2), (1, 1, 0, 1), "manual"),
        ((3, 3), (2, 2), (0, 1, 1, 1), "same"),
    ],
)
def test_pooling_pads_with_nothing_rather_than_zero(size, stride, padding, mode):
    images = -1 - GENERATOR.random((2, 8, 9, 2)).astype("float32")
    _, y = outputs_of(pooling("pool", size, stride, padding, mode=mode), size=(8, 9, 2), classes=2, images=images)
    np.testing.assert_array_equal(y, slow_pooling(images, size, stride, padding))


@pytest.mark.parametrize(("window", "size"), [((2, 2), (8, 8)), ((2, 2), (7, 9)), ((3, 2), (8, 9))])
def test_unpooling_puts_the_maxima_back(window, size):
    connections = [
        ("image", "pool"),
        ("pool/out", "unpool/in"),
        ("pool/indices", "unpool/indices"),
        ("pool/size", "unpool/size"),
        ("unpool", "labels"),
    ]
    x, y = outputs_of(
        pooling("pool", window, window, indices=True),
        layer("MaxUnpooling2DLayer", "unpool"),
        connections=connections,
        size=(*size, 2),
    )
    expected = np.zeros_like(x)
    for r in range(0, size[0] - window[0] + 1, window[0]):
        for c in range(0, size[1] - window[1] + 1, window[1]):
            part = (slice(None), slice(r, r + window[0]), slice(c, c + window[1]))
            expected[part] = np.where(x[part] == x[part].max((1, 2), keepdims=True), x[part], 0)
    np.testing.assert_array_equal(y, expected)


def test_batch_normalisation_and_relu():
    scale, offset, mean, variance = GENERATOR.random((4, 3)) + 0.5
    normalisation = layer(
        "BatchNormalizationLayer",
        Epsilon=row(1e-3),
        TrainedMean=mean.reshape(1, 1, 3),
        TrainedVariance=variance.reshape(1, 1, 3),
        Scale=learnable(scale.reshape(1, 1, 3)),
        Offset=learnable(offset.reshape(1, 1, 3)),
    )
    x, y = outputs_of(normalisation, layer("ReLULayer"), size=(6, 6, 3))
    expected = np.maximum((x - mean) / np.sqrt(variance + 1e-3) * scale + offset, 0)
    np.testing.assert_allclose(y, expected, rtol=1e-4, atol=1e-5)


def test_dropout_is_for_training_only_and_softmax_is_over_channels():
    x, y = outputs_of(layer("DropoutLayer", Probability=row(0.5)), layer("SoftmaxLayer"), size=(4, 4, 3))
    expected = np.exp(x) / np.exp(x).sum(-1, keepdims=True)
    np.testing.assert_allclose(y, expected, rtol=1e-5)


def test_concatenation_goes_by_port_not_by_order_of_connection():
    connections = [
        ("image", "double"),
        ("image", "join/in2"),
        ("double", "join/in1"),
        ("join", "labels"),
    ]
    double = convolution("double", np.full((1, 1, 1, 1), 2.0), [0])
    x, y = outputs_of(
        layer("DepthConcatenationLayer", "join", NumInputs=row(2)), double, connections=connections, classes=2
    )
    np.testing.assert_allclose(y, np.concatenate([2 * x, x], -1), rtol=1e-6)


def test_addition_of_three():
    connections = [("image", "double"), *((one, f"sum/in{n}") for n, one in enumerate(("image", "double", "image"), 1))]
    double = convolution("double", np.full((1, 1, 1, 1), 2.0), [0])
    x, y = outputs_of(
        double, layer("AdditionLayer", "sum", NumInputs=row(3)), connections=[*connections, ("sum", "labels")]
    )
    np.testing.assert_allclose(y, 4 * x, rtol=1e-6)


@pytest.mark.parametrize(
    ("mode", "location", "top", "left"),
    # Centre: whole // 2 - part // 2 from zero. Custom: [x y] from one.
    [("centercrop", "auto", 8 // 2 - 5 // 2, 9 // 2 - 6 // 2), ("custom", row(3, 2), 1, 2)],
)
def test_crop(mode, location, top, left):
    shrink = convolution("shrink", np.ones((4, 4, 1, 1)), [0], PaddingMode="manual", PaddingSize=row(0, 0, 0, 0))
    crop = layer("Crop2DLayer", "crop", Mode=mode, Location=location)
    connections = [("image", "shrink"), ("image", "crop/in"), ("shrink", "crop/ref"), ("crop", "labels")]
    x, y = outputs_of(shrink, crop, connections=connections, size=(8, 9, 1))
    np.testing.assert_array_equal(y, x[:, top : top + 5, left : left + 6])


MEANS = {"scalar": row(21.5), "channel": np.array([[[1.0, 2.0]]]), "image": GENERATOR.random((4, 5, 2))}


@pytest.mark.parametrize("kind", MEANS)
def test_zerocenter(kind):
    graph = chain(image_input(4, 5, 2, Type="zerocenter", AverageImage=MEANS[kind]), classification(2))
    network = build_network(graph)
    images = GENERATOR.integers(0, 256, (2, 4, 5, 2), dtype=np.uint8)
    np.testing.assert_allclose(network.model.predict(images, verbose=0), images - MEANS[kind], rtol=1e-5)
    np.testing.assert_allclose(network.mean, np.squeeze(MEANS[kind]))


@pytest.mark.parametrize(
    ("settings", "expected", "mean"),
    [
        ({"Type": "none"}, lambda x: x, 0.0),
        ({"Type": "zscore", "Mean": row(10), "StandardDeviation": row(4)}, lambda x: (x - 10) / 4, 10.0),
        ({"Type": "rescale-zero-one", "Min": row(5), "Max": row(25)}, lambda x: (x - 5) / 20, 0.0),
        ({"Type": "rescale-symmetric", "Min": row(5), "Max": row(25)}, lambda x: (x - 15) / 10, 0.0),
    ],
)
def test_other_normalisations(settings, expected, mean):
    network = build_network(chain(image_input(4, 4, 2, **settings), classification(2)))
    images = GENERATOR.integers(0, 256, (1, 4, 4, 2), dtype=np.uint8)
    np.testing.assert_allclose(
        network.model.predict(images, verbose=0), expected(images.astype("float64")), rtol=1e-5, atol=1e-5
    )
    assert network.mean == mean


def test_class_names_and_weights():
    network = build_network(chain(image_input(4, 4, 3), classification(3, [0.5, 1.5, 2.5])))
    assert network.class_names == ("class 0", "class 1", "class 2")
    np.testing.assert_array_equal(network.class_weights, [0.5, 1.5, 2.5])
    assert network.class_weights.dtype == np.float64
    unweighted = layer("PixelClassificationLayer", "labels", Categories=["a", "b"], ClassWeights="none")
    assert build_network(chain(image_input(4, 4, 2), unweighted)).class_weights is None


# Whole networks


def described(model, num_classes):
    """The layer graph that MATLAB would have saved of a network built by `build_model`."""
    layers, connections = [], []
    ports = {}
    for item in model.layers:
        parents = [node.operation.name for node in item._inbound_nodes[0].parent_nodes]
        name = item.name
        weights = [np.asarray(weight) for weight in item.get_weights()]
        match type(item).__name__:
            case "InputLayer":
                mean = -model.get_layer("zerocenter").offset
                layers.append(image_input(*item.batch_shape[1:], Type="zerocenter", AverageImage=row(mean)))
                ports[name] = "image"
                continue
            case "Rescaling":
                ports[name] = "image"
                continue
            case "Conv2D":
                bias = weights[1] if item.use_bias else np.zeros(item.filters)
                layers.append(convolution(name, weights[0], bias, float(item.use_bias)))
            case "Conv2DTranspose":
                settings = {"Stride": row(2, 2), "CroppingMode": "manual", "CroppingSize": row(0, 0, 0, 0)}
                layers.append(transposed_convolution(name, *weights, **settings))
            case "BatchNormalization":
                names = ("Scale", "Offset", "TrainedMean", "TrainedVariance")
                values = {key: weight.reshape(1, 1, -1) for key, weight in zip(names, weights, strict=True)}
                values |= {key: learnable(values[key]) for key in names[:2]}
                layers.append(layer("BatchNormalizationLayer", name, Epsilon=row(item.epsilon), **values))
            case "MaxPooling2D":
                indices = isinstance(item, MaxPooling2D)
                layers.append(pooling(name, indices=indices))
            case "MaxUnpooling2D":
                layers.append(layer("MaxUnpooling2DLayer", name))
                values, pool = (ports[parent] for parent in parents)
                connections += [(values, f"{name}/in")]
                pool = pool.removesuffix("/out")
                connections += [(f"{pool}/{port}", f"{name}/{port}") for port in ("indices", "size")]
                parents = []
            case "Concatenate":
                layers.append(layer("DepthConcatenationLayer", name, NumInputs=row(len(parents))))
                connections += [(ports[one], f"{name}/in{n}") for n, one in enumerate(parents, 1)]
                parents = []
            case "ReLU":
                layers.append(layer("ReLULayer", name))
            case "Dropout":
                layers.append(layer("DropoutLayer", name, Probability=row(item.rate)))
            case "Softmax":
                layers.append(layer("SoftmaxLayer", name))
            case unknown:
                raise AssertionError(unknown)
        connections += [(ports[parent], name) for parent in parents]
        ports[name] = f"{name}/out" if isinstance(item, MaxPooling2D) and "pool" in name else name
    layers.append(classification(num_classes, np.arange(1, num_classes + 1)))
    connections.append((ports[model.layers[-1].name], "labels"))
    return LayerGraph(tuple(layers), tuple(connections))


def shaken(model):
    """The model with random weights everywhere, statistics and biases included."""
    for item in model.layers:
        weights = item.get_weights()
        if type(item).__name__ == "BatchNormalization":
            item.set_weights([0.5 + GENERATOR.random(weight.shape) for weight in weights])
        elif len(weights) == 2:
            item.set_weights([weights[0], GENERATOR.normal(size=weights[1].shape)])
    return model


@pytest.mark.parametrize(("architecture", "num_classes"), [("unet", 2), ("segnet", 4)])
def test_whole_networks_in_any_order_predict_as_ours(architecture, num_classes, tmp_path):
    ours = shaken(build_model(architecture, "released", num_classes, (16, 24, 1), mean=21.5))
    graph = described(ours, num_classes)
    shuffled = [graph.layers[n] for n in GENERATOR.permutation(len(graph.layers))]
    network = build_network(LayerGraph(tuple(shuffled), graph.connections[::-1]))
    images = GENERATOR.integers(0, 256, (2, 16, 24, 1), dtype=np.uint8)
    expected = ours.predict(images, verbose=0)
    np.testing.assert_allclose(network.model.predict(images, verbose=0), expected, atol=1e-5)
    assert network.model.count_params() == ours.count_params()
    assert len(network.class_names) == len(network.class_weights) == num_classes
    network.model.save(tmp_path / "network.keras")
    loaded = keras.models.load_model(tmp_path / "network.keras")
    np.testing.assert_array_equal(loaded.predict(images, verbose=0), network.model.predict(images, verbose=0))


def test_padded_pooling_and_image_means_survive_saving(tmp_path):
    mean = GENERATOR.random((6, 6))
    graph = chain(
        image_input(6, 6, 1, Type="zerocenter", AverageImage=mean),
        pooling("pool/a", (3, 3), (1, 1), (1, 1, 1, 1)),
        convolution(
            "conv", GENERATOR.normal(size=(3, 3, 1, 2)), [1, 2], PaddingMode="manual", PaddingSize=row(2, 0, 1, 1)
        ),
        layer("SoftmaxLayer"),
        classification(2),
    )
    model = build_network(graph).model
    images = GENERATOR.integers(0, 256, (2, 6, 6, 1), dtype=np.uint8)
    model.save(tmp_path / "network.keras")
    loaded = keras.models.load_model(tmp_path / "network.keras")
    np.testing.assert_array_equal(loaded.predict(images, verbose=0), model.predict(images, verbose=0))


# What cannot be built


def refused(graph):
    with pytest.raises(InputError) as caught:
        build_network(graph, source="file.mat")
    message = str(caught.value)
    assert message.startswith("file.mat: ") and "\n" not in message
    return message


def test_an_unknown_layer_is_named_with_its_type():
    message = refused(chain(image_input(4, 4, 2), layer("SpectralLayer", "my layer"), classification(2)))
    assert "'my layer'" in message and "SpectralLayer" in message


def test_a_setting_that_is_missing_is_named():
    conv = convolution("conv", np.ones((3, 3, 1, 1)), [0])
    del conv.settings["Stride"]
    message = refused(chain(image_input(4, 4), conv, classification(1)))
    assert "'conv'" in message and "Stride" in message


def test_weights_of_a_wrong_size():
    conv = convolution("conv", np.ones((3, 3, 1, 1)), [0])
    conv.settings["NumFilters"] = row(2)
    assert "'conv'" in refused(chain(image_input(4, 4), conv, classification(2)))


@pytest.mark.parametrize(("size", "stride", "padding"), [((3, 3), (2, 2), (0,) * 4), ((2, 2), (2, 2), (1, 0, 0, 0))])
def test_indices_of_overlapping_or_padded_pooling(size, stride, padding):
    message = refused(chain(image_input(8, 8), pooling("pool", size, stride, padding, indices=True), classification(1)))
    assert "'pool'" in message and "overlap" in message


def test_connections_that_lead_nowhere():
    layers = (image_input(4, 4), layer("ReLULayer", "a"), layer("ReLULayer", "b"), classification(1))
    line = [("image", "labels")]
    assert "'a', 'b'" in refused(LayerGraph(layers, (*line, ("a", "b"), ("b", "a"))))
    assert "'ghost'" in refused(LayerGraph(layers, (*line, ("ghost", "a"))))
    assert "image/indices" in refused(LayerGraph(layers, (*line, ("image/indices", "a"), ("a", "b"))))


def test_inputs_missing_from_a_concatenation():
    join = layer("DepthConcatenationLayer", "join", NumInputs=row(2))
    graph = LayerGraph((image_input(4, 4), join, classification(1)), (("image", "join/in1"), ("join", "labels")))
    assert "'join'" in refused(graph)


def test_a_crop_that_does_not_fit():
    crop = layer("Crop2DLayer", "crop", Mode="custom", Location=row(2, 2))
    connections = (("image", "crop/in"), ("image", "crop/ref"), ("crop", "labels"))
    assert "'crop'" in refused(LayerGraph((image_input(4, 4), crop, classification(1)), connections))


def test_networks_without_input_or_classes_and_with_too_many():
    assert "ImageInputLayer" in refused(chain(layer("ReLULayer"), classification(1)))
    assert "PixelClassificationLayer" in refused(chain(image_input(4, 4), layer("ReLULayer")))
    assert "3 classes" in refused(chain(image_input(4, 4, 2), classification(3)))


def test_an_unknown_normalisation():
    assert "'whitening'" in refused(chain(image_input(4, 4, Type="whitening"), classification(1)))


# The authors' binary SegNet

RELEASED = "results/networks/segnet2_result/segnet2_256_0.001_4_160.mat"


def test_released_network_reproduces_published_accuracies(real_data, reference):
    network = load_network(real_data / RELEASED)
    assert network.mean == pytest.approx(21.986183, abs=1e-6)
    assert network.class_names == ("regular", "irregular")
    np.testing.assert_allclose(network.class_weights, [0.53768872, 7.13328367], atol=1e-8)
    assert network.model.count_params() == 373_192
    assert [layer.type for layer in network.layers].count("Convolution2DLayer") == 12
    images, labels, expected = published_slices(real_data, reference, ("071", "023"))
    predictions = network.model.predict(images[..., None], verbose=0)
    accuracy = (predictions.argmax(-1) == labels).mean(axis=(1, 2))
    np.testing.assert_allclose(accuracy, expected, atol=5e-5)


@pytest.mark.slow
def test_released_network_saved_and_loaded_gives_the_published_confusion_matrix(real_data, reference, tmp_path):
    load_network(real_data / RELEASED).model.save(tmp_path / "network.keras")
    model = keras.models.load_model(tmp_path / "network.keras")
    images, labels, expected = published_slices(real_data, reference)
    predictions = model.predict(images[..., None], batch_size=2, verbose=0).argmax(-1)
    confusion = np.array([[np.sum((labels == a) & (predictions == b)) for b in (0, 1)] for a in (0, 1)])
    # A pixel that changes sides changes two entries.
    assert np.abs(confusion - [[1045094, 50153], [3700, 80701]]).sum() / 2 <= 4
    np.testing.assert_allclose((predictions == labels).mean(axis=(1, 2)), expected, atol=5e-5)


def published_slices(real_data, reference, names=None):
    """Images and binary labels of test slices, and the global accuracies that the authors' network had there."""
    from unet_segnet.data import load_slices, paper_split

    test = load_slices(str(real_data), "binary").subset(paper_split().test)
    with open(reference / "saood2021" / "image_metrics.csv", newline="") as file:
        rows = [
            line
            for line in csv.DictReader(file)
            if (line["network"], line["classes"], line["experiment"]) == ("segnet", "2", "4")
        ]
    published = {int(line["slice"]): float(line["global_accuracy"]) for line in rows}
    assert len(published) == len(test) == 18 and math.isclose(sum(published.values()) / 18, 0.954, abs_tol=5e-4)
    chosen = test.subset([test.names.index(name) for name in names or test.names])
    return chosen.images, chosen.labels, [published[int(name)] for name in chosen.names]


@pytest.mark.parametrize("number", [np.inf, -np.inf, np.nan])
def test_a_setting_that_is_no_number_is_refused(number):
    kernel = np.ones((1, 1, 1, 2))
    with pytest.raises(InputError, match="layer 'c' of type Convolution2DLayer cannot be built: Stride is not finite"):
        outputs_of(convolution("c", kernel, [0, 0], Stride=row(number, 1)), classes=2)


def test_sizes_that_the_weights_do_not_have_are_refused_before_any_are_made():
    huge = convolution("c", np.ones((1, 1, 1, 2)), [0, 0])
    huge.settings["FilterSize"], huge.settings["NumFilters"] = row(20_000, 20_000), row(20_000)
    with pytest.raises(InputError, match="layer 'c' of type Convolution2DLayer cannot be built: cannot reshape"):
        outputs_of(huge, classes=2)
    with pytest.raises(InputError, match="NumChannels is"):
        outputs_of(convolution("c", np.ones((1, 1, 1, 2)), [0, 0]), size=(8, 8, 30_000_000), classes=2, images=0)
