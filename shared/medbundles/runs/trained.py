"""What a weights file says of the training that it comes from."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from medbundles.data.reading.files import content_id
from medbundles.data.reading.trained_file import ADVICE, TRAINED, read_trained
from medbundles.errors import CheckpointError
from medbundles.json_files import read_json
from medbundles.metrics.measures import UNTRAINED
from medbundles.runs.checkpoints import load_checkpoint
from medbundles.transforms.image_ranges import NAME

INITIAL_WEIGHTS = "initial_weights"  # part of a checkpoint
MEASURED = ("_threshold", NAME)  # endings of settings that each training measures; evaluations take the weights' own


def untrained_of(checkpoint: Mapping[str, Any]) -> list[str]:
    """Outputs of the network, "seg" or "cls", that the run of a checkpoint has not trained."""
    return list(checkpoint.get("parts", {}).get(INITIAL_WEIGHTS, {}).get(UNTRAINED, []))  # files of 0.1.0 do not say


def trained_with(path: Path) -> tuple[dict[str, Any], str, list[str]]:
    """The settings that a weights file was trained with, the run it comes from, and the network's outputs that it did
    not train, as far as the files say.

    A checkpoint of a run holds both; a published model has trained.json and model.json beside it.
    """
    describing = path.with_name("model.json")
    if path.name == "model.pt" and describing.is_file() and path.with_name(TRAINED).is_file():
        trained = read_trained(path)
        about = read_json(describing, CheckpointError, ("run", "epoch"), ADVICE.format(path))
        if "model_id" in about and about["model_id"] != content_id(path):  # those of 0.1.0 have none
            run = about.get("run_directory", about["run"])
            raise CheckpointError(
                f"{path}: is not the file that {describing} describes: publishing was broken off, or a file was "
                f"exchanged. Give the weights of the run itself, checkpoints/best.pt in {run}."
            )
        return trained, f"run {about['run']}, epoch {about['epoch']}", about.get(UNTRAINED, [])
    try:
        checkpoint = load_checkpoint(path)
    except CheckpointError:
        return {}, "an unknown run (only weights)", []
    run = f"run {checkpoint.get('run', 'unknown')}, epoch {checkpoint.get('epoch', 'unknown')}"
    return checkpoint.get("trained", {}), run, untrained_of(checkpoint)
