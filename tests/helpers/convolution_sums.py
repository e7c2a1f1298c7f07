"""Gradients of a 3 x 3 convolution as sums over pixels, in NumPy."""

import numpy as np


def gradients_by_sums(x, kernel, upstream):
    """In double precision, for a stride of 1 and zeros around the input.

    Arguments:
        x: (batch, height, width, channels).
        kernel: (3, 3, channels, filters).
        upstream: (batch, height, width, filters), the gradient of the result.

    Returns:
        (gradient of x, gradient of the kernel).
    """
    height, width = x.shape[1:3]
    padded = np.pad(x.astype(float), ((0, 0), (1, 1), (1, 1), (0, 0)))
    of_x, of_kernel = np.zeros_like(padded), np.empty(kernel.shape)
    for row, column in np.ndindex(3, 3):
        place = np.s_[:, row : row + height, column : column + width]
        of_x[place] += upstream @ kernel[row, column].T.astype(float)
        of_kernel[row, column] = np.einsum("bijc,bijf->cf", padded[place], upstream, optimize=True)
    return of_x[:, 1:-1, 1:-1], of_kernel
