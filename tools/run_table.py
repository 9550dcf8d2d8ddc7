"""Runs at a glance: bundle, state, best score, time, and what differs from the defaults."""

import json
import math
import os
import shutil
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from medbundles.atomic_files import json_text
from medbundles.errors import ConfigError, DataError, MedbundlesError, one_of
from medbundles.lines import duration
from medbundles.reports.page.own_files import own, read_object
from medbundles.reports.page.scores import headline
from medbundles.reports.tables import number
from medbundles.runs.directory import RUN_NAME, run_order
from medbundles.runs.lock import holder
from medbundles.runs.state import has_ended

from .bundle import BUNDLES
from .run_removal import REMOVING, remove_runs

SORTS = ("time", "score", "name", "state", "bundle", "seconds")
FORMATS = ("text", "json")


@dataclass
class RunRow:
    """What is listed of a run; what its files do not say is None.

    Attributes:
        name: its path below the listed folder.
        state: running, finished, stopped at epoch N, being removed, or broken.
        score: best value of `monitor`, by an epoch; of an evaluation that of the score that tells most.
        mode: "max" or "min": which score is better.
        seconds: of all epochs.
        changed: setting -> its value, of those that differ from the defaults; None: not kept (version 0.1).
        problem: what is wrong with its files, or who writes to it.
    """

    name: str
    bundle: str = ""
    kind: str = "training"
    state: str = ""
    epochs: int = 0
    monitor: str | None = None
    score: float | None = None
    best_epoch: int | None = None
    mode: str = "max"
    seconds: float | None = None
    changed: dict[str, Any] | None = None
    problem: str = ""
    order: tuple[str, int] = field(default=("", 0), repr=False)


def list_runs(
    folder: str = "", sort: str = "time", format: str = "text", remove: list[str] | None = None, yes: bool = False
) -> list[dict[str, Any]]:
    """List runs with their bundle, state, best score, time, and the settings that differ from the defaults.

    Runs of folds, stages and evaluations, which lie in nested folders, are listed, too. Whether one is running says the
    lock that it holds, so one that was killed is "stopped at epoch N". With --remove the named runs are removed, and
    nothing else: a terminal is asked first. A run that is running, a folder that is no run, and a name that fits
    several are refused, and then nothing is removed.

    Args:
        folder: where to look; empty: the runs/ folders of all bundles.
        sort: time (oldest first), score (best first, by monitor), name, state, bundle or seconds.
        format: text or json.
        remove: names of runs as they are listed, or their last parts.
        yes: do not ask before removing.

    Returns:
        An entry for each run that is listed, or was removed.

    Raises:
        MedbundlesError: there is no such folder, or what is to be removed cannot be.

    Example:
        python -m tools runs --sort score
        python -m tools runs bundles/medical_segmentation/runs --remove run_20260101_120000
    """
    one_of("--sort", sort, SORTS)
    one_of("--format", format, FORMATS)
    if yes and not remove:
        raise ConfigError("--yes: goes with --remove NAME ...")
    if folder and not Path(folder).is_dir():
        raise DataError(f"{folder}: is no folder")
    base, roots = BUNDLES, sorted(BUNDLES.glob("*/runs"))
    if folder:
        root = Path(os.path.abspath(folder))
        base, roots = root.parent if RUN_NAME.fullmatch(root.name) else root, [root]
    found = [path for root in roots for path in find_runs(root)]
    if remove:
        removed = remove_runs(base, found, remove, yes)
        for row in (read_row(path, base) for path in found if path not in removed):
            weights = Path(str((row.changed or {}).get("checkpoint", "")))
            if any(weights.is_relative_to(run) for run in removed):
                print(f"note: {row.name} stays, an evaluation whose weights are removed")
        return [asdict(read_row(path, base)) for path in removed]
    rows = in_order([read_row(path, base) for path in found], sort)
    told = [{key: value for key, value in asdict(row).items() if key != "order"} for row in rows]
    print(json_text(told) if format == "json" else as_text(rows, base), end="")
    return told


def find_runs(root: Path) -> Iterator[Path]:
    """Run folders in a folder and below it; links are not followed."""
    if RUN_NAME.fullmatch(root.name):
        yield root
        return
    for parent, folders, _ in os.walk(root):
        for name in sorted(folders):
            if RUN_NAME.fullmatch(name.removeprefix(REMOVING)):
                folders.remove(name)
                if not Path(parent, name).is_symlink():
                    yield Path(parent, name)


