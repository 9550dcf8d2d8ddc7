"""What a score is."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

from medbundles.metrics.weighted import ScoreOf

Columns = Mapping[str, np.ndarray]


class Definition(NamedTuple):
    """A score.

    Args:
        needs: columns, those of `with_case_scores` included.
        make: columns -> function of weights.
        meaning: in words; empty: it is for epochs, not for reports.
        per_channel: of masks with several channels there is one for each channel, and their mean.
    """

    needs: tuple[str, ...]
    make: Callable[[Columns], ScoreOf]
    meaning: str = ""
    per_channel: bool = False
