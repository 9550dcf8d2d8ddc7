"""Columns of a batch against counting pixel by pixel, and reconstructions against float64 by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from medbundles.errors import ConfigError
from medbundles.losses import ClassificationLoss, MultitaskLoss, SegmentationLoss
from medbundles.metrics import Classes, Losses, Masks, MaskThresholds, Reconstruction, Surfaces, score
from medbundles.metrics.chosen import dice_at_thresholds
from medbundles.metrics.measures import class_indices
from medbundles.metrics.overlap import with_case_scores
from medbundles.metrics.thresholds import MASK_GRID
from medbundles.metrics.weighted import value_of

SHAPES = [(4, 6, 7), (4, 3, 4, 5)]  # images and volumes, without the channel


def masks(shape: tuple[int, ...], channels: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Predicted and true masks (B, K, ...), whose channels lie over each other; the second image has none."""
    generator = torch.Generator().manual_seed(seed)
    found, truth = ((torch.rand(shape[0], channels, *shape[1:], generator=generator) > 0.6).float() for _ in range(2))
    truth[1] = 0
    truth[2, channels - 1] = 0
    return found, truth


def counted(found: torch.Tensor, truth: torch.Tensor) -> dict[str, list]:
    """overlap, predicted_pixels and true_pixels of bool masks (B, K, ...), one pixel at a time."""
    columns: dict[str, list] = {"overlap": [], "predicted_pixels": [], "true_pixels": []}
    for image_found, image_truth in zip(found.flatten(2).tolist(), truth.flatten(2).tolist(), strict=True):
        pairs = [list(zip(f, t, strict=True)) for f, t in zip(image_found, image_truth, strict=True)]
        columns["overlap"].append([sum(f and t for f, t in channel) for channel in pairs])
        columns["predicted_pixels"].append([sum(f for f, _ in channel) for channel in pairs])
        columns["true_pixels"].append([sum(t for _, t in channel) for channel in pairs])
    return columns


@pytest.mark.parametrize("shape", SHAPES)
def test_masks_of_three_channels_are_counted_one_by_one(shape):
    found, truth = masks(shape, 3)
    columns = Masks()({"pred": {"mask": found}, "label": {"mask": 2 * truth}})
    wanted = counted(found > 0, truth > 0)
    assert {name: columns[name].tolist() for name in wanted} == wanted
    assert columns["pixels"].tolist() == [math.prod(shape[1:])] * shape[0]
    assert columns["has_mask"].tolist() == [True] * shape[0]


@pytest.mark.parametrize(("channels", "indices"), [(1, True), (3, True), (3, False)])
def test_pixels_that_are_not_labelled_count_in_nothing(channels, indices):
    generator = torch.Generator().manual_seed(2)
    prob = torch.rand(4, channels, 6, 8, generator=generator)
    truth = torch.randint(
        0, 1 + (channels if indices else 1), (4, 1 if indices else channels, 6, 8), generator=generator
    )
    cut = {"pred": {"mask": prob[..., :5] > 0.5, "mask_prob": prob[..., :5]}, "label": {"mask": truth[..., :5]}}
    truth = truth.clone()
    truth[..., 5:] = 255
    whole = {"pred": {"mask": prob > 0.5, "mask_prob": prob}, "label": {"mask": truth}}
    for measure in (Masks, MaskThresholds):
        wanted = measure()(cut)
        found = measure(ignore_label=255)(whole)
        assert {name: value.tolist() for name, value in found.items()} == {n: v.tolist() for n, v in wanted.items()}
    assert Masks(ignore_label=255)(whole)["pixels"].tolist() == [30] * 4


def test_class_indices_take_no_more_than_a_map_for_each_volume():
    mask = torch.zeros(30, 20, 20, 20)
    mask[7, :5], mask[29, 4:6] = 1, 1  # where they overlap the last one counts
    with torch.profiler.profile(profile_memory=True) as seen:
        found = class_indices(mask)
    assert max(event.cpu_memory_usage for event in seen.events()) <= 2 * 8 * mask[0].numel()
    assert found[:7, 0, 0].tolist() == [8, 8, 8, 8, 30, 30, 0]


def test_class_indices_are_the_channels_of_three():
    found, _ = masks((4, 6, 7), 3)
    indices = torch.randint(0, 4, (4, 1, 6, 7), generator=torch.Generator().manual_seed(1))
    truth = torch.stack([indices[:, 0] == c + 1 for c in range(3)], 1)
    columns = Masks()({"pred": {"mask": found}, "label": {"mask": indices}})
    wanted = counted(found > 0, truth)
    assert {name: columns[name].tolist() for name in wanted} == wanted
    assert torch.equal(torch.stack([class_indices(one) for one in truth]), indices[:, 0])