def read_row(folder: Path, base: Path) -> RunRow:
    """What a run's files say; what is wrong with them stands in the row."""
    row = RunRow(
        name=folder.relative_to(base).as_posix(), order=run_order(folder.with_name(folder.name.removeprefix(REMOVING)))
    )
    if folder.name.startswith(REMOVING):
        row.state, row.problem = "being removed", "a removal was interrupted here; --remove it again"
        return row
    try:
        other = holder(folder)
        _fill(row, folder)
    except (MedbundlesError, OSError) as error:
        row.state, row.problem = "broken", str(error)
        return row
    if other:
        row.state, row.problem = "running", other
    return row


def _fill(row: RunRow, folder: Path) -> None:
    about = _read(folder, "config/environment.json", "environment")
    row.bundle = str(about.get("bundle") or Path(about.get("folder", "")).name)
    changed = about.get("changed")
    row.changed = None if changed is None else {name: entry["value"] for name, entry in changed.items()}
    history = _read(folder, "metrics/metrics.json", "history")
    test = folder / "metrics/test_metrics.json"
    if "evaluation" in row.name.split("/")[:-1] or (test.is_file() and not history):
        row.kind, scores = "evaluation", _read(folder, "metrics/test_metrics.json", "scores").get("metrics", {})
        row.state = "finished" if test.is_file() else "stopped"
        row.monitor = next(iter(headline(scores)), None)
        row.score = scores[row.monitor]["value"] if row.monitor else None
        return
    config = _read(folder, "config/config.json", "config")
    stopping = config.get("early_stopping")
    row.mode = (stopping.get("mode") if isinstance(stopping, dict) else None) or "max"
    row.epochs = len(history.get("epochs", ()))
    summary = history.get("summary", {})
    row.monitor, row.score, row.best_epoch = (summary.get(k) for k in ("monitor", "best_value", "best_epoch"))
    row.seconds = summary.get("seconds")
    row.state = "finished" if row.epochs and has_ended(folder, row.epochs, config) else f"stopped at epoch {row.epochs}"


def _read(folder: Path, name: str, shape: str) -> dict[str, Any]:
    return read_object(folder / name, folder, shape) if own(folder / name, folder) else {}


def in_order(rows: Sequence[RunRow], sort: str) -> list[RunRow]:
    """The rows sorted; what has no score, or no time, stands last."""
    keys = {
        "time": lambda row: row.order,
        "score": lambda row: (row.score is None, row.monitor or "", _cost(row)),
        "name": lambda row: row.name,
        "state": lambda row: row.state,
        "bundle": lambda row: row.bundle,
        "seconds": lambda row: math.inf if row.seconds is None else row.seconds,
    }
    return sorted(sorted(rows, key=lambda row: (row.order, row.name)), key=keys[sort])


def _cost(row: RunRow) -> float:
    return 0.0 if row.score is None else row.score if row.mode == "min" else -row.score


def as_text(rows: Sequence[RunRow], base: Path) -> str:
    """A few lines for each run, as wide as the terminal."""
    if not rows:
        return f"no runs in {base}\n"
    width, lines = shutil.get_terminal_size((80, 24)).columns, [f"in {base}:"]
    for row in rows:
        of = f" of {row.bundle}" if row.bundle else ""
        parts = [f"{row.kind}{of}, {row.state}"]
        if row.score is not None:
            at = f" (epoch {row.best_epoch})" if row.best_epoch else ""
            parts.append(f"{'best ' if at else ''}{row.monitor} {number(row.score)}{at}")
        if row.seconds is not None:
            parts.append(f"{row.epochs} epochs in {duration(row.seconds)}")
        texts = ["; ".join(parts), row.problem]
        if row.changed is not None:
            texts.append(", ".join(f"{name} {_short(value)}" for name, value in row.changed.items()) or "all defaults")
        lines += ["", row.name]
        for text in filter(None, texts):
            lines += textwrap.wrap(
                text, width, initial_indent="    ", subsequent_indent="      ", break_on_hyphens=False
            )
    return "\n".join([*lines, "", f"{len(rows)} runs", ""])


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
