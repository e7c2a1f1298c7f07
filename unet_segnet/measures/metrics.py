"""Scores of a segmentation: counts first, scores second.

`confusion_matrices` counts pixels once per slice; every score but the boundary score is a pure function of
such counts. A matrix C has the truth in its rows and the prediction in its columns. One slice is `C[i]`, a
data set is `C.sum(axis=0)` (pixels pooled, as in Tables 4, 6 and 7 of the paper); each function takes either,
or any stack of matrices (..., K, K).

Class k against the rest: TP = C[k, k], FN = rest of row k, FP = rest of column k, TN = everything else.
A score whose denominator is zero is NaN; each docstring says when that is.
"""

import math

import numpy as np
from numpy.typing import ArrayLike

UNLABELLED = 255  # the label of a pixel that has none: it counts nowhere
FOREGROUND_SCORES = ("sensitivity", "specificity", "Dice")
EMPTY_RULES = ("truth", "prediction", "both", "nan")


def confusion_matrices(labels: ArrayLike, predictions: ArrayLike, num_classes: int) -> np.ndarray:
    """Count the pixels of every (true class, predicted class) pair, slice by slice.

    Arguments:
        labels: (num_slices, H, W) integers, class index 0..num_classes-1, or 255 for a pixel without a label.
        predictions: (num_slices, H, W) integers, class index 0..num_classes-1.
        num_classes: 1..255.

    Returns:
        (num_slices, num_classes, num_classes) int64; rows are the truth, columns the prediction; pixels
        without a label are left out.

    Raises:
        ValueError: the shapes differ, the values are not integers, or a value is not a class.
    """
    labels, predictions = np.asarray(labels), np.asarray(predictions)
    if labels.shape != predictions.shape or labels.ndim < 2:
        raise ValueError(
            "labels and predictions must have one shape (num_slices, H, W). "
            f"Received: {labels.shape} and {predictions.shape}"
        )
    if not 1 <= num_classes <= 255:
        raise ValueError(f"num_classes must lie in 1..255. Received: {num_classes}")
    counts = np.empty((len(labels), num_classes, num_classes), np.int64)
    for counts_of_slice, label, prediction in zip(counts, labels, predictions, strict=True):
        counts_of_slice[:] = _confusion_matrix(label, prediction, num_classes)
    return counts


def _confusion_matrix(label: np.ndarray, prediction: np.ndarray, num_classes: int) -> np.ndarray:
    _check_classes(prediction, num_classes, "predictions")
    has_unlabelled = _check_classes(label, num_classes, "labels", unlabelled_allowed=True)
    # One code per pair of classes; the row num_classes collects the pixels without a label. Bytes where they
    # suffice: the sums then cost a fraction of the counting.
    code_type = np.uint8 if num_classes * (num_classes + 1) <= 256 else np.intp
    rows = label.astype(code_type, copy=False)
    if has_unlabelled:
        rows = np.where(label == UNLABELLED, code_type(num_classes), rows)
    codes = rows * code_type(num_classes)
    codes += prediction.astype(code_type, copy=False)
    counts = np.bincount(codes.ravel(), minlength=num_classes * (num_classes + 1))
    return counts.reshape(num_classes + 1, num_classes)[:num_classes]


def _check_classes(values: np.ndarray, num_classes: int, name: str, unlabelled_allowed: bool = False) -> bool:
    """Raise ValueError unless all values are class indices; return whether some are UNLABELLED."""
    if values.dtype.kind not in "biu":
        raise ValueError(f"{name} must be integers. Received: {values.dtype}")
    if not values.size or (values.min() >= 0 and values.max() < num_classes):
        return False
    strange = values[(values < 0) | (values >= num_classes)]
    if unlabelled_allowed:
        strange = strange[strange != UNLABELLED]
    if strange.size:
        also = f" or {UNLABELLED}" if unlabelled_allowed else ""
        raise ValueError(f"{name} must be 0..{num_classes - 1}{also}. Received: {strange.flat[0]}")
    return True


def _one_against_rest(confusion: ArrayLike) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """TP, FN, FP, TN of each class, each (..., K) float64."""
    confusion = np.asarray(confusion, np.float64)
    if confusion.ndim < 2 or confusion.shape[-1] != confusion.shape[-2]:
        raise ValueError(f"confusion must have the shape (..., K, K). Received: {confusion.shape}")
    true_positive = np.diagonal(confusion, axis1=-2, axis2=-1)
    false_negative = confusion.sum(axis=-1) - true_positive
    false_positive = confusion.sum(axis=-2) - true_positive
    total = confusion.sum(axis=(-2, -1))[..., np.newaxis]
    true_negative = total - true_positive - false_negative - false_positive
    return true_positive, false_negative, false_positive, true_negative


