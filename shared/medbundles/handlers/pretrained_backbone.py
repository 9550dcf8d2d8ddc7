"""Starts a new run from a pretrained backbone."""

from __future__ import annotations

from ignite.engine import Engine, Events
from monai.engines import SupervisedTrainer

from medbundles.errors import ConfigError
from medbundles.networks import GradingResNet, bare_network, load_medicalnet


class PretrainedBackbone:
    """Loads MedicalNet's weights into the network when a run starts from the beginning (a resumed run has its own).

    Args:
        path: the published file; None or False: random weights.

    Raises:
        CheckpointError: see `load_medicalnet`.
        ConfigError: the network is another one.
    """

    phase = "load"

    def __init__(self, path: str | None):
        self.path = path or None

    def attach(self, engine: Engine) -> None:
        """Wire it to the trainer."""
        engine.add_event_handler(Events.STARTED, self)

    def __call__(self, engine: SupervisedTrainer) -> None:
        if self.path is None or engine.state.epoch > 0:
            return  # epoch > 0: resumed, or a federated client runs the trainer again, with the server's weights
        network = bare_network(engine.network)
        if not isinstance(network, GradingResNet):
            raise ConfigError(
                f"pretrained_path: MedicalNet's weights fit a GradingResNet, not {type(network).__name__}."
            )
        load_medicalnet(network, self.path)
