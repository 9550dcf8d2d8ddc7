"""Latents of an autoencoder in files, with all that is needed to write their images back."""

import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from medbundles.atomic_files import replace_atomic
from medbundles.data.reading.files import check_file
from medbundles.data.reading.image_form import ImageForm
from medbundles.errors import DataError


@dataclass(frozen=True)
class Latent:
    """The latent of one image.

    Args:
        mean: (L, ...) float32.
        std: its standard deviation, as large.
        size: of the image as the network saw it, (H, W) or (X, Y, Z).
        value_range: what 0 and 1 of the image mean.
        form: how the image's file held it.
        scale_factor: 1 / standard deviation of a draw of this latent, see `medbundles.metrics.latent`; not read again.
        weights: name of the content of the weights that made it, see `content_id`; empty: not known.
    """

    mean: np.ndarray
    std: np.ndarray
    size: tuple[int, ...]
    value_range: tuple[float, float]
    form: ImageForm
    scale_factor: float = float("nan")
    weights: str = ""

    def write(self, path: str | Path) -> None:
        """Write it as .npz (mean, std, scale_factor, size, value_range, weights, and the form), whole or not at all."""
        content: dict[str, Any] = {
            "mean": self.mean,
            "std": self.std,
            "scale_factor": self.scale_factor,
            "size": self.size,
            "value_range": self.value_range,
            "weights": self.weights,
        }
        with replace_atomic(path) as temporary, temporary.open("wb") as file:
            np.savez(file, **content, **self.form.arrays())

    @classmethod
    def read(cls, path: str | Path) -> Self:
        """What `write` wrote; no pickled code is run.

        Raises:
            DataError: no such file, broken, incomplete, of another shape than its size says, or not finite.
        """
        check_file(path)
        if not zipfile.is_zipfile(path):
            raise DataError(f"{path}: is no latent of an inference; one ends in .npz and lies in its folder latents/")
        try:
            with np.load(path, allow_pickle=False) as file:
                arrays = dict(file)
            mean, std = (np.asarray(arrays[name], dtype=np.float32) for name in ("mean", "std"))
            low, high = (float(value) for value in arrays["value_range"])
            size = tuple(int(side) for side in arrays["size"])
            form, weights = ImageForm.from_arrays(arrays), str(arrays.get("weights", ""))
            found = cls(mean, std, size, (low, high), form, weights=weights)
            if arrays["mean"].dtype.kind != "f" or arrays["std"].dtype.kind != "f" or min(size, default=0) < 1:
                raise ValueError("mean and std must be floats, and its size at least 1")
        except KeyError as error:
            raise DataError(f"{path}: lacks {error}; a latent that inference has written is wanted") from error
        except (OSError, ValueError, TypeError, EOFError, AttributeError, zipfile.BadZipFile) as error:
            raise DataError(f"{path}: is no latent of an inference, or is broken ({error})") from error
        if mean.ndim != len(size) + 1 or std.shape != mean.shape:
            raise DataError(f"{path}: mean {mean.shape} and std {std.shape} do not belong to an image of size {size}")
        if not (np.isfinite(mean).all() and np.isfinite(std).all() and np.isfinite([low, high]).all()):
            raise DataError(f"{path}: the latent or its value range holds NaN or Inf")
        return found