def _ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """Elementwise quotient, NaN where the denominator is zero."""
    nothing = np.full(np.broadcast_shapes(np.shape(numerator), np.shape(denominator)), np.nan)
    return np.divide(numerator, denominator, out=nothing, where=np.asarray(denominator) != 0)


def mean_defined(scores: ArrayLike, axis: int | tuple[int, ...] | None = None, keepdims: bool = False) -> np.ndarray:
    """Mean over the given axes of what is not NaN; NaN, without a warning, where nothing is left."""
    scores = np.asarray(scores, np.float64)
    total, number = (of(scores, axis=axis, keepdims=keepdims) for of in (np.nansum, _num_defined))
    return _ratio(total, number)


def deviation_defined(scores: ArrayLike, axis: int | tuple[int, ...] | None = None, ddof: int = 1) -> np.ndarray:
    """Standard deviation (n - ddof) over the given axes of what is not NaN; NaN where n is at most ddof."""
    scores = np.asarray(scores, np.float64)
    squares = np.nansum((scores - mean_defined(scores, axis, keepdims=True)) ** 2, axis=axis)
    return np.sqrt(_ratio(squares, np.maximum(_num_defined(scores, axis) - ddof, 0)))


def _num_defined(scores: np.ndarray, axis=None, keepdims: bool = False) -> np.ndarray:
    return np.sum(~np.isnan(scores), axis=axis, keepdims=keepdims)


def lesions_together(confusion: ArrayLike) -> np.ndarray:
    """Counts with all classes but the background taken for one.

    Arguments:
        confusion: (..., K, K).

    Returns:
        (..., 2, 2).
    """
    confusion = np.asarray(confusion)
    rows = np.stack([confusion[..., 0, :], confusion[..., 1:, :].sum(axis=-2)], axis=-2)
    return np.stack([rows[..., 0], rows[..., 1:].sum(axis=-1)], axis=-1)


def sensitivity(confusion: ArrayLike) -> np.ndarray:
    """TP / (TP + FN) of each class: the share of its true pixels that were found.

    Takes counts (..., K, K), returns (..., K) float64 in 0..1. NaN for a class absent from the truth.
    Source: paper, equation 2; MATLAB R2020a: evaluateSemanticSegmentation, ClassMetrics.Accuracy.
    """
    true_positive, false_negative, _, _ = _one_against_rest(confusion)
    return _ratio(true_positive, true_positive + false_negative)


def specificity(confusion: ArrayLike) -> np.ndarray:
    """TN / (TN + FP) of each class: the share of all other pixels that were kept out of it.

    Takes counts (..., K, K), returns (..., K) float64 in 0..1. NaN where the truth holds this class only.
    Source: paper, equation 3.
    """
    _, _, false_positive, true_negative = _one_against_rest(confusion)
    return _ratio(true_negative, true_negative + false_positive)


def precision(confusion: ArrayLike) -> np.ndarray:
    """TP / (TP + FP) of each class: the share of its predicted pixels that are right.

    Takes counts (..., K, K), returns (..., K) float64 in 0..1. NaN for a class that was nowhere predicted.
    Source: the term in equation 6 of the paper.
    """
    true_positive, _, false_positive, _ = _one_against_rest(confusion)
    return _ratio(true_positive, true_positive + false_positive)


def dice(confusion: ArrayLike) -> np.ndarray:
    """2 TP / (2 TP + FP + FN) of each class, the Sorensen-Dice score, also called F1.

    Takes counts (..., K, K), returns (..., K) float64 in 0..1. NaN for a class absent from both truth and
    prediction; 0 for a class in only one of them. Source: paper, equation 4.
    """
    true_positive, false_negative, false_positive, _ = _one_against_rest(confusion)
    return _ratio(2 * true_positive, 2 * true_positive + false_positive + false_negative)


def g_mean(confusion: ArrayLike) -> np.ndarray:
    """Geometric mean of sensitivity and specificity of each class.

    Takes counts (..., K, K), returns (..., K) float64 in 0..1. NaN where either of the two is NaN.
    Source: paper, equation 5.
    """
    return np.sqrt(sensitivity(confusion) * specificity(confusion))


def f2(confusion: ArrayLike) -> np.ndarray:
    """F2 score of each class, which holds a missed pixel for worse than a false one.

    Takes counts (..., K, K), returns (..., K) float64 in 0..1. Computed as 5 TP / (5 TP + 4 FN + FP): this is
    5 P S / (4 P + S), equation 6 of the paper, and defined also where TP = 0. NaN only for a class absent
    from both truth and prediction; 0 for a class in only one of them.
    """
    true_positive, false_negative, false_positive, _ = _one_against_rest(confusion)
    return _ratio(5 * true_positive, 5 * true_positive + 4 * false_negative + false_positive)


