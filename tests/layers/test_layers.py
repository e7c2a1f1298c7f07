"""Pooling with indices, unpooling and batch normalisation, against NumPy written for reading."""

import keras
import numpy as np
import pytest
from convolution_sums import gradients_by_sums

from unet_segnet import layers
from unet_segnet.devices import accelerators
from unet_segnet.layers import (
    BatchNormalization,
    Conv2D,
    Conv2DTranspose,
    DepthwiseConv2D,
    GroupedConv2D,
    MaxPooling2D,
    MaxUnpooling2D,
    convolution,
    pooling,
    winograd,
)

SHAPES = [(2, 4, 6, 3), (1, 5, 7, 2), (3, 8, 3, 1)]


def pool_by_hand(x, rows=2, columns=2):
    batch, height, width, channels = x.shape
    values = np.zeros((batch, height // rows, width // columns, channels), x.dtype)
    indices = np.zeros(values.shape, np.uint8)
    for b, i, j, c in np.ndindex(values.shape):
        window = x[b, i * rows : (i + 1) * rows, j * columns : (j + 1) * columns, c].ravel()
        indices[b, i, j, c] = np.argmax(window)  # the first of equal maxima
        values[b, i, j, c] = window.max()
    return values, indices


def unpool_by_hand(values, indices, shape, rows=2, columns=2):
    x = np.zeros(shape, values.dtype)
    for b, i, j, c in np.ndindex(values.shape):
        row, column = divmod(int(indices[b, i, j, c]), columns)
        x[b, i * rows + row, j * columns + column, c] = values[b, i, j, c]
    return x


def random_input(shape, seed=0):
    """Few different values, so that ties, also among zeros, are common."""
    return np.maximum(np.random.default_rng(seed).integers(-3, 4, shape), 0).astype("float32")


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("window", [(2, 2), (3, 2)])
def test_pooling_takes_the_first_maximum_of_each_window(shape, window):
    x = random_input(shape)
    values, indices = MaxPooling2D(window)(x)
    expected_values, expected_indices = pool_by_hand(x, *window)
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(values), expected_values)
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(indices), expected_indices)


def test_bfloat16_is_pooled_as_float32_is():
    """Numbers of both signs, whose order as bits is another one, and both zeros, which are equal."""
    x = np.random.default_rng(8).integers(-3, 2, (2, 8, 6, 5)).astype("float32")
    x[0] = np.where(x[0] > 0, -0.0, x[0])
    assert (np.signbit(x) & (x == 0)).any() and (~np.signbit(x) & (x == 0)).any()
    values, indices = MaxPooling2D(dtype="mixed_bfloat16")(x)
    expected_values, expected_indices = pool_by_hand(x)
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(keras.ops.cast(values, "float32")), expected_values)
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(indices), expected_indices)


@pytest.mark.parametrize("shape", SHAPES)
def test_unpooling_puts_each_maximum_back_where_it_stood(shape):
    x = random_input(shape, seed=1)
    values, indices = MaxPooling2D()(x)
    y = MaxUnpooling2D(pad=(shape[1] % 2, shape[2] % 2))([values, indices])
    expected = unpool_by_hand(*pool_by_hand(x), shape)
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(y), expected)


def test_the_plain_and_the_fast_form_are_equal():
    x = keras.ops.convert_to_tensor(random_input((2, 6, 5, 4), seed=2))
    plain = [keras.ops.convert_to_numpy(part) for part in pooling.pool(x, (2, 2))]
    layer = [keras.ops.convert_to_numpy(part) for part in MaxPooling2D()(x)]
    for one, other in zip(plain, layer, strict=True):
        np.testing.assert_array_equal(one, other)
    upsampled = keras.ops.convert_to_numpy(pooling.unpool(*pooling.pool(x, (2, 2)), (2, 2), (0, 1)))
    np.testing.assert_array_equal(upsampled, MaxUnpooling2D(pad=(0, 1))([*MaxPooling2D()(x)]))


