"""What costs nothing beside every mask: one mask for all images, and a logistic regression on each pixel."""

import logging
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch.nn.functional import avg_pool1d, interpolate

from medbundles.data.batches.dataset import PlainItems
from medbundles.errors import DataError
from medbundles.metrics.chosen import dice_at_thresholds
from medbundles.metrics.measures import AT_THRESHOLDS, UNTRAINED, Output, Regions, mask_channels
from medbundles.metrics.overlap import MASK_BASELINES
from medbundles.metrics.thresholds import best_mask_threshold, counts_at_thresholds
from medbundles.transforms.grid import to_input_grid

logger = logging.getLogger("medbundles")
GRID = {2: 128, 3: 48}  # sides of the map of where a class lies, by the number of dimensions
AROUND = (5, 15)  # sides of the neighbourhoods whose means are features, in pixels
DRAWN = 2000  # pixels of an image that the regression is fitted on


def pixel_features(image: torch.Tensor) -> torch.Tensor:
    """Of a prepared image (C, ...) for each pixel: every channel's value and its means over the neighbourhoods of 5 and
    15 pixels a side, then the place along each axis, -1 to 1, and its square (3C + 2 dims, ...)."""
    image = image.detach().as_subclass(torch.Tensor).float()
    means = [_mean_around(image, side) for side in AROUND]
    axes = [
        torch.linspace(-1, 1, side, device=image.device) if side > 1 else image.new_zeros(1) for side in image[0].shape
    ]
    places = torch.stack(torch.meshgrid(*axes, indexing="ij"))
    return torch.cat([image, *means, places, places.square()])


