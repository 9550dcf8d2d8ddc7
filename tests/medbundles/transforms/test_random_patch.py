from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.transforms import Compose, RandFlipd

from medbundles.data import EpochBatches, SeededDataset, SeededLoader
from medbundles.preflight.rules import broken_rules
from medbundles.transforms import ImageAugmentation, RandomPatch


def ramp(*size: int) -> torch.Tensor:
    """Each pixel has a value of its own."""
    return torch.arange(int(np.prod(size)), dtype=torch.float32).reshape(1, *size)


def cut(image, size, seed=0, epoch=1, **options):
    step = RandomPatch(size, **options)
    step.set_random_state(seed=seed)
    return step({"image": image, "epoch": epoch})["image"]


@pytest.mark.parametrize(("shape", "size"), [((6, 9), [4, 8]), ((5, 6, 7), [4, 4, 2])])
def test_every_place_is_cut_equally_often_and_nothing_else(shape, size):
    image = ramp(*shape)
    corners = [float(cut(image, size, seed)[(0,) * (1 + len(size))]) for seed in range(600)]
    places = [side - wanted + 1 for side, wanted in zip(shape, size, strict=True)]
    allowed = {float(image[(0, *place)]) for place in np.ndindex(*places)}
    assert set(corners) == allowed
    counts = [corners.count(corner) for corner in allowed]
    mean = 600 / len(allowed)
    assert max(abs(count - mean) for count in counts) < 5 * np.sqrt(mean)
    patch = cut(image, size)
    start = np.unravel_index(int(patch.flatten()[0]), shape)
    assert torch.equal(patch[0], image[0][tuple(slice(s, s + n) for s, n in zip(start, size, strict=True))])


def test_where_the_image_is_smaller_its_border_is_repeated():
    image = ramp(3, 5)
    patch = cut(image, [8, 4])
    assert patch.shape == (1, 8, 4)
    assert torch.equal(patch[:, 3:], patch[:, 2:3].expand(1, 5, 4))


def test_the_final_size_from_its_epoch_on():
    sizes = [
        cut(ramp(9, 9), [4, 4], epoch=epoch, final_patch_size=[8, 6], final_from_epoch=3).shape[1:]
        for epoch in (1, 2, 3, 4)
    ]
    assert sizes == [(4, 4), (4, 4), (8, 6), (8, 6)]
    assert cut(ramp(9, 9), [4, 4], epoch=5, final_patch_size=False, final_from_epoch=1).shape[1:] == (4, 4)


def test_a_changed_patch_is_the_one_cut_from_the_changed_image():
    """The image is cut first, with a margin, which must not be seen in the patch."""
    image = torch.from_numpy(np.random.default_rng(0).random((1, 80, 90), dtype=np.float32))
    settings = {"random_rotate": 8, "random_scale": 0.2, "brightness": 0, "contrast": 0, "gamma": 0, "random_flip_h": 0}
    step = RandomPatch([80, 90], augmentation=ImageAugmentation(**settings))
    step.set_random_state(seed=3)
    patch = step({"image": image, "epoch": 1})["image"]
    whole = ImageAugmentation(**settings)
    whole.set_random_state(seed=0)
    whole.randomize()
    whole.angles, whole.zoom = step.augmentation.angles, step.augmentation.zoom
    assert torch.allclose(patch[0], whole.resample([image])[0][0], atol=1e-4)
    inner = cut(image * 0 + 0.5, [16, 16], augmentation=ImageAugmentation(brightness=0, contrast=0, gamma=0))
    assert torch.allclose(inner, torch.full((1, 16, 16), 0.5), atol=1e-6)


def test_random_transforms_of_monai_change_the_patch_and_are_seeded():
    image, flip = ramp(9, 9), {"keys": "image", "prob": 0.5, "spatial_axis": 1}
    seen = set()
    for seed in range(8):
        plain, changed, again = (
            cut(image, [4, 6], seed, augmentation=augmentation)
            for augmentation in (None, Compose([RandFlipd(**flip)]), Compose([RandFlipd(**flip)]))
        )
        assert torch.equal(changed, again)
        flipped = torch.equal(changed, plain.flip(-1))
        assert flipped or torch.equal(changed, plain)
        seen.add(flipped)
    assert seen == {True, False}


@pytest.mark.parametrize("workers", [0, 2])
def test_a_patch_depends_on_seed_epoch_and_item_alone(workers):
    """With persistent workers, and in a run that is resumed at epoch 2."""
    patches = RandomPatch([4, 4], [8, 8], 2, ImageAugmentation())

    def loader(workers):
        data = [{"image": ramp(12, 14) / 168, "name": i} for i in range(5)]
        dataset = SeededDataset(data, Compose([dict]), patches, seed=3)
        return SeededLoader(dataset, EpochBatches(5, 2, shuffle=True, seed=3), num_workers=workers, pin_memory=False)

    def epoch(loader, number):
        loader.set_epoch(number)
        return [batch["image"] for batch in loader]

    whole, resumed = loader(0), loader(workers)
    first, second = epoch(whole, 1), epoch(whole, 2)
    assert {tuple(batch.shape[2:]) for batch in first} == {(4, 4)}
    assert {tuple(batch.shape[2:]) for batch in second} == {(8, 8)}
    assert all(torch.equal(a, b) for a, b in zip(second, epoch(resumed, 2), strict=True))
    assert all(torch.equal(a, b) for a, b in zip(first, epoch(resumed, 1), strict=True))


CONFIG = {
    "patches": {"_target_": "medbundles.transforms.RandomPatch"},
    "network": {"_target_": "medbundles.networks.Autoencoder"},
}
RIGHT = {
    "patch_size": [64, 64], "final_patch_size": [128, 96], "final_patch_epochs": 10, "epochs": 10,
    "spatial_dims": 2, "network_def#channels": [8, 16, 32],
}  # fmt: skip


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({}, None),
        ({"final_patch_size": None, "final_patch_epochs": 0}, None),
        ({"final_patch_epochs": 11}, "final_patch_epochs: 11 is more than all 10 epochs; use 10 or less."),
        ({"final_patch_size": None}, "final_patch_epochs: 10 epochs of no size; give --final_patch_size"),
        ({"final_patch_epochs": 0}, "final_patch_size: [128, 96] in no epoch; give --final_patch_epochs"),
        ({"final_patch_size": [128]}, "final_patch_size: [128] has 1 numbers; spatial_dims is 2"),
        ({"final_patch_size": [128, 98]}, "final_patch_size: [128, 98] must be multiples of 4"),
        ({"patch_size": [62, 64]}, "patch_size: [62, 64] must be multiples of 4"),
    ],
)
def test_what_cannot_work_is_refused(change, line):
    lines = broken_rules(CONFIG, {**RIGHT, **change}, "train")
    assert len(lines) == (line is not None)
    assert line is None or lines[0].startswith(line)