class Shift(keras.layers.Layer):
    """Adds a trainable array, so that one step of plain gradient descent shows the gradient of the input."""

    def build(self, input_shape):
        self.shift = self.add_weight(shape=input_shape[1:], initializer="zeros", name="shift")

    def call(self, x):
        return x + self.shift


def input_gradient(x, weights, network):
    """The gradient of sum(weights * network(x)) for x of batch size one, by one step of gradient descent."""
    inputs = keras.Input(x.shape[1:])
    shift = Shift()
    model = keras.Model(inputs, network(shift(inputs)))
    model.compile(optimizer=keras.optimizers.SGD(1.0), loss=lambda t, y: keras.ops.sum(t * y), jit_compile=False)
    model.train_on_batch(x, weights)
    return -keras.ops.convert_to_numpy(shift.shift)[None]


def down_and_up(x, dtype="float32"):
    pad = (x.shape[1] % 2, x.shape[2] % 2)
    values, indices = MaxPooling2D(dtype=dtype)(x)
    return MaxUnpooling2D(pad=pad, dtype=dtype)([values * values, indices])


@pytest.mark.parametrize(("dtype", "rtol"), [("float32", 0), ("mixed_bfloat16", 0.03)])
@pytest.mark.parametrize("size", [(4, 6), (5, 7)])
def test_gradients_agree_with_finite_differences(size, dtype, rtol):
    generator = np.random.default_rng(3)
    x = generator.permutation(np.prod(size) * 2).reshape(1, *size, 2).astype("float32") / 10 - 2  # no ties
    weights = generator.normal(size=x.shape).astype("float32")

    def value(x):
        values, indices = pool_by_hand(x)
        return np.sum(weights * unpool_by_hand(values**2, indices, x.shape))

    expected = np.zeros_like(x, dtype=np.float64)
    for place in np.ndindex(x.shape):
        step = np.zeros(x.shape)
        step[place] = 1e-3
        expected[place] = (value(x + step) - value(x - step)) / 2e-3
    found = input_gradient(x, weights, lambda x: down_and_up(x, dtype))
    np.testing.assert_allclose(found, expected, rtol=rtol, atol=1e-3)


def test_the_gradient_of_a_tie_goes_to_the_first_maximum():
    x = np.zeros((1, 2, 2, 1), "float32")
    gradient = input_gradient(x, np.ones((1, 1, 1, 1), "float32"), lambda y: MaxPooling2D()(y)[0])
    np.testing.assert_array_equal(gradient[0, :, :, 0], [[1, 0], [0, 0]])


def test_saved_models_pool_alike(tmp_path):
    inputs = keras.Input((6, 5, 3))
    model = keras.Model(inputs, down_and_up(inputs))
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    x = random_input((2, 6, 5, 3), seed=4)
    np.testing.assert_array_equal(model.predict(x, verbose=0), loaded.predict(x, verbose=0))


def test_mixed_precision_keeps_the_data_type_and_the_places():
    x = random_input((1, 4, 4, 2), seed=5)
    pooling = MaxPooling2D(dtype="mixed_bfloat16")
    values, indices = pooling(x)
    y = MaxUnpooling2D(dtype="mixed_bfloat16")([values, indices])
    assert (keras.backend.standardize_dtype(values.dtype), keras.backend.standardize_dtype(indices.dtype)) == (
        "bfloat16",
        "uint8",
    )
    assert keras.backend.standardize_dtype(y.dtype) == "bfloat16"
    expected = unpool_by_hand(*pool_by_hand(x), x.shape)  # small integers are exact in bfloat16
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(keras.ops.cast(y, "float32")), expected)


def test_pooling_refuses_unknown_and_too_small_sizes():
    with pytest.raises(ValueError, match=r"Received: input_shape=\(None, None, 4, 1\)"):
        MaxPooling2D()(keras.Input((None, 4, 1)))
    with pytest.raises(ValueError, match="at least"):
        MaxPooling2D()(np.zeros((1, 1, 4, 1), "float32"))