def test_of_one_channel_any_index_above_0_is_tumour_and_the_columns_are_flat():
    found, truth = masks((4, 6, 7), 1)
    wanted = {name: [row[0] for row in rows] for name, rows in counted(found > 0, truth > 0).items()}
    has_mask = torch.tensor([True, True, False, True])
    columns = Masks()({"pred": {"mask": found}, "label": {"mask": 3 * truth, "has_mask": has_mask}})
    assert {name: columns[name].tolist() for name in wanted} == wanted
    assert columns["has_mask"].tolist() == has_mask.tolist()
    alone = Masks()({"pred": found, "label": truth})
    assert {name: alone[name].tolist() for name in wanted} == wanted


def test_another_number_of_channels_is_refused():
    found, truth = masks((4, 6, 7), 3)
    with pytest.raises(ConfigError, match="the prediction has 3 mask channels, the labels have 2"):
        Masks()({"pred": {"mask": found}, "label": {"mask": truth[:, :2]}})
    with pytest.raises(ConfigError, match=r"no 'pred\.mask' in the engine's output"):
        Masks()({"pred": {}, "label": {"mask": truth}})


def test_thresholds_of_three_channels_are_the_mean_over_those_that_are_there():
    prob = torch.rand(4, 3, 6, 7, generator=torch.Generator().manual_seed(2))
    _, truth = masks((4, 6, 7), 3)
    has_mask = torch.tensor([True, True, True, False])
    output = {"pred": {"mask_prob": prob, "mask": prob >= 0.5}, "label": {"mask": truth, "has_mask": has_mask}}
    found = dice_at_thresholds({k: v.numpy() for m in (Masks(), MaskThresholds()) for k, v in m(output).items()})
    for i in range(4):
        for t, threshold in enumerate(MASK_GRID):
            p, dice = prob[i] >= np.float32(threshold), []
            for c in range(3):
                if truth[i, c].any() and has_mask[i]:
                    both = (p[c] & (truth[i, c] > 0)).sum().item()
                    dice.append(2 * both / (p[c].sum() + truth[i, c].sum()).item())
            wanted = np.mean(dice) if dice else math.nan
            assert found[i, t].item() == pytest.approx(wanted, abs=1e-12, nan_ok=True)
    assert np.isnan(found).all(axis=1).tolist() == [False, True, False, True]


def test_classes_are_taken_as_they_are():
    prob = torch.tensor([[0.4, 0.6], [0.9, 0.1]], dtype=torch.float64, requires_grad=True)
    output = {"pred": {"class": torch.tensor([0, 0]), "prob": prob}, "label": {"cls": torch.tensor([[1], [0]])}}
    columns = Classes()(output)
    assert (columns["label"].tolist(), columns["predicted"].tolist()) == ([1, 0], [0, 0])
    assert columns["prob"].tolist() == prob.tolist()
    assert not columns["prob"].requires_grad


def gaussian(side: int) -> np.ndarray:
    window = np.exp(-(((np.arange(side) - (side - 1) / 2) / 1.5) ** 2) / 2)
    return window / window.sum()


def ssim_by_hand(x: np.ndarray, y: np.ndarray, data_range: float, side: int) -> float:
    """SSIM of one channel (H, W) or (H, W, D) in float64, windows that lie inside the image; Wang et al. 2004."""
    window = gaussian(side)
    for _ in range(x.ndim - 1):
        window = window[..., None] * gaussian(side)
    axes = tuple(range(x.ndim, 2 * x.ndim))

    def mean(values: np.ndarray) -> np.ndarray:
        return (np.lib.stride_tricks.sliding_window_view(values, window.shape) * window).sum(axis=axes)

    a, b = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    mx, my = mean(x), mean(y)
    vx, vy, cov = mean(x * x) - mx**2, mean(y * y) - my**2, mean(x * y) - mx * my
    return float((((2 * mx * my + a) * (2 * cov + b)) / ((mx**2 + my**2 + a) * (vx + vy + b))).mean())


