"""What is measured of an autoencoder's latent, and its scores: does it say anything, and how large are its numbers."""

import numpy as np
import torch

from medbundles.losses.autoencoder import kl_divergence
from medbundles.metrics.classification import NAN
from medbundles.metrics.definition import Columns
from medbundles.metrics.measures import Output
from medbundles.metrics.pick import Pick
from medbundles.metrics.weighted import ratio

ACTIVE = 0.01  # least variance of the mean of a channel that says something; Burda et al. 2016, section 5.2


class Latent:
    """The normal distributions that an encoder gives, as sums from which the scores of any images follow.

    kl (B,): divergence from the standard normal distribution, summed over the latent; kl_per_element (B,): divided by
    its size. latent_sum, latent_square, latent_variance (B, L): sums over the positions of mean, mean^2 and sigma^2;
    latent_positions (B,): how many these are. Reads pred["mean"] and pred["sigma"], (B, L, ...).
    """

    picked = Pick("pred.mean", "pred.sigma")

    def __call__(self, output: Output) -> dict[str, torch.Tensor]:
        """The columns of a batch."""
        mean, sigma = (values.detach().double() for values in self.picked(output))
        kl, flat = kl_divergence(mean, sigma), mean.flatten(2)
        return {
            "kl": kl,
            "kl_per_element": kl / mean[0].numel(),
            "latent_sum": flat.sum(2),
            "latent_square": flat.square().sum(2),
            "latent_variance": sigma.flatten(2).square().sum(2),
            "latent_positions": torch.full((len(mean),), flat.shape[2], device=mean.device),
        }


class LatentScore:
    """A score of the latents of all images together, as a function of weights (R, n) -> (R,).

    - active_channels: channels whose mean has a variance above 0.01, over images and positions (Burda et al. 2016,
      Importance Weighted Autoencoders)
    - latent_mean: mean over images, channels and positions
    - latent_std: standard deviation of the sampled latent: root of the variance of the means plus the mean of sigma^2
    - latent_scale: 1 / latent_std (Rombach et al. 2022, section 4.3.2)

    Args:
        kind: one of these.
        columns: those of `Latent`.
    """

    needs = ("latent_sum", "latent_square", "latent_variance", "latent_positions")
    undefined = NAN

    def __init__(self, kind: str, columns: Columns):
        self.kind = kind
        self.sums, self.positions = [columns[name] for name in self.needs[:3]], columns["latent_positions"]

    def __call__(self, weights: np.ndarray) -> np.ndarray:
        """Weights (R, n) -> (R,)."""
        with np.errstate(all="ignore"):  # of a diverged network everything is NaN
            positions = (weights @ self.positions)[:, None]
            mean, square, variance = (ratio(weights @ sums, positions) for sums in self.sums)  # (R, L)
            if self.kind == "active_channels":
                of_means = square - mean**2
                return np.where(np.isfinite(of_means).all(1), (of_means > ACTIVE).sum(1), np.nan)
            centre = mean.mean(1)
            if self.kind == "latent_mean":
                return centre
            std = np.sqrt(np.maximum(square.mean(1) - centre**2, 0) + variance.mean(1))
            return std if self.kind == "latent_std" else ratio(np.ones(1), std)
