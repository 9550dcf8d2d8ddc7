"""Copies the best weights of a finished run to the bundle's models folder."""

import json
import logging
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Engine, Events

from medbundles.atomic_files import remove_leftovers, replace_atomic, write_json_atomic
from medbundles.data.reading.files import content_id
from medbundles.data.reading.trained_file import TRAINED, read_trained
from medbundles.errors import first_few
from medbundles.handlers.resume import how_finished
from medbundles.handlers.run import run_of
from medbundles.lines import COMMAND, typed
from medbundles.metrics.measures import UNTRAINED
from medbundles.preflight.workflow import is_reference
from medbundles.ranks import is_rank_0
from medbundles.rules import AUTO
from medbundles.runs.checkpoints import by_id, load_checkpoint
from medbundles.runs.directory import experiment_folder
from medbundles.runs.trained import untrained_of

logger = logging.getLogger("medbundles")
PUBLISHED = ("model.pt", TRAINED, "model.json")


class Publish:
    """Writes models/model.pt (a plain state dict), model.json (where it comes from) and trained.json (its settings).

    What was published before is kept in models/earlier/<its run>_epoch_<its epoch>/, and can be used from there. The
    three belong together: model.json holds the checksum of model.pt, so that a publishing that was killed is noticed.

    The live network is not touched. A run that was ended before its last epoch, other than by early stopping, publishes
    nothing.

    Args:
        models_dir: folder for them; empty: models/ in the bundle's folder.
        enabled: False: nothing is published.
        data_license: what the licence of the data allows, for model.json; a path to a text file or a text; empty:
            docs/data_license.txt in the bundle's folder, if there is one.
        bundle_root: the bundle's folder.
    """

    phase = "end"

    def __init__(self, models_dir: str = "", enabled: bool = True, data_license: str = "", bundle_root: str = "."):
        licence, self.train_config = (
            Path(bundle_root, name) for name in ("docs/data_license.txt", "configs/train.json")
        )
        self.models_dir, self.enabled = models_dir or str(Path(bundle_root, "models")), enabled
        self.data_license = data_license or (str(licence) if licence.is_file() else "")

    def attach(self, engine: Engine) -> None:
        """Wire it to the trainer."""
        if self.enabled:
            engine.add_event_handler(Events.COMPLETED, self)
        engine.add_event_handler(Events.COMPLETED, self.say_what_next)

    def say_what_next(self, engine: Engine) -> None:
        """Say what tests the weights, and of a run with other settings than the bundle's own, such as quick_test's,
        what loads its model."""
        directory = run_of(engine).directory
        overlay = directory.folder("checkpoints") / TRAINED
        if not is_rank_0() or not how_finished(engine) or not overlay.is_file():
            return
        if (best := overlay.with_name("best.pt")).is_file():
            files = typed(f"['configs/train.json','configs/evaluate.json','{overlay.resolve()}']")
            name = typed(experiment_folder(directory.path).name)
            logger.info(
                "to test these weights, with this run's settings of the data and of the split beside:\n%s",
                f"{COMMAND}monai.bundle run --config_file {files} --checkpoint {typed(best.resolve())} "
                f"--experiment#name {name}",
            )
        if other := other_settings(self.train_config, read_trained(overlay)):
            export = f"{COMMAND}tools export {self.train_config.resolve().parents[1].name}"
            logger.info(
                "to share it, or to load it by monai.bundle.load (configs/train.json alone builds another network, or "
                "prepares images otherwise: %s), export it:\n%s --run %s",
                first_few(other), export, typed(directory.path.resolve()),
            )  # fmt: skip

    def __call__(self, engine: Engine) -> None:
        if not is_rank_0():
            return
        if not how_finished(engine):  # such as after a time limit
            logger.info("nothing is published: the run is not finished; --resume True goes on.")
            return
        directory = run_of(engine).directory
        best = directory.folder("checkpoints") / "best.pt"
        if not best.is_file():
            logger.warning("nothing is published: the run has no best.pt.")
            return
        checkpoint = load_checkpoint(best)
        folder = Path(self.models_dir)
        remove_leftovers(folder)
        kept = keep_earlier(folder, (checkpoint["run"], checkpoint["epoch"]))
        with replace_atomic(folder / "model.pt") as temporary:
            torch.save(checkpoint["network"], temporary)
        write_json_atomic(folder / TRAINED, checkpoint["trained"])
        about = self.about(checkpoint, directory.path) | {"model_id": content_id(folder / "model.pt")}
        write_json_atomic(folder / "model.json", about)
        replaced = f"; what was there is kept in {kept}" if kept else ""
        logger.info("published the weights of epoch %d as %s%s", checkpoint["epoch"], folder / "model.pt", replaced)

    def about(self, checkpoint: dict[str, Any], directory: Path) -> dict[str, Any]:
        """What model.json holds."""
        is_file = os.path.isfile(self.data_license)  # Path.is_file raises for a text longer than a file name
        return {
            "run": checkpoint["run"],
            "run_directory": str(directory),
            "epoch": checkpoint["epoch"],
            "metrics": checkpoint["metrics"],
            UNTRAINED: untrained_of(checkpoint),
            "data": {k: v for k, v in checkpoint["settings"].items() if k.endswith("_dir")},
            "data_fingerprint": checkpoint["data"],
            "data_license": Path(self.data_license).read_text(encoding="utf-8") if is_file else self.data_license,
        }


def other_settings(config: Path, trained: Mapping[str, Any]) -> list[str]:
    """The trained settings that a config file itself has otherwise, "setting value, here value"; empty without it.

    What refers to another setting says nothing of its own, and what each training measures is not compared.
    """
    if not config.is_file():
        return []
    own = by_id(json.loads(config.read_text(encoding="utf-8")))
    return [
        f"{name} {own[name]!r}, here {value!r}"
        for name, value in trained.items()
        if name in own and own[name] not in (AUTO, value) and not is_reference(own[name])
    ]


def keep_earlier(folder: Path, new: tuple[str, int]) -> Path | None:
    """Copy a published model to a folder of its own below `folder`.

    Args:
        folder: that of model.pt.
        new: run and epoch of what takes its place.

    Returns:
        Where the copy is; None where nothing is published, or the same.
    """
    if not (folder / "model.pt").is_file():
        return None
    try:
        about = json.loads((folder / "model.json").read_text(encoding="utf-8"))
        there = (str(about["run"]), about["epoch"])
    except (OSError, ValueError, LookupError, TypeError):  # not written by us, or broken
        there = (content_id(folder / "model.pt").replace(":", "_"), 0)
    if there == new:
        return None
    kept = folder / "earlier" / f"{Path(there[0]).name}_epoch_{there[1]}"
    for file in (folder / name for name in PUBLISHED):
        if file.is_file():
            with replace_atomic(kept / file.name) as temporary:
                shutil.copyfile(file, temporary)
    return kept
