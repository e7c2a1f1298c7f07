"""Losses on class probabilities and integer labels."""

import keras
import numpy as np
from keras import ops

EPSILON = float(np.finfo("float32").eps)


def weighted_pixels(labels, class_weights):
    """One-hot labels times their class weights; pixels without a label (any value that is no class) are all zero.

    Arguments:
        labels: (batch, height, width) integers.
        class_weights: (num_classes,).

    Returns:
        (batch, height, width, num_classes) float32.
    """
    weights = ops.convert_to_tensor(class_weights, dtype="float32")
    classes = ops.arange(weights.shape[0], dtype="int32")
    return ops.cast(ops.equal(ops.cast(labels, "int32")[..., None], classes), "float32") * weights


def log_probabilities(probabilities):
    """Natural logarithm in float32, bounded away from log 0 as MATLAB R2020a does it.

    Below single precision's epsilon the value is that of epsilon, while the gradient is 1 / epsilon, not zero: a
    pixel that is wrong with certainty still pulls.
    """
    probabilities = ops.cast(probabilities, "float32")
    bounded = ops.maximum(probabilities, EPSILON)
    return ops.log(probabilities + ops.stop_gradient(bounded - probabilities))


@keras.saving.register_keras_serializable(package="unet_segnet")
class WeightedCrossEntropy(keras.losses.Loss):
    """Class-weighted cross-entropy over the labelled pixels of a mini-batch.

    With w the weight of a pixel's class and p the probability given to it, `-sum(w log p) / sum(w)` over all
    labelled pixels of the batch: what MATLAB R2020a's `pixelClassificationLayer` computes, found by reproducing the
    authors' losses. The article's equation 1 divides by the number of pixels instead.

    Arguments:
        class_weights: (num_classes,) positive weights, see `unet_segnet.data.median_frequency_weights`.
        normalisation: "weights" (MATLAB) or "pixels" (the article's equation 1).

    Call arguments:
        y_true: (batch, height, width) integer labels; values that are no class (255) do not count.
        y_pred: (batch, height, width, num_classes) probabilities.

    Returns:
        A scalar; 0 where no pixel is labelled.

    Raises:
        ValueError: normalisation is neither of the two.
    """

    def __init__(self, class_weights, normalisation="weights", name="weighted_cross_entropy", **kwargs):
        super().__init__(name=name, reduction="sum", dtype="float32")
        if normalisation not in ("weights", "pixels"):
            raise ValueError(f"normalisation must be 'weights' or 'pixels'. Received: normalisation={normalisation!r}")
        self.class_weights = [float(weight) for weight in class_weights]
        self.normalisation = normalisation

    def call(self, y_true, y_pred):
        weights = weighted_pixels(y_true, self.class_weights)
        if self.normalisation == "weights":
            total = ops.sum(weights)
        else:
            total = ops.sum(ops.cast(ops.any(weights > 0, axis=-1), "float32"))
        return -ops.sum(weights * log_probabilities(y_pred)) / ops.maximum(total, EPSILON)

    def get_config(self):
        return {"class_weights": self.class_weights, "normalisation": self.normalisation, "name": self.name}
