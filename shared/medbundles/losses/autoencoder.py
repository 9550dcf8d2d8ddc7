"""The loss of a variational autoencoder: reconstruction, Kullback-Leibler divergence of the latent, perceptual."""

from collections.abc import Mapping

import torch
from torch import nn

from medbundles.errors import ConfigError, in_range, one_of
from medbundles.losses.per_image import PerImage, at_least_float32
from medbundles.losses.perceptual import Perceptual

RECONSTRUCTION = {"l1": nn.L1Loss, "l2": nn.MSELoss}


def kl_divergence(mean: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
    """Kullback-Leibler divergence of normal distributions from the standard one, summed over the latent (B,).

    0.5 * sum(mean^2 + sigma^2 - log(sigma^2) - 1); Kingma and Welling 2014, appendix B. In float32 at least.

    Args:
        mean: (B, L, ...).
        sigma: standard deviation (B, L, ...), above 0; the third output of MONAI's AutoencoderKL.
    """
    mean, variance = at_least_float32(mean), at_least_float32(sigma).square()
    return 0.5 * (mean.square() + variance - variance.log() - 1).flatten(1).sum(1)


class AutoencoderLoss(nn.Module):
    """Reconstruction + kl_weight * divergence of the latent + perceptual_weight * perceptual, means over the batch.

    The reconstruction is a mean over pixels and the divergence a sum over the latent, as in latent diffusion, so one
    kl_weight means another strength at another patch size.

    Args:
        recon_loss: "l1" (absolute) or "l2" (squared difference); or any loss of two images that `PerImage` can call.
        kl_weight: weight of the divergence, >= 0.
        perceptual_weight: weight of the perceptual loss, >= 0; with 0 it is not used at all.
        perceptual: see `Perceptual`; needed with a weight above 0.

    Attributes:
        parts: of the latest call, detached, before the weights: {"recon": ..., "kl": ..., "perceptual": ...}.
        counts: how many images these are means of.

    Raises:
        ConfigError: another recon_loss, a negative weight, or perceptual_weight without `perceptual`.

    Example:
        >>> loss = AutoencoderLoss("l1", kl_weight=1e-6)
        >>> latent = torch.zeros(2, 4, 4, 4)
        >>> pred = {"reconstruction": torch.zeros(2, 1, 8, 8), "mean": latent, "sigma": latent + 1}
        >>> loss(pred, torch.ones(2, 1, 8, 8))
        tensor(1.)
    """

    def __init__(
        self,
        recon_loss: str | nn.Module = "l1",
        kl_weight: float = 1e-6,
        perceptual_weight: float = 0.0,
        perceptual: Perceptual | None = None,
    ):
        super().__init__()
        if not isinstance(recon_loss, nn.Module):
            one_of("recon_loss", recon_loss, RECONSTRUCTION)
            recon_loss = RECONSTRUCTION[recon_loss](reduction="none")
        in_range("kl_weight", kl_weight, minimum=0)
        in_range("perceptual_weight", perceptual_weight, minimum=0)
        if perceptual_weight > 0 and perceptual is None:
            raise ConfigError(f"perceptual_weight: {perceptual_weight} of no loss; give loss#perceptual, or weight 0.")
        self.recon_per_image = PerImage(recon_loss, "loss#recon_loss")
        self.perceptual = perceptual if perceptual_weight > 0 else None
        self.lambda_recon, self.lambda_kl, self.lambda_perceptual = 1.0, kl_weight, perceptual_weight
        self.parts: dict[str, torch.Tensor] = {}
        self.counts: dict[str, torch.Tensor] = {}

    def forward(self, pred: Mapping[str, torch.Tensor], target: torch.Tensor) -> torch.Tensor:
        """The scalar to minimise.

        Args:
            pred: {"reconstruction": (B, C, ...), "mean", "sigma": (B, L, ...)}, see `Autoencoder`.
            target: the image (B, C, ...).
        """
        terms = {name: values.mean() for name, values in self._terms(pred, target).items()}
        if self.perceptual is not None:
            terms["perceptual"] = self.perceptual(pred["reconstruction"], target)
        self.parts = {name: value.detach() for name, value in terms.items()}
        self.counts = {name: torch.tensor(len(target)) for name in terms}
        return torch.stack([getattr(self, f"lambda_{name}") * value for name, value in terms.items()]).sum()

    @torch.no_grad()
    def per_sample(
        self, pred: Mapping[str, torch.Tensor], target: torch.Tensor
    ) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
        """Of each term the value of each image and what it counts with, 1; (B,) and (B,), before the weights."""
        terms = self._terms(pred, target)
        if self.perceptual is not None:
            terms["perceptual"] = self.perceptual.per_image(pred["reconstruction"], target)
        return {name: (values, torch.ones_like(values)) for name, values in terms.items()}

    def _terms(self, pred: Mapping[str, torch.Tensor], target: torch.Tensor) -> dict[str, torch.Tensor]:
        made = at_least_float32(pred["reconstruction"])
        return {
            "recon": self.recon_per_image(made, target),
            "kl": kl_divergence(pred["mean"], pred["sigma"]),
        }
