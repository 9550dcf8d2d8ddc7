"""Copies the best weights of a finished run to the bundle's models folder."""

import logging
import os
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Engine, Events

from medbundles.atomic_files import replace_atomic, write_json_atomic
from medbundles.handlers.resume import how_finished
from medbundles.handlers.run import run_of
from medbundles.ranks import is_rank_0
from medbundles.runs.checkpoints import load_checkpoint

logger = logging.getLogger("medbundles")


class Publish:
    """Writes models/model.pt (a plain state dict), model.json (where it comes from) and trained.json (its settings).

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
        licence = Path(bundle_root, "docs/data_license.txt")
        self.models_dir, self.enabled = models_dir or str(Path(bundle_root, "models")), enabled
        self.data_license = data_license or (str(licence) if licence.is_file() else "")

    def attach(self, engine: Engine) -> None:
        """Wire it to the trainer."""
        if self.enabled:
            engine.add_event_handler(Events.COMPLETED, self)

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
        with replace_atomic(folder / "model.pt") as temporary:
            torch.save(checkpoint["network"], temporary)
        write_json_atomic(folder / "trained.json", checkpoint["trained"])
        write_json_atomic(folder / "model.json", self.about(checkpoint, directory.path))
        logger.info("published the weights of epoch %d as %s", checkpoint["epoch"], folder / "model.pt")

    def about(self, checkpoint: dict[str, Any], directory: Path) -> dict[str, Any]:
        """What model.json holds."""
        is_file = os.path.isfile(self.data_license)  # Path.is_file raises for a text longer than a file name
        return {
            "run": checkpoint["run"],
            "run_directory": str(directory),
            "epoch": checkpoint["epoch"],
            "metrics": checkpoint["metrics"],
            "data": {k: v for k, v in checkpoint["settings"].items() if k.endswith("_dir")},
            "data_fingerprint": checkpoint["data"],
            "data_license": Path(self.data_license).read_text(encoding="utf-8") if is_file else self.data_license,
        }
