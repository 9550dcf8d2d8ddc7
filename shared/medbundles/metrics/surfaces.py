"""How far the surfaces of predicted and true masks are apart, in mm, and how much their volumes differ."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from medbundles.errors import ConfigError, in_range
from medbundles.metrics.measures import UNTRAINED, Output, Regions, has_mask, mask_channels

PERCENTILE = 95
ROUNDED = 1 + 1e-5  # a spacing of 1 mm may stand in a file as 1.0000001: the next pixel is at most 1 mm away
SPARSE = 20  # voxels per surface voxel above which a k-d tree is faster than a distance transform, and far smaller


def surface_distances(found: np.ndarray, truth: np.ndarray, spacing: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distance in mm of each surface pixel of a mask to the nearest one of the other mask, both ways.

    The surface are the pixels with a neighbour (across an edge of a pixel, a face of a voxel) that is not in the mask,
    or is outside of the image. What is measured is the distance of pixels' centres.

    Args:
        found: (H, W) or (X, Y, Z) bool, not empty.
        truth: likewise.
        spacing: (dims,) in mm.

    Returns:
        Those from the surface of `found`, and those from the surface of `truth`.
    """
    from scipy.ndimage import binary_erosion, find_objects

    # outside of the box around both masks there is nothing: the distances are the same
    box = find_objects((found | truth).astype(np.uint8))[0]
    surfaces = [mask[box] & ~binary_erosion(mask[box]) for mask in (found, truth)]
    places = [np.argwhere(surface) for surface in surfaces]
    sparse = SPARSE * sum(map(len, places)) < surfaces[0].size
    nearest = _nearest_by_tree if sparse else _nearest_by_transform
    one, other = (
        np.sqrt((((nearest(mine, theirs, surface, spacing) - mine) * spacing) ** 2).sum(1))
        for mine, theirs, surface in ((*places, surfaces[1]), (*places[::-1], surfaces[0]))
    )
    return one, other


def _nearest_by_tree(mine: np.ndarray, theirs: np.ndarray, surface: np.ndarray, spacing: np.ndarray) -> np.ndarray:
    """For each place of mine (n, dims) the nearest of theirs (m, dims), the set places of a surface."""
    from scipy.spatial import cKDTree

    return theirs[cKDTree(theirs * spacing).query(mine * spacing)[1]]


def _nearest_by_transform(mine: np.ndarray, theirs: np.ndarray, surface: np.ndarray, spacing: np.ndarray) -> np.ndarray:
    """The same; a noisy prediction has millions of surface voxels. The places alone take a third of the memory."""
    from scipy.ndimage import distance_transform_edt

    places = distance_transform_edt(~surface, sampling=spacing, return_distances=False, return_indices=True)
    return places[:, *mine.T].T


class Surfaces:
    """hd95, surface_dice, volume_difference (B,), or (B, K) with several channels, of the predicted and the true mask.
    And diagonal (B,) of the image, in mm.

    - hd95: the larger of the 95th percentiles of the distances from one surface to the other and back, in mm (of
      pictures, whose pixels have no size, in pixels; so are the other lengths)
    - surface_dice: share of both surfaces that is at most `tolerance` from the other one (Nikolov et al. 2018, at the
      resolution of the pixels)
    - volume_difference: predicted minus true volume in ml (cm3), of a picture area in hundreds of pixels

    They are MONAI's compute_hausdorff_distance and compute_surface_dice, from one pass for both. MONAI's distances are
    NaN where one of the masks is empty, so that a missed lesion improves the mean. Here hd95 is the image's diagonal
    then, and surface_dice 0. Where both are empty, or there is no true mask, all three are NaN and do not count.

    It takes longer than all else, so an evaluation measures it and a training's validation does not; and works on the
    CPU, so the iteration waits for a GPU. Reads what `Masks` does, and label["spacing"] (B, dims) in mm where the
    labels are a dict that has it (else 1 mm).

    Args:
        tolerance: largest distance, in mm, at which a surface counts as met.
        ignore_label: see `Masks`. Pixels that are not labelled are in neither mask.
        regions: see `Masks`.

    Raises:
        ConfigError: a negative tolerance. When it is called: a spacing of another number of axes.
    """

    def __init__(self, tolerance: float = 1.0, ignore_label: int | bool | None = None, regions: Regions | None = None):
        in_range("tolerance of the surface Dice", tolerance, minimum=0)
        self.tolerance, self.ignore_label, self.regions = float(tolerance), ignore_label, regions

    def __call__(self, output: Output) -> dict[str, torch.Tensor]:
        """The columns of a batch; none of an untrained decoder."""
        if "seg" in output.get(UNTRAINED, ()):
            return {}
        found, truth, _ = mask_channels(output, "mask", self.ignore_label, self.regions)
        masks = zip((found > 0).cpu().numpy(), truth.cpu().numpy(), strict=True)
        spacings = _spacings(output, found)
        rows = [self._image(*pair, spacing) for pair, spacing in zip(masks, spacings, strict=True)]
        values = torch.tensor(np.array(rows), device=found.device)  # (B, K, 3)
        values[~has_mask(output, found)] = torch.nan
        columns = dict(zip(("hd95", "surface_dice", "volume_difference"), values.unbind(2), strict=True))
        diagonals = np.linalg.norm(spacings * found.shape[2:], axis=1)
        found_columns = {name: each[:, 0] if each.shape[1] == 1 else each for name, each in columns.items()}
        return found_columns | {"diagonal": torch.from_numpy(diagonals).to(found.device)}

    def _image(self, found: np.ndarray, truth: np.ndarray, spacing: np.ndarray) -> list[tuple[float, float, float]]:
        """The three of each channel of an image (K, ...)."""
        return [self._mask(*pair, spacing) for pair in zip(found, truth, strict=True)]

    def _mask(self, found: np.ndarray, truth: np.ndarray, spacing: np.ndarray) -> tuple[float, float, float]:
        pixels = [int(mask.sum()) for mask in (found, truth)]
        if not any(pixels):
            return np.nan, np.nan, np.nan
        difference = (pixels[0] - pixels[1]) * float(np.prod(spacing / 10))
        if not all(pixels):
            return float(np.linalg.norm(spacing * found.shape)), 0.0, difference
        distances = surface_distances(found, truth, spacing)
        near = np.concatenate(distances) <= self.tolerance * ROUNDED
        return max(float(np.percentile(each, PERCENTILE)) for each in distances), float(near.mean()), difference


def _spacings(output: Output, found: torch.Tensor) -> np.ndarray:
    """Spacing in mm of each image, (B, dims)."""
    label: Any = output["label"]
    dims = found.ndim - 2
    spacing = label.get("spacing") if isinstance(label, Mapping) else None
    if spacing is None:
        return np.ones((len(found), dims))
    if tuple(spacing.shape) != (len(found), dims):
        raise ConfigError(
            f"spacing has the shape {tuple(spacing.shape)}; for these masks it must be ({len(found)}, {dims})"
        )
    return spacing.double().cpu().numpy()
