"""A segmentation network on images of any size: whole, or by windows that are blended."""

from collections.abc import Callable, Sequence
from functools import partial
from itertools import combinations
from typing import Any

import torch
from ignite.utils import apply_to_tensor
from monai.inferers import sliding_window_inference

from medbundles.inferers.autocast import AutocastInferer
from medbundles.inferers.mean_probability import mean_probability

AT_ONCE = 4  # windows in one pass of the network


class WindowInferer(AutocastInferer):
    """Runs an image through the network by windows of the size that it was trained on.

    What the windows say is blended with MONAI's Gaussian weights, so that the middle of a window counts more than its
    border; an image that is smaller than a window repeats its border.

    Args:
        amp: as in `resolve_amp`.
        device: where the network runs.
        window: sides of a window; None: images go through whole.
        overlap: share of a window that the next one covers, 0 to below 1.
        flips: the mean of the probabilities of all flips (4 of a picture, 8 of a volume) instead of the image alone,
            see `medbundles.inferers.mean_probability`; it takes as many times as long. Of a network with several
            outputs each is averaged, and those that are no map of the image, such as the logits of its class, are not
            flipped back.
        mask_rule: of flips, that of `medbundles.transforms.Predictions`: with "regions" masks may overlap.

    Example:
        >>> inferer = WindowInferer("fp32", window=[16, 16])
        >>> inferer(torch.zeros(1, 1, 40, 20), torch.nn.Conv2d(1, 3, 1)).shape
        torch.Size([1, 3, 40, 20])
    """

    def __init__(
        self,
        amp: bool | str = "auto",
        device: str | torch.device = "cpu",
        window: Sequence[int] | None = None,
        overlap: float = 0.5,
        flips: bool = False,
        mask_rule: str = "classes",
    ):
        super().__init__(amp, device)
        self.mask_rule = mask_rule
        self.window, self.overlap, self.flips = list(window) if window else None, overlap, flips

    def __call__(self, inputs: torch.Tensor, network: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Image (B, C, ...) -> what the network returns, float32."""
        if not self.flips:
            return self._once(inputs, network, *args, **kwargs)
        axes = range(2, inputs.ndim)
        every = [flip for count in range(inputs.ndim - 1) for flip in combinations(axes, count)]
        passes = [partial(self._flipped, flip, inputs, network, *args, **kwargs) for flip in every]
        return mean_probability(passes, self.mask_rule)

    def _flipped(
        self, flip: tuple[int, ...], inputs: torch.Tensor, network: Callable[..., Any], *args: Any, **kwargs: Any
    ) -> Any:
        found = self._once(torch.flip(inputs, flip), network, *args, **kwargs)
        return apply_to_tensor(found, lambda logits: torch.flip(logits, flip) if logits.ndim == inputs.ndim else logits)

    def _once(self, inputs: torch.Tensor, network: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        if self.window is None:
            return super().__call__(inputs, network, *args, **kwargs)

        def of_window(window: torch.Tensor) -> Any:
            return super(WindowInferer, self).__call__(window, network, *args, **kwargs)

        return sliding_window_inference(
            inputs, self.window, AT_ONCE, of_window, self.overlap, mode="gaussian", padding_mode="replicate"
        )