@pytest.mark.parametrize("kind", [MaxPooling2D, MaxUnpooling2D])
def test_a_window_is_one_or_two_numbers_whose_places_are_bytes(kind):
    assert kind(3).pool_size == (3, 3) and kind((16, 16)).pool_size == (16, 16)
    for wrong in ((17, 16), 17, (2, 2, 2), 0):
        with pytest.raises(ValueError, match="at most 256 elements"):
            kind(wrong)


def test_unpooling_refuses_indices_of_another_shape():
    with pytest.raises(ValueError, match="one shape"):
        MaxUnpooling2D()([np.zeros((1, 2, 2, 1), "float32"), np.zeros((1, 2, 3, 1), "uint8")])


@pytest.mark.parametrize(("dtype", "rtol"), [("float32", 1e-5), ("mixed_bfloat16", 0.01)])
@pytest.mark.parametrize("num_slices", [1, 4])
@pytest.mark.parametrize("training", [True, False])
def test_fused_normalisation_equals_keras_own(training, num_slices, dtype, rtol):
    x = np.random.default_rng(6).normal(3.0, 2.0, (num_slices, 6, 5, 3)).astype("float32")
    settings = {"epsilon": 1e-5, "momentum": 0.9, "dtype": dtype}
    ours, theirs = BatchNormalization(**settings), keras.layers.BatchNormalization(**settings)
    for layer in (ours, theirs):
        layer.build(x.shape)
        layer.gamma.assign([0.5, 1.0, 2.0])
        layer.beta.assign([-1.0, 0.0, 1.0])
        layer.moving_mean.assign([1.0, 2.0, 3.0])
        layer.moving_variance.assign([4.0, 5.0, 6.0])
    outputs = [layer(x, training=training) for layer in (ours, theirs)]
    assert {keras.backend.standardize_dtype(y.dtype) for y in outputs} == {ours.compute_dtype}
    ours_out, theirs_out = (keras.ops.convert_to_numpy(keras.ops.cast(y, "float32")) for y in outputs)
    np.testing.assert_allclose(ours_out, theirs_out, rtol=rtol, atol=2 * rtol)
    for one, other in zip(ours.non_trainable_weights, theirs.non_trainable_weights, strict=True):
        np.testing.assert_allclose(keras.ops.convert_to_numpy(one), keras.ops.convert_to_numpy(other), rtol=rtol)


@pytest.mark.parametrize("settings", [{"scale": False}, {"center": False}])
def test_normalisation_without_scale_or_shift_equals_keras_own(settings):
    x = np.random.default_rng(7).normal(3.0, 2.0, (2, 6, 5, 3)).astype("float32")
    layers = [kind(**settings) for kind in (BatchNormalization, keras.layers.BatchNormalization)]
    outputs = [keras.ops.convert_to_numpy(layer(x, training=True)) for layer in layers]
    np.testing.assert_allclose(*outputs, atol=2e-5)


@pytest.mark.parametrize("shape", [(2, 6, 5, 3), (7, 3)])  # the fused kernel, and Keras' own way
def test_the_moving_average_can_be_of_the_unbiased_variance(shape):
    """As PyTorch keeps it; what is normalised, and the average of the mean, do not change."""
    x = np.random.default_rng(8).normal(3.0, 2.0, (2, *shape)).astype("float32")
    layers = [BatchNormalization(epsilon=1e-5, momentum=0.9, unbiased=unbiased) for unbiased in (True, False)]
    moving_mean, moving_variance = np.zeros(3), np.ones(3)
    for batch in x:
        outputs = [keras.ops.convert_to_numpy(layer(batch, training=True)) for layer in layers]
        np.testing.assert_array_equal(*outputs)
        pixels = batch.reshape(-1, 3)
        moving_mean = 0.9 * moving_mean + 0.1 * pixels.mean(axis=0)
        moving_variance = 0.9 * moving_variance + 0.1 * pixels.var(axis=0, ddof=1)
    found = {weight.name: keras.ops.convert_to_numpy(weight) for weight in layers[0].weights}
    np.testing.assert_allclose(found["moving_mean"], moving_mean, rtol=1e-5)
    np.testing.assert_allclose(found["moving_variance"], moving_variance, rtol=1e-5)
    for flag, layer in zip((True, False), layers, strict=True):
        assert BatchNormalization.from_config(layer.get_config()).unbiased is flag
    before = found["moving_variance"]
    layers[0](x[0], training=False)
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(layers[0].moving_variance), before)


