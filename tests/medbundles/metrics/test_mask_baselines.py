"""What costs nothing beside every mask: features and regression by hand, the constant mask, and scores of both."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from medbundles.data import SeededDataset
from medbundles.errors import DataError
from medbundles.metrics import MaskBaselines, Masks
from medbundles.metrics.mask_baselines import pixel_features
from medbundles.reports.evaluation import Evaluation
from medbundles.transforms import MasksOfRegions

SIZE = (24, 20)


class Never:
    def set_random_state(self, seed=None):
        raise AssertionError("a baseline is fitted on what is not augmented")


def dataset(images, masks) -> SeededDataset:
    items = [{"image": str(i), "at": i} for i in range(len(images))]
    return SeededDataset(
        items,
        lambda item: {**item, "image": images[item["at"]], "mask": masks[item["at"]]},
        augmentation=Never(),
    )


def drawn(count=6, seed=0, classes=2) -> tuple[torch.Tensor, torch.Tensor]:
    """Noise (n, 1, H, W) with a brighter square for each class, around the same place."""
    rng = np.random.default_rng(seed)
    images, masks = rng.normal(size=(count, 1, *SIZE)), np.zeros((count, 1, *SIZE))
    for image, mask in zip(images, masks, strict=True):
        for k in range(classes):
            y, x = 3 + 10 * k + rng.integers(3), 5 + rng.integers(3)
            mask[0, y : y + 7, x : x + 8] = k + 1
            image[0, y : y + 7, x : x + 8] += 4 * (k + 1)
    return torch.from_numpy(images).float(), torch.from_numpy(masks).long()


def measured(baselines, images, masks, channels=2):
    pred = {"mask": torch.zeros(len(images), channels, *masks.shape[2:])}
    return baselines({"image": images, "pred": pred, "label": {"mask": masks}})


def test_features_are_values_means_around_and_places():
    image = torch.randn(2, 6, 9, generator=torch.Generator().manual_seed(0))
    found = pixel_features(image)
    assert found.shape == (3 * 2 + 2 * 2, 6, 9)
    whole = image.double().numpy()
    around = whole[1, max(0, 4 - 2) : 4 + 3, max(0, 1 - 2) : 1 + 3]
    assert found[0, 4, 1] == image[0, 4, 1]
    assert found[3, 4, 1] == pytest.approx(around.mean(), abs=1e-6)
    assert found[5, 4, 1] == pytest.approx(whole[1, :, : 1 + 8].mean(), abs=1e-6)  # 15 a side: all there is
    assert found[6, 4, 1] == pytest.approx(-1 + 2 * 4 / 5, abs=1e-6)
    assert found[7, 4, 1] == pytest.approx(-1 + 2 * 1 / 8, abs=1e-6)
    assert found[9, 4, 1] == pytest.approx((-1 + 2 * 1 / 8) ** 2, abs=1e-6)
    assert pixel_features(torch.randn(1, 4, 5, 6)).shape == (3 + 6, 4, 5, 6)


def test_the_same_mask_everywhere_is_found_without_looking():
    images, _ = drawn()
    mask = torch.zeros(6, 1, *SIZE, dtype=torch.long)
    mask[:, :, 4:12, 5:13], mask[:, :, 14:20, 2:8] = 1, 2
    columns = measured(MaskBaselines(dataset(images, mask)), torch.zeros_like(images[:2]), mask[:2])
    assert columns["overlap_constant"].tolist() == [[64, 36]] * 2
    dice = 2 * columns["overlap_constant"] / (columns["predicted_pixels_constant"] + torch.tensor([64, 36]))
    assert (dice > 0.9).all()  # the map has pixels of its own


def test_brightness_is_found_by_the_regression_wherever_it_lies():
    images, masks = drawn(12)
    test_images, test_masks = drawn(5, seed=1)
    moved = (test_images.roll(9, 3), test_masks.roll(9, 3))
    columns = measured(MaskBaselines(dataset(images, masks)), *moved)
    assert (2 * columns["overlap_logistic"] > 0.9 * (columns["predicted_pixels_logistic"] + 56))[:, 1].all()
    assert (columns["overlap_constant"] < columns["overlap_logistic"]).all()


def test_the_regression_is_scikit_learns_on_all_pixels_of_few():
    images, masks = drawn(3)
    baselines = MaskBaselines(dataset(images, masks))
    baselines.channels = 2
    weights = baselines.fitted[1].double().numpy()
    features = np.concatenate([pixel_features(image).flatten(1).T.numpy() for image in images])
    truth = masks.flatten().numpy()
    for k in range(2):
        # drawn are all pixels once, and those of the classes once more
        rows = np.concatenate([np.arange(len(truth)), np.flatnonzero(truth > 0)])
        model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
        model.fit(features[rows], truth[rows] == k + 1)
        ours = features @ weights[k, :-1] + weights[k, -1]
        assert ours == pytest.approx(model.decision_function(features), abs=0.02)


def test_overlapping_regions_and_one_channel_have_masks_of_their_own():
    images, masks = drawn(8)
    whole, core = masks > 0, masks == 2
    regions = torch.cat([whole, core], dim=1)
    columns = measured(MaskBaselines(dataset(images, regions)), images, regions)
    labels = MaskBaselines(dataset(images, masks), MasksOfRegions([[1, 2], [2]]))
    same = measured(labels, images, regions)
    assert all(torch.equal(same[name], values) for name, values in columns.items())
    assert (columns["predicted_pixels_logistic"][:, 0] > columns["predicted_pixels_logistic"][:, 1]).all()
    one = measured(MaskBaselines(dataset(images, whole.long())), images, whole.long(), channels=1)
    assert one["overlap_logistic"].shape == (8,)


def test_what_is_not_labelled_teaches_and_counts_nothing():
    images, masks = drawn(8, classes=1)
    hidden, noise = masks.clone(), images.clone()
    hidden[:, :, 12:], noise[:, :, 12:] = 255, 9.0
    found = measured(MaskBaselines(dataset(noise, hidden), ignore_label=255), noise, hidden, channels=1)
    true = Masks(255)({"pred": {"mask": hidden * 0}, "label": {"mask": hidden}})["true_pixels"]
    assert (found["predicted_pixels_logistic"] < 1.5 * true).all()
    assert (found["overlap_logistic"] > 0.8 * true).all()


def test_masks_may_have_a_grid_of_their_own():
    images, masks = drawn(8, classes=1)
    large = masks.repeat_interleave(2, 2).repeat_interleave(2, 3)
    bigger = torch.nn.functional.interpolate(images, large.shape[2:], mode="bilinear")
    columns = measured(MaskBaselines(dataset(images, large)), bigger, large, channels=1)
    assert (columns["overlap_logistic"] > 0.8 * large.flatten(1).sum(1)).all()


def test_regions_have_baselines_of_their_own_behind_those_of_the_classes():
    images, masks = drawn(8)
    plain = measured(MaskBaselines(dataset(images, masks)), images, masks)
    regions = {"whole": [1, 2], "second": [2]}
    found = measured(MaskBaselines(dataset(images, masks), regions=regions), images, masks)
    union = measured(MaskBaselines(dataset(images, masks > 0)), images, (masks > 0).long(), channels=1)
    for name, values in found.items():
        assert values.shape == (8, 4)
        assert torch.equal(values[:, 1], values[:, 3])
        if name.endswith("constant"):  # the regression is fitted on other pixels: those of any class
            assert torch.equal(values[:, :2], plain[name])
            assert torch.equal(values[:, 2], union[name])
    network = Masks(regions=regions)({"pred": {"mask": torch.zeros(8, 2, *SIZE)}, "label": {"mask": masks}})
    assert network["overlap"].shape == found["overlap_logistic"].shape


def test_images_without_a_mask_teach_nothing(caplog):
    images, masks = drawn(8)
    some = dataset(images, masks)
    for item in some.data[::2]:
        item["has_mask"] = False
    found = measured(MaskBaselines(some), images, masks)
    alone = measured(MaskBaselines(dataset(images[1::2], masks[1::2])), images, masks)
    assert all(torch.equal(found[name], values) for name, values in alone.items())
    for item in some.data:
        item["has_mask"] = False
    caplog.set_level("WARNING", logger="medbundles")
    assert measured(MaskBaselines(some), images, masks) == {}
    assert "no training image with a mask here, so that what costs nothing" in caplog.text


def test_without_a_training_part_or_a_class_in_it_there_is_nothing():
    images, masks = drawn(4)
    assert measured(MaskBaselines(dataset([], [])), images, masks) == {}
    absent = measured(MaskBaselines(dataset(images, masks.clamp(max=1))), images, masks)
    assert absent["predicted_pixels_logistic"][:, 1].tolist() == [0] * 4
    assert absent["predicted_pixels_constant"][:, 1].tolist() == [0] * 4


def test_scores_stand_beside_the_networks_with_their_difference():
    images, masks = drawn(60, classes=1)
    masks[3] = 0
    output = {"image": images, "pred": {"mask": (masks == 1).float()}, "label": {"mask": masks}}
    found = {**Masks()(output), **MaskBaselines(dataset(images, masks))(output)}
    names = np.array([f"p{i:02}" for i in range(len(images))])
    columns = {"name": names, "patient": names, "source": np.array(["a"] * len(names)), "file": names}
    columns |= {name: values.numpy() for name, values in found.items()}
    evaluation = Evaluation(columns, scores=["dice", "dice_constant", "dice_over_constant", "dice_over_logistic"])
    metrics = evaluation.metrics["all"]
    there = np.arange(len(images)) != 3
    by_hand = 2 * columns["overlap_constant"] / (columns["predicted_pixels_constant"] + columns["true_pixels"])
    assert metrics["dice_constant"]["value"] == pytest.approx(by_hand[there].mean())
    assert metrics["dice_over_constant"]["value"] == pytest.approx(1 - by_hand[there].mean())
    assert metrics["dice_over_constant"]["low"] > 0
    assert metrics["dice_over_constant"]["n_images"] == 59
    assert evaluation.against_baselines()[0].startswith("The model is better than one mask for all images (Dice")


def test_training_images_that_cannot_be_read_are_left_out_and_named_once(caplog):
    images, masks = drawn()
    good = dataset(images[1:], masks[1:])

    def read(item):
        if item["at"] == 0:
            raise DataError("/data/0.png: truncated")
        return good.transform({"at": item["at"] - 1})

    broken = SeededDataset([{"image": str(i), "at": i} for i in range(len(images))], read)
    found, wanted = (measured(MaskBaselines(data), images, masks) for data in (broken, good))
    assert all(torch.equal(found[name], wanted[name]) for name in wanted)
    assert caplog.text.count("a training image is left out: /data/0.png: truncated") == 1
    none = SeededDataset([{"image": "0", "at": 0}], read)
    assert measured(MaskBaselines(none), images, masks) == {}
