"""model.safetensors: the weights in a file that cannot hold code. Needs the extra `safetensors`."""

import torch

from medbundles.errors import MedbundlesError

from .network import Built


def safetensors_file(built: Built) -> tuple[bytes, str]:
    """The file, and what to say of it.

    Raises:
        MedbundlesError: the package is missing.
    """
    try:
        from safetensors.torch import load, save
    except ImportError as error:
        raise MedbundlesError(
            '--formats safetensors: safetensors is not installed: pip install "medbundles[safetensors]"'
        ) from error
    weights = {name: value.contiguous().clone() for name, value in built.network.state_dict().items()}
    content = save(weights, {"format": "pt"})
    read = load(content)
    if read.keys() != weights.keys() or not all(torch.equal(read[name], weights[name]) for name in weights):
        raise MedbundlesError("models/model.safetensors: the weights are not read back as they were written")
    return content, "the same tensors as model.pt, bit by bit"