def iou(confusion: ArrayLike) -> np.ndarray:
    """TP / (TP + FP + FN) of each class: intersection over union, the Jaccard index.

    Takes counts (..., K, K), returns (..., K) float64 in 0..1. NaN for a class absent from both truth and
    prediction; 0 for a class in only one of them. Source: MATLAB R2020a: evaluateSemanticSegmentation, IoU.
    """
    true_positive, false_negative, false_positive, _ = _one_against_rest(confusion)
    return _ratio(true_positive, true_positive + false_positive + false_negative)


def foreground_scores(confusion: ArrayLike, empty: str) -> np.ndarray:
    """Sensitivity, specificity and Dice of the foreground of binary masks, with a rule for empty slices.

    Where a slice has no foreground, sensitivity has no denominator, nor has Dice where none is predicted either. The
    rules, of which the mean over slices depends a lot where many slices are empty:

    - "truth": all three are 1 where the truth is empty, whatever is predicted, as in the study's released code, which
      takes false negatives for false positives;
    - "prediction": all three are 1 wherever nothing is predicted, as its article says, even where all foreground was
      missed;
    - "both": all three are 1 where truth and prediction are both empty;
    - "nan": each score is NaN where its own denominator is zero.

    Under the first three, what is still without a denominator is 0: sensitivity where all foreground is false,
    specificity where the truth has no background. The article's 1e-5 in each denominator does the same; beside the
    pixels of a slice it changes nothing else.

    Arguments:
        confusion: (..., 2, 2) pixels, rows the truth, background first.
        empty: one of `EMPTY_RULES`.

    Returns:
        (..., 3) float64 in 0..1, in the order of `FOREGROUND_SCORES`.

    Raises:
        ValueError: an unknown rule, or counts of other than two classes.

    Source: 'Comprehensive comparison of deep learning models for lung and COVID-19 lesion segmentation in CT scans'
    (Bizopoulos et al. 2021), equations 2 to 4 and the text below them; its released code (`metrics` in main.py).
    """
    ruled = decided_by_rule(confusion, empty)
    confusion = np.asarray(confusion, np.float64)
    scores = np.stack([score(confusion)[..., 1] for score in (sensitivity, specificity, dice)], axis=-1)
    if empty == "nan":
        return scores
    return np.where(ruled[..., np.newaxis], 1.0, np.nan_to_num(scores, nan=0.0))


def decided_by_rule(confusion: ArrayLike, empty: str) -> np.ndarray:
    """Whether a slice's Dice in `foreground_scores` comes from the rule for empty slices instead of its pixels.

    Arguments and errors are those of `foreground_scores`.

    Returns:
        (...) bool: where the scores are set to 1, or, by "nan", where Dice is NaN and the slice in no mean.
    """
    confusion = np.asarray(confusion)
    if empty not in EMPTY_RULES:
        raise ValueError(f"empty must be one of {EMPTY_RULES}. Received: {empty!r}")
    if confusion.shape[-2:] != (2, 2):
        raise ValueError(f"confusion must have the shape (..., 2, 2). Received: {confusion.shape}")
    nothing_there, nothing_predicted = (confusion.sum(axis=axis)[..., 1] == 0 for axis in (-1, -2))
    if empty == "truth":
        return nothing_there
    return nothing_predicted if empty == "prediction" else nothing_there & nothing_predicted


def global_accuracy(confusion: ArrayLike) -> np.ndarray:
    """Share of all pixels that got their true class.

    Takes counts (..., K, K), returns (...) float64 in 0..1. NaN where no pixel was counted. Tables 3 and 5 of
    the paper hold its mean over the test slices. Source: MATLAB R2020a: evaluateSemanticSegmentation,
    GlobalAccuracy.
    """
    confusion = np.asarray(confusion, np.float64)
    return _ratio(np.trace(confusion, axis1=-2, axis2=-1), confusion.sum(axis=(-2, -1)))


def mean_accuracy(confusion: ArrayLike) -> np.ndarray:
    """Mean over the classes of their sensitivity.

    Takes counts (..., K, K), returns (...) float64 in 0..1. Classes absent from the truth are left out; NaN
    where none is left. Source: MATLAB R2020a: evaluateSemanticSegmentation, MeanAccuracy.
    """
    return mean_defined(sensitivity(confusion), axis=-1)


def mean_iou(confusion: ArrayLike) -> np.ndarray:
    """Mean over the classes of their intersection over union.

    Takes counts (..., K, K), returns (...) float64 in 0..1. Classes absent from both truth and prediction are
    left out; a class predicted but absent from the truth counts as 0; NaN where none is left.
    Source: MATLAB R2020a: evaluateSemanticSegmentation, MeanIoU.
    """
    return mean_defined(iou(confusion), axis=-1)


