"""Scores by name: losses, channels, weights, and what is refused."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from ignite.engine import Engine

from medbundles.errors import ConfigError
from medbundles.losses import LDAMLoss
from medbundles.metrics import Cases, Losses, Score
from medbundles.metrics.scores import IN_REPORTS, SCORES, check_scores, score, scores_of
from medbundles.metrics.weighted import value_of


class Given:
    """Takes the first logit as the loss and the second as the weight."""

    def per_sample(self, logits: torch.Tensor, label: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return logits[:, 0], logits[:, 1]


def run(loss, logits, label, sizes) -> float:
    engine = Engine(
        lambda engine, rows: {"image": logits[rows], "pred": {"cls": logits[rows]}, "label": {"cls": label[rows]}}
    )
    Score("loss", Cases([Losses(loss, "cls")])).attach(engine, "val_loss")
    starts = [sum(sizes[:i]) for i in range(len(sizes))]
    engine.run([slice(start, start + size) for start, size in zip(starts, sizes, strict=True)])
    return engine.state.metrics["val_loss"]


@pytest.mark.parametrize("sizes", [[4], [1, 3], [2, 1, 1]])
def test_ldam_with_and_without_weights(sizes):
    logits = torch.tensor([[0.3, -0.2], [0.1, 0.4], [-0.5, 0.25], [0.9, -0.9]])
    label = torch.tensor([0, 1, 0, 1])
    loss = LDAMLoss(counts=[75, 210], max_m=0.5, s=30, drw_start_epoch=2, drw_divide="batch")
    loss.set_epoch(1)
    assert run(loss, logits, label, sizes) == pytest.approx(26.614183, abs=1e-5)
    loss.set_epoch(2)  # the metric holds the module: its state counts
    assert run(loss, logits, label, sizes) == pytest.approx(24.720749, abs=1e-5)


def test_a_weight_of_0_hides_a_nan_and_any_other_shows_it():
    label = torch.zeros(3, dtype=torch.int64)
    logits = torch.tensor([[1.0, 1.0], [math.nan, 0.0], [4.0, 3.0]])
    assert run(Given(), logits, label, [2, 1]) == pytest.approx((1 + 12) / 4)
    logits[1, 1] = 0.5
    assert math.isnan(run(Given(), logits, label, [2, 1]))
    assert math.isnan(run(Given(), torch.zeros(3, 2), label, [3]))


def test_a_loss_without_values_per_sample_is_a_mean_over_samples():
    logits, label = torch.tensor([[2.0, 0.0], [0.0, 1.0], [0.5, 0.5]]), torch.tensor([0, 0, 1])
    found = run(torch.nn.CrossEntropyLoss(), logits, label, [2, 1])
    assert found == pytest.approx(float(torch.nn.functional.cross_entropy(logits.double(), label)), abs=1e-6)
    weighted = torch.nn.CrossEntropyLoss(torch.tensor([1.0, 3.0]))  # of a single sample its weight would cancel out
    with pytest.raises(ConfigError, match="the weight of its class cancels out"):
        run(weighted, logits, label, [2, 1])


def table(channels: int = 3, n: int = 24) -> dict[str, np.ndarray]:
    """Columns of everything there is to measure; some images have no mask, some an empty one in some channels."""
    rng = np.random.default_rng(channels)
    true = rng.integers(0, 30, (n, channels)) * (rng.random((n, channels)) > 0.3)
    overlap = rng.integers(0, true + 1)
    found = overlap + rng.integers(0, 20, (n, channels))
    prob = np.round(rng.dirichlet([1, 1], n), 2)
    has_mask = rng.random(n) > 0.2
    at = {f"{name}_at_thresholds": rng.integers(0, 9, (n, channels, 19)) for name in ("overlap", "predicted_pixels")}
    masks = {"overlap": overlap, "predicted_pixels": found, "true_pixels": true}
    for baseline in ("constant", "logistic"):
        masks[f"overlap_{baseline}"] = rng.integers(0, true + 1)
        masks[f"predicted_pixels_{baseline}"] = masks[f"overlap_{baseline}"] + rng.integers(0, 20, (n, channels))
    surfaces = {
        name: np.where(rng.random((n, channels)) > 0.2, rng.random((n, channels)), np.nan)
        for name in ("hd95", "surface_dice", "volume_difference")
    }
    return {
        **{name: values[:, 0] if channels == 1 else values for name, values in (masks | surfaces).items()},
        "has_mask": has_mask, "pixels": np.full(n, 100), "diagonal": np.linspace(1, 2, n),
        **{name: values[:, 0] if channels == 1 else values for name, values in at.items()},
        "patient": np.array([f"p{i // 3}" for i in range(n)]),
        "label": rng.integers(0, 2, n), "predicted": (prob[:, 1] > 0.4).astype(int), "prob": prob,
        "constant": np.ones(n), "logistic": np.round(rng.dirichlet([1, 1], n), 2),
        "absolute_error": rng.random(n), "squared_error": rng.random(n), "ssim": rng.random(n),
        "size": np.full(n, 50), "data_range": np.full(n, 2.0),
        **{f"{name}_{of}": rng.random(n) for of in ("bicubic", "pca", "jpeg")
           for name in ("absolute_error", "squared_error", "ssim", "size", "data_range")},
        "jpeg_bytes": np.where(rng.random(n) > 0.2, 1000.0, np.nan),
        "ms_ssim": np.where(rng.random(n) > 0.2, rng.random(n), np.nan),
        "lpips": rng.random(n), "l1_patch": rng.random(n), "l1_gap": rng.normal(size=n),
        "kl": rng.random(n), "kl_per_element": rng.random(n), "latent_positions": rng.integers(9, 20, n),
        **{name: rng.random((n, 4)) for name in ("latent_sum", "latent_square", "latent_variance")},
        "seg_loss": rng.random(n), "seg_loss_weight": has_mask, "seg_loss_factor": np.full(n, 0.7),
        "cls_loss": rng.random(n), "cls_loss_weight": np.ones(n), "cls_loss_factor": np.full(n, 0.4),
    }  # fmt: skip


@pytest.mark.parametrize("channels", [1, 3])
# a threshold of volumes is of an epoch, not of draws
@pytest.mark.parametrize("name", [*(name for name in SCORES if name != "volume_threshold"), "seg_loss", "cls_loss"])
def test_a_weight_counts_as_repeated_cases(name, channels):
    """What an interval draws is what an epoch would give of these cases."""
    columns = table(channels)
    patients = np.random.default_rng(0).integers(1, 3, 8)
    weights = np.repeat(patients, 3)  # as a bootstrap has them: one weight for all images of a patient
    again = {key: np.repeat(values, weights, axis=0) for key, values in columns.items()}
    if name == "dice_patient":  # a patient drawn twice is two patients
        copy = np.concatenate([np.arange(w) for w in weights])
        again["patient"] = np.array([f"{p} {c}" for p, c in zip(again["patient"], copy, strict=True)])
    found = float(score(name, columns)(weights[None])[0])
    assert math.isfinite(found)
    assert found == pytest.approx(value_of(score(name, again), weights.sum()), abs=1e-12)


def by_hand(columns: dict[str, np.ndarray], channel: int) -> dict[str, float]:
    dice, iou, area, precision, recall = [], [], [], [], []
    for i in range(len(columns["has_mask"])):
        o, p, t = (int(columns[n][i, channel]) for n in ("overlap", "predicted_pixels", "true_pixels"))
        if columns["has_mask"][i] and t:
            dice.append(2 * o / (p + t))
            iou.append(o / (p + t - o))
            precision.append(o / p if p else 0.0)
            recall.append(o / t)
        elif columns["has_mask"][i]:
            area.append(p / 100)
    per_patient = []
    for patient in sorted(set(columns["patient"])):
        rows = (columns["patient"] == patient) & columns["has_mask"]
        o, p, t = (int(columns[n][rows, channel].sum()) for n in ("overlap", "predicted_pixels", "true_pixels"))
        if t:
            per_patient.append(2 * o / (p + t))
    values = {"dice": dice, "iou": iou, "fp_area": area, "dice_patient": per_patient}
    values |= {"mask_precision": precision, "mask_recall": recall}
    return {name: math.fsum(v) / len(v) if v else math.nan for name, v in values.items()}


def test_masks_of_three_channels_score_as_the_mean_over_channels_and_each_alone():
    columns = table(3)
    wanted = [by_hand(columns, channel) for channel in range(3)]
    for name in wanted[0]:
        for channel in range(3):
            found = value_of(score(name, columns, channel), 24)
            assert found == pytest.approx(wanted[channel][name], abs=1e-12)
        assert value_of(score(name, columns), 24) == pytest.approx(np.mean([w[name] for w in wanted]), abs=1e-12)
    acc = np.mean(columns["label"] == columns["predicted"])
    assert value_of(score("combined", columns), 24) == pytest.approx((np.mean([w["dice"] for w in wanted]) + acc) / 2)


def test_a_channel_that_is_nowhere_is_left_out_of_the_mean_and_a_draw_without_one_does_not_count():
    columns = table(3)
    columns["true_pixels"][:, 1] = columns["overlap"][:, 1] = 0
    rare = np.flatnonzero(columns["has_mask"])[0]
    columns["true_pixels"][:, 2] = columns["overlap"][:, 2] = 0
    columns["true_pixels"][rare, 2] = columns["predicted_pixels"][rare, 2] = columns["overlap"][rare, 2] = 5
    dice = score("dice", columns)
    assert value_of(dice, 24) == pytest.approx((by_hand(columns, 0)["dice"] + 1) / 2, abs=1e-12)
    assert math.isnan(value_of(score("dice", columns, 1), 24))
    without = np.ones((1, 24))
    without[0, rare] = 0
    assert np.isnan(dice(without)).all()


def test_the_cases_that_count_are_those_with_a_value():
    for channels in (1, 3):
        columns = table(channels)
        tumour = columns["has_mask"] & (columns["true_pixels"].reshape(24, -1) > 0).any(1)
        assert score("dice", columns).counts.tolist() == tumour.tolist()
        empty = columns["has_mask"] & (columns["true_pixels"].reshape(24, -1) == 0).any(1)
        assert score("fp_area", columns).counts.tolist() == empty.tolist()


def test_a_loss_is_the_sum_of_its_terms_means():
    columns = table(1)
    has_mask = columns["has_mask"]
    seg, cls = columns["seg_loss"][has_mask].mean(), columns["cls_loss"].mean()
    assert value_of(score("seg_loss", columns), 24) == pytest.approx(seg, abs=1e-12)
    assert value_of(score("loss", columns), 24) == pytest.approx(0.7 * seg + 0.4 * cls, abs=1e-12)
    columns["seg_loss_weight"] = np.zeros(24, dtype=bool)
    assert value_of(score("loss", columns), 24) == pytest.approx(0.4 * cls, abs=1e-12)
    columns["cls_loss_weight"] = np.zeros(24)
    assert math.isnan(value_of(score("loss", columns), 24))


def test_what_is_measured_decides_about_the_scores_of_a_report():
    columns = table(1)
    classes = {name: columns[name] for name in ("label", "predicted", "prob")}
    masks = {n: columns[n] for n in ("overlap", "predicted_pixels", "true_pixels", "has_mask", "pixels", "patient")}
    errors = {name: columns[name] for name in ("absolute_error", "squared_error", "ssim", "size", "data_range")}
    assert scores_of(classes) == ["acc", "balanced_acc", "sensitivity", "specificity", "auc", "f1"]
    assert scores_of(masks) == ["dice", "dice_patient", "iou", "fp_area"]
    assert scores_of(errors) == ["l1", "mse", "psnr", "ssim"]
    assert scores_of(errors | {"ms_ssim": errors["ssim"]}) == ["l1", "mse", "psnr", "ssim", "ms_ssim"]
    pca = {f"{name}_pca": values for name, values in errors.items()}
    assert scores_of(pca) == ["l1_pca", "psnr_pca", "ssim_pca"]
    assert scores_of(errors | pca)[3:6] == ["psnr", "psnr_pca", "psnr_over_pca"]
    assert scores_of(columns) == list(IN_REPORTS)


def test_a_hausdorff_distance_is_at_most_the_largest_diagonal():
    columns = table(1)
    assert score("hd95", columns).bounds == (0.0, 2.0)
    del columns["diagonal"]
    assert score("hd95", columns).bounds is None


def test_unknown_scores_and_those_that_nothing_measures_are_refused():
    with pytest.raises(
        ConfigError, match="unknown score 'dise'; choose one of: dice, dice_patient, iou, fp_area, mask"
    ):
        score("dise", table())
    with pytest.raises(ConfigError, match="score 'auc': nothing measured gives label, predicted, prob; there are:"):
        score("auc", {"ssim": np.ones(3)})
    with pytest.raises(ConfigError, match="score 'loss': nothing measured gives a loss; there are: no cases"):
        score("loss", {})
    with pytest.raises(ConfigError, match="scores: 'dise', 'loss' unknown; choose from: dice, "):
        check_scores(["dice", "dise", "loss"])  # a loss is for epochs, not for reports
    assert check_scores(["dice", "ece"]) == ("dice", "ece")


@pytest.mark.parametrize(("channels", "channel"), [(1, 1), (3, 3), (3, -1)])
def test_a_channel_that_the_masks_do_not_have_is_refused(channels, channel):
    with pytest.raises(ConfigError, match=f"channel {channel} of score 'dice': the masks have {channels}"):
        score("dice", table(channels), channel)


@pytest.mark.parametrize(
    "name",
    ["l1", "mse", "psnr", "ssim", "ms_ssim", "psnr_over_pca", "latent_std", "active_channels", "brier", "auc",
     "class_threshold"],
)  # fmt: skip
def test_a_nan_of_a_diverged_network_shows(name):
    columns = table(1)
    for column in ("absolute_error", "squared_error", "ssim", "ms_ssim", "latent_sum", "prob"):
        columns[column][3] = np.nan
    assert math.isnan(value_of(score(name, columns), 24))


@pytest.mark.parametrize("name", ["ssim", "ms_ssim", "lpips", "psnr_jpeg"])
def test_an_image_that_a_score_cannot_have_is_left_out_and_where_none_has_it_the_reason_is_said(name):
    columns = table(1)
    column = "squared_error_jpeg" if name == "psnr_jpeg" else name
    columns[column][::2] = np.nan
    there = {key: values[1::2] for key, values in columns.items()}
    assert value_of(score(name, columns), 24) == pytest.approx(value_of(score(name, there), 12), abs=1e-12)
    columns[column][:] = np.nan
    none = score(name, columns)
    assert math.isnan(value_of(none, 24))
    assert none.undefined in ("every image is smaller than it needs", "no image has a JPEG that is small enough")
    columns["squared_error"][0] = np.nan
    assert name == "psnr_jpeg" or score(name, columns).undefined == "the network gives NaN"
