"""What the random changes of training slices and of training volumes share."""

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from monai.transforms import RandomizableTransform
from monai.utils import convert_to_tensor

from medbundles.transforms import intensities

MODES = ("bilinear", "nearest")  # how an image and its mask are resampled


class RandomChanges(RandomizableTransform):
    """Flips, one resampling, random intensities: the frame of `Augmentation` and `VolumeAugmentation`.

    Intensities count from black, and only the head changes: the background stays what it is. What is 0 or off costs
    nothing. `set_random_state(seed)` fixes everything; a subclass draws all of an item's numbers whatever is on, so
    that switching one change off leaves the draws of the others as they were.

    Reads and writes "image", a float32 tensor (C, ...), and "mask" (1, ...) where there is one, unless "has_mask" is
    False. The tensors it read stay as they were.

    Args:
        settings: the arguments of the subclass by name; a bundle's schema says their ranges.
        black: the darkest value of the head.
    """

    nearly_background = 0.0  # how far from the background resampling may leave what is no head
    noise_rng: np.random.Generator  # drawn by `randomize`

    def __init__(self, settings: Mapping[str, Any], black: float):
        super().__init__()
        self.enabled, self.background, self.black = settings["enabled"], settings["background"], black
        self.random_rotate, self.random_scale = settings["random_rotate"], settings["random_scale"]
        self.brightness, self.contrast, self.gamma = (settings[name] for name in ("brightness", "contrast", "gamma"))
        self.gaussian_noise = settings["gaussian_noise"]
        self.resamples = bool(self.random_rotate or self.random_scale)

    def __call__(self, data: dict) -> dict:
        if not self.enabled:
            return data
        self.randomize()
        keys = ["image", "mask"] if "mask" in data and bool(data.get("has_mask", True)) else ["image"]
        images = convert_to_tensor(self.flip([torch.as_tensor(data[key]) for key in keys]))  # without metadata
        if self.resamples or self.alters():
            images[0] = images[0] - self.background  # now 0 is background, which is also what resampling fills in
            if self.resamples:
                images = convert_to_tensor(self.resample(images))
            if self.alters():
                self._change_intensities(images[0])
            images[0] += self.background
        return {**data, **dict(zip(keys, images, strict=True))}

    @abstractmethod
    def randomize(self, data: object = None) -> None:
        """Draw everything for one item from the random state; what is off keeps its place in the stream."""

    @abstractmethod
    def flip(self, images: list[torch.Tensor]) -> list[torch.Tensor]:
        """Image and mask (the image alone where there is no mask), flipped as drawn."""

    @abstractmethod
    def resample(self, images: list[torch.Tensor]) -> list[torch.Tensor]:
        """Image and mask moved alike, each in its mode of `MODES`; the image's background is 0."""

    def blur(self, image: torch.Tensor) -> None:
        """Blur the image in place, where a subclass does so."""

    def alters(self) -> bool:
        """Whether the intensities of this item change."""
        return bool(self.brightness or self.contrast or self.gamma or self.gaussian_noise)

    def draw_factors(self) -> None:
        """Draw those of brightness, contrast and gamma."""
        u = 2 * self.R.uniform(size=3) - 1
        self.brightness_factor = 1 + self.brightness * u[0]
        self.contrast_factor = 1 + self.contrast * u[1]
        self.gamma_power = 1 + self.gamma * u[2]

    def _change_intensities(self, image: torch.Tensor) -> None:
        """Change the image (C, ...), whose background is 0, in place."""
        x = image.numpy()
        head = np.abs(x) > self.nearly_background
        above_black = np.float32(self.background - self.black)
        if above_black:
            np.add(x, above_black, out=x, where=head)
        self.blur(image)
        intensities.change(
            x, head, self.brightness_factor, self.contrast_factor, self.gamma_power, self.gaussian_noise, self.noise_rng
        )
        if above_black:
            np.subtract(x, above_black, out=x, where=head)


def field_generator(seed: int) -> np.random.Generator:
    """For whole fields of numbers: several times faster than a transform's own random state."""
    return np.random.Generator(np.random.SFC64(seed))