@pytest.mark.parametrize(("shape", "side"), [((3, 1, 16, 14), 11), ((3, 2, 16, 14), 7), ((2, 1, 9, 8, 7), 5)])
@pytest.mark.parametrize("data_range", [1.0, 4.0])
def test_a_reconstruction_equals_float64_by_hand(shape, side, data_range):
    generator = torch.Generator().manual_seed(3)
    target = data_range * torch.rand(shape, generator=generator)
    made = target + 0.1 * data_range * torch.randn(shape, generator=generator)
    made[1] = target[1]  # a perfect one
    measure = Reconstruction(data_range, win_size=side)
    columns = measure({"pred": {"reconstruction": made}, "label": {"reconstruction": target}})
    scores = with_case_scores({name: value.numpy() for name, value in columns.items()})
    for i in range(shape[0]):
        x, y = made[i].double().numpy(), target[i].double().numpy()
        errors = [float(a) - float(b) for a, b in zip(x.ravel(), y.ravel(), strict=True)]
        l1 = math.fsum(abs(e) for e in errors) / len(errors)
        mse = math.fsum(e * e for e in errors) / len(errors)
        assert columns["absolute_error"][i].item() == pytest.approx(l1 * len(errors), abs=1e-9)
        assert columns["squared_error"][i].item() == pytest.approx(mse * len(errors), abs=1e-9)
        assert columns["size"][i].item() == len(errors)
        assert scores["l1"][i] == pytest.approx(l1, abs=1e-12)
        assert scores["mse"][i] == pytest.approx(mse, abs=1e-12)
        psnr = 10 * math.log10(data_range**2 / mse) if mse else 200.0
        assert scores["psnr"][i] == pytest.approx(psnr, abs=1e-9)
        ssim = np.mean([ssim_by_hand(a, b, data_range, side) for a, b in zip(x, y, strict=True)])
        assert columns["ssim"][i].item() == pytest.approx(ssim, abs=2e-5)  # MONAI's is float32
    assert columns["ssim"][1].item() == pytest.approx(1.0, abs=1e-6)


def ms_ssim_by_hand(x: np.ndarray, y: np.ndarray, side: int) -> float:
    """MS-SSIM of one channel (H, W) in float64: contrast at five scales, luminance at the last; Wang et al. 2003."""
    value, window = 1.0, gaussian(side)[:, None] * gaussian(side)
    for scale, weight in enumerate((0.0448, 0.2856, 0.3001, 0.2363, 0.1333)):
        if scale:
            x, y = ((z[::2, ::2] + z[1::2, ::2] + z[::2, 1::2] + z[1::2, 1::2]) / 4 for z in (x, y))

        def mean(values: np.ndarray) -> np.ndarray:
            return (np.lib.stride_tricks.sliding_window_view(values, window.shape) * window).sum(axis=(2, 3))

        mx, my = mean(x), mean(y)
        vx, vy, cov = mean(x * x) - mx**2, mean(y * y) - my**2, mean(x * y) - mx * my
        similar = (2 * cov + 0.03**2) / (vx + vy + 0.03**2)
        if scale == 4:
            similar = similar * (2 * mx * my + 0.01**2) / (mx**2 + my**2 + 0.01**2)
        value *= similar.mean() ** weight
    return float(value)


def test_ms_ssim_equals_float64_by_hand():
    generator = torch.Generator().manual_seed(5)
    target = torch.rand(2, 1, 64, 48, generator=generator)
    made = (target + 0.2 * torch.randn(2, 1, 64, 48, generator=generator)).clamp(0, 1)
    columns = Reconstruction(win_size=3)({"pred": made, "label": target})
    for i in range(2):
        wanted = ms_ssim_by_hand(made[i, 0].double().numpy(), target[i, 0].double().numpy(), 3)
        assert columns["ms_ssim"][i].item() == pytest.approx(wanted, abs=2e-5)


@pytest.mark.parametrize(("side", "there"), [(10, []), (11, ["ssim"]), (175, ["ssim"]), (176, ["ssim", "ms_ssim"])])
def test_images_smaller_than_a_window_have_no_similarity_but_their_errors(side, there):
    image = torch.rand(2, 1, side, 180)
    columns = Reconstruction()({"pred": image, "label": image})
    for name in ("ssim", "ms_ssim"):
        assert columns[name].isnan().tolist() == [name not in there] * 2, name
    assert columns["absolute_error"].tolist() == [0, 0]
    assert not {"ssim", "ms_ssim"} & set(Reconstruction(similarities=[])({"pred": image, "label": image}))


def test_an_unknown_similarity_is_refused():
    with pytest.raises(ConfigError, match="similarities: 'sim'"):
        Reconstruction(similarities=["sim"])


