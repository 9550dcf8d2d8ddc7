"""Grad-CAM of one output of a network, 2D or 3D: where in the image the class score comes from."""

from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any

import torch
from torch import nn
from torch.nn.functional import interpolate

from medbundles.errors import ConfigError

METHODS = ("hires", "mean")
_LINEAR = {2: "bilinear", 3: "trilinear"}  # interpolation of a map with so many axes


class GradCam:
    """Heat maps of the classification head; leaves the network as it was.

    "mean" is Grad-CAM (Selvaraju et al. 2017, arXiv:1610.02391): channels weighted by their mean gradient. "hires" is
    HiResCAM (Draelos and Carin 2020, arXiv:2011.08891): each position weighted by its own gradient; both are equal
    where the head is linear after average pooling. With instance normalisation the mean gradient is dominated by
    the background, and "mean" points anywhere: on `make_phantoms` (24 test slices with a lesion, U-Net with 16 filters
    and depth 3, 96x96) its heat is 1.1 times as dense inside the lesion as over the image, that of "hires" 10.8 times.
    At the bottleneck neither works: there a position has seen nearly the whole image.

    MONAI's `visualize.GradCAM` is not used: it leaves its hooks in the network, zeroes the gradients, finds nothing
    where parameters are frozen, and cannot read a dict of outputs.

    Args:
        network: gives logits (B, N), alone or in a dict.
        target_layer: name of a submodule whose output is (B, C, h, w) or (B, C, x, y, z), or several names: their
            maps are averaged. For `MultitaskUNet` "encoder.downs.1" has a quarter of the resolution: fine enough for
            small lesions, deep enough to know a lesion. For `GradingResNet` "backbone.layer1": on
            `make_graded_phantoms` (30 held-out cases of 48x48x48, depth 10, strided, AUC 0.99) its heat is 9 times as
            dense inside the lesion as over the volume on average (above 3 in 47 % of the cases), layer4's 1.2 times.
        method: "hires" or "mean".

    Raises:
        ConfigError: unknown method or layer.

    Example::

        {"_target_": "medbundles.reports.GradCam", "network": "@network", "target_layer": "encoder.downs.1"}
    """

    def __init__(
        self,
        network: nn.Module,
        target_layer: str | Sequence[str] = "encoder.downs.1",
        method: str = "hires",
    ):
        if method not in METHODS:
            raise ConfigError(f"grad_cam method {method!r} is unknown; use one of: {', '.join(METHODS)}")
        for wrapper in ("module", "_orig_mod"):  # DistributedDataParallel, torch.compile
            network = getattr(network, wrapper, network)
        names = dict(network.named_modules())
        layers = [target_layer] if isinstance(target_layer, str) else list(target_layer)
        for layer in layers:
            if layer not in names:
                near = get_close_matches(layer, names, n=3, cutoff=0.3)
                raise ConfigError(f"grad_cam target_layer {layer!r} is not in the network; near are: {', '.join(near)}")
        self.network, self.layers, self.method = network, layers, method
        self.kept: dict[nn.Module, torch.Tensor] = {}
        self.hooks: list[Any] = []
        self.size: torch.Size | None = None

    @property
    def watching(self) -> bool:
        """Whether a forward pass since `watch` has left what `maps` needs."""
        return bool(self.kept)

    def watch(self, *networks: nn.Module) -> None:
        """Let the next forward pass, whoever runs it, keep the features of the layers and what follows from them.

        Gradients are recorded from the first of the layers on, also within `torch.no_grad`, to whose end they are on.

        Args:
            networks: those of an ensemble, whose maps are averaged, in the place of the one network.
        """

        def note_size(network: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
            self.size = inputs[0].shape[2:]

        def keep(layer: nn.Module, inputs: Any, output: torch.Tensor) -> torch.Tensor:
            if layer in self.kept:  # of several passes, as of flips, the first counts: that of the image as it is
                return output
            first = not output.requires_grad
            self.kept[layer] = output.detach().requires_grad_() if first else output
            torch.set_grad_enabled(True)
            return self.kept[layer].clone()  # what comes next may change its input in place

        self.forget()
        for network in networks or (self.network,):
            self.hooks.append(network.register_forward_pre_hook(note_size))
            self.hooks += [network.get_submodule(name).register_forward_hook(keep) for name in self.layers]

    def forget(self) -> None:
        """Leave the network as it was, and drop the features."""
        for hook in self.hooks:
            hook.remove()
        self.hooks, self.kept = [], {}

    def maps(self, logits: torch.Tensor, class_index: torch.Tensor) -> torch.Tensor:
        """Heat for one class per image of the forward pass that was watched.

        Args:
            logits: (B, N) that it gave, with their graph.
            class_index: (B,) classes.

        Returns:
            (B, H, W) or (B, X, Y, Z) float32, 0 to 1, each map divided by its maximum; all 0 where nothing speaks for
            the class.

        Raises:
            ConfigError: a layer's output is no map of the image (what comes after pooling is none).
        """
        assert self.size is not None
        with torch.enable_grad():
            # images do not influence each other in evaluation mode, so the sum gives each its own gradient
            score = logits.gather(1, class_index.reshape(-1, 1)).sum()
            gradients = torch.autograd.grad(score, list(self.kept.values()))
        pairs = zip(self.kept.values(), gradients, strict=True)
        maps = [self._map(features.detach().float(), gradient.float(), self.size) for features, gradient in pairs]
        return _scaled(torch.stack(maps).mean(dim=0))

    def _map(self, features: torch.Tensor, gradient: torch.Tensor, size: Any) -> torch.Tensor:
        axes = tuple(range(2, features.ndim))
        if len(axes) != len(size) or features[0, 0].numel() == 1:
            raise ConfigError(
                f"grad_cam target_layer: its output {tuple(features.shape)} is no map of an image {tuple(size)}: "
                "it has one position only; name an earlier layer, or give larger images"
            )
        weight = gradient if self.method == "hires" else gradient.mean(dim=axes, keepdim=True)
        heat = (weight * features).sum(dim=1, keepdim=True).relu()
        return _scaled(interpolate(heat, size, mode=_LINEAR[len(axes)], align_corners=False)[:, 0])


def _scaled(heat: torch.Tensor) -> torch.Tensor:
    top = heat.amax(dim=tuple(range(1, heat.ndim)), keepdim=True)
    return torch.where(top > 0, heat / top.clamp(min=1e-30), torch.zeros_like(heat))
