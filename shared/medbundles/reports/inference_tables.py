"""Which class an inference names, and the probabilities of a volume from those of its slices."""

from collections.abc import Sequence

import numpy as np

TOP = 3
RULE = (
    f"prob of a volume: mean over its {TOP} slices with the highest probability, each class for itself; with two "
    "classes the first one is 1 minus the second. prob_max: the highest of any slice. Empty slices (one value only) "
    "have no probability. The class follows from prob."
)


def class_of(prob: Sequence[float], class_threshold: float) -> int:
    """The class: with two, the second one from the threshold on; with more, the most probable."""
    if len(prob) == 2:
        return int(prob[1] >= class_threshold)
    return int(np.argmax(prob))


def volume_probability(prob: Sequence[Sequence[float]]) -> tuple[list[float], list[float]]:
    """Probabilities of a volume from those of its slices, (Z, N) -> mean of the highest three (N,), highest (N,).

    The highest of many slices alone is high by chance; a lesion is seen in more than one.
    """
    table = np.sort(np.asarray(prob, dtype=float), axis=0)[::-1]
    top, highest = table[:TOP].mean(axis=0), table[0].copy()
    if table.shape[1] == 2:
        top[0], highest[0] = 1 - top[1], 1 - highest[1]
    return top.tolist(), highest.tolist()
