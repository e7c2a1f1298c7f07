"""How often what a network calls infected with some probability is infected, and probabilities that say just that.

Pixels are counted between thresholds, so that all of a scan's are at hand at no cost; a bin's pixels count with the
middle of their bin.
"""

import numpy as np

LEAST = 1e-4  # a probability is taken for no nearer to 0 or 1


def bins_of(thresholds: np.ndarray, confusion: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pixels between neighbouring thresholds; those below the lowest, nearly all of a scan, are left out.

    Arguments:
        thresholds: (num_thresholds,) in rising order, between 0 and 1.
        confusion: (num_thresholds, 2, 2) counts of pixels, truth in rows; in the second column those whose probability
            is above the threshold.

    Returns:
        (num_thresholds,) middles of the bins, and (num_thresholds, 2) pixels that are not and that are of the class.
    """
    edges = np.append(np.asarray(thresholds, float), 1.0)
    above = np.vstack([np.asarray(confusion)[:, :, 1], [[0, 0]]])
    return (edges[1:] + edges[:-1]) / 2, above[:-1] - above[1:]


def fit_temperature(thresholds: np.ndarray, confusion: np.ndarray) -> float:
    """By what logits are divided to make probabilities most likely (Guo and others 2017); arguments as of `bins_of`.

    One number, for an intercept too (Platt 1999) would learn how common lesions are in the sources at hand: on sources
    that were left out, its error was larger.

    Returns:
        1, which changes nothing, where there are not both kinds of pixels.
    """
    from sklearn.linear_model import LogisticRegression

    middles, pixels = bins_of(thresholds, confusion)
    if not pixels.sum(axis=0).all():
        return 1.0
    logits = np.tile(_logit(middles), 2)[:, None]
    truth = np.repeat([0, 1], len(middles))
    weights = pixels.T.ravel()
    counted = weights > 0
    model = LogisticRegression(C=np.inf, fit_intercept=False)
    (slope,) = model.fit(logits[counted], truth[counted], weights[counted]).coef_[0]
    return float(1 / slope) if slope > 0 else 1.0


def dice_threshold(best_dice: float, temperature: float = 1.0) -> float:
    """The threshold of the largest expected Dice: half of that Dice, of probabilities that are right.

    Source: Lipton, Elkan and Naryanaswamy (2014), "Optimal thresholding of classifiers to maximize F1 measure".

    Arguments:
        best_dice: 0 to 1, of the best threshold.
        temperature: by which logits are divided to be right, see `fit_temperature`.

    Returns:
        The threshold of probabilities as the network gives them.
    """
    return float(scaled(np.array(best_dice / 2), 1 / temperature))


def scaled(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """Probabilities with their logits divided by a temperature: float32 of the same shape; as they are for 1."""
    if temperature == 1:
        return np.asarray(probabilities, np.float32)
    logits = _logit(np.asarray(probabilities, np.float64)) / temperature
    return (1 / (1 + np.exp(-logits))).astype(np.float32)


def calibration_error(thresholds: np.ndarray, confusion: np.ndarray, temperature: float = 1.0) -> float:
    """Mean difference of probability and share over the bins' pixels (expected calibration error); NaN without any.

    Arguments as of `bins_of` and `scaled`.
    """
    middles, pixels = bins_of(thresholds, confusion)
    number = pixels.sum(axis=1)
    if not number.any():
        return float("nan")
    share = pixels[:, 1] / np.maximum(number, 1)
    return float(np.average(np.abs(scaled(middles, temperature) - share), weights=number))


def _logit(probabilities: np.ndarray) -> np.ndarray:
    inside = np.clip(probabilities, LEAST, 1 - LEAST)
    return np.log(inside / (1 - inside))