@pytest.mark.parametrize("name", ["BatchNormalization", "GroupNormalization"])
def test_normalisation_over_another_axis_equals_keras_own(name):
    x = np.random.default_rng(8).normal(3.0, 2.0, (2, 4, 6, 4)).astype("float32")
    settings = {"axis": 1} | ({"groups": 2} if name == "GroupNormalization" else {})
    outputs = []
    for home in (layers, keras.layers):
        layer = getattr(home, name)(**settings)
        outputs.append(keras.ops.convert_to_numpy(layer(x, training=True) if "Batch" in name else layer(x)))
    np.testing.assert_allclose(*outputs, atol=2e-5)
    if name == "BatchNormalization":
        layer = BatchNormalization(axis=1, unbiased=True, momentum=0.0)
        layer(x, training=True)
        kept = keras.ops.convert_to_numpy(layer.moving_variance)
        np.testing.assert_allclose(kept, x.var(axis=(0, 2, 3), ddof=1), rtol=1e-5)


@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16"])
def test_group_normalisation_equals_keras_own(dtype):
    generator = np.random.default_rng(5)
    x = (3 + generator.normal(size=(2, 5, 7, 12))).astype("float32")
    weights = generator.normal(size=(2, 12))
    outputs = []
    for kind in (layers.GroupNormalization, keras.layers.GroupNormalization):
        layer = kind(4, epsilon=1e-5, dtype=dtype)
        layer.build(x.shape)
        layer.set_weights(weights)
        outputs.append(keras.ops.convert_to_numpy(keras.ops.cast(layer(x), "float32")))
    np.testing.assert_allclose(*outputs, atol=1e-5 if dtype == "float32" else 0.05)
    grouped = x.reshape(2, 35, 4, 3).astype(float)
    mean, variance = (function(grouped, axis=(1, 3), keepdims=True) for function in (np.mean, np.var))
    expected = ((grouped - mean) / np.sqrt(variance + 1e-5)).reshape(x.shape) * weights[0] + weights[1]
    np.testing.assert_allclose(outputs[0], expected, atol=1e-5 if dtype == "float32" else 0.05)


def gradients(layer, x, upstream):
    """The gradients of sum(upstream * layer(x)) for the kernel, and for the input summed over the batch; the kernel.

    Of layers whose gradients are ours. Where the upstream gradient does not depend on what a layer gives, as here and
    in no network, TensorFlow may update a variable before Keras' own have read it.
    """
    shift, inputs = Shift(), keras.Input(x.shape[1:])
    model = keras.Model(inputs, layer(shift(inputs)))
    kernel = keras.ops.convert_to_numpy(layer.kernel).astype("float64")
    model.compile(optimizer=keras.optimizers.SGD(1.0), loss=lambda t, y: keras.ops.sum(t * y), jit_compile=False)
    model.train_on_batch(x.astype("float32"), upstream.astype("float32"))
    found = kernel - keras.ops.convert_to_numpy(layer.kernel), -keras.ops.convert_to_numpy(shift.shift)
    return *found, kernel


@pytest.mark.parametrize(
    ("shape", "filters"), [((1, 32, 33, 256), 258), ((2, 34, 35, 257), 256), ((1, 66, 67, 64), 5), ((1, 9, 9, 3), 18)]
)
def test_gradients_of_a_convolution_agree_with_sums_over_pixels(shape, filters):
    """All but the last take the fast paths, for many and for few channels, where TensorFlow computes on a processor."""
    generator = np.random.default_rng(7)
    x, upstream = generator.normal(size=shape), generator.normal(size=(*shape[:3], filters))
    of_kernel, of_x, kernel = gradients(Conv2D(filters, 3, padding="same", use_bias=False), x, upstream)
    expected_x, expected_kernel = gradients_by_sums(x, kernel, upstream)
    np.testing.assert_allclose(of_kernel, expected_kernel, atol=2e-3)
    np.testing.assert_allclose(of_x, expected_x.sum(axis=0), atol=1e-4)


