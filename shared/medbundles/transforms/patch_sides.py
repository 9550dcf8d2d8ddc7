"""What a network of segmentation sees at once."""

from collections.abc import Sequence

from monai.utils import ensure_tuple_rep

from medbundles.errors import refuse
from medbundles.rules import EVERYWHERE, Rule, has_rules

Sides = int | Sequence[int]


def _sides_fit(spatial_dims: int, image_size: Sides, patch_size: Sides | bool | None) -> str | None:
    for name, sides in (("image_size", image_size), ("patch_size", patch_size)):
        if isinstance(sides, (list, tuple)) and len(sides) != spatial_dims:
            return (
                f"{name}: {list(sides)} has {len(sides)} numbers; spatial_dims is {spatial_dims}: give so many, or one."
            )
    if patch_size and spatial_dims == 3:
        return f"patch_size: {patch_size} is for pictures; of volumes image_size is the patch, so leave it out."
    return None


@has_rules(Rule(("spatial_dims", "image_size", "patch_size"), _sides_fit, EVERYWHERE))
def patch_sides(spatial_dims: int, image_size: Sides, patch_size: Sides | bool | None = None) -> list[int] | None:
    """Sides of the patch that is trained and of the window that is looked at: `image_size` of volumes, `patch_size` of
    pictures; None for pictures without it, which are resized to `image_size` as a whole.

    Args:
        spatial_dims: 2 or 3.
        image_size: one number, or one for each axis.
        patch_size: likewise; None or False: none.

    Raises:
        ConfigError: another number of sides than of axes, or a patch_size of volumes.
    """
    refuse([_sides_fit(spatial_dims, image_size, patch_size)])
    sides = image_size if spatial_dims == 3 else patch_size
    return [*ensure_tuple_rep(sides, spatial_dims)] if sides else None
