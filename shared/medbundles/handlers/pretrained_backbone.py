"""Starts a new run from a pretrained backbone."""

from __future__ import annotations

from ignite.engine import Engine, Events

from medbundles.networks import GradingResNet, load_medicalnet
from medbundles.runs.directory import RunDirectory


class PretrainedBackbone:
    """Loads MedicalNet's weights into the network when a run starts from the beginning (a resumed run has its own).

    Args:
        network: the bare network.
        path: the published file; None or False: random weights.
        run_dir: says whether the run is resumed.

    Raises:
        CheckpointError: see `load_medicalnet`.
    """

    def __init__(self, network: GradingResNet, path: str | None, run_dir: RunDirectory):
        self.network, self.path, self.run_dir = network, path or None, run_dir

    def attach(self, engine: Engine) -> None:
        """Wire it to the trainer."""
        engine.add_event_handler(Events.STARTED, self)

    def __call__(self, engine: Engine) -> None:
        if self.path is None or self.run_dir.resume or self.run_dir.resume_from or engine.state.epoch > 0:
            return  # epoch > 0: a federated client runs the trainer again, with the server's weights
        load_medicalnet(self.network, self.path)