def test_a_reconstruction_without_labels_is_compared_with_its_image():
    image, made = torch.rand(2, 1, 12, 12), torch.rand(2, 1, 12, 12)
    measure = Reconstruction(similarities=["ssim"])
    wanted = measure({"pred": {"reconstruction": made}, "label": {"reconstruction": image}})
    for output in ({"pred": made, "image": image}, {"pred": made, "label": None, "image": image},
                   {"pred": made, "label": image, "image": made}):  # fmt: skip
        found = measure(output)
        assert {name: value.tolist() for name, value in found.items()} == {n: v.tolist() for n, v in wanted.items()}


@pytest.mark.parametrize("data_range", [0, -1.0, math.nan])
def test_a_range_that_is_not_above_0_is_refused(data_range):
    with pytest.raises(ConfigError, match=r"data_range is .*; it must be greater than 0"):
        Reconstruction(data_range)


def test_losses_of_two_terms_have_values_weights_and_factors():
    generator = torch.Generator().manual_seed(4)
    pred = {"seg": torch.randn(3, 1, 8, 8, generator=generator), "cls": torch.randn(3, 2, generator=generator)}
    has_mask = torch.tensor([True, False, True])
    mask = torch.randint(0, 2, (3, 1, 8, 8), generator=generator) * has_mask[:, None, None, None]
    label = {"mask": mask, "cls": torch.tensor([0, 1, 1]), "has_mask": has_mask}
    columns = Losses(MultitaskLoss(SegmentationLoss(), ClassificationLoss(), 0.7, 0.4))({"pred": pred, "label": label})
    assert columns["seg_loss_weight"].tolist() == has_mask.tolist()
    assert columns["cls_loss_weight"].tolist() == [True] * 3
    for term, factor in {"seg": 0.7, "cls": 0.4}.items():
        assert columns[f"{term}_loss_factor"].tolist() == pytest.approx([factor] * 3)
    for i in range(3):
        seg = SegmentationLoss()(pred["seg"][i : i + 1].double(), mask[i : i + 1])[0].item()
        cls = ClassificationLoss()(pred["cls"][i : i + 1].double(), label["cls"][i : i + 1])[0].item()
        assert columns["seg_loss"][i].item() == pytest.approx(seg if has_mask[i] else math.nan, abs=1e-6, nan_ok=True)
        assert columns["cls_loss"][i].item() == pytest.approx(cls, abs=1e-6)


def test_a_reconstruction_is_measured_as_it_is_written():
    made, target = torch.tensor([-0.5, 0.25, 1.5, 1.0]).reshape(1, 1, 2, 2), torch.tensor([0.0, 0.5, 1.0, 0.0])
    output = {"pred": made, "label": target.reshape(1, 1, 2, 2)}
    errors = [Reconstruction(similarities=[], clip=clip)(output)["absolute_error"].item() for clip in (False, True)]
    assert errors == pytest.approx([0.5 + 0.25 + 0.5 + 1, 0.25 + 1])


def test_regions_are_channels_behind_the_classes_and_outside_of_their_mean():
    generator = torch.Generator().manual_seed(5)
    classes, truth = (torch.randint(0, 4, (3, 1, 8, 9), generator=generator) for _ in range(2))
    found = torch.cat([classes == k for k in (1, 2, 3)], dim=1).float()
    output = {"pred": {"mask": found}, "label": {"mask": truth}}
    regions = {"all": [1, 2, 3], "ends": [1, 3]}
    columns = {name: values.numpy() for name, values in Masks(regions=regions)(output).items()}
    united = [[1], [2], [3], [1, 2, 3], [1, 3]]
    dice = [
        [
            2 * float((np.isin(f, u) & np.isin(t, u)).sum()) / float(np.isin(f, u).sum() + np.isin(t, u).sum())
            for u in united
        ]
        for f, t in zip(classes.double().numpy(), truth.double().numpy(), strict=True)
    ]
    assert with_case_scores(columns)["dice"] == pytest.approx(np.array(dice), abs=1e-12)
    assert value_of(score("dice", columns), 3) == pytest.approx(np.array(dice)[:, :3].mean(), abs=1e-12)
    assert value_of(score("dice", columns, 3), 3) == pytest.approx(np.array(dice)[:, 3].mean(), abs=1e-12)
    right = with_case_scores(columns)["pixel_accuracy"]
    assert right == pytest.approx((classes == truth).double().mean((1, 2, 3)).numpy(), abs=1e-12)
    surfaces = Surfaces(regions=regions)(output)
    alone = Surfaces()({"pred": {"mask": found.amax(1, keepdim=True)}, "label": {"mask": (truth > 0).long()}})
    assert surfaces["hd95"].shape == (3, 5)
    assert torch.equal(surfaces["hd95"][:, 3], alone["hd95"])
