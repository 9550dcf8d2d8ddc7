"""The charts of the page, drawn by the functions that draw a run's plots, as SVG in the page itself."""

import base64
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from textwrap import fill
from typing import Any

import numpy as np

from medbundles.reports import figures
from medbundles.reports.curves import MARKERS, MOST_MARKERS, draw_panel, panels_of, parts_of
from medbundles.reports.evaluation import Evaluation
from medbundles.reports.figures import COLOURS, LINES, plain
from medbundles.reports.page.run_files import RunFiles, Scored
from medbundles.reports.page.scores import measured, named, title_of

LOSS = re.compile("loss|_weight$")  # ids of settings that change what a loss is the sum of


@dataclass(frozen=True)
class Chart:
    """A picture in the page.

    Attributes:
        source: data URI.
        text: what it shows, for those who cannot see it.
    """

    source: str
    text: str


def curves(run: RunFiles) -> list[Chart]:
    """Losses, scores and rates over the epochs, a chart each; none where nothing was trained."""
    best = run.summary.get("best_epoch")

    def draw(panel: tuple[str, str, list[str]], path: Path) -> None:
        with figures.figure_of(path, (6.4, 3.6)) as figure:
            draw_panel(figure.add_subplot(), run.epochs, panel, best)

    return [_drawn(partial(draw, panel), _told(run.epochs, panel, best)) for panel in panels_of(run.epochs)]


def _told(epochs: Sequence[Mapping[str, Any]], panel: tuple[str, str, list[str]], best: int | None) -> str:
    """What one reads off the curves: where each begins and ends, and what it is in the best epoch."""
    curves_told = []
    for name in panel[2]:
        points = {record["epoch"]: record[name] for record in epochs if record.get(name) is not None}
        told = sorted({min(points), max(points), *({best} & points.keys())})
        values = ", ".join(f"{points[epoch]:.3g} in epoch {epoch}" for epoch in told)
        curves_told.append(f"{named(name)} {values}")
    marked = f", the best one is {best}" if best is not None else ""
    return f"{panel[0]} over {len(epochs)} epochs{marked}: {'; '.join(curves_told)}"


def of_classes(scored: Scored) -> list[Chart]:
    """Confusion matrix, and of two classes ROC, precision-recall and reliability; none where there are no classes."""
    if "prob" not in scored.columns or not scored.class_names:
        return []
    known = {name: scored.about[name] for name in ("class_threshold",) if scored.about.get(name) is not None}
    two = len(scored.class_names) == 2
    evaluation = Evaluation(scored.columns, scored.class_names, known, scores=["auc", *(["ece"] if two else [])])
    evaluation.metrics = {
        "all": {name: dict(m) for name, m in scored.metrics.items()},
        **scored.about.get("by_source", {}),
    }
    with TemporaryDirectory() as folder:
        paths = evaluation.write_plots(Path(folder), title=scored.part, ending=".svg")
        texts = _texts(scored, evaluation.counts)
        return [Chart(_svg(path), texts[path.stem]) for path in paths]


def _texts(scored: Scored, counts: np.ndarray) -> dict[str, str]:
    names = scored.class_names
    cells = [f"{counts[t, p]} of true class {names[t]} predicted as {names[p]}" for t, p in np.ndindex(counts.shape)]
    area, error = (
        f", {what} {measured(name, scored.metrics[name], scored.about)}" if name in scored.metrics else ""
        for name, what in (("auc", "area"), ("ece", "expected calibration error"))
    )
    return {
        "confusion_matrix": f"Confusion matrix: {', '.join(cells)}",
        "roc_curve": f"ROC curve{area}",
        "pr_curve": "Precision over recall",
        "reliability": f"Reliability: share of {names[-1]} over its predicted probability{error}",
    }


def side_by_side(runs: Sequence[RunFiles], names: Sequence[str]) -> list[Chart]:
    """What several runs followed, over their epochs, and their ROC curves where they have the same two classes."""
    found = []
    named = dict(zip(names, runs, strict=True))
    trained = {name: run for name, run in named.items() if run.epochs}
    followed = {run.summary.get("monitor") for run in trained.values()}
    entries = [*sorted(filter(None, followed)), *(["val_loss"] if _have_one_loss(list(trained.values())) else [])]
    for entry in dict.fromkeys(entries):
        lines = {
            name: [(e["epoch"], e[entry]) for e in run.epochs if e.get(entry) is not None]
            for name, run in trained.items()
        }
        lines = {run: points for run, points in lines.items() if points}
        if len(lines) > 1:
            title = f"{title_of(parts_of(entry)[1])}, validation"
            ends = ", ".join(f"{name} {points[-1][1]:.3g} in epoch {points[-1][0]}" for name, points in lines.items())
            found.append(_drawn(partial(_lines, lines, title), f"{title}, of {len(lines)} runs, at the end: {ends}"))
    scored = {name: run.scored[0] for name, run in named.items() if run.scored and "prob" in run.scored[0].columns}
    classes = {tuple(each.class_names) for each in scored.values()}
    if len(scored) > 1 and len(classes) == 1 and len(classes.pop()) == 2:
        groups = {name: (each.columns["label"], each.columns["prob"][:, 1]) for name, each in scored.items()}
        groups = {name: group for name, group in groups.items() if len(set(group[0])) == 2}
        if len(groups) > 1:
            found.append(_drawn(partial(figures.roc_curve, groups), f"ROC curves of {len(groups)} runs"))
    return found


def _have_one_loss(runs: Sequence[RunFiles]) -> bool:
    """Whether the values of their losses mean the same: of one bundle, with the same settings of the loss."""

    def loss(run: RunFiles) -> tuple[str, dict[str, str]]:
        of_loss = {name: str(entry["value"]) for name, entry in (run.changed or {}).items() if LOSS.search(name)}
        return run.bundle, of_loss

    return all(loss(run) == loss(runs[0]) for run in runs)


def _lines(lines: Mapping[str, Sequence[tuple[int, float]]], title: str, path: Path) -> None:
    with figures.figure_of(path, (6.0, 4.2)) as figure:
        axes = figure.add_subplot()
        for i, (name, points) in enumerate(lines.items()):
            style, label = LINES[i % len(LINES)], fill(plain(name), 48)
            axes.plot(
                *zip(*points, strict=True), color=COLOURS[i % len(COLOURS)], linestyle=style, label=label,
                marker=MARKERS[i % len(MARKERS)], markersize=4, markevery=max(1, len(points) // MOST_MARKERS),
            )  # fmt: skip
        axes.set(title=title, xlabel="epoch")
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(alpha=0.25)
        axes.legend(fontsize=8)


def _drawn(draw: Callable[[Path], Any], text: str) -> Chart:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "chart.svg"
        draw(path)
        return Chart(_svg(path), text)


def _svg(path: Path) -> str:
    return f"data:image/svg+xml;base64,{base64.b64encode(path.read_bytes()).decode()}"
