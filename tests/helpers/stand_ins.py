"""Networks that stand in for trained ones."""

import numpy as np


class Bright:
    """Calls grey levels above 100 infected; takes slices of `size` x `size`."""

    def __init__(self, size=48):
        self.input_shape, self.output_shape = (None, size, size, 1), (None, size, size, 2)

    def predict_on_batch(self, grey):
        assert grey.dtype == np.uint8 and grey.shape[1:] == self.input_shape[1:]
        infected = (grey[..., 0] > 100).astype(np.float32)
        return np.stack([1 - infected, infected], axis=-1)
