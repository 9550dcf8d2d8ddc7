"""Shows at the start of a training what its augmentation makes of images and masks."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from ignite.engine import Engine, Events
from PIL import Image

from medbundles.handlers.run import run_of
from medbundles.metrics.measures import class_indices
from medbundles.ranks import is_rank_0
from medbundles.reports.panels import GAP, written
from medbundles.reports.pictures import outlined
from medbundles.reports.planes import shown_plane, sides_of

FILE = "augmented_samples.png"
SAMPLES, COLUMNS, SIDE = 8, 2, 224  # pictures, in a row, and pixels of a panel's longer side


class AugmentedSamples:
    """Writes plots/augmented_samples.png: eight training images of the first epoch, each beside itself with its mask.

    They are spread evenly over the training part; of a volume the slice is shown that holds most of the mask. A resumed
    run keeps what is there. Rank 0 writes.

    Args:
        enabled: False switches it off.
        channel_names: of the image, of which the mean is shown.

    Example::

        {"_target_": "medbundles.reports.AugmentedSamples", "enabled": "@augmentation_picture"}
    """

    phase = "watch"

    def __init__(self, enabled: bool = True, channel_names: Sequence[str] = ()):
        self.enabled = enabled
        self.said = f"mean of {', '.join(channel_names)}" if len(channel_names) > 1 else ""

    def attach(self, engine: Engine) -> None:
        """Wire it to the trainer."""
        if self.enabled and is_rank_0():
            engine.add_event_handler(Events.STARTED, self)

    def __call__(self, engine: Any) -> None:
        if engine.state.epoch > 0:
            return
        dataset = engine.data_loader.dataset
        places = np.unique(np.linspace(0, len(dataset) - 1, SAMPLES).round().astype(int)).tolist()
        pictures = [_drawn(dataset[(1, place, 0)], self.said) for place in places]
        size = [max(picture.size[axis] for picture in pictures) + 2 * GAP for axis in (0, 1)]
        sheet = Image.new("RGB", (size[0] * COLUMNS, size[1] * -(-len(pictures) // COLUMNS)))
        for number, picture in enumerate(pictures):
            sheet.paste(picture, (size[0] * (number % COLUMNS) + GAP, size[1] * (number // COLUMNS) + GAP))
        written(sheet, run_of(engine).directory.folder("plots") / FILE)


def _drawn(item: dict[str, Any], said: str) -> Image.Image:
    image, mask = item["image"].float().mean(0), class_indices(item["mask"])
    plane, truth = shown_plane([image, mask], [mask])
    sides = sides_of(str(item.get("image_path", "")), image.ndim)
    caption = f"{item.get('name', '')}\n{said}".strip()
    return outlined(plane, truth=truth, caption=caption, sides=sides, side=SIDE)
