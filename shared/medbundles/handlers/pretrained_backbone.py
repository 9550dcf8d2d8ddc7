"""Starts a new run from a pretrained backbone."""

from torch import nn

from medbundles.errors import ConfigError
from medbundles.handlers.initial_weights import InitialWeights
from medbundles.networks import GradingResNet, load_medicalnet


class PretrainedBackbone(InitialWeights):
    """Loads MedicalNet's weights into the network when a run starts from the beginning (a resumed run has its own).

    Args:
        path: the published file; None or False: random weights.

    Raises:
        CheckpointError: see `load_medicalnet`.
        ConfigError: the network is another one.
    """

    def load(self, network: nn.Module) -> None:
        """Give the network the file's weights."""
        if not isinstance(network, GradingResNet):
            raise ConfigError(
                f"pretrained_path: MedicalNet's weights fit a GradingResNet, not {type(network).__name__}."
            )
        load_medicalnet(network, str(self.path))
