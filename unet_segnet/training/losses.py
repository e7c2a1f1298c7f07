"""Losses on probabilities and integer labels."""

import keras
import numpy as np
from keras import ops

EPSILON = float(np.finfo("float32").eps)
TINY = 1e-37  # log and 1 / p still are numbers in float32


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

    Below single precision's epsilon the value is that of epsilon, while the gradient stays 1 / p: a pixel that is wrong
    with certainty pulls as much as any other. So it was in MATLAB, by the authors' losses of U-Net, whose first steps
    make all pixels certain; with a gradient that is bounded too, training comes to a halt there.
    """
    probabilities = ops.cast(probabilities, "float32")
    logarithm = ops.log(ops.maximum(probabilities, TINY))
    return logarithm + ops.stop_gradient(ops.log(ops.maximum(probabilities, EPSILON)) - logarithm)


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

    def __init__(self, class_weights, normalisation="weights", name="weighted_cross_entropy"):
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


@keras.saving.register_keras_serializable(package="unet_segnet")
class SoftDiceLoss(keras.losses.Loss):
    """Soft Dice loss of one class: `1 - 2 sum(y p) / (sum(y^2) + sum(p^2) + epsilon)`.

    A slice that has no foreground costs 1 whatever is predicted, and pulls at nothing.

    Arguments:
        over: "image", the sums go over each slice and the losses are averaged over the batch (equation 1), or
            "batch", the sums go over all slices of the batch, as those of the released code do since August 2021.
        epsilon: keeps the denominator from 0 (equation 1: 1e-5).

    Call arguments:
        y_true: (batch, height, width) labels 0 and 1.
        y_pred: (batch, height, width, 1) probabilities.

    Returns:
        A scalar, 0 to 1.

    Raises:
        ValueError: over is neither of the two.

    Source: Bizopoulos et al. 2021, equation 1. The released code takes the sums without squares: of each slice until
    the article's second version, later pooled, with 1 added to numerator and denominator.
    """

    def __init__(self, over="image", epsilon=1e-5, name="soft_dice"):
        super().__init__(name=name, reduction="sum", dtype="float32")
        if over not in ("image", "batch"):
            raise ValueError(f"over must be 'image' or 'batch'. Received: over={over!r}")
        self.over, self.epsilon = over, float(epsilon)

    def call(self, y_true, y_pred):
        labels = ops.cast(y_true, "float32")
        probabilities = ops.reshape(ops.cast(y_pred, "float32"), ops.shape(labels))
        axes = (1, 2) if self.over == "image" else (0, 1, 2)
        overlap = ops.sum(labels * probabilities, axis=axes)
        squares = ops.sum(labels * labels + probabilities * probabilities, axis=axes)
        return ops.mean(1.0 - 2.0 * overlap / (squares + self.epsilon))

    def get_config(self):
        return {"over": self.over, "epsilon": self.epsilon, "name": self.name}


@keras.saving.register_keras_serializable(package="unet_segnet")
class DiceCrossEntropy(keras.losses.Loss):
    """Cross-entropy plus soft Dice loss, both over the labelled pixels of a mini-batch, no class weighted.

    The mean of `-log p` of the true class, plus `1 - (2 sum(y p) + 1) / (sum(y) + sum(p) + 1)`, the mean of it over the
    classes after the first. The sums go over the whole batch, so that slices without lesion hold back false positives.

    Arguments:
        num_classes: of the network, at least two.

    Call arguments:
        y_true: (batch, height, width) integer labels; values that are no class (255) do not count.
        y_pred: (batch, height, width, num_classes) probabilities.

    Returns:
        A scalar; 0 where no pixel is labelled.

    Source: Isensee et al. 2021 (nnU-Net), which smooths the quotient by 1e-5 instead of one pixel.
    """

    def __init__(self, num_classes=2, name="dice_cross_entropy"):
        super().__init__(name=name, reduction="sum", dtype="float32")
        if num_classes < 2:
            raise ValueError(f"num_classes must be at least 2. Received: num_classes={num_classes}")
        self.num_classes = int(num_classes)

    def call(self, y_true, y_pred):
        truth = weighted_pixels(y_true, np.ones(self.num_classes))
        labelled = ops.sum(truth, axis=-1, keepdims=True)
        cross_entropy = -ops.sum(truth * log_probabilities(y_pred)) / ops.maximum(ops.sum(labelled), 1.0)
        predicted = ops.cast(y_pred, "float32") * labelled
        overlap, size = (ops.sum(of, axis=(0, 1, 2))[1:] for of in (truth * predicted, truth + predicted))
        return cross_entropy + ops.mean(1.0 - (2.0 * overlap + 1.0) / (size + 1.0))

    def get_config(self):
        return {"num_classes": self.num_classes, "name": self.name}
