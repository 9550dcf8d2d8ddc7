"""A score that ranks as the probability of the second of two classes does, where that has run out of digits."""

import torch


def log_odds(prob: torch.Tensor) -> torch.Tensor:
    """log(p1 / p0).

    Above 1 - 1e-16 (in float32 long before) p1 is 1.0, and a ranking by it is one of ties; a scale of 30 gets there
    easily. What is left for p0 still tells such samples apart.

    Args:
        prob: (B, 2) probabilities; float64 keeps most.

    Returns:
        (B,) float64; infinite where a probability is 0.
    """
    prob = prob.double()
    return prob[:, 1].log() - prob[:, 0].log()
