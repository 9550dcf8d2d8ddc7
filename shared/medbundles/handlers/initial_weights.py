"""Starts a new run from the weights of an earlier one."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ignite.engine import Engine, Events
from monai.engines import SupervisedTrainer
from torch import nn

from medbundles.errors import CheckpointError
from medbundles.handlers.stateful import stateful
from medbundles.metrics.measures import UNTRAINED
from medbundles.networks import bare_network, load_weights
from medbundles.runs.trained import INITIAL_WEIGHTS, trained_with

WHAT = {"seg": "masks", "cls": "classes"}
logger = logging.getLogger("medbundles")


def say_untrained(outputs: Sequence[str]) -> None:
    """Log which of the network's outputs no score, plot or file is made of."""
    for name in outputs:
        logger.info("the network's %s are not trained: no scores, plots or heat maps of them.", WHAT[name])


class InitialWeights:
    """Loads weights into the network when a run starts from the beginning (a resumed run has its own).

    Args:
        path: weights or checkpoint file; a folder stands for its newest run's best.pt; None or False: random weights.
        bundle_root: the bundle's folder; a folder of runs that is named like one of its configs is that stage's, and
            the message about missing weights names the command that makes them.
        postprocessing: the engine's (`medbundles.transforms.Predictions`), told which outputs are not trained: those
            that the loss gives no weight, unless the starting weights had them trained. It makes nothing of them, so
            nothing of them is measured, drawn or reported. It is part of the checkpoints.

    Raises:
        CheckpointError: the file is missing (names the command that makes it), unsafe, or does not fit the network.
    """

    phase = "load"

    def __init__(self, path: str | None, bundle_root: str = ".", postprocessing: Any = None):
        self.path, self.configs = path or None, Path(bundle_root, "configs")
        self.postprocessing, self.untrained = postprocessing, list[str]()

    def attach(self, engine: Engine) -> None:
        """Wire it to the trainer."""
        stateful(engine)[INITIAL_WEIGHTS] = self
        engine.add_event_handler(Events.STARTED, self)

    def state_dict(self) -> dict[str, Any]:
        """The outputs that are not trained."""
        return {UNTRAINED: self.untrained}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Those of a checkpoint."""
        self.untrained = state[UNTRAINED]

    def __call__(self, engine: SupervisedTrainer) -> None:
        # epoch > 0: resumed, or a federated client runs the trainer again, with the server's weights
        if engine.state.epoch == 0:
            self.untrained = list(getattr(getattr(engine, "loss_function", None), "unweighted", []))
            if self.path is not None:
                self.load(bare_network(engine.network))
                before = trained_with(self.find())[2] if self.untrained else []
                self.untrained = [name for name in self.untrained if name in before]
        if self.postprocessing is not None:
            self.postprocessing.untrained = self.untrained
            say_untrained(self.untrained)

    def load(self, network: nn.Module) -> None:
        """Give the network the file's weights."""
        load_weights(network, self.find(), starting=True)

    def find(self) -> Path:
        """The file itself; in a folder of runs, the newest best.pt."""
        path = Path(str(self.path))
        if path.is_dir():
            path = max(path.rglob("best.pt"), key=lambda p: p.stat().st_mtime, default=path / "best.pt")
        if not path.is_file():
            raise CheckpointError(f"init_from: {path} does not exist. {self.advice()}")
        return path

    def advice(self) -> str:
        """Which command makes the weights."""
        path = Path(str(self.path))
        stage = next((p for p in (path, *path.parents) if self.config(p).is_file()), None)
        if stage is None:
            return "Name the best.pt of a run with --init_from FILE, or start from random weights: --init_from False."
        return (
            "Train that stage first, with the same further configs and settings: python -m monai.bundle run "
            f"--config_file \"['{self.configs / 'train.json'}','{self.config(stage)}']\", "
            "or name the best.pt of a run with --init_from FILE."
        )

    def config(self, folder: Path) -> Path:
        """The config file of the stage whose runs stand in a folder."""
        return self.configs / f"{folder.name}.json"
