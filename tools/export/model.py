"""The model that is exported: its weights, the settings that they belong to, and where they come from."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from medbundles.data.reading.checkpoint_files import BEST, FOLDS
from medbundles.data.reading.files import content_id
from medbundles.errors import CheckpointError, first_few
from medbundles.handlers.publish import Publish
from medbundles.json_files import read_json
from medbundles.networks.loading import read_weights
from medbundles.preflight.schema import read_settings
from medbundles.runs.checkpoints import load_checkpoint
from medbundles.runs.directory import run_folder
from medbundles.runs.trained import trained_with

from ..staging import SYNTHETIC

PLACES = ("run_directory", "data")  # of model.json: folders of the machine that trained


@dataclass(frozen=True)
class Model:
    """What is exported.

    Attributes:
        weights: name -> tensor.
        trained: id -> value of every setting that the weights depend on; empty where nothing is known.
        about: what model.json says, without folders of this machine; empty where nothing is known.
        source: where the weights come from, for people.
        synthetic: whether they were trained on phantoms, as far as the data are still there.
    """

    weights: Mapping[str, torch.Tensor]
    trained: Mapping[str, Any]
    about: Mapping[str, Any]
    source: str
    synthetic: bool = False

    @property
    def metrics(self) -> dict[str, float]:
        """Of the epoch that the weights are of, on the validation data, without what is not defined on these."""
        metrics = self.about.get("metrics", {})
        return {name: value for name, value in metrics.items() if value is not None and math.isfinite(value)}


def published(folder: Path) -> Model:
    """The model in the models folder of a bundle.

    Raises:
        CheckpointError: there is none; or it is not what the files beside it describe.
    """
    path = folder / "models" / "model.pt"
    if not path.is_file():
        raise CheckpointError(
            f"{path}: there are no weights yet. Train first (configs/train.json; with quick_test.json also --publish "
            "True), or give a run's folder: --run RUN."
        )
    trained, source, _ = trained_with(path)
    describing = path.with_name("model.json")
    about = read_json(describing, CheckpointError, (), "Publish again.") if describing.is_file() else {}
    _of_this_bundle(folder, trained, str(path))
    known = _without_places(about) | ({"exported_from": content_id(path)} if about else {})
    return Model(read_weights(path), trained, known, source, _of_phantoms(about))


def of_run(folder: Path, run: Path) -> Model:
    """The best weights of a run.

    Args:
        folder: the bundle.
        run: the run's folder.

    Raises:
        CheckpointError: it is no run's folder, its weights are missing, or it is a run of another bundle.
    """
    configuration = run / "config" / "config.json"
    if not configuration.is_file():
        experiment = f"of a fold, such as {run}/fold_0" if (run / FOLDS).is_file() else "such as runs/EXPERIMENT"
        raise CheckpointError(
            f"--run: {run} is no run's folder (no config/config.json); give one {experiment}/run_20260101_120000."
        )
    config = read_json(configuration, CheckpointError, (), "It is written anew by the next training.")
    best = run / str(config.get("checkpoint_dir", "checkpoints")) / Path(BEST).name
    if not best.is_file():
        raise CheckpointError(
            f"--run: {best} is missing, so the run has no best weights: it ended before its first validation, or "
            "checkpointing#save_best was off. Give another run."
        )
    checkpoint = load_checkpoint(best)
    _of_this_bundle(folder, checkpoint["settings"], f"--run: {run}")
    if (belongs := run_folder(best.resolve())) and belongs.name != checkpoint["run"]:
        raise CheckpointError(f"--run: {best} is of {checkpoint['run']}; the file was copied into another run.")
    about = Publish(bundle_root=str(folder)).about(checkpoint, run)
    source = f"run {checkpoint['run']}, epoch {checkpoint['epoch']}"
    known = _without_places(about) | {"exported_from": content_id(best)}
    return Model(checkpoint["network"], checkpoint["trained"], known, source, _of_phantoms(about))


def _without_places(about: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in about.items() if name not in PLACES}


def _of_phantoms(about: Mapping[str, Any]) -> bool:
    places = [place for place in about.get("data", {}).values() if isinstance(place, str)]
    return any((Path(place) / SYNTHETIC).is_file() for place in places)


def _of_this_bundle(folder: Path, settings: Mapping[str, Any], what: str) -> None:
    known = {setting.id for setting in read_settings(folder / "configs" / "schema.json")}
    foreign = [name for name in settings if name not in known]
    if foreign:
        raise CheckpointError(
            f"{what}: is of another bundle, or of another version of it: {folder.name} has no setting "
            f"{first_few(foreign)}."
        )