def weighted_iou(confusion: ArrayLike) -> np.ndarray:
    """Mean over the classes of their intersection over union, weighted by their pixels in the truth.

    Takes counts (..., K, K), returns (...) float64 in 0..1. A class absent from the truth has weight 0; NaN
    where no pixel was counted. Source: MATLAB R2020a: evaluateSemanticSegmentation, WeightedIoU.
    """
    pixels = np.asarray(confusion, np.float64).sum(axis=-1)
    return _ratio(np.nansum(iou(confusion) * pixels, axis=-1), pixels.sum(axis=-1))


def bf_scores(label: ArrayLike, prediction: ArrayLike, num_classes: int) -> np.ndarray:
    """Boundary F1 score of each class of one slice: how well the outlines agree.

    The outline of a class is its pixels with a 4-neighbour outside it; the image edge counts as outside. An
    outline pixel is matched when the other map's outline has a pixel at most 0.75 % of the image diagonal
    away (Euclidean; 2.7 pixels at 256x256). Precision is the matched share of the predicted outline, recall
    that of the true outline, and the score is their harmonic mean.

    Arguments:
        label: (H, W) integers 0..num_classes-1; a pixel without a label (255) belongs to no class.
        prediction: (H, W) integers 0..num_classes-1.

    Returns:
        (num_classes,) float64 in 0..1. NaN for a class absent from either map; 0 where both have it and
        nothing matches.

    Raises:
        ValueError: the shapes differ, the values are not integers, or a value is not a class.

    Source: MATLAB R2020a: bfscore.
    """
    label, prediction = np.asarray(label), np.asarray(prediction)
    if label.shape != prediction.shape or label.ndim != 2:
        raise ValueError(
            f"label and prediction must have one shape (H, W). Received: {label.shape} and {prediction.shape}"
        )
    _check_classes(label, num_classes, "label", unlabelled_allowed=True)
    _check_classes(prediction, num_classes, "prediction")
    height, width = label.shape
    # 0.0075^2 = 9 / 160000; whole squared distances make the comparison exact.
    largest_square = 9 * (height**2 + width**2) // 160000
    return np.array([_bf_score(label == k, prediction == k, largest_square) for k in range(num_classes)])


def mean_bf_score(label: ArrayLike, prediction: ArrayLike, num_classes: int) -> float:
    """Mean over the classes of `bf_scores` of one slice.

    Classes absent from either map are left out; NaN where none is left. The figure of a data set is the mean
    of this over its slices. Source: MATLAB R2020a: evaluateSemanticSegmentation, MeanBFScore.
    """
    return float(mean_defined(bf_scores(label, prediction, num_classes)))


def _bf_score(truth: np.ndarray, predicted: np.ndarray, largest_square: int) -> float:
    """Boundary F1 score of two masks (H, W); `largest_square` is the squared distance that still matches."""
    if not truth.any() or not predicted.any():
        return math.nan
    # Only the box around both objects can hold an outline; a lesion fills a small part of the slice.
    either = truth | predicted
    box = tuple(_extent(either.any(axis=axis)) for axis in (1, 0))
    true_outline, predicted_outline = _outline(truth[box]), _outline(predicted[box])
    matched_predicted = np.count_nonzero(predicted_outline & _within(true_outline, largest_square))
    matched_true = np.count_nonzero(true_outline & _within(predicted_outline, largest_square))
    if not matched_predicted:
        return 0.0
    found = matched_predicted / np.count_nonzero(predicted_outline)
    recalled = matched_true / np.count_nonzero(true_outline)
    return 2 * found * recalled / (found + recalled)


def _extent(occupied: np.ndarray) -> slice:
    """The slice from the first to the last True of a vector."""
    where = np.flatnonzero(occupied)
    return slice(where[0], where[-1] + 1)


def _outline(mask: np.ndarray) -> np.ndarray:
    """The pixels of a mask with a 4-neighbour outside it; beyond the array everything is outside."""
    padded = np.pad(mask, 1)
    inside = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    return mask & ~inside


def _within(mask: np.ndarray, largest_square: int) -> np.ndarray:
    """The pixels whose squared distance to the mask is at most `largest_square`.

    A dilation by a disc, row by row of the disc: for the few pixels of tolerance this is exact and several
    times faster than a distance transform.
    """
    height, width = mask.shape
    reach = math.isqrt(largest_square)
    source = np.pad(mask, reach)
    spread = source.copy()
    near = np.zeros_like(source[:height, reach : reach + width])
    half_width = 0
    for distance in range(reach, -1, -1):  # from the disc's rim to its middle, where it is widest
        while half_width < math.isqrt(largest_square - distance**2):
            half_width += 1
            spread[:, half_width:] |= source[:, :-half_width]
            spread[:, :-half_width] |= source[:, half_width:]
        for top in {reach - distance, reach + distance}:
            near |= spread[top : top + height, reach : reach + width]
    return near
