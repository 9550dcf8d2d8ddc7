"""How far a training has come, as its files say."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

SAME_TIME = 3.0  # seconds within which files were written by the same end of a run


def has_ended(folder: Path, epochs: int, config: Mapping[str, Any]) -> bool:
    """Whether a training has done all its epochs, or was ended by early stopping: then it has reported its validation
    since its last epoch.

    Args:
        folder: the run's.
        epochs: how many it has done.
        config: its config/config.json.
    """
    asked, report = config.get("epochs"), folder / "metrics/val_metrics.json"
    if isinstance(asked, int) and epochs >= asked:
        return True
    return report.is_file() and report.stat().st_mtime > (folder / "metrics/metrics.json").stat().st_mtime - SAME_TIME