def _mean_around(image: torch.Tensor, side: int) -> torch.Tensor:
    """Means over the pixels of a cube that lie inside the image."""
    for axis in range(1, image.ndim):
        lines = image.movedim(axis, -1)
        pooled = avg_pool1d(lines.flatten(0, -2), side, 1, side // 2, count_include_pad=False)
        image = pooled.reshape(lines.shape).movedim(-1, axis)
    return image


class MaskBaselines:
    """Masks without a network: what the network's own are to be compared with, measured as they are.

    - constant: the same mask for every image: where the class lies in the training part often enough
    - logistic: scikit-learn's logistic regression on the standardised `pixel_features`, one for each class (or region)

    Both have a threshold for each class, that with the largest mean Dice on the training part: without one they would
    find nothing of a small class.

    Columns (B,) or (B, K): overlap_constant, predicted_pixels_constant, overlap_logistic, predicted_pixels_logistic;
    none where there is no training image with a mask, which is said. Reads the prepared "image" on the grid of the
    mask, and what `Masks` reads.

    Args:
        dataset: the training part (`medbundles.data.SeededDataset`), whose items have "image" (C, ...) and "mask"
            (1, ...) or (K, ...), perhaps on a grid of its own; what it augments does not count, nor do items whose
            entry in the datalist says with "has_mask" that they have none. Read when first needed.
        masks: makes an item's "mask" what the labels are (`medbundles.transforms.MasksOfRegions`); None: it is that.
        ignore_label: see `Masks`.
        regions: see `Masks`; each has a baseline of its own, as a class has.
        most: how many training images at most, evenly spread.

    Example::

        {"_target_": "medbundles.metrics.MaskBaselines", "dataset": "@train#dataset", "masks": "@masks",
         "ignore_label": "@ignore_label"}
    """

    def __init__(
        self,
        dataset: Any,
        masks: Callable[[dict], dict] | None = None,
        ignore_label: int | bool | None = None,
        regions: Regions | None = None,
        most: int = 50,
    ):
        self.to_labels, self.ignore_label, self.regions = masks, ignore_label, regions
        self.items = PlainItems(dataset, most, needs="has_mask")
        self.channels = 1  # of the network's masks
        self.unreadable: set[int] = set()  # places in `items`

    def __call__(self, output: Output) -> dict[str, torch.Tensor]:
        """The columns of a batch."""
        if "seg" in output.get(UNTRAINED, ()):
            return {}
        self.channels = output["pred"]["mask"].shape[1]
        columns: dict[str, torch.Tensor] = {}
        for name, thresholds in self.thresholds.items():
            _, truth, labelled = mask_channels(output, "mask", self.ignore_label, self.regions)
            prob = torch.stack([self._probabilities(name, image) for image in output["image"]])
            limits = torch.tensor(thresholds, device=prob.device).view(1, -1, *[1] * (prob.ndim - 2))
            found = (prob >= limits) & labelled
            counts = {"overlap": found & truth, "predicted_pixels": found}
            columns |= {f"{count}_{name}": pixels.flatten(2).sum(2) for count, pixels in counts.items()}
        return {name: values[:, 0] if values.shape[1] == 1 else values for name, values in columns.items()}

    def _items(self) -> Iterator[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
        """Image (C, ...) on the grid of its mask, the true masks (K, ...) bool and where they are labelled (1, ...).

        What cannot be read is left out, and named once: it is not what is evaluated."""
        for place in range(len(self.items)):
            try:
                item = self.items[place]
            except DataError as error:
                if place not in self.unreadable:
                    logger.warning("baselines: a training image is left out: %s", error)
                    self.unreadable.add(place)
                continue
            mask = torch.as_tensor((self.to_labels(item) if self.to_labels else item)["mask"])
            image = to_input_grid(torch.as_tensor(item["image"]), mask.shape[1:])
            output = {"pred": {"mask": torch.zeros(1, self.channels, *mask.shape[1:])}, "label": {"mask": mask[None]}}
            _, truth, labelled = mask_channels(output, "mask", self.ignore_label, self.regions)
            yield image, truth[0], labelled[0]

    @cached_property
    def fitted(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Where each class lies (K, ...) as a share of its most frequent place, and what the regressions of the classes
        multiply the features with (K, F + 1), the last one their constant. A class without a pixel has 0 and NaN."""
        draw, sums = np.random.default_rng(0), list[torch.Tensor]()
        features, truths = [], []
        for image, truth, labelled in self._items():
            sides = [GRID[image.ndim - 1]] * (image.ndim - 1)
            on_map = [interpolate(each[None].float(), sides, mode="area")[0] for each in (truth, labelled)]
            sums = [there + more for there, more in zip(sums, on_map, strict=True)] if sums else on_map
            chosen = _pixels(truth.any(0) & labelled[0], labelled[0], draw)
            features.append(pixel_features(image).flatten(1)[:, chosen].T)
            truths.append(truth.flatten(1)[:, chosen].T)
        share = sums[0] / sums[1].clamp(min=1e-6)
        share = share / share.flatten(1).amax(1).clamp(min=1e-6).view(-1, *[1] * (share.ndim - 1))
        return share, _regressions(torch.cat(features).numpy(), torch.cat(truths).numpy())

    @cached_property
    def thresholds(self) -> dict[str, list[float]]:
        """Baseline -> the threshold of each class, infinite where there is none; {} without a training image."""
        if next(self._items(), None) is None:
            logger.warning(
                "There is no training image with a mask here, so that what costs nothing (one mask for all images, a "
                "logistic regression on each pixel) does not stand beside the masks."
            )
            return {}
        _ = self.fitted
        logger.info("baselines: fitted on %d training images", len(self.items) - len(self.unreadable))
        dice: dict[str, list[np.ndarray]] = {name: [] for name in MASK_BASELINES}
        for image, truth, labelled in self._items():
            sizes = {"true_pixels": truth.flatten(1).sum(1), "has_mask": torch.ones(len(truth))}
            for name in MASK_BASELINES:
                found = counts_at_thresholds(self._probabilities(name, image) * labelled, truth)
                columns = dict(zip(AT_THRESHOLDS, found, strict=True)) | sizes
                # channels as cases: each has a Dice of its own
                dice[name].append(dice_at_thresholds({name: values.numpy() for name, values in columns.items()}))
        return {name: [_threshold(of_class) for of_class in np.stack(of, axis=1)] for name, of in dice.items()}

    def _probabilities(self, name: str, image: torch.Tensor) -> torch.Tensor:
        """(K, ...) of an image (C, ...)."""
        where, weights = (each.to(image.device) for each in self.fitted)
        if name == "constant":
            mode = "bilinear" if image.ndim == 3 else "trilinear"
            return interpolate(where[None], image.shape[1:], mode=mode)[0]
        logits = torch.tensordot(weights[:, :-1], pixel_features(image), dims=1)
        return (logits + weights[:, -1].view(-1, *[1] * (image.ndim - 1))).sigmoid()


def _threshold(dice: np.ndarray) -> float:
    found, _ = best_mask_threshold(dice)
    return float("inf") if np.isnan(found) else found


def _pixels(inside: torch.Tensor, labelled: torch.Tensor, draw: np.random.Generator) -> np.ndarray:
    """Places of drawn pixels: as many of the classes as of all, where there are so many."""
    places = [np.flatnonzero(each.numpy()) for each in (inside, labelled)]
    return np.concatenate([draw.permutation(each)[: DRAWN // 2] for each in places])


def _regressions(features: np.ndarray, truths: np.ndarray) -> torch.Tensor:
    """See `MaskBaselines.fitted`."""
    from sklearn.linear_model import LogisticRegression

    mean, std = features.mean(0), features.std(0)
    std[std == 0] = 1
    rows = []
    for truth in truths.T:
        if truth.all() or not truth.any():
            rows.append(np.full(len(mean) + 1, np.nan))
            continue
        model = LogisticRegression(max_iter=1000).fit((features - mean) / std, truth)
        rows.append(np.append(weights := model.coef_[0] / std, model.intercept_[0] - weights @ mean))
    return torch.tensor(np.stack(rows), dtype=torch.float32)
