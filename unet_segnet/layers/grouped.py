"""Gradients of a convolution in groups of channels, which TensorFlow has not on a processor."""

import math


def gradients(x, kernel, upstream, strides, padding):
    """Gradients of input and kernel of a convolution whose number of groups is that of x's channels to the kernel's.

    Arguments:
        x: (batch, height, width, channels), of known size.
        kernel: (rows, columns, channels of a group, filters).
        upstream: (batch, height', width', filters); gradient of the result.
        strides: of rows and columns.
        padding: "SAME" or "VALID".

    Returns:
        (gradient of x, gradient of the kernel), shaped as they are.
    """
    return (
        _gradient_of_input(x, kernel, upstream, strides, padding),
        _gradient_of_kernel(x, kernel, upstream, strides, padding),
    )


def _before(size, kernel_size, stride, padding):
    """Zeros that a convolution puts before the first of so many pixels."""
    return max((-(-size // stride) - 1) * stride + kernel_size - size, 0) // 2 if padding == "SAME" else 0


def _gradient_of_input(x, kernel, upstream, strides, padding):
    """The upstream gradient, its pixels as far apart as the kernel's steps, convolved with the turned kernel."""
    import tensorflow as tf

    channels, filters = kernel.shape[2:]
    groups = x.shape[-1] // channels
    turned = tf.reshape(kernel[::-1, ::-1], (*kernel.shape[:3], groups, filters // groups))
    turned = tf.reshape(tf.transpose(turned, (0, 1, 4, 3, 2)), (*kernel.shape[:2], filters // groups, -1))
    gaps = [(0, stride - 1) for stride in strides]
    apart = tf.pad(upstream[:, :, None, :, None], ((0, 0), (0, 0), gaps[0], (0, 0), gaps[1], (0, 0)))
    stretched = [size * stride for size, stride in zip(upstream.shape[1:3], strides, strict=True)]
    around = []
    for size, given, kernel_size, stride in zip(x.shape[1:3], stretched, kernel.shape[:2], strides, strict=True):
        before = kernel_size - 1 - _before(size, kernel_size, stride, padding)
        around.append((before, max(size + kernel_size - 1 - given - before, 0)))
    apart = tf.pad(tf.reshape(apart, (-1, *stretched, filters)), ((0, 0), *around, (0, 0)))
    return tf.nn.conv2d(apart, turned, 1, "VALID")[:, : x.shape[1], : x.shape[2]]


def _gradient_of_kernel(x, kernel, upstream, strides, padding):
    """By eight ordinary convolutions, each of several groups, of which those of different groups are left out."""
    import tensorflow as tf

    rows, columns, channels, filters = kernel.shape
    groups = x.shape[-1] // channels
    pieces = math.gcd(groups, 8)
    joined = groups // pieces
    shape = (rows, columns, joined * channels, filters // pieces)
    parts = [
        tf.compat.v1.nn.conv2d_backprop_filter(pixels, shape, errors, (1, *strides, 1), padding)
        for pixels, errors in zip(tf.split(x, pieces, -1), tf.split(upstream, pieces, -1), strict=True)
    ]
    blocks = tf.reshape(tf.stack(parts, 3), (rows, columns, joined, channels, pieces, joined, filters // groups))
    same = tf.reshape(tf.eye(joined, dtype=x.dtype), (1, 1, joined, 1, 1, joined, 1))
    return tf.reshape(tf.reduce_sum(blocks * same, axis=2), kernel.shape)
