"""Images of another program, which holds them in memory or names their file."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from monai.data import MetaTensor

from medbundles.data.reading.files import is_volume
from medbundles.data.reading.image_form import volume_info
from medbundles.data.reading.images import Colour, read_image
from medbundles.data.reading.nifti import VolumeInfo
from medbundles.data.reading.volumes import SlicedVolume, finite, read_series
from medbundles.errors import DataError
from medbundles.rules import AUTO

CALLED = "the image"  # in messages: it has no path


@dataclass(frozen=True)
class HeldImage:
    """An image as our readers would give it, and the way back to the array that it came as.

    Attributes:
        channels: float32 (C, H, W) of a picture, (C, X, Y, Z) with canonical axes of a volume.
        info: geometry of a volume; None: it is a picture.
        value_range: black and white of a picture of 8 bits, else the smallest and largest value.
        meta: what the host says of the array.
        is_file: whether the host named a file; a result of a picture is (W, H) then, as MONAI reads pictures.
    """

    channels: np.ndarray
    info: VolumeInfo | None
    value_range: tuple[float, float]
    meta: Mapping[str, Any]
    is_file: bool = False

    @classmethod
    def of_file(cls, path: str | Path, channels: int = 1, colour: Colour = AUTO) -> Self:
        """An image that a host names by its file; its meta is what MONAI's readers say of it.

        Args:
            path: a picture or a NIfTI file.
            channels: C that a picture gives, see `read_image`.
            colour: likewise.

        Raises:
            DataError: as `read_image` and `read_series`.
        """
        if not is_volume(path):
            pixels = read_image(path, channels, colour=colour)
            values = float(pixels.min()), float(pixels.max())
            return cls(pixels, None, values, {"spatial_shape": list(pixels.shape[:0:-1])}, True)
        volume, info = read_series(path)
        affine = torch.from_numpy(info.affine)
        meta = {"spatial_shape": list(info.shape), "original_affine": affine, "affine": affine}
        return cls(volume, info, (float(volume.min()), float(volume.max())), meta, True)

    @classmethod
    def of(cls, held: torch.Tensor | str | Path, channels: int = 1, colour: Colour = AUTO) -> Self:
        """An image of a host, whatever its numbers.

        Args:
            held: (H, W) or (X, Y, Z), a MetaTensor with an affine (RAS+) or a plain tensor, whose voxels are 1 mm then;
                where its meta "original_channel_dim" is a number, that axis holds the channels.
                Or the path of a file.
            channels: see `of_file`.
            colour: likewise.

        Raises:
            DataError: it holds NaN or Inf, is constant, has another number of axes, or an affine without orientation.
        """
        from nibabel.orientations import apply_orientation

        if isinstance(held, str | Path):
            return cls.of_file(held, channels, colour)
        meta = dict(getattr(held, "meta", {}))
        array, axis = torch.as_tensor(held).cpu().numpy(), meta.get("original_channel_dim")
        array = np.moveaxis(array, axis, 0) if isinstance(axis, int | np.integer) else array[None]
        if array.ndim not in (3, 4):
            raise DataError(f"{CALLED}: is {array.ndim - 1}D {array.shape[1:]}; a picture or a volume is wanted")
        of_8_bits, values = array.dtype == np.uint8, finite(CALLED, array)
        if values.min() == values.max():
            raise DataError(f"{CALLED}: is constant (every pixel is {values.flat[0]:g})")
        low_high = float(values.min()), float(values.max())
        if values.ndim == 3:
            return cls(values, None, (0.0, 255.0) if of_8_bits else low_high, meta)
        affine = np.asarray(getattr(held, "affine", np.eye(4)), dtype=float)
        info = volume_info(values.shape[1:], affine, None)
        if np.isnan(info.orientation).any():
            raise DataError(f"{CALLED}: its affine gives no orientation of the axes:\n{affine}")
        canonical = [apply_orientation(channel, info.orientation) for channel in values]
        return cls(np.ascontiguousarray(canonical), info, low_high, meta)

    def slices(self) -> np.ndarray:
        """(C, Z, H, W), as networks of two dimensions see them; a picture is one slice."""
        if self.info is None:
            return self.channels[:, None]
        return np.stack([SlicedVolume.of(volume, self.info).slices for volume in self.channels])

    def of_slices(self, slices: np.ndarray) -> np.ndarray:
        """The way back from `slices`: anything (K, Z, H, W) in the axes of the host's array, (K, ...)."""
        if self.info is None:
            return slices[:, 0].swapaxes(1, 2) if self.is_file else slices[:, 0]
        back = SlicedVolume.of(self.channels[0], self.info)
        return self.of_volumes(np.stack([back.whole(volume) for volume in slices]))

    def of_volumes(self, volumes: np.ndarray) -> np.ndarray:
        """Anything (K, ...) that lies as `channels` do, in the axes of the host's array."""
        if self.info is None:
            return volumes
        return np.ascontiguousarray([self.info.to_original(volume) for volume in volumes])

    def given_back(self, labels: np.ndarray) -> MetaTensor:
        """A result (K, ...) in the axes of the host's array, as it takes it: a picture's file has one without K."""
        whole = labels[0] if self.is_file and self.info is None else labels
        return MetaTensor(torch.from_numpy(np.ascontiguousarray(whole)), meta=dict(self.meta))
