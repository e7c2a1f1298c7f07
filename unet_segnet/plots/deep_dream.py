"""Deep-dream images: what a network looks for in a class, by gradient ascent on the class's channel.

MATLAB R2020a: `deepDreamImage`, with which the study drew its Figure 5. The image is the only weight of a model
that is fitted, so that this runs on each of Keras' backends.
"""

import keras
import numpy as np
from keras import ops

LAPLACIAN_LEVELS = 4
BINOMIAL = np.array([1, 4, 6, 4, 1]) / 16.0


def deep_dream(model, channel, size=(256, 256), levels=3, scale=1.4, iterations=10, step=1.0, seed=0):
    """The image that drives a network's score of a class up.

    Arguments:
        model: a functional `keras.Model`, (batch, height, width, 1) grey levels to class probabilities by a
            softmax. It is left as it was.
        channel: index of the class; or several, whose images are then made together.
        size: (height, width) of the image; brought to the nearest multiple of the network's own reduction (8 for
            three poolings).
        levels: number of resolutions, coarse to fine.
        scale: ratio of each resolution to the one before.
        iterations: steps at each resolution.
        step: grey levels that a step adds per unit of the normalised gradient.
        seed: of the noise that it starts from.

    Returns:
        (height, width) float32 from 0 to 1, or (number of channels, height, width) for several channels.

    Raises:
        ValueError: the model does not end in a softmax, or has no such channel.

    The objective is the channel's mean over the pixels in the last convolution, normalised where the network does
    so, before any ReLU and the softmax. The article does not say which layer its Figure 5 is of.
    """
    several = np.ndim(channel) > 0
    channels = np.atleast_1d(channel)
    trunk = scores_model(model)
    if channels.min() < 0 or channels.max() >= trunk.output_shape[-1]:
        raise ValueError(f"channel must be 0 to {trunk.output_shape[-1] - 1}. Received: channel={channel}")
    generator = np.random.default_rng(seed)
    images = None
    for level in range(levels):
        shape = _level_size(trunk, size, scale ** (level + 1 - levels))
        if images is None:
            noise = generator.standard_normal((*shape, 1)) + input_mean(model)
            images = np.repeat(noise[None], len(channels), axis=0).astype("float32")
        else:
            images = ops.convert_to_numpy(ops.image.resize(images, shape, interpolation="bilinear"))
        images = _ascend(_at_size(trunk, shape), channels, images, iterations, step)
    images = images[..., 0]
    lowest, highest = images.min(axis=(1, 2), keepdims=True), images.max(axis=(1, 2), keepdims=True)
    images = (images - lowest) / np.maximum(highest - lowest, np.finfo("float32").tiny)
    return images if several else images[0]


def scores_model(model: keras.Model) -> keras.Model:
    """The network up to its scores of the classes: without its softmax, and without a ReLU before that.

    SegNet ends in a ReLU, which gives no gradient wherever it is off: for noise, on nearly all pixels of a lesion.

    Raises:
        ValueError: the model's output is not that of a softmax layer.
    """
    layer = model.outputs[0]._keras_history.operation
    if not isinstance(layer, keras.layers.Softmax):
        raise ValueError(f"The model must end in a keras.layers.Softmax. Received: {type(layer).__name__}")
    before = layer.input._keras_history.operation
    scores = before.input if isinstance(before, keras.layers.ReLU) else layer.input
    return keras.Model(model.inputs[0], scores)


def input_mean(model: keras.Model) -> float:
    """The grey level that the network subtracts from its input; 0 where it subtracts none."""
    for layer in model.layers:
        if isinstance(layer, keras.layers.Rescaling):
            return -float(np.mean(layer.offset)) / float(np.mean(layer.scale))
    return 0.0


