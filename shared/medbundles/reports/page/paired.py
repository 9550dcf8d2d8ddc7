"""How much better a run is than another one on the same images."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from medbundles.metrics.interval import LEAST_OF_CHANGES
from medbundles.metrics.patient_bootstrap import PatientBootstrap
from medbundles.metrics.scores import SCORES, gives, score
from medbundles.metrics.weighted import MeanOfScores, mean_of_defined
from medbundles.reports.page.run_files import Scored
from medbundles.reports.page.scores import TELLING
from medbundles.reports.predictions_table import with_channels

OF_CLASSES = ("acc", "auc")  # whose differences have intervals from as many patients on as they have themselves


def leading(scored: Sequence[Scored]) -> str | None:
    """The most telling score that all have, and that follows from the cases of each; larger is better."""
    there = [(each, _columns(each)) for each in scored]
    known = (n for n in TELLING if all(each.metrics.get(n, {}).get("value") is not None for each in scored))
    return next((name for name in known if all(gives(columns, name) for _, columns in there)), None)


def same_images(scored: Sequence[Scored]) -> bool:
    """Whether all were scored on the same images of the same patients, with the same truth."""

    def known(each: Scored) -> list[list]:
        return [each.columns[key].tolist() for key in ("source", "name", "patient", "label") if key in each.columns]

    return "name" in scored[0].columns and all(known(each) == known(scored[0]) for each in scored)


def are_equal(name: str, one: Scored, other: Scored) -> bool:
    """Whether a score has the same value in each image, of which an interval would say nothing."""
    first, second = _columns(one), _columns(other)
    return all(np.array_equal(first[need], second[need], equal_nan=True) for need in SCORES[name].needs)


def difference(name: str, one: Scored, other: Scored) -> dict[str, Any]:
    """The score of one minus that of the other on the same images, and its 95 % interval over patients, each of whom
    is drawn for both at once (`PatientBootstrap.measure`).

    Args:
        name: one of `SCORES`.
        one: what was scored.
        other: likewise; see `same_images`.
    """
    columns = [_columns(each) for each in (one, other)]
    scores: list[Any] = [score(name, each) for each in columns]
    found: Any = MeanOfScores(scores, [1.0, -1.0])
    found.groups = getattr(scores[0], "groups", ())
    found.least = scores[0].least if name in OF_CLASSES else max(scores[0].least or 0, LEAST_OF_CHANGES)
    found.bounds = None if scores[0].bounds is None else (-1.0, 1.0)
    return PatientBootstrap(columns[0]["patient"]).measure(found)


def p_value(name: str, one: Scored, other: Scored) -> float | None:
    """Of Wilcoxon's signed-rank test (1945) that the differences of the patients lie around 0, of each patient the mean
    over the images; None of a score that single images do not have, or where no patient differs."""
    from scipy.stats import wilcoxon

    columns, patients = (
        [_columns(each) for each in (one, other)],
        np.unique(one.columns["patient"], return_inverse=True)[1],
    )
    if name == "acc":
        values = [(each["label"] == each["predicted"]).astype(float) for each in columns]
    elif name in columns[0]:
        values = [each[name] if each[name].ndim == 1 else mean_of_defined(list(each[name].T)) for each in columns]
    else:
        return None
    over = values[0] - values[1]
    there = ~np.isnan(over)
    sums, counts = (np.bincount(patients[there], weights) for weights in (over[there], None))
    means = sums[counts > 0] / counts[counts > 0]
    return float(wilcoxon(means).pvalue) if means.any() else None


def _columns(scored: Scored) -> dict[str, np.ndarray]:
    """The columns of scores as they were measured: (n, K) where the masks have K channels, without those of regions."""
    channels = scored.about.get("mean_over", scored.about.get("channel_names", ()))
    return with_channels(scored.columns, channels if len(channels) > 1 else ())
