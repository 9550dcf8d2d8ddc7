"""Intensities on one scale, as the kind of image wants it."""

from collections.abc import Sequence

import torch
from monai.transforms import Transform

from medbundles.data.reading.image_form import ImageForm
from medbundles.errors import ConfigError, one_of
from medbundles.rules import AUTO

MODALITIES = ("ct", "mri", "xray", "rgb")


class ModalityIntensities(Transform):
    """Reads "image", a float32 tensor (C, ...), and "image_path" or "value_range" (see `FromHost`); writes "image".

    - ct: clipped to the lowest and highest of `ct_values`, minus their mean, by their standard deviation: Hounsfield
      units mean the same in all images (Isensee et al. 2021, nnU-Net).
    - mri: per channel minus the mean and by the standard deviation of what lies above the channel's smallest value,
      which is the background where there is one, whatever it is (0, or negative in files that were z-scored).
    - xray, rgb: 0 to 1, of pictures with 8 bits 0 to 255, else of the image's smallest to its largest value.

    Args:
        modality: one of them.
        ct_values: [lowest, highest, mean, standard deviation] in Hounsfield units; needed for "ct".

    Raises:
        ConfigError: an unknown modality, or no ct_values for "ct". When it is called: the modality is "auto", which
            only a training knows.
    """

    def __init__(self, modality: str, ct_values: Sequence[float] | str | None = None):
        one_of("modality", modality, (*MODALITIES, AUTO))
        if modality == "ct" and not isinstance(ct_values, Sequence | list):
            raise ConfigError("ct_values: modality 'ct' needs [lowest, highest, mean, standard deviation]")
        self.modality, self.ct_values = modality, ct_values

    def __call__(self, data: dict) -> dict:
        image = data["image"]
        if self.modality == AUTO:
            raise ConfigError("modality: 'auto' is known to a training alone; use the trained.json beside the weights")
        if self.modality == "ct":
            low, high, mean, std = map(float, self.ct_values or ())
            return {**data, "image": (image.clamp(low, high) - mean) / max(std, 1e-6)}
        if self.modality == "mri":
            return {**data, "image": torch.stack([_standardised(channel) for channel in image])}
        held = data.get("value_range")  # of an image that was not read from a file
        low, high = held or ImageForm.of(data["image_path"]).value_range or (float(image.min()), float(image.max()))
        return {**data, "image": (image - low) / max(high - low, 1e-6)}


def _standardised(channel: torch.Tensor) -> torch.Tensor:
    inside = channel[channel > channel.min()].double()
    if len(inside) < 2:
        return channel - channel.min()
    return ((channel.double() - inside.mean()) / inside.std().clamp(min=1e-12)).float()