@pytest.mark.parametrize(("filters", "use_bias"), [(4, False), (4, True), (12, True)])
def test_a_convolution_of_single_pixels_is_a_product_of_matrices(filters, use_bias):
    """Values and gradients, where TensorFlow computes on a processor by another way than Keras'."""
    generator = np.random.default_rng(6)
    x, upstream = generator.normal(size=(2, 5, 7, 9)), generator.normal(size=(2, 5, 7, filters))
    layer = Conv2D(filters, 1, padding="same", use_bias=use_bias, bias_initializer="ones", activation="relu")
    outputs = keras.ops.convert_to_numpy(layer(x.astype("float32"), training=True))
    expected = np.maximum(x @ keras.ops.convert_to_numpy(layer.kernel)[0, 0] + use_bias, 0)
    np.testing.assert_allclose(outputs, expected, atol=1e-5)
    of_kernel, of_x, kernel = gradients(Conv2D(filters, 1, padding="same", use_bias=use_bias), x, upstream)
    np.testing.assert_allclose(of_kernel[0, 0], np.einsum("bijc,bijf->cf", x, upstream), atol=1e-4)
    np.testing.assert_allclose(of_x, (upstream @ kernel[0, 0].T).sum(axis=0), atol=1e-4)


def grouped_by_sums(x, kernel, upstream, groups, strides):
    """Of a convolution in groups without padding: what it gives, and the gradients of input and kernel."""
    height, width, filters = upstream.shape[1:]
    y, of_x, of_kernel = np.zeros(upstream.shape), np.zeros_like(x), np.zeros_like(kernel)
    for row, column in np.ndindex(kernel.shape[:2]):
        taken = np.s_[:, row :: strides[0], column :: strides[1]]
        for group in range(groups):
            mine, made = (np.s_[..., group * n // groups : (group + 1) * n // groups] for n in (x.shape[-1], filters))
            tap = kernel[row, column][made]
            pixels, errors = x[taken][:, :height, :width][mine], upstream[made]
            y[made] += pixels @ tap
            of_kernel[row, column][made] += np.einsum("bijc,bijf->cf", pixels, errors)
            of_x[taken][:, :height, :width][mine] += errors @ tap.T
    return y, of_x, of_kernel


@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize(
    ("channels", "filters", "groups", "size", "strides"),
    [(32, 64, 16, (3, 3), 1), (9, 6, 3, (3, 5), (2, 1)), (40, 20, 20, (3, 3), 2), (4, 8, 2, (1, 1), (2, 3))],
)
def test_a_convolution_in_groups_agrees_with_sums_over_pixels(channels, filters, groups, size, strides, padding):
    """Values and gradients; the size of the image is such that "same" puts as many zeros on either side."""
    generator = np.random.default_rng(10)
    x = generator.normal(size=(2, 9, 13, channels))
    settings = {"groups": groups, "padding": padding, "use_bias": False}
    layer = GroupedConv2D(filters, size, strides, **settings)
    outputs = keras.ops.convert_to_numpy(layer(x.astype("float32")))
    upstream = generator.normal(size=outputs.shape)
    zeros = [(n // 2, n // 2) if padding == "same" else (0, 0) for n in size]
    padded = np.pad(x, ((0, 0), *zeros, (0, 0)))
    kernel = keras.ops.convert_to_numpy(layer.kernel).astype("float64")
    expected, _, _ = grouped_by_sums(padded, kernel, upstream, groups, layer.strides)
    np.testing.assert_allclose(outputs, expected, atol=1e-4)
    of_kernel, of_x, kernel = gradients(GroupedConv2D(filters, size, strides, **settings), x, upstream)
    _, expected_x, expected_kernel = grouped_by_sums(padded, kernel, upstream, groups, layer.strides)
    inside = expected_x[:, zeros[0][0] :, zeros[1][0] :][:, :9, :13]
    np.testing.assert_allclose(of_kernel, expected_kernel, atol=1e-3)
    np.testing.assert_allclose(of_x, inside.sum(axis=0), atol=1e-3)


@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize("strides", [1, 2])
def test_a_convolution_of_each_channel_agrees_with_sums_over_pixels(strides, padding, size=5):
    """Values and gradients, where TensorFlow computes on a processor by another way than Keras'."""
    generator = np.random.default_rng(11)
    x = generator.normal(size=(2, 9, 12, 7))
    settings = {"padding": padding, "use_bias": False}
    layer = DepthwiseConv2D(size, strides, **settings)
    outputs = keras.ops.convert_to_numpy(layer(x.astype("float32"), training=True))
    upstream = generator.normal(size=outputs.shape)
    total = [max((after - 1) * strides + size - n, 0) for n, after in zip((9, 12), outputs.shape[1:3], strict=True)]
    zeros = [(n // 2, n - n // 2) if padding == "same" else (0, 0) for n in total]
    padded = np.pad(x, ((0, 0), *zeros, (0, 0)))
    kernel = keras.ops.convert_to_numpy(layer.kernel).astype("float64").reshape(size, size, 1, 7)
    expected, _, _ = grouped_by_sums(padded, kernel, upstream, 7, (strides, strides))
    np.testing.assert_allclose(outputs, expected, atol=1e-5)
    of_kernel, of_x, kernel = gradients(DepthwiseConv2D(size, strides, **settings), x, upstream)
    _, of_padded, expected = grouped_by_sums(padded, kernel.reshape(size, size, 1, 7), upstream, 7, (strides, strides))
    np.testing.assert_allclose(of_kernel.reshape(expected.shape), expected, atol=1e-4)
    inside = of_padded[:, zeros[0][0] :, zeros[1][0] :][:, :9, :12]
    np.testing.assert_allclose(of_x, inside.sum(axis=0), atol=1e-4)


def test_gradients_of_an_up_convolution_agree_with_sums_over_pixels():
    generator = np.random.default_rng(8)
    x, upstream = generator.normal(size=(2, 5, 6, 4)), generator.normal(size=(2, 10, 12, 3))
    of_kernel, of_x, kernel = gradients(Conv2DTranspose(3, 2, strides=2), x, upstream)
    expected_kernel, expected_x = np.empty(kernel.shape), np.zeros_like(x)
    for row, column in np.ndindex(2, 2):
        corner = upstream[:, row::2, column::2]
        expected_kernel[row, column] = np.einsum("bijf,bijc->fc", corner, x)
        expected_x += corner @ kernel[row, column]
    np.testing.assert_allclose(of_kernel, expected_kernel, atol=1e-3)
    np.testing.assert_allclose(of_x, expected_x.sum(axis=0), atol=1e-4)


@pytest.mark.parametrize("settings", [{"strides": 2}, {"strides": 2, "activation": "relu"}, {"strides": 3}])
def test_an_up_convolution_equals_keras_own(settings):
    x = np.random.default_rng(9).normal(size=(2, 5, 6, 4)).astype("float32")
    ours, theirs = (kind(3, 2, **settings) for kind in (Conv2DTranspose, keras.layers.Conv2DTranspose))
    for layer in (ours, theirs):
        layer.build(x.shape)
    theirs.set_weights([ours.get_weights()[0], np.array([0.5, -1.0, 2.0])])
    ours.set_weights(theirs.get_weights())
    np.testing.assert_allclose(*(keras.ops.convert_to_numpy(layer(x)) for layer in (ours, theirs)), atol=1e-5)


@pytest.mark.parametrize("settings", [{}, {"activation": "relu"}, {"use_bias": False}])
@pytest.mark.parametrize(("shape", "filters"), [((2, 64, 67, 128), 130), ((1, 69, 64, 3), 66), ((1, 69, 64, 1), 66)])
def test_a_convolution_equals_keras_own(shape, filters, settings):
    generator = np.random.default_rng(9)
    x = generator.normal(size=shape).astype("float32")
    ours, theirs = (kind(filters, 3, padding="same", **settings) for kind in (Conv2D, keras.layers.Conv2D))
    for layer in (ours, theirs):
        layer.build(x.shape)
    ours.set_weights([generator.normal(size=weight.shape) for weight in theirs.weights])
    theirs.set_weights(ours.get_weights())
    expected = keras.ops.convert_to_numpy(theirs(x))
    for training in (False, True):
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(ours(x, training=training)), expected)


def test_a_convolution_is_fast_only_where_that_holds(monkeypatch):
    if keras.config.backend() != "tensorflow" or accelerators():
        pytest.skip("only TensorFlow on a processor has a fast path")
    taken = []
    monkeypatch.setattr(
        convolution, "_tensorflow_convolution", lambda x, kernel, gradients, **_: taken.append(gradients) or x
    )
    x = np.zeros((1, 128, 128, 64), "float32")
    Conv2D(64, 3, padding="same", use_bias=False)(x, training=True)
    Conv2D(64, 1, padding="same", use_bias=False)(x, training=True)
    assert taken == [winograd.gradients, convolution._pixelwise_gradients]
    for settings in ({"strides": 2}, {"dilation_rate": 2}, {"padding": "valid"}, {"groups": 2}, {"dtype": "float64"}):
        Conv2D(64, 3, **{"padding": "same", **settings})(x, training=True)
    Conv2D(64, 5, padding="same")(x, training=True)
    Conv2D(64, 3, padding="same")(x[:, :127], training=True)
    Conv2D(63, 3, padding="same")(x, training=True)
    Conv2D(64, 3, padding="same")(x)
    assert len(taken) == 2
    DepthwiseConv2D(5)(x, training=True)
    assert len(taken) == 3
    DepthwiseConv2D(5)(x)
    DepthwiseConv2D(3)(x, training=True)
    DepthwiseConv2D(5, dilation_rate=2)(x, training=True)
    assert len(taken) == 3


@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16"])
def test_swish_equals_keras_own_and_so_does_its_gradient(dtype):
    x = np.random.default_rng(12).normal(scale=4, size=(2, 5, 7, 3))
    upstream = np.random.default_rng(13).normal(size=x.shape)
    shift, inputs = Shift(), keras.Input(x.shape[1:])
    outputs = keras.layers.Activation(layers.swish, dtype=dtype)(shift(inputs))
    model = keras.Model(inputs, outputs)
    model.compile(optimizer=keras.optimizers.SGD(1.0), loss=lambda t, y: keras.ops.sum(t * y), jit_compile=False)
    sigmoid = 1 / (1 + np.exp(-x))
    tolerance = 1e-5 if dtype == "float32" else 0.05
    np.testing.assert_allclose(np.asarray(model.predict_on_batch(x), float), x * sigmoid, atol=tolerance)
    model.train_on_batch(x, upstream)
    expected = upstream * sigmoid * (1 + x * (1 - sigmoid))
    np.testing.assert_allclose(-keras.ops.convert_to_numpy(shift.shift), expected.sum(axis=0), atol=4 * tolerance)


def test_softmax_equals_keras_own_and_never_gives_zero():
    x = np.random.default_rng(4).normal(scale=20, size=(2, 3, 4, 3)).astype("float32")
    ours, theirs = (keras.ops.convert_to_numpy(kind()(x)) for kind in (layers.Softmax, keras.layers.Softmax))
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-30)
    certain = keras.ops.convert_to_numpy(layers.Softmax()(np.array([[-3000.0, 0.0]], "float32")))
    assert certain[0, 0] > 0 and certain[0, 1] == 1
    diverging = keras.ops.convert_to_numpy(layers.Softmax()(np.array([[0.0, -3e9], [-1e30, 0.0]], "float32")))
    np.testing.assert_allclose(diverging, [[1, 0], [0, 1]], atol=1e-30)
