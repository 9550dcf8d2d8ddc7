"""One intensity scale for all sources of a model."""

import numpy as np
from monai.transforms import Transform

from medbundles.errors import DataError, one_of
from medbundles.transforms.head import head_mask, quantiles

BACKGROUND = -4.0  # what is not head, in every source: below its darkest pixels (-2 to -3), and what padding fills in
# In volumes the background is 0, the head's median: a convolution then gives 0 there whatever its weights are. With
# most of a volume at -4, the statistics of batch normalisation hang on the background and lag behind every change of
# the weights; a ResNet10 on phantoms learnt markedly faster without.
VOLUME_BACKGROUND = 0.0
BRIGHTEST = 5.0  # about one pixel in a thousand of a head lies above


class HeadNormalise(Transform):
    """Intensities in robust standard deviations of the head; everything else one value.

    z = (x - median) / (IQR / 1.349), per channel over the head's pixels or voxels (1.349 is the IQR of a normal
    distribution with standard deviation 1), clipped to [-4, 5]; the background becomes one value. Files that are
    already z-scored, 8-bit pictures and raw MR values come out alike, so a network cannot tell the source from the
    scale: a*x + b with a > 0 gives the same result. A channel that is constant (a missing sequence) becomes background.

    MONAI's NormalizeIntensity is not used: it takes the head to be what is not 0, and mean and standard deviation,
    which lesions and bright spots move.

    Reads "image" (C, H, W) or (C, X, Y, Z); writes "image" float32 of the same shape and "head" bool (H, W) or
    (X, Y, Z), which `CropToHead` uses up.

    By "moments" z = (x - mean) / standard deviation, not clipped, as MedicalNet's loader does it over what is above 0:
    what its weights were trained on.

    Args:
        background: what is not head; `BACKGROUND` in slices, `VOLUME_BACKGROUND` in volumes.
        by: "quartiles" or "moments".

    Raises:
        ConfigError: another `by`.
        DataError: the image is constant.
    """

    def __init__(self, background: float = BACKGROUND, by: str = "quartiles"):
        one_of("normalisation", by, ("quartiles", "moments"))
        self.background, self.by = background, by

    def __call__(self, data: dict) -> dict:
        item = dict(data)
        image = np.asarray(item["image"], dtype=np.float32)
        flat = image.reshape(len(image), -1)
        low, high = flat.min(axis=1), flat.max(axis=1)
        if (low == high).all():
            where = item.get("image_path") or item.get("name") or "image"
            raise DataError(f"{where}: the image is constant (every pixel is {low[0]:g})")
        head = head_mask(image)
        normalised = np.full_like(image, self.background)
        for channel in np.flatnonzero(high > low):
            pixels = image[channel][head]
            if self.by == "moments":
                spread = max(float(pixels.std()), 1e-3 * float(high[channel] - low[channel]))
                normalised[channel][head] = (pixels - pixels.mean()) / np.float32(spread)
                continue
            # Every fourth pixel gives the quartiles of a head well enough.
            q1, median, q3 = quantiles(pixels[:: 4 if pixels.size > 4000 else 1], 0.25, 0.5, 0.75)
            spread = max((q3 - q1) / 1.349, 1e-3 * float(high[channel] - low[channel]))
            scale, shift = np.float32(1 / spread), np.float32(median)
            normalised[channel][head] = np.clip((pixels - shift) * scale, BACKGROUND, BRIGHTEST)
        item["image"], item["head"] = normalised, head
        return item
