from __future__ import annotations

import numpy as np
import torch

from medbundles.transforms import LabelledAugmentation, LabelledPatch


def item(*shape: int) -> dict[str, torch.Tensor]:
    """Each pixel has a value of its own; one pixel is class 1, a box of many is class 2."""
    mask = torch.zeros(1, *shape, dtype=torch.uint8)
    mask[(0, *(slice(0, side // 2) for side in shape))] = 2
    mask[(0, *(side - 1 for side in shape))] = 1
    return {"image": torch.arange(float(np.prod(shape))).reshape(1, *shape), "mask": mask}


def cut(data: dict, seed: int, *options, **more) -> dict:
    step = LabelledPatch(*options, **more)
    step.set_random_state(seed=seed)
    return step(data)


def test_image_and_mask_are_cut_alike_at_every_place():
    data = item(6, 9)
    corners = set()
    for seed in range(300):
        patch = cut(data, seed, [4, 8])
        assert patch["image"].shape == patch["mask"].shape == (1, 4, 8)
        place = divmod(int(patch["image"][0, 0, 0]), 9)
        corners.add(place)
        expected = data["mask"][0, place[0] : place[0] + 4, place[1] : place[1] + 8]
        assert (patch["mask"][0] == expected).all()
    assert corners == {(y, x) for y in range(3) for x in range(2)}


def test_a_smaller_image_repeats_its_border():
    patch = cut(item(4, 5, 3), 0, [8, 5, 4])
    assert patch["image"].shape == (1, 8, 5, 4)
    assert (patch["image"][0, 0] == patch["image"][0, 2]).all()
    assert (patch["image"][0, 7] == patch["image"][0, 5]).all()


def test_a_share_of_the_patches_is_around_a_class_each_class_equally_often():
    data, found = item(40, 40), {0.0: [], 0.5: [], 1.0: []}
    for share, seen in found.items():
        for seed in range(200):
            mask = cut(data, seed, [5, 5], share)["mask"]
            seen.append([bool((mask == label).any()) for label in (1, 2)])
    rare = {share: np.mean(seen, axis=0)[0] for share, seen in found.items()}
    assert rare[0.0] < 0.05
    assert 0.15 < rare[0.5] < 0.35
    assert 0.4 < rare[1.0] < 0.6
    assert np.mean(np.any(found[1.0], axis=1)) == 1
    ignoring = [bool((cut(data, seed, [5, 5], 1.0, ignore_label=2)["mask"] == 1).any()) for seed in range(20)]
    assert all(ignoring)


def test_without_a_patch_the_whole_image_is_augmented():
    data = item(16, 16)
    assert cut(data, 0)["image"] is data["image"]
    changed = cut(data, 0, augmentation=LabelledAugmentation(strength="strong"))
    assert changed["image"].shape == (1, 16, 16)
    assert not torch.equal(changed["image"], data["image"])
