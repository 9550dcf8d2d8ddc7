"""Scores of reconstructions: of the network's own, of what costs nothing beside it, and of the latent in between."""

from functools import partial

import numpy as np

from medbundles.metrics.classification import NAN
from medbundles.metrics.definition import Columns, Definition
from medbundles.metrics.latent import LatentScore
from medbundles.metrics.weighted import ScoreOf, WeightedMean

TOO_SMALL = "every image is smaller than it needs"
BASELINES = {  # at as many stored numbers as the latent has; see `medbundles.metrics.baselines`
    "bicubic": "the image shrunk and enlarged again (bicubic; of a volume area means and trilinear)",
    "pca": "a PCA of the image's blocks, fitted on the training part",
}


def _mean(column: str, meaning: str) -> Definition:
    """Of a column in which every NaN is a diverged network's."""
    return Definition(
        (column,), lambda columns: WeightedMean(columns[column], NAN, own_weights=1), meaning, bounds=None
    )


def _defined(column: str, undefined: str, meaning: str) -> Definition:
    """Of a column that an image may not have."""
    return Definition((column,), lambda columns: WeightedMean(columns[column], undefined), meaning, bounds=None)


def _similarity_of(column: str, columns: Columns) -> ScoreOf:
    """An image that is too small does not count; a NaN of a diverged network, which has no error either, does."""
    values = columns[column]
    diverged = np.isnan(columns.get("squared_error", np.zeros(len(values))))
    return WeightedMean(values, NAN if diverged.any() else TOO_SMALL, own_weights=diverged | ~np.isnan(values))


def _similarity(column: str, meaning: str) -> Definition:
    return Definition((column,), partial(_similarity_of, column), meaning, bounds=None)


def _over(name: str) -> Definition:
    def mean(columns: Columns) -> ScoreOf:
        return WeightedMean(columns["psnr"] - columns[f"psnr_{name}"], NAN, own_weights=1)

    meaning = f"PSNR minus that of the baseline {name} per image in dB, mean over images (above 0: better than it)"
    return Definition(("psnr", f"psnr_{name}"), mean, meaning, bounds=None)


def _latent(kind: str, meaning: str) -> Definition:
    return Definition(LatentScore.needs, partial(LatentScore, kind), meaning, bounds=None)


_JPEG = "the best JPEG (8 bit) that has no more bytes than the latent has numbers, over images that have one"
_NO_JPEG = "no image has a JPEG that is small enough"


def _beside(name: str, meaning: str) -> dict[str, Definition]:
    """A score of the reconstruction, and the same of each baseline."""
    kind = _similarity if name == "ssim" else _mean
    found = {name: kind(name, meaning)}
    for baseline, what in BASELINES.items():
        found[f"{name}_{baseline}"] = kind(f"{name}_{baseline}", f"the same of {what}")
    return found | {f"{name}_jpeg": _defined(f"{name}_jpeg", _NO_JPEG, f"the same of {_JPEG}")}


RECONSTRUCTION_SCORES = {
    **_beside("l1", "absolute error, mean over pixels, then over images (0 is best)"),
    "mse": _mean("mse", "squared error, mean over pixels, then over images (0 is best)"),
    **_beside("psnr", "peak signal-to-noise ratio per image in dB, mean over images"),
    **{f"psnr_over_{baseline}": _over(baseline) for baseline in BASELINES},
    **_beside("ssim", "SSIM per image, mean over images (1 is best)"),
    "ms_ssim": _similarity("ms_ssim", "multi-scale SSIM per image, mean over images (1 is best)"),
    "lpips": _similarity("lpips", "LPIPS per image, mean over images (0 is best)"),
    "jpeg_bytes": _defined("jpeg_bytes", _NO_JPEG, f"bytes of {_JPEG}"),
    "kl": _mean("kl", "Kullback-Leibler divergence of the latent from the standard normal, summed over it, in nats"),
    "kl_per_element": _mean("kl_per_element", "the same for each number of the latent"),
    "active_channels": _latent(
        "active_channels", "channels of the latent whose mean varies (variance above 0.01 over images and positions)"
    ),
    "latent_mean": _latent("latent_mean", "mean of the latent over images, channels and positions"),
    "latent_std": _latent("latent_std", "standard deviation of the sampled latent over the same"),
    "latent_scale": _latent("latent_scale", "1 / latent_std: what a latent diffusion model multiplies the latent with"),
    "l1_patch": _mean("l1_patch", "l1 of the image's centre patch, reconstructed alone"),
    "l1_gap": _mean("l1_gap", "l1 of the same place in the whole image's reconstruction, minus l1_patch (0 is best)"),
}