def laplacian_levels(images, num_levels=LAPLACIAN_LEVELS):
    """Split images into bands: the finest first, the blurred rest last.

    Arguments:
        images: (batch, height, width, 1).
        num_levels: number of bands besides the rest.

    Returns:
        A list of num_levels + 1 tensors, each half as large as the one before; `merge_levels` is the inverse.
    """
    images = ops.convert_to_tensor(images)
    bands = []
    for _ in range(num_levels):
        smaller = _blur(images)[:, ::2, ::2, :]
        bands.append(images - _enlarge(smaller, images.shape))
        images = smaller
    return [*bands, images]


def merge_levels(bands):
    """The image of which these are the `laplacian_levels`."""
    image = bands[-1]
    for band in bands[-2::-1]:
        image = _enlarge(image, band.shape) + band
    return image


def normalised(gradient):
    """(batch, height, width, 1) gradients, each band of each divided by its root mean square."""
    bands = laplacian_levels(gradient)
    return merge_levels(
        [
            band / ops.maximum(ops.sqrt(ops.mean(ops.square(band), axis=(1, 2, 3), keepdims=True)), 1e-10)
            for band in bands
        ]
    )


def _blur(images, gain=1.0):
    rows = ops.convert_to_tensor((gain * BINOMIAL).reshape(5, 1, 1, 1), "float32")
    columns = ops.convert_to_tensor(BINOMIAL.reshape(1, 5, 1, 1), "float32")
    return ops.conv(ops.conv(images, rows, padding="same"), columns, padding="same")


def _enlarge(images, shape):
    """Twice as large, zeros between and blurred, cut to the (batch, height, width, 1) shape."""
    batch, height, width, _ = images.shape
    rows = ops.stack([images, ops.zeros_like(images)], axis=2)
    rows = ops.reshape(rows, (batch, 2 * height, width, 1))
    stuffed = ops.reshape(ops.stack([rows, ops.zeros_like(rows)], axis=3), (batch, 2 * height, 2 * width, 1))
    return _blur(stuffed[:, : shape[1], : shape[2], :], gain=4.0)


class _Ascent(keras.optimizers.Optimizer):
    """Gradient descent with `normalised` gradients; on minus the objective, hence ascent."""

    def update_step(self, gradient, variable, learning_rate):
        self.assign_sub(variable, normalised(gradient) * ops.cast(learning_rate, gradient.dtype))


class _Dream(keras.Model):
    """Images as weights, in front of a network that stays as it is."""

    def __init__(self, trunk, images, channels):
        super().__init__(name="dream")
        self.trunk = trunk
        self.trunk.trainable = False
        self.chosen = keras.utils.to_categorical(channels, trunk.output_shape[-1])
        self.images = self.add_weight(shape=images.shape, initializer="zeros", name="images")
        self.images.assign(images)

    def call(self, inputs):
        scores = ops.mean(self.trunk(ops.convert_to_tensor(self.images), training=False), axis=(1, 2))
        # PyTorch multiplies no tensor that has a gradient by a NumPy array.
        return ops.sum(ops.cast(scores, "float32") * ops.convert_to_tensor(self.chosen, "float32"), axis=-1)


def _ascend(trunk, channels, images, iterations, step):
    dream = _Dream(trunk, images, channels)
    dream.compile(_Ascent(step, name="ascent"), loss=lambda _, objective: -objective, jit_compile=False)
    nothing = np.zeros((iterations, 1), "float32")
    dream.fit(nothing, nothing, batch_size=1, shuffle=False, verbose=0)
    return ops.convert_to_numpy(dream.images)


def _level_size(trunk, size, ratio):
    """The size of a level: a multiple of the network's reduction, which its poolings and unpoolings can halve."""
    outputs = keras.tree.flatten([layer.output for layer in trunk.layers])
    heights = [output.shape[1] for output in outputs if len(output.shape) == 4]
    reduction = trunk.input_shape[1] // min(heights)
    return tuple(max(1, round(length * ratio / reduction)) * reduction for length in size)


def _at_size(trunk, size):
    """The same network for images of another size."""
    copy = keras.models.clone_model(trunk, input_tensors=keras.Input((*size, trunk.input_shape[-1])))
    copy.set_weights(trunk.get_weights())
    return copy
