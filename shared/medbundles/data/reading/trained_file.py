"""trained.json: the settings that weights were trained with, a config overlay beside the weights."""

from pathlib import Path
from typing import Any

from medbundles.errors import CheckpointError
from medbundles.json_files import read_json

TRAINED = "trained.json"
ADVICE = "It belongs to {}; publish again, or give the weights of a run, checkpoints/best.pt."


def read_trained(weights: Path) -> dict[str, Any]:
    """The settings by id; empty where the file is not there.

    Raises:
        CheckpointError: it is broken.
    """
    file = weights.with_name(TRAINED)
    return read_json(file, CheckpointError, (), ADVICE.format(weights)) if file.is_file() else {}
