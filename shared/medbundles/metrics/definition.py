"""What a score is."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

from medbundles.metrics.interval import LEAST
from medbundles.metrics.weighted import ScoreOf

Columns = Mapping[str, np.ndarray]
Bounds = tuple[float, float] | None


class Definition(NamedTuple):
    """A score.

    Args:
        needs: columns, those of `with_case_scores` included.
        make: columns -> function of weights.
        meaning: in words; empty: it is for epochs, not for reports.
        per_channel: of masks with several channels there is one for each channel, and their mean.
        bounds: smallest and largest possible value; None: there are none. A function of the columns where they depend
            on them.
        least: from how many patients on an interval is given, see `medbundles.metrics.interval`; None: never. A
            function of the columns where it depends on them.
    """

    needs: tuple[str, ...]
    make: Callable[[Columns], ScoreOf]
    meaning: str = ""
    per_channel: bool = False
    bounds: Bounds | Callable[[Columns], Bounds] = (0.0, 1.0)
    least: int | Callable[[Columns], int] | None = LEAST
