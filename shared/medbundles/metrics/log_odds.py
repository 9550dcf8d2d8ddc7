"""Scores that rank as the probability of a class does, where that has run out of digits.

Above 1 - 1e-16 (in float32 long before) a probability is 1.0, and a ranking by it is one of ties; a scale of 30 gets
there easily. What is left for the other classes still tells such samples apart.
"""

import numpy as np
import torch


def log_odds(prob: torch.Tensor) -> torch.Tensor:
    """log(p1 / p0) of two classes.

    Args:
        prob: (B, 2) probabilities; float64 keeps most.

    Returns:
        (B,) float64; infinite where a probability is 0.
    """
    prob = prob.double()
    return prob[:, 1].log() - prob[:, 0].log()


def certainty(prob: np.ndarray, c: int) -> np.ndarray:
    """Probability of class c, and above 1, where that is 1.0, 1 - log(sum of the others).

    Args:
        prob: (n, N) probabilities.
        c: the class.

    Returns:
        (n,).
    """
    others = np.delete(prob, c, axis=1).sum(axis=1)
    with np.errstate(divide="ignore"):
        return np.where(prob[:, c] < 1, prob[:, c], 1 - np.log(others))
