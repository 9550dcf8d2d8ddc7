"""What an autoencoder starts from beside an image: a latent of a file, one that is drawn, or a second image."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from monai.engines import PrepareBatch
from monai.transforms import Transform

from medbundles.data.reading.latents import Latent
from medbundles.errors import DataError
from medbundles.rules import Rule, has_rules


def _size_fits(size: Sequence[int], dims: int) -> str | None:
    if len(size) != dims:
        return f"sample_size: {list(size)} has {len(size)} numbers; spatial_dims is {dims}, so {dims} are wanted."
    return None


@has_rules(Rule(("sample_size", "spatial_dims"), _size_fits, ("inference",)))
class LoadLatent(Transform):
    """The mean of a latent: that of a file, or one drawn from N(0, 1), to which the divergence pulls all latents.

    Reads "latent" (path of a .npz, see `Latent`) or "sample" (number of the draw); an item with neither passes as it
    is. Writes "latent" float32 (L, ...), "size" int64 (of the image), "value_range" float64 [low, high], and
    "image_path" (the .npz; of a draw "").

    Args:
        channels: L of the network.
        factor: how many pixels of an image one number of the latent stands for, along each side.
        sample_size: size of the images that are drawn.
        seed: with the number of the draw decides what is drawn.

    Raises:
        DataError: the file is no latent, or one of another network.
    """

    def __init__(self, channels: int, factor: int, sample_size: Sequence[int], seed: int = 0):
        self.channels, self.factor, self.sample_size, self.seed = channels, factor, tuple(sample_size), seed

    def __call__(self, data: dict) -> dict:
        if "sample" in data:
            shape = self._shape(self.sample_size)
            drawn = np.random.default_rng([self.seed, data["sample"]]).standard_normal(shape, dtype=np.float32)
            return {**data, **self._entries(drawn, self.sample_size, (0.0, 1.0)), "image_path": ""}
        if "latent" in data:
            found = Latent.read(data["latent"])
            if len(found.size) != len(self.sample_size) or found.mean.shape != self._shape(found.size):
                raise DataError(
                    f"{data['latent']}: is {found.mean.shape}; of an image of size {found.size} this network makes "
                    f"{self._shape(found.size)}. It comes from another network"
                )
            entries = self._entries(found.mean, found.size, found.value_range)
            return {**data, **entries, "image_path": data["latent"]}
        return data

    def _shape(self, size: Sequence[int]) -> tuple[int, ...]:
        return (self.channels, *(-(-side // self.factor) for side in size))

    @staticmethod
    def _entries(mean: np.ndarray, size: Sequence[int], value_range: tuple[float, float]) -> dict[str, Any]:
        return {
            "latent": torch.from_numpy(mean),
            "size": torch.tensor(size),
            "value_range": torch.tensor(value_range).double(),
        }


class LoadOther(Transform):
    """A second image beside the first, as large as that one.

    Reads "other" (path), and "image" (C, ...) and "value_range" of the first; an item without "other" passes as it is.
    Writes "other" (C, ...), shrunk or enlarged (linear, smoothed where it shrinks a picture) where its size differs,
    and "value_range" between the two by "weight".

    Args:
        load: how both are loaded: `LoadWholeImage`, or a Compose with it.
    """

    def __init__(self, load: Callable[[dict], dict]):
        self.load = load

    def __call__(self, data: dict) -> dict:
        if "other" not in data:
            return data
        second = self.load({"image": data["other"]})
        other, size = second["image"], data["image"].shape[1:]
        if other.shape[1:] != size:
            is_picture = len(size) == 2
            mode = "bilinear" if is_picture else "trilinear"
            other = torch.nn.functional.interpolate(other[None], size, mode=mode, antialias=is_picture)[0]
        value_range = torch.lerp(data["value_range"], second["value_range"], data["weight"])
        return {**data, "other": other, "value_range": value_range}


class PrepareLatentBatch(PrepareBatch):
    """Moves a collated batch to the device, as what `AutoencoderInferer` takes: (inputs, target, args, kwargs).

    Of a latent (B, L, ...) there is no target, and kwargs has the "size" of the images; of two images there is none,
    and kwargs has "other" and "weight"; else the target is the image (B, C, ...) itself.
    """

    def __call__(
        self,
        batchdata: dict[str, Any],
        device: str | torch.device | None = None,
        non_blocking: bool = False,
        **kwargs: Any,
    ) -> tuple[torch.Tensor, Any, tuple, dict[str, Any]]:
        def moved(name: str) -> torch.Tensor:
            return batchdata[name].to(device=device, non_blocking=non_blocking, **kwargs)

        if "latent" in batchdata:
            return moved("latent"), None, (), {"size": tuple(batchdata["size"][0].tolist())}
        image = moved("image")
        if "other" in batchdata:
            return image, None, (), {"other": moved("other"), "weight": float(batchdata["weight"][0])}
        return image, image, (), {}
