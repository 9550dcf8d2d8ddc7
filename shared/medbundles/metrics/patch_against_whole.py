"""How much worse a network is on whole images than on patches as large as those that it was trained on."""

from collections.abc import Sequence
from typing import Any

import torch
from monai.networks.utils import eval_mode

from medbundles.metrics.measures import Output, reconstruction


class PatchAgainstWhole:
    """l1_patch (B,): mean absolute error of each image's centre patch, reconstructed alone; l1_gap (B,): that of the
    same place in the whole image's reconstruction, minus l1_patch.

    A gap well above 0 says that the network relies on what only patches have; normalisation with one channel per group
    does so. Reads pred["reconstruction"] (B, C, ...) and its target, as `Reconstruction`, and runs the network once
    more on the patches, in evaluation mode and with the inferer's precision.

    Args:
        network: gives {"reconstruction": (B, C, ...)}, such as `medbundles.networks.Autoencoder`.
        inferer: runs it, as the evaluator's.
        patch_size: of the patch, in pixels for each dimension; of a smaller image what there is.

    Example::

        {"_target_": "medbundles.metrics.PatchAgainstWhole", "network": "@network_def",
         "inferer": "@validate#inferer", "patch_size": "@patch_size"}
    """

    def __init__(self, network: torch.nn.Module, inferer: Any, patch_size: Sequence[int]):
        self.network, self.inferer, self.patch_size = network, inferer, list(patch_size)

    @torch.no_grad()
    def __call__(self, output: Output) -> dict[str, torch.Tensor]:
        """The columns of a batch."""
        whole, target = reconstruction(output)
        sides = [min(pair) for pair in zip(self.patch_size, target.shape[2:], strict=True)]
        starts = [(whole - side) // 2 for whole, side in zip(target.shape[2:], sides, strict=True)]
        place: tuple[Any, ...] = (..., *(slice(start, start + side) for start, side in zip(starts, sides, strict=True)))
        patch = target[place].contiguous()
        # a validation hands the network back in training mode before anything is measured
        mixed = target.is_cuda and getattr(self.inferer, "engine_amp", False)
        with eval_mode(self.network), torch.autocast(target.device.type, enabled=mixed):
            alone = self.inferer(patch, self.network)["reconstruction"]
        of_patch, of_whole = (
            (made.double() - patch.double()).abs().flatten(1).mean(1) for made in (alone, whole[place])
        )
        return {"l1_patch": of_patch, "l1_gap": of_whole - of_patch}
