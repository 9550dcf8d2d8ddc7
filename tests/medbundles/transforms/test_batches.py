from __future__ import annotations

import numpy as np
import torch

from medbundles.transforms import (
    CropToHead,
    PrepareMaskBatch,
    PrepareMultitaskBatch,
    PrepareSegmentationBatch,
    ResizeSquare,
)


def test_batch_becomes_image_and_targets():
    batch = {
        "image": torch.randn(2, 1, 8, 8),
        "mask": torch.ones(2, 1, 8, 8, dtype=torch.uint8),
        "label": torch.tensor([0, 1]),
        "has_mask": torch.tensor([True, False]),
        "name": ["a", "b"],
    }
    image, target = PrepareMultitaskBatch()(batch, "cpu", non_blocking=True, memory_format=torch.channels_last)
    assert torch.equal(image, batch["image"])
    assert image.is_contiguous(memory_format=torch.channels_last)
    assert set(target) == {"mask", "cls", "has_mask"}
    assert torch.equal(target["cls"], batch["label"])
    assert [target[key].dtype for key in ("mask", "cls", "has_mask")] == [torch.uint8, torch.int64, torch.bool]


def test_images_alone_have_no_target():
    assert PrepareMultitaskBatch()({"image": torch.zeros(1, 1, 4, 4)})[1] is None


def test_a_network_that_only_segments_gets_the_mask():
    batch = {"image": torch.randn(2, 1, 8, 8), "mask": torch.ones(2, 1, 8, 8, dtype=torch.uint8), "label": [0, 1]}
    image, mask = PrepareMaskBatch()(batch, "cpu", memory_format=torch.channels_last)
    assert torch.equal(image, batch["image"])
    assert torch.equal(mask, batch["mask"].float())
    assert mask.dtype == torch.float32  # of whole numbers MONAI's distances would be whole numbers too
    assert PrepareMaskBatch()({"image": batch["image"]})[1] is None


def test_a_segmentation_gets_the_distances_and_the_spacing_that_are_there():
    mask, distance = torch.ones(2, 1, 4, 4, dtype=torch.uint8), torch.ones(2, 3, 4, 4)
    batch = {"image": torch.randn(2, 1, 4, 4), "mask": mask, "distance": distance, "name": ["a", "b"]}
    _, target = PrepareSegmentationBatch()(batch, "cpu")
    assert set(target) == {"mask", "distance"}
    assert target["mask"].dtype == torch.uint8
    assert set(PrepareSegmentationBatch()(batch | {"spacing": torch.ones(2, 2)}, "cpu")[1]) == {*target, "spacing"}
    assert PrepareSegmentationBatch()({"image": batch["image"]})[1] is None


def test_slices_know_how_large_a_pixel_is_in_the_file():
    """A head of 30 x 60 pixels becomes a square of 20: three pixels of the file in each direction."""
    made = [ResizeSquare(20)(CropToHead(margin=0.0)(head(*size))) for size in ((30, 60), (40, 40))]
    batch = {key: torch.stack([item[key] for item in made]) for key in ("image", "mask", "crop")}
    batch |= {"label": torch.tensor([0, 1]), "has_mask": torch.tensor([True, True])}
    spacing = PrepareMultitaskBatch()(batch, "cpu")[1]["spacing"]
    assert spacing.dtype == torch.float64
    assert spacing.tolist() == [[3.0, 3.0], [2.0, 2.0]]


def head(height: int, width: int) -> dict:
    """A picture of 100 x 100 with a head of this size."""
    image = np.zeros((1, 100, 100), np.float32)
    image[:, 20 : 20 + height, 10 : 10 + width] = 1
    return {"image": image, "mask": (image > 0).astype(np.uint8), "head": image[0] > 0}
