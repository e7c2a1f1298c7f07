"""Where a training's random numbers come from: NumPy's generators, or MATLAB's stream in MATLAB's order.

A stream hands out everything that is random in a run: the initial kernels, the order of the slices in each epoch and
the eight uniform numbers of each augmentation. What an epoch gets depends on the seed and the epoch alone, so that
a resumed run sees the same numbers as an uninterrupted one.
"""

import numpy as np

from unet_segnet.matlab.random import RandomStream

NUM_UNIFORMS = 8  # per augmented slice, as MATLAB's imageDataAugmenter draws them


class NumpyStream:
    """Independent generators for the kernels, the normalisation pass, each epoch and the final pass.

    Arguments:
        seed: non-negative integer.
    """

    def __init__(self, seed):
        self.seed = seed
        self._kernels = self._generator(0)

    def _generator(self, *key):
        return np.random.default_rng([self.seed, *key])

    def draw_kernel(self, shape):
        """Standard normal numbers of that shape; successive calls continue the stream."""
        return self._kernels.standard_normal(shape)

    def normalisation_pass(self, num_slices):
        """(num_slices, 8) uniform numbers for the augmented pass that gives the input mean."""
        return self._generator(1).random((num_slices, NUM_UNIFORMS))

    def epoch(self, epoch, num_slices, batch_size):
        """The order of the slices and the (num_slices, 8) uniform numbers, in that order, of epoch 0, 1, ..."""
        generator = self._generator(2, epoch)
        return generator.permutation(num_slices), generator.random((num_slices, NUM_UNIFORMS))

    def final_pass(self, num_slices):
        """(num_slices, 8) uniform numbers for the augmented pass that gives the batch-normalisation statistics."""
        return self._generator(3).random((num_slices, NUM_UNIFORMS))


class MatlabStream:
    """The stream of the authors' runs, drawn in MATLAB R2020a's order (see `unet_segnet.matlab.random`).

    rng(seed); the split; (U-Net: rng(seed) again;) the kernels; 32 numbers; one augmented pass for the input mean;
    then, each epoch, one number a slice to shuffle the previous order and eight a slice as it is read, and ten at
    each validation (iterations 1, 10, 20, ...). MATLAB leaves out a last batch that is not full, and its slices
    are not read.

    Arguments:
        seed: MATLAB's seed; the authors' is 0.
        num_slices: of the whole data set, for the split's draw.
        restarts: the stream is set back between the split and the kernels (`Network.restarts_stream`).
    """

    def __init__(self, seed=0, num_slices=100, restarts=False):
        self._stream = RandomStream(seed)
        if not restarts:
            self._stream.rand(num_slices)
        self._epochs = []
        self._order = None
        self._iteration = 0

    def draw_kernel(self, shape):
        """Standard normal numbers of that shape, filled column by column."""
        return self._stream.randn(*shape)

    def normalisation_pass(self, num_slices):
        """(num_slices, 8) uniform numbers; the kernels must have been drawn."""
        self._stream.rand(32)
        return self._uniforms(num_slices)

    def epoch(self, epoch, num_slices, batch_size):
        """As `NumpyStream.epoch`; earlier epochs are drawn first where they have not been."""
        while len(self._epochs) <= epoch:
            self._epochs.append(self._next_epoch(num_slices, batch_size))
        return self._epochs[epoch]

    def _next_epoch(self, num_slices, batch_size):
        if self._order is None:
            self._order = np.arange(num_slices)
        self._order = self._order[np.argsort(self._stream.rand(num_slices), kind="stable")]
        uniforms = np.full((num_slices, NUM_UNIFORMS), 0.5)
        for start in range(0, num_slices - batch_size + 1, batch_size):
            uniforms[start : start + batch_size] = self._uniforms(batch_size)
            self._iteration += 1
            if self._iteration == 1 or self._iteration % 10 == 0:
                self._stream.rand(10)
        return self._order, uniforms

    def final_pass(self, num_slices):
        """(num_slices, 8) uniform numbers, the next of the stream."""
        return self._uniforms(num_slices)

    def _uniforms(self, num_slices):
        return np.asarray(self._stream.rand(NUM_UNIFORMS, num_slices)).T


class BalancedStream:
    """Slices drawn with replacement, each by its own probability, and a seed for the augmentation of each.

    What an epoch gets depends on the seed and the epoch alone, as of `NumpyStream`.

    Arguments:
        seed: non-negative integer.
        probabilities: (num_slices,), at least 0, sum 1.
        num_draws: slices in an epoch.
    """

    def __init__(self, seed, probabilities, num_draws):
        self.seed, self.probabilities, self.num_draws = seed, np.asarray(probabilities, np.float64), num_draws

    def epoch(self, epoch, num_slices, batch_size):
        """(num_draws,) indices of slices, and as many seeds (uint32), of epoch 0, 1, ..."""
        generator = np.random.default_rng([self.seed, 4, epoch])
        order = generator.choice(num_slices, self.num_draws, p=self.probabilities)
        return order, generator.integers(2**32, size=self.num_draws, dtype=np.uint32)
