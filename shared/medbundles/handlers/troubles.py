"""What the curves of a run show: whether it overfits, underfits or oscillates, in words with the figures.

The thresholds were chosen on the histories of runs of all bundles, on phantoms and on patients: see docs/hints.md.
"""

import math
from collections.abc import Sequence
from itertools import pairwise
from statistics import fmean, median
from typing import Any

from medbundles.handlers.monitor import Monitor

Records = Sequence[dict[str, Any]]  # of `medbundles.handlers.History`

RECENT = 5  # records whose mean counts as "now": a single epoch is noise
WAIT = 10  # epochs without a better one before a standstill counts; a run that is shorter is not judged
GAP = 0.1  # of a score, between training and validation; less is the usual difference between two sets of patients
LOSS_GAP = 0.2  # likewise of the losses, as a share of the validation's
GAIN = 0.02  # of the training's score since the best epoch: less is noise
LOSS_GAIN = 0.1  # likewise of its loss, as a share
FALLING = 0.05  # share by which a validation loss that has fallen since the best epoch still gets better
LOW = 0.5  # score of the training that nobody is content with
LOW_STILL = 0.7  # likewise, where the loss has hardly fallen either: chance has 0.5 in AUC and accuracy
STILL = 0.05  # share by which a loss falls, and a score rises, in a training that learns nothing
SWINGS = 10  # records in which a loss swings
TURNS = 0.6  # share of them at which it turns; noise alone turns at 2 of 3, a curve that gets better hardly ever
SWING = 0.15  # a swing, as a share of the loss: healthy runs had up to 0.12


def overfitting(epochs: Records, monitor: Monitor) -> str | None:
    """What shows that the training gets better while the validation does not any more; None: nothing does."""
    validated = [record for record in epochs if monitor.value(record) is not None]
    if not validated:
        return None
    place = max(range(len(validated)), key=lambda i: monitor.value(validated[i]) or [])
    best, now = validated[place], validated[-RECENT:]
    waited = epochs[-1]["epoch"] - best["epoch"]
    if waited < WAIT or len(validated) - 1 - place < RECENT:
        return None
    then = validated[max(place - RECENT // 2, 0) : place + RECENT // 2 + 1]
    metric, score = monitor.metric, score_of_training(epochs, monitor)
    fell = mean(then, "val_loss") - mean(now, "val_loss")
    if fell > FALLING * abs(mean(then, "val_loss")):
        return None
    gained = mean(then, "train_loss") - mean(now, "train_loss") >= LOSS_GAIN * abs(mean(then, "train_loss"))
    shown = "train_loss"
    if score:
        if mean(now, score) - mean(then, score) >= GAIN:
            gained, shown = True, score
        is_wide = mean(now, score) - mean(now, metric) >= GAP
    else:
        is_wide = mean(now, "val_loss") - mean(now, "train_loss") >= LOSS_GAP * abs(mean(now, "val_loss"))
    if not (gained and is_wide):
        return None
    gap = (score, metric) if score else ("train_loss", "val_loss")
    beside = " and ".join(f"{name} {mean(now, name):.4g}" for name in gap)
    return (
        f"it overfits: {metric} has not got better for {waited} epochs (best {best[metric]:.4g} in epoch "
        f"{best['epoch']}), while {shown} went on from {mean(then, shown):.4g} to {mean(now, shown):.4g}; now {beside}"
    )


def learning_nothing(epochs: Records, monitor: Monitor, from_weights: bool = False) -> str | None:
    """What shows, at the end of a run, that the training has learned nothing; None: nothing does.

    Args:
        epochs: all of the run.
        monitor: of the run.
        from_weights: whether it started from weights that had learned, so that little is left to gain.
    """
    if len(epochs) < WAIT:
        return None
    first, now, score = epochs[:1], epochs[-RECENT:], score_of_training(epochs, monitor)
    stands = abs(mean(first, "train_loss") - mean(now, "train_loss")) < STILL * abs(mean(first, "train_loss"))
    is_low = mean(now, score) < min(LOW_STILL, mean(first, score) + STILL) if score else not from_weights
    return f"it learns nothing: {after_all(epochs, score)}" if stands and is_low else None


def underfitting(epochs: Records, monitor: Monitor) -> str | None:
    """What shows, at the end of a run, that the training itself has a low score; None: nothing does."""
    score = score_of_training(epochs, monitor)
    if len(epochs) < WAIT or not score or not mean(epochs[-RECENT:], score) < LOW:
        return None
    return f"it underfits: {after_all(epochs, score)}"


def after_all(epochs: Records, score: str | None) -> str:
    """Where the training itself has come to, in words."""
    names = ("train_loss", score) if score else ("train_loss",)
    ways = [f"{name} went from {mean(epochs[:1], name):.4g} to {mean(epochs[-RECENT:], name):.4g}" for name in names]
    return f"in {len(epochs)} epochs {' and '.join(ways)}"


def oscillation(epochs: Records, monitor: Monitor) -> str | None:
    """What shows that a loss swings up and down and gets no better; None: nothing does.

    The median of the steps from one record to the next is compared: one bad epoch, or a jump, is no oscillation.
    """
    for name in ("train_loss", "val_loss"):
        records = [record for record in epochs if math.isfinite(record.get(name, math.nan))]
        values = [record[name] for record in records]
        last = values[-SWINGS:]
        if len(last) < SWINGS:
            continue
        steps = [after - before for before, after in pairwise(last)]
        turns = sum(one * two < 0 for one, two in pairwise(steps)) / len(steps[1:])
        swing = median(map(abs, steps))
        trend = abs(fmean(last[SWINGS // 2 :]) - fmean(last[: SWINGS // 2]))
        # of what it was at first, too: near its end a loss may be small, and swing in nothing
        scale = max(median(map(abs, values[:RECENT])), median(map(abs, values)))
        if turns >= TURNS and swing > trend and swing >= SWING * scale:
            return (
                f"it oscillates: from epoch {records[-SWINGS]['epoch']} to {records[-1]['epoch']} {name} goes up and "
                f"down by {swing:.4g} (median), between {min(last):.4g} and {max(last):.4g}"
            )
    return None


def score_of_training(epochs: Records, monitor: Monitor) -> str | None:
    """The training's counterpart of the monitored score, such as train_dice; None: it has none, or it is no score."""
    name = f"train_{monitor.metric.removeprefix('val_')}"
    return name if monitor.sign > 0 and math.isfinite(epochs[-1].get(name, math.nan)) else None


def mean(records: Records, name: str) -> float:
    """Mean of an entry over the records that have it; NaN where none has, which is above and below nothing."""
    values = [record[name] for record in records if math.isfinite(record.get(name, math.nan))]
    return fmean(values) if values else math.nan
