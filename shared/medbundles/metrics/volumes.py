"""The class of a volume from those of its slices."""

from collections.abc import Mapping, Sequence

import numpy as np

TOP = 3


def volume_probability(prob: Sequence[Sequence[float]] | np.ndarray) -> tuple[list[float], list[float]]:
    """Probabilities of a volume from those of its slices, (Z, N) -> mean of the highest three (N,), highest (N,).

    The highest of many slices alone is high by chance; a lesion is seen in more than one.
    """
    table = np.sort(np.asarray(prob, dtype=float), axis=0)[::-1]
    top, highest = table[:TOP].mean(axis=0), table[0].copy()
    if table.shape[1] == 2:
        top[0], highest[0] = 1 - top[1], 1 - highest[1]
    return top.tolist(), highest.tolist()


def volumes_of(columns: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Probability (V, N) and label (V,) of each patient whose slices have masks: 1 where one of the slices is."""
    sliced = columns["has_mask"].astype(bool)
    patients, place = np.unique(columns["patient"][sliced], return_inverse=True)
    prob, label = columns["prob"][sliced], columns["label"][sliced]
    each = [place == i for i in range(len(patients))]
    probs = [volume_probability(prob[chosen])[0] for chosen in each]
    return np.array(probs).reshape(-1, prob.shape[1]), np.array([int(label[chosen].max()) for chosen in each])
