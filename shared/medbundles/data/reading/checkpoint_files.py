"""Which files of weights `checkpoint` stands for: one, several of an ensemble, or those of a cross-validation."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from medbundles.data.reading.files import content_id, identical_files
from medbundles.data.reading.trained_file import TRAINED
from medbundles.errors import CheckpointError
from medbundles.json_files import read_json

FOLDS = "kfold_run.json"  # in the folder of a cross-validation: what is done of each fold
REPORT = "kfold"  # its subfolder for what is made of all folds
BEST = "checkpoints/best.pt"  # in a run's folder

Checkpoint = str | Path | Sequence[str | Path]


def checkpoint_files(checkpoint: Checkpoint) -> list[Path]:
    """The files, of which one that is not there may be named.

    Args:
        checkpoint: a file, or several in a list; the folder of a cross-validation (`python -m tools kfold`) stands for
            the best.pt of each of its folds, wherever the folder has been moved.

    Raises:
        CheckpointError: a folder that is none, or whose folds are not all trained; a file that is named twice, or two
            of the same content.
    """
    given = [checkpoint] if isinstance(checkpoint, (str, Path)) else checkpoint
    files = [file for path in map(Path, given) for file in (_of_folds(path) if path.is_dir() else [path])]
    twice = [str(file) for file in dict.fromkeys(files) if files.count(file) > 1]
    if twice:
        raise CheckpointError(f"checkpoint: {', '.join(twice)} is named more than once; an ensemble has each once.")
    for same in identical_files(file for file in files if file.is_file()):  # copies, links
        raise CheckpointError(
            f"checkpoint: {' and '.join(same)} hold the same weights, which would count {len(same)} times; an "
            "ensemble has each once."
        )
    return files


def _of_folds(folder: Path) -> list[Path]:
    if not (folder / FOLDS).is_file():
        there = next((path for path in sorted(folder.rglob("*.pt"))), folder / BEST)
        raise CheckpointError(
            f"checkpoint: {folder} is a folder, but none of a cross-validation (it has no {FOLDS}); name a file of "
            f"weights, such as {there}, or several in a list."
        )
    about = read_json(folder / FOLDS, CheckpointError, ("folds", "done"), "Name the files of weights in a list.")
    runs = {fold: about["done"].get(str(fold), {}).get("run") for fold in range(about["folds"])}
    missing = ", ".join(str(fold) for fold, run in runs.items() if not run)
    if missing:
        raise CheckpointError(
            f"checkpoint: the cross-validation in {folder} has no weights of fold {missing} yet; go on with it "
            "(python -m tools kfold ... --resume True), or name the files of the others in a list."
        )
    return [folder / f"fold_{fold}" / Path(run).name / BEST for fold, run in runs.items()]


def settings_file(checkpoint: Checkpoint) -> Path:
    """The config overlay with the settings of the weights: that of a cross-validation, or beside the first file."""
    of_folds = Path(checkpoint) / REPORT / TRAINED if isinstance(checkpoint, (str, Path)) else None
    return of_folds if of_folds and of_folds.is_file() else checkpoint_files(checkpoint)[0].with_name(TRAINED)


def named_weights(checkpoint: Checkpoint) -> dict[str, Any]:
    """What results say of their weights: "checkpoint" and "checkpoint_id", a hash of its content ("" where it is not
    there); of several files lists."""
    files = checkpoint_files(checkpoint) if checkpoint else []
    names, hashes = [str(file) for file in files], [content_id(file) if file.is_file() else "" for file in files]
    each = {"checkpoint": names, "checkpoint_id": hashes}
    return {name: values if len(files) > 1 else "".join(values) for name, values in each.items()}
