"""The class of a volume from those of its slices."""

from collections.abc import Mapping, Sequence

import numpy as np

TOP = 3


def volume_probability(
    prob: Sequence[Sequence[float]] | np.ndarray, tumour_class: int = 1
) -> tuple[list[float], list[float]]:
    """Probabilities of a volume from those of its slices, (Z, N) -> mean of the highest three (N,), highest (N,).

    The highest of many slices alone is high by chance; a lesion is seen in more than one. Of two classes a volume has
    that of the tumour when its slices show one, and the other one else.
    """
    table = np.sort(np.asarray(prob, dtype=float), axis=0)[::-1]
    top, highest = table[:TOP].mean(axis=0), table[0].copy()
    if table.shape[1] == 2:
        for values in (top, highest):
            values[1 - tumour_class] = 1 - values[tumour_class]
    return top.tolist(), highest.tolist()


def volumes_of(columns: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities (V, 2) and class (V,) of each patient whose slices have masks: the tumour's where a slice has it.

    The tumour's class is that of the slices whose masks hold one; none is: the second.
    """
    sliced = columns["has_mask"].astype(bool)
    patients, place = np.unique(columns["patient"][sliced], return_inverse=True)
    prob, label = columns["prob"][sliced], columns["label"][sliced]
    with_tumour = label[columns["true_pixels"][sliced].reshape(len(label), -1).any(axis=1)]
    tumour_class = int(with_tumour[0]) if len(with_tumour) else 1
    each = [place == i for i in range(len(patients))]
    probs = [volume_probability(prob[chosen], tumour_class)[0] for chosen in each]
    classes = [tumour_class if (label[chosen] == tumour_class).any() else 1 - tumour_class for chosen in each]
    return np.array(probs).reshape(-1, prob.shape[1]), np.array(classes)
