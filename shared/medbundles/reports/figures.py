"""Figures of a run: confusion matrix, ROC and precision-recall curves, reliability, each from plain arrays.

The points of the curves are scikit-learn's. Its Displays draw one curve each, through pyplot, which may open windows
and keeps figures; ours put sources or folds into one picture, with intervals, chance and the threshold in use.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from medbundles.atomic_files import replace_atomic
from medbundles.errors import ConfigError
from medbundles.metrics.calibration import BINS, bin_of, reliability_bins
from medbundles.metrics.classification import confusion_counts
from medbundles.reports.tables import probability

# Okabe & Ito, told apart by the colour-blind; gray in place of their yellow, which does not show on white
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#000000", "#7f7f7f")
LINES: tuple[Any, ...] = ("-", "--", "-.", (0, (5, 1, 1, 1, 1, 1)))  # for those who see no colours; dots are chance
DPI = 130


def confusion_matrix(
    label: np.ndarray, predicted: np.ndarray, class_names: Sequence[str], path: str | Path, *, title: str = ""
) -> Path:
    """Write the confusion matrix: counts, and the share of each true class.

    Args:
        label: (n,) true classes.
        predicted: (n,) predicted classes.
        class_names: names of the N classes.
        path: the picture to write (.png).
        title: above it.

    Returns:
        `path`.
    """
    class_names = [plain(name) for name in class_names]
    size = len(class_names)
    counts = confusion_counts(label, predicted, size)
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    longest = max(map(len, class_names))  # of letters, about a tenth of an inch each
    turned: dict[str, Any] = {"rotation": 30, "ha": "right", "rotation_mode": "anchor"} if longest > 10 else {}
    with figure_of(path, (2.2 + 1.1 * size + 0.07 * longest, 2.2 + 1.0 * size)) as figure:
        axes = figure.add_subplot()
        picture = axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
        for row, column in np.ndindex(size, size):
            colour = "white" if share[row, column] > 0.55 else "black"
            text = f"{counts[row, column]}\n{share[row, column]:.0%}"
            axes.text(column, row, text, ha="center", va="center", color=colour)
        axes.set(title=title or "Confusion matrix", xlabel="predicted class", ylabel="true class")
        axes.set_xticks(range(size), class_names, **turned)
        axes.set_yticks(
            range(size), [f"{name}\n(n={n})" for name, n in zip(class_names, counts.sum(axis=1), strict=True)]
        )
        figure.colorbar(picture, ax=axes, label="share of the true class", fraction=0.046)
    return Path(path)


def roc_curve(
    groups: Mapping[str, tuple[np.ndarray, np.ndarray]], path: str | Path, *, threshold: float | None = None,
    areas: Mapping[str, str] | None = None, title: str = "", strong: str | None = None,
) -> Path:  # fmt: skip
    """Write one ROC curve per group, for example per source of images.

    Args:
        groups: name: (label (n,) with 1 positive, probability (n,) of the positive class); both classes are needed.
        path: the picture to write (.png).
        threshold: marked on each curve.
        areas: text per group for the legend; by default the area under the curve.
        title: above it.
        strong: the group that matters, such as all folds together: drawn bold and above the others, which are thin
            and light; the threshold is marked on it alone.

    Returns:
        `path`.

    Raises:
        ConfigError: `strong` is none of the groups.
    """
    from sklearn import metrics

    with figure_of(path, (5.2, 5.0)) as figure:
        axes = figure.add_subplot()
        looks, marked = _looks(groups, strong)
        for name, (label, prob) in groups.items():
            x, y, cuts = metrics.roc_curve(label, prob, drop_intermediate=False)
            text = (areas or {}).get(name) or f"AUC {metrics.auc(x, y):.3f}"
            axes.plot(x, y, **looks[name], label=f"{plain(name)} (n={len(label)}): {text}")
            if name in marked:
                _mark(axes, cuts, x, y, threshold, looks[name], name == marked[0])
        axes.plot([0, 1], [0, 1], color="0.6", linestyle=":", label="chance")
        axes.set(title=title or "ROC curve", xlabel="1 - specificity", ylabel="sensitivity")
        _finish(axes, "lower right")
    return Path(path)


def pr_curve(
    groups: Mapping[str, tuple[np.ndarray, np.ndarray]], path: str | Path, *, threshold: float | None = None,
    title: str = "", strong: str | None = None,
) -> Path:  # fmt: skip
    """Write one precision-recall curve per group, with its average precision and the share of positives (chance).

    Args:
        groups: as for `roc_curve`.
        path: the picture to write (.png).
        threshold: marked on each curve.
        title: above it.
        strong: as for `roc_curve`; chance is drawn for it alone.

    Returns:
        `path`.

    Raises:
        ConfigError: `strong` is none of the groups.
    """
    from sklearn import metrics

    with figure_of(path, (5.2, 5.0)) as figure:
        axes = figure.add_subplot()
        looks, marked = _looks(groups, strong)
        for name, (label, prob) in groups.items():
            # from the highest cut down, without the point (0, 1) that no cut gives
            y, x, cuts = (values[::-1] for values in metrics.precision_recall_curve(label, prob))
            x, y = x[1:], y[1:]
            text = f"{plain(name)} (n={len(label)}): AP {metrics.average_precision_score(label, prob):.3f}"
            axes.step(np.r_[0, x], np.r_[y[0], y], where="pre", **looks[name], label=text)
            if name in marked:
                chance = np.mean(np.asarray(label) == 1)
                axes.axhline(chance, color=looks[name]["color"], linestyle=":", linewidth=1)
                _mark(axes, cuts, x, y, threshold, looks[name], name == marked[0])
        axes.set(title=title or "Precision-recall curve", xlabel="recall (sensitivity)", ylabel="precision")
        axes.plot([], [], color="0.5", linestyle=":", label="chance (share of positives)")
        _finish(axes, "lower left")
    return Path(path)


def reliability(
    label: np.ndarray, prob: np.ndarray, path: str | Path, *, positive: str = "positive class", title: str = ""
) -> Path:
    """Write a reliability diagram: share of positives against predicted probability, and how many samples say so.

    Bins without a sample have no point.

    Args:
        label: (n,), 1 positive.
        prob: (n,) probability of the positive class.
        path: the picture to write (.png).
        positive: name of the positive class.
        title: above it.

    Returns:
        `path`.
    """
    positive = plain(positive)
    mean, share, (low, high), _ = reliability_bins(label, prob)
    with figure_of(path, (5.2, 6.2)) as figure:
        axes, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
        axes.plot([0, 1], [0, 1], color="0.6", linestyle=":", label="perfectly calibrated")
        # rounding can put an end of the interval on the wrong side of the share itself
        reach = np.maximum([share - low, high - share], 0)
        axes.errorbar(mean, share, reach, fmt="o", color=COLOURS[0], capsize=3, label="observed, 95 % interval")
        axes.set(title=title or "Reliability", ylabel=f"share of {positive}", xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
        axes.grid(alpha=0.25)
        axes.legend(fontsize=8)
        place, said = bin_of(prob), np.asarray(label) == 1
        middles = (np.arange(BINS) + 0.5) / BINS
        hits, total = (np.bincount(place[part], minlength=BINS) for part in (said, said | True))
        below.bar(middles, hits, 0.96 / BINS, color=COLOURS[1], label=positive)
        others = below.bar(middles, total - hits, 0.96 / BINS, bottom=hits, color="0.75", label="other")
        below.bar_label(others, [str(n) if n else "" for n in total], fontsize=8)
        below.set_ylim(0, 1.2 * total.max())
        below.set(xlabel=f"predicted probability of {positive}", ylabel="samples")
        below.yaxis.get_major_locator().set_params(integer=True)
        below.legend(fontsize=8)
    return Path(path)


def plain(name: str) -> str:
    """A name in a figure as it is: matplotlib would read what stands between two dollar signs as mathematics."""
    return name.replace("$", r"\$")


def _looks(groups: Mapping[str, Any], strong: str | None) -> tuple[dict[str, dict[str, Any]], list[str]]:
    """How each group's curve is drawn, and the groups that are marked."""
    looks: dict[str, dict[str, Any]] = {
        n: {"color": COLOURS[i % len(COLOURS)], "linestyle": LINES[i % len(LINES)]} for i, n in enumerate(groups)
    }
    if strong is None:
        return looks, list(groups)
    if strong not in groups:
        raise ConfigError(f"strong: there is no group {strong!r} among: {', '.join(groups)}")
    others = [name for name in groups if name != strong]
    looks = {
        n: {"color": COLOURS[1 + i % (len(COLOURS) - 1)], "linewidth": 1, "alpha": 0.5} for i, n in enumerate(others)
    }
    return looks | {strong: {"color": COLOURS[0], "linewidth": 2.6, "zorder": 3}}, [strong]


def _mark(
    axes: Any, cuts: np.ndarray, x: np.ndarray, y: np.ndarray, threshold: float | None, look: Mapping[str, Any],
    named: bool,
) -> None:  # fmt: skip
    if threshold is None:
        return
    reached = np.flatnonzero(cuts >= threshold)
    if len(reached):
        axes.plot(
            x[reached[-1]],
            y[reached[-1]],
            "o",
            color=look["color"],
            markersize=7,
            zorder=4,
            label=f"threshold {probability(threshold)}" if named else None,
        )


def _finish(axes: Any, place: str) -> None:
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal")
    axes.grid(alpha=0.25)
    axes.legend(loc=place, fontsize=8)


@contextmanager
def figure_of(path: str | Path, size: tuple[float, float]) -> Iterator[Any]:
    """A figure that no window system and no other figure knows of; written whole when the block ends.

    Args:
        path: .png or .svg.
        size: inches.
    """
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    yield figure
    form = Path(path).suffix[1:]
    # text of an SVG stays text, and the same figure gives the same file
    with replace_atomic(path) as temporary, rc_context({"svg.fonttype": "none", "svg.hashsalt": "medbundles"}):
        figure.savefig(temporary, format=form, metadata={"Date": None} if form == "svg" else None)
