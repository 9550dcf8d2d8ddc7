"""Whether the probabilities can be believed: Brier score, calibration error, and the bins of a reliability diagram."""

import numpy as np

from medbundles.metrics.classification import NAN
from medbundles.metrics.weighted import ratio

BINS = 10


def brier_scores(label: np.ndarray, prob: np.ndarray) -> np.ndarray:
    """Squared error of the probabilities of each sample (Brier 1950); their mean is the Brier score.

    Two classes: (p1 - y)^2, 0 to 1, and 0.25 for always 0.5. More: the sum over the classes, 0 to 2.

    Args:
        label: (n,) true classes.
        prob: (n, N) probabilities.

    Returns:
        (n,).
    """
    classes = prob.shape[1]
    squares = ((prob - np.eye(classes)[label]) ** 2).sum(axis=1)
    return squares / 2 if classes == 2 else squares


def bin_of(prob: np.ndarray) -> np.ndarray:
    """Which of BINS equally wide bins (0, 0.1], (0.1, 0.2] ... a probability falls into; 0 is in the first."""
    return np.clip(np.digitize(prob, np.linspace(0, 1, BINS + 1), right=True) - 1, 0, BINS - 1)


class CalibrationError:
    """Expected calibration error as a function of weights: how far confidence and share of correct classes are apart.

    The confidence is the probability of the predicted class. Samples are put into equally wide bins of it, and the
    differences are averaged with the bins' sizes as weights (Guo et al. 2017). Small data make it too large: with few
    samples in a bin the share cannot meet the confidence.

    Args:
        label: (n,) true classes.
        predicted: (n,) predicted classes.
        prob: (n, N) probabilities.
    """

    undefined = "no images with a probability"

    def __init__(self, label: np.ndarray, predicted: np.ndarray, prob: np.ndarray):
        if np.isnan(prob).any():
            self.undefined = NAN
        confidence = prob[np.arange(len(label)), predicted]
        gap = (label == predicted) - confidence
        self.gaps = gap[:, None] * (bin_of(confidence)[:, None] == np.arange(BINS))  # (n, BINS)

    def __call__(self, weights: np.ndarray) -> np.ndarray:
        """Weights (R, n) -> (R,)."""
        # weight of a bin * |share - confidence| = |sum of weighted gaps|
        return ratio(np.abs(weights @ self.gaps).sum(axis=1), weights.sum(axis=1))


def reliability_bins(label: np.ndarray, prob: np.ndarray) -> tuple[np.ndarray, ...]:
    """What a reliability diagram shows, for the bins that are not empty.

    Args:
        label: (n,), 1 positive, 0 negative.
        prob: (n,) probability of the positive class.

    Returns:
        Mean probability, share of positives, 95 % interval of that share (2, b) after Wilson (1927), and number of
        samples, for b bins.
    """
    place = bin_of(np.asarray(prob, dtype=float))
    count = np.bincount(place, minlength=BINS)
    kept = count > 0
    n = count[kept]
    mean = np.bincount(place, prob, BINS)[kept] / n
    share = np.bincount(place, np.asarray(label) == 1, BINS)[kept] / n
    z2 = 1.959964**2
    centre = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = np.sqrt(z2) / (1 + z2 / n) * np.sqrt(share * (1 - share) / n + z2 / (4 * n**2))
    return mean, share, np.stack([centre - half, centre + half]), n
