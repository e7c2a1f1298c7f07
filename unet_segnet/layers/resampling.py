"""Bilinear upsampling and adaptive average pooling as PyTorch does them: a fixed matrix for rows and one for columns.

Keras interpolates between pixel centres (half a pixel inside the border); the studied networks lay the outermost
pixels' centres on each other (align_corners=True). Both operations are linear and separable, so that a product of
matrices is exact, has a gradient on each backend, and costs little beside a convolution.
"""

import keras
import numpy as np
from keras import ops

from unet_segnet.layers.backend import PACKAGE


def bilinear_matrix(num_in, num_out):
    """Weights (num_out, num_in) float32 of linear interpolation that maps first to first and last to last pixel."""
    places = np.linspace(0, num_in - 1, num_out)
    return np.maximum(0, 1 - np.abs(places[:, None] - np.arange(num_in))).astype("float32")


def average_matrix(num_in, num_out):
    """Weights (num_out, num_in) float32 of means over num_out ranges, which overlap where num_in is no multiple."""
    matrix = np.zeros((num_out, num_in), "float32")
    for row in range(num_out):
        begin, end = row * num_in // num_out, -(-(row + 1) * num_in // num_out)
        matrix[row, begin:end] = 1 / (end - begin)
    return matrix


class Resampling(keras.layers.Layer):
    """A product with one matrix along rows and one along columns.

    Arguments:
        size: (height, width) of the output.

    Call arguments:
        x: (batch, h, w, channels) with known h and w.

    Returns:
        (batch, height, width, channels), dtype of x.
    """

    matrix = None

    def __init__(self, size, **kwargs):
        super().__init__(**kwargs)
        self.size = tuple(size)

    def build(self, input_shape):
        self.rows, self.columns = (
            self.matrix(num_in, num_out) for num_in, num_out in zip(input_shape[1:3], self.size, strict=True)
        )
        self.built = True

    def call(self, x):
        rows, columns = (ops.convert_to_tensor(matrix, self.compute_dtype) for matrix in (self.rows, self.columns))
        _, h, w, channels = x.shape
        height, width = self.size
        x = ops.matmul(rows, ops.reshape(x, (-1, h, w * channels)))
        if channels == 1:
            x = ops.matmul(ops.reshape(x, (-1, height, w)), ops.transpose(columns))
        else:
            x = ops.matmul(columns, ops.reshape(x, (-1, height, w, channels)))
        return ops.reshape(x, (-1, height, width, channels))

    def compute_output_shape(self, input_shape):
        return (input_shape[0], *self.size, input_shape[3])

    def get_config(self):
        return {**super().get_config(), "size": self.size}


@keras.saving.register_keras_serializable(package=PACKAGE)
class BilinearResizing(Resampling):
    """Bilinear interpolation to `size` that keeps the outermost pixels in place. PyTorch: interpolate(x, size,
    mode="bilinear", align_corners=True)."""

    matrix = staticmethod(bilinear_matrix)


@keras.saving.register_keras_serializable(package=PACKAGE)
class AdaptiveAveragePooling2D(Resampling):
    """Means over `size` ranges of rows and columns. PyTorch: adaptive_avg_pool2d(x, size)."""

    matrix = staticmethod(average_matrix)


def upsample_bilinear(x, factor, name, dtype=None):
    """Bilinear interpolation to `factor` times the height and width, corners aligned; the input itself for 1."""
    if factor == 1:
        return x
    size = (factor * x.shape[1], factor * x.shape[2])
    return BilinearResizing(size, dtype=dtype, name=name)(x)
