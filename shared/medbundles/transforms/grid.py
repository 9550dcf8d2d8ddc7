"""The network's grid of pixels or voxels, and the way back."""

from collections.abc import Sequence

import torch
from monai.transforms import Transform
from monai.utils import ensure_tuple_rep
from torch.nn.functional import interpolate

from medbundles.errors import ConfigError
from medbundles.rules import AUTO
from medbundles.transforms.geometry import padded, shrunk, to_original


class ToGrid(Transform):
    """A picture as large as the network wants it, or a volume on voxels of another size.

    A picture is padded to the wanted aspect with its darkest value and resized, a volume is stretched to the voxels;
    the image is interpolated, the mask takes the nearest pixel, and a class that falls between them keeps one. Not
    MONAI's Spacing, whose grid begins at the first voxel's centre and ends where it must: here the volume keeps its
    extent (as in nnU-Net), so that the way back, `to_input_grid`, needs nothing but sizes.

    Reads "image" (C, ...), "mask" (1, ...) where there is one, and of volumes "spacing", in mm along each axis; writes
    them, "spacing" as that of the mask.

    Args:
        spacing: [x, y, z] in mm of volumes; None: they stay as they are.
        size: [H, W] of pictures, or one number for both; None: they stay as they are.
        keep_mask: leave the mask on the grid of its file, see `OnMaskGrid`.

    Raises:
        ConfigError: when it is called: the spacing is "auto", which only a training knows.
    """

    def __init__(
        self,
        spacing: Sequence[float] | str | bool | None = None,
        size: int | Sequence[int] | None = None,
        keep_mask: bool = False,
    ):
        self.spacing, self.keep_mask = spacing or None, keep_mask
        self.size = ensure_tuple_rep(size, 2) if size else None

    def __call__(self, data: dict) -> dict:
        image, has_mask = data["image"], "mask" in data and not self.keep_mask
        if self.size:
            low = image.min()
            whole = padded(image - low, self.size)[None]
            moved = {"image": interpolate(whole, self.size, mode="bilinear", antialias=True)[0] + low}
            mask = padded(data["mask"], self.size) if has_mask else None
            return {**data, **moved} | ({} if mask is None else {"mask": shrunk(mask, self.size)})
        if image.ndim == 3 or self.spacing is None:
            return data
        size = self._voxels(image.shape[1:], data["spacing"].tolist())
        if size == tuple(image.shape[1:]):
            return data
        moved = {"image": interpolate(image[None], size, mode="trilinear")[0]}
        if not has_mask:
            return {**data, **moved}
        share = torch.tensor(image.shape[1:]) / torch.tensor(size)
        return {**data, **moved, "mask": shrunk(data["mask"], size), "spacing": data["spacing"] * share}

    def _voxels(self, shape: Sequence[int], there: Sequence[float]) -> tuple[int, ...]:
        if isinstance(self.spacing, str):
            raise ConfigError(
                f"spacing: {AUTO!r} is known to a training alone; use the trained.json beside the weights"
            )
        here = map(float, self.spacing or ())  # type: ignore[arg-type]
        return tuple(max(1, round(n * old / new)) for n, old, new in zip(shape, there, here, strict=True))


def to_input_grid(values: torch.Tensor, size: Sequence[int]) -> torch.Tensor:
    """Values (K, ...) on the network's grid, brought to that of the input, whose sides are `size`: the way back from
    `ToGrid`. What is there already stays as it is."""
    shape = tuple(int(side) for side in size)
    if tuple(values.shape[1:]) == shape:
        return values
    if len(shape) == 2:
        return to_original(values, (0, 0, *shape), shape)
    return interpolate(values[None], shape, mode="trilinear")[0]


class OnMaskGrid(Transform):
    """Brings what a network found of an image back to the grid of its mask, which was left as it is in the file.

    For an evaluation, whose figures then are of the original pixels. Reads and writes an engine's batched output:
    "image" (B, C, ...), "pred" logits (B, K, ...), by the size of label["mask"] (B, 1, ...).
    """

    def __call__(self, data: dict) -> dict:
        size = data["label"]["mask"].shape[2:]
        moved = {key: torch.stack([to_input_grid(one, size) for one in data[key]]) for key in ("image", "pred")}
        return {**data, **moved}
