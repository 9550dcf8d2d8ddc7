"""An autoencoder on images of any size: whole, or by windows that are blended."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from monai.inferers import sliding_window_inference

from medbundles.errors import refuse
from medbundles.inferers.autocast import AutocastInferer
from medbundles.inferers.forward import forward
from medbundles.losses.per_image import at_least_float32
from medbundles.networks import bare_network
from medbundles.networks.padding import cropped
from medbundles.rules import EVERYWHERE, Rule, has_rules

Sides = int | Sequence[int]


def _windows_fit(above: int, window: Sides, dims: int, channels: Sequence[int]) -> str | None:
    sides, factor = _each(window, dims), 2 ** (len(channels) - 1)
    if not above:
        return None
    if len(sides) != dims:
        return f"window_size: {sides} has {len(sides)} numbers; spatial_dims is {dims}: give {dims}, or one for all."
    if any(side % factor for side in sides):
        return f"window_size: {sides} must be multiples of {factor}, by which the network shrinks an image."
    return None


def _each(window: Sides, dims: int) -> list[int]:
    return [window] * dims if isinstance(window, int) else list(window)


@has_rules(Rule(("window_above", "window_size", "spatial_dims", "network_def#channels"), _windows_fit, EVERYWHERE))
class AutoencoderInferer(AutocastInferer):
    """Reconstructs images, decodes latents and what lies between two images, with bounded memory.

    An image whose sides are all at most `window_above` goes through the network whole. A larger one is encoded by
    windows, whose means and sigmas are blended to one latent, and that latent is decoded by windows, which are blended
    to one image; both with MONAI's Gaussian weights. So a latent that was saved gives the same image when it is decoded
    later. Windows begin at multiples of what the network shrinks an image by.

    The mean of the latent is decoded, so that two calls are equal.

    Args:
        amp: as in `resolve_amp`.
        device: where the network runs.
        window_above: longest side in pixels that goes through whole; 0: any, never by windows.
        window_size: sides of a window in pixels, a number for all or one for each dimension; multiples of the factor.
        window_overlap: share of a window that the next one covers, 0 to below 1; rounded up to the factor.
        factor: by what the network shrinks a side of an image, where the network cannot say it (TorchScript).

    Raises:
        ConfigError: for an unknown `amp`, or (when the first large image comes) windows that do not fit the network.

    Example:
        >>> from medbundles.networks import Autoencoder
        >>> network = Autoencoder(channels=(8, 16), attention_levels=(False, False), norm_num_groups=4).eval()
        >>> inferer = AutoencoderInferer("fp32", window_above=64, window_size=32)
        >>> out = inferer(torch.zeros(1, 1, 70, 41), network)
        >>> out["reconstruction"].shape, out["mean"].shape
        (torch.Size([1, 1, 70, 41]), torch.Size([1, 4, 35, 21]))
    """

    def __init__(
        self,
        amp: bool | str = "auto",
        device: str | torch.device = "cpu",
        window_above: int = 0,
        window_size: Sides = 512,
        window_overlap: float = 0.25,
        factor: int | None = None,
    ):
        super().__init__(amp, device)
        self.factor = factor
        self.window_above, self.window_size, self.window_overlap = window_above, window_size, window_overlap

    def __call__(
        self,
        inputs: torch.Tensor,
        network: Callable[..., Any],
        *args: Any,
        size: Sequence[int] | None = None,
        other: torch.Tensor | None = None,
        weight: float = 0.0,
    ) -> dict[str, torch.Tensor]:
        """Images (B, C, ...) -> {"reconstruction": (B, C, ...), "mean" and "sigma": (B, L, ...)}, float32.

        Args:
            inputs: images, or with `size` the means of latents (B, L, ...).
            network: an `Autoencoder`, or the TorchScript that the export makes of one.
            args: none.
            size: size of the images that the latents come from; the result then has no "mean" and "sigma".
            other: images as large as `inputs`; what is decoded is then (1 - weight) * mean + weight * mean of other.
            weight: 0 to 1.
        """
        network = bare_network(network)  # type: ignore[arg-type]
        if size is not None:
            return {"reconstruction": self.decode(inputs, network, size)}
        mean, sigma = self.encode(inputs, network)
        if other is not None:
            mean = torch.lerp(mean, self.encode(other, network)[0], weight)
        return {"reconstruction": self.decode(mean, network, inputs.shape[2:]), "mean": mean, "sigma": sigma}

    def encode(self, image: torch.Tensor, network: Any) -> tuple[torch.Tensor, torch.Tensor]:
        """Images (B, C, ...) -> mean and sigma (B, L, ...) of the latent, of the padded image."""
        return self._run(network.encode, network.padded(image), image.shape[2:], self.factor or network.factor, 1)

    def decode(self, mean: torch.Tensor, network: Any, size: Sequence[int]) -> torch.Tensor:
        """Means of latents (B, L, ...) -> images (B, C, *size)."""
        factor = self.factor or network.factor
        made = self._run(network.decode, mean, size, factor, factor)
        return cropped(made, list(size))

    def _run(
        self, part: Callable[[torch.Tensor], Any], inputs: torch.Tensor, size: Sequence[int], factor: int, shrunk: int
    ) -> Any:
        """Encoder or decoder on all of `inputs`, whose pixels are `shrunk` pixels of the image wide.

        Whether it goes by windows follows from the image's size alone, so that both parts do the same.
        """

        def at_full_precision(window: torch.Tensor) -> Any:
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=self.enabled):
                made = forward(part, window)
            return tuple(map(at_least_float32, made)) if isinstance(made, tuple) else at_least_float32(made)

        if not self.window_above or max(size) <= self.window_above:
            return at_full_precision(inputs)
        windows = _each(self.window_size, len(size))
        refuse([_windows_fit(self.window_above, windows, len(size), [0] * (factor.bit_length()))])
        sides = [min(window // shrunk, side) for window, side in zip(windows, inputs.shape[2:], strict=True)]
        step = factor // shrunk
        intervals = [max(step, math.floor(side * (1 - self.window_overlap) / step) * step) for side in sides]
        # MONAI takes int(side * (1 - overlap)) as interval; the half keeps rounding from making it one less
        overlap = [max(0.0, 1 - (interval + 0.5) / side) for interval, side in zip(intervals, sides, strict=True)]
        return sliding_window_inference(inputs, sides, 1, at_full_precision, overlap=overlap, mode="gaussian")
