"""How a training step divides into kinds of layers: each layer is run alone, forward and backward.

A gradient of one layer is out of Keras' reach, so this needs the TensorFlow backend itself.
"""

import time
from dataclasses import dataclass
from itertools import pairwise

import keras
import numpy as np
import tensorflow as tf

from experiments.bench.slices import NUM_CLASSES
from experiments.bench.workers import Channel
from unet_segnet.layers import MaxPooling2D, MaxUnpooling2D
from unet_segnet.models import build_model
from unet_segnet.processor import keep_freed_memory
from unet_segnet.training.compilation import dtype_policy

CONVOLUTION, NORMALISATION, POOLING = KINDS = ("convolution", "normalisation and ReLU", "pooling and unpooling")
_KIND_OF = {
    keras.layers.Conv2D: CONVOLUTION,
    keras.layers.Conv2DTranspose: CONVOLUTION,
    keras.layers.BatchNormalization: NORMALISATION,
    keras.layers.ReLU: NORMALISATION,
    keras.layers.MaxPooling2D: POOLING,
    MaxPooling2D: POOLING,
    MaxUnpooling2D: POOLING,
}


@dataclass
class Piece:
    """What is timed alone: a layer, or a batch normalisation with the ReLU behind it.

    Attributes:
        kind: one of `KINDS`.
        layers: one or two.
        times: how often the network has a piece of these shapes.
        is_first: whether nobody needs the gradient of its input.
    """

    kind: str
    layers: list
    times: int = 1
    is_first: bool = False


def network_pieces(model: keras.Model) -> list[Piece]:
    """The pieces of a network whose time counts, those of equal shapes only once.

    Arguments:
        model: a network of `unet_segnet.models`.
    """
    found = {}
    no_convolution_yet = True
    after = {layer.name: following for layer, following in pairwise(model.layers)}
    fused = set()
    for layer in model.layers:
        kind = next((kind for known, kind in _KIND_OF.items() if isinstance(layer, known)), None)
        if kind is None or layer.name in fused:
            continue
        layers = [layer]
        if isinstance(layer, keras.layers.BatchNormalization):
            relu = after[layer.name]
            layers.append(relu)
            fused.add(relu.name)
        is_first = kind == CONVOLUTION and no_convolution_yet
        no_convolution_yet &= kind != CONVOLUTION
        shapes = tuple(tensor.shape for tensor in _inputs(layer)), tuple(tuple(w.shape) for w in layer.weights)
        key = (type(layer), shapes, is_first)
        if key in found:
            found[key].times += 1
        else:
            found[key] = Piece(kind, layers, is_first=is_first)
    return list(found.values())


def _inputs(layer):
    return layer.input if isinstance(layer.input, list) else [layer.input]


def layer_kinds(channel: Channel, net, variant, dtype, batch, size):
    """Worker: seconds of one step spent in each of `KINDS`; a turn runs each piece so many times."""
    with dtype_policy(dtype):
        model = build_model(net, variant, NUM_CLASSES, (size, size, 1))
    pieces = [(piece, _timed(piece, batch)) for piece in network_pieces(model)]
    for _, count in channel.turns():
        totals = dict.fromkeys(KINDS, 0.0)
        for piece, seconds in pieces:
            totals[piece.kind] += piece.times * seconds(count)
        channel.reply(totals)


def _timed(piece, batch):
    """A function of a count: seconds per forward and backward pass of the piece."""
    generator = np.random.default_rng(0)
    first, *rest = piece.layers
    shapes = [(batch, *tensor.shape[1:]) for tensor in _inputs(first)]
    x = tf.cast(generator.standard_normal(shapes[0], dtype="float32"), first.compute_dtype)
    places = [tf.constant(generator.integers(0, 4, shape, dtype=np.uint8)) for shape in shapes[1:]]
    weights = [weight.value for layer in piece.layers for weight in layer.trainable_weights]

    def forward(x):
        y = first([x, *places], training=True) if places else first(x, training=True)
        y = y[0] if isinstance(y, (list, tuple)) else y
        for layer in rest:
            y = layer(y, training=True)
        return y

    @tf.function
    def both_ways(x, upstream):
        with tf.GradientTape() as tape:
            if not piece.is_first:
                tape.watch(x)
            y = forward(x)
        sources = weights if piece.is_first else [x, *weights]
        return y, tape.gradient(y, sources, output_gradients=upstream)

    y = forward(x)
    upstream = tf.cast(generator.standard_normal(y.shape, dtype="float32"), y.dtype)
    both_ways(x, upstream)
    keep_freed_memory()

    def seconds(count):
        started = time.perf_counter()
        for _ in range(count):
            both_ways(x, upstream)
        tf.test.experimental.sync_devices()
        return (time.perf_counter() - started) / count

    return seconds
