"""A pass through a network whose failure says which network it is, and what it was given."""

import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from medbundles.errors import ConfigError, MedbundlesError
from medbundles.memory import ran_out
from medbundles.networks import bare_network, small_inputs

# where a layer fails because of what it is given
_LAYERS = (str(Path(torch.__file__).parent), small_inputs.__file__, "<")


def forward(network: Callable[..., Any], inputs: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
    """What a network, or its encoder or decoder, makes of its inputs (B, C, ...).

    Raises:
        ConfigError: the network raises, as one of someone else's does that takes other channels or sizes; with its
            message and the line that called the layer.
    """
    try:
        return network(inputs, *args, **kwargs)
    except MedbundlesError:
        raise
    except Exception as error:  # whatever a network raises
        if ran_out(error):  # what to lower is said elsewhere
            raise
        frames = traceback.extract_tb(error.__traceback__)
        where = [frame for frame in frames if not frame.filename.startswith(_LAYERS)][-1]
        whole: Any = getattr(network, "__self__", network)  # of an encoder or decoder
        bare = bare_network(whole)
        raise ConfigError(
            f"network_def: {type(bare).__name__} cannot work on an input of shape {tuple(inputs.shape)}: "
            f"{type(error).__name__} in {where.filename}:{where.lineno}: {error}"
        ) from error
