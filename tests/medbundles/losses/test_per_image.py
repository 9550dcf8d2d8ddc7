"""Losses of MONAI and torch, one value per image, against formulas in float64; what would be wrong is refused."""

from __future__ import annotations

import math

import pytest
import torch
from monai.losses import (
    AsymmetricUnifiedFocalLoss,
    DiceCELoss,
    DiceFocalLoss,
    DiceLoss,
    FocalLoss,
    GeneralizedDiceLoss,
    TverskyLoss,
)
from torch import nn

from medbundles.errors import ConfigError
from medbundles.losses import ClassificationLoss, LDAMLoss, MultitaskLoss, PerImage, SegmentationLoss
from medbundles.losses.per_image import per_sample

HAS_MASK = [True, False, True]
CLASSES = torch.tensor([1, 0, 1])


@pytest.fixture
def batch():
    """Logits and masks (3, 1, 4, 5) in float64; the second image has no mask."""
    random = torch.Generator().manual_seed(0)
    logits = torch.randn(3, 1, 4, 5, generator=random, dtype=torch.float64)
    mask = (torch.rand(3, 1, 4, 5, generator=random) < 0.4).double()
    mask[1] = 0
    return logits, mask


def tversky(z, t, alpha, beta):
    p = torch.sigmoid(z)
    tp, fp, fn = (p * t).sum(), (p * (1 - t)).sum(), ((1 - p) * t).sum()
    return 1 - (tp + 1e-5) / (tp + alpha * fp + beta * fn + 1e-5)


def dice(z, t):
    p = torch.sigmoid(z)
    return 1 - (2 * (p * t).sum() + 1e-5) / (p.sum() + t.sum() + 1e-5)


def bce(z, t):
    p = torch.sigmoid(z)
    return -(t * p.log() + (1 - t) * (1 - p).log()).mean()


def focal(z, t):
    p = torch.sigmoid(z)
    right = p * t + (1 - p) * (1 - t)
    return (-((1 - right) ** 2) * right.log()).mean()


def generalized_dice(z, t):
    """One channel: the weight 1 / volume^2 cancels out, but for the smoothing."""
    p, weight = torch.sigmoid(z), 1 / t.sum() ** 2
    return 1 - (2 * weight * (p * t).sum() + 1e-5) / (weight * (p.sum() + t.sum()) + 1e-5)


SEGMENTATION = [
    (TverskyLoss(sigmoid=True, alpha=0.3, beta=0.7), lambda z, t: tversky(z, t, 0.3, 0.7)),
    (TverskyLoss(sigmoid=True, alpha=0.3, beta=0.7, reduction="none"), lambda z, t: tversky(z, t, 0.3, 0.7)),
    (DiceLoss(sigmoid=True), dice),
    (DiceLoss(sigmoid=True, reduction="none"), dice),
    (DiceCELoss(sigmoid=True), lambda z, t: dice(z, t) + bce(z, t)),
    (DiceFocalLoss(sigmoid=True), lambda z, t: dice(z, t) + focal(z, t)),
    (FocalLoss(), focal),
    (FocalLoss(reduction="none"), focal),
    (GeneralizedDiceLoss(sigmoid=True), generalized_dice),
    (nn.BCEWithLogitsLoss(), bce),
    (nn.BCEWithLogitsLoss(reduction="none"), bce),
]  # fmt: skip


@pytest.mark.parametrize(("seg_loss", "formula"), SEGMENTATION, ids=lambda x: type(x).__name__)
def test_images_without_a_mask_never_enter(batch, seg_loss, formula):
    logits, mask = batch
    logits.requires_grad_()
    wanted = [formula(logits[i].detach(), mask[i]).item() for i in (0, 2)]
    loss = MultitaskLoss(seg_loss, nn.CrossEntropyLoss(), lambda_cls=0)
    pred = {"seg": logits, "cls": torch.zeros(3, 2, dtype=torch.float64, requires_grad=True)}
    target = {"mask": mask, "cls": CLASSES, "has_mask": torch.tensor(HAS_MASK)}
    total = loss(pred, target)
    assert total.item() == pytest.approx(sum(wanted) / 2, rel=1e-6)
    total.backward()
    assert (logits.grad[1] == 0).all()
    assert (logits.grad[0] != 0).any()
    assert pred["cls"].grad is not None  # DistributedDataParallel waits for every output
    each = loss.per_sample(pred, target)["seg"][0]
    assert each[[0, 2]].tolist() == pytest.approx(wanted, rel=1e-6)
    assert math.isnan(each[1])


@pytest.mark.parametrize("seg_loss", [TverskyLoss(sigmoid=True), SegmentationLoss()])
def test_a_batch_without_masks_gives_0_and_all_outputs_take_part(batch, seg_loss):
    logits, mask = batch
    logits.requires_grad_()
    target = {"mask": mask, "cls": CLASSES, "has_mask": torch.zeros(3, dtype=torch.bool)}
    loss = MultitaskLoss(seg_loss, ClassificationLoss())
    total = loss({"seg": logits, "cls": torch.zeros(3, 2, dtype=torch.float64)}, target)
    total.backward()
    assert loss.parts["seg"] == 0
    assert (logits.grad == 0).all()


@pytest.mark.parametrize("reduction", ["mean", "none"])
def test_cross_entropy_of_each_image(reduction):
    logits = torch.tensor([[1.0, 2.0], [0.5, -1.0], [0.0, 3.0]], dtype=torch.float64)
    wanted = [math.log(1 + math.exp(z[1 - y] - z[y])) for z, y in zip(logits.tolist(), CLASSES.tolist(), strict=True)]
    values = PerImage(nn.CrossEntropyLoss(reduction=reduction), "loss#cls_loss")(logits, CLASSES)
    assert values.tolist() == pytest.approx(wanted)


def test_of_several_channels_the_softmax_may_be_used(batch):
    logits = batch[0].repeat(1, 3, 1, 1) * torch.tensor([1.0, 2.0, -1.0]).view(1, 3, 1, 1)
    mask = batch[1] * 2
    p, t = torch.softmax(logits, 1), nn.functional.one_hot(mask[:, 0].long(), 3).movedim(-1, 1)
    wanted = 1 - (2 * (p * t).sum((2, 3)) + 1e-5) / ((p + t).sum((2, 3)) + 1e-5)
    values = PerImage(DiceLoss(softmax=True, to_onehot_y=True), "loss#seg_loss")(logits, mask)
    torch.testing.assert_close(values, wanted.mean(1), rtol=1e-6, atol=0)


def test_own_losses_are_taken_as_they_are(batch):
    logits, mask = batch
    assert torch.equal(PerImage(SegmentationLoss(), "loss")(logits, mask), SegmentationLoss()(logits, mask))


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        (DiceLoss(), 'DiceLoss takes probabilities, the network gives logits; write "sigmoid": true'),
        (DiceCELoss(), 'DiceLoss takes probabilities, the network gives logits; write "sigmoid": true'),
        (DiceFocalLoss(), 'takes probabilities, the network gives logits; write "sigmoid": true'),
        (nn.BCELoss(), "use torch.nn.BCEWithLogitsLoss"),
        (nn.NLLLoss(), "use torch.nn.CrossEntropyLoss"),
        (TverskyLoss(sigmoid=True, reduction="sum"), 'adds up instead of averaging; write "reduction": "mean"'),
        (DiceCELoss(sigmoid=True, reduction="sum"), "adds up"),
        (nn.CrossEntropyLoss(reduction="sum"), "adds up"),
    ],
)
def test_a_loss_of_probabilities_and_a_sum_are_refused_when_built(loss, message):
    with pytest.raises(ConfigError, match=f"loss#seg_loss: .*{message}"):
        MultitaskLoss(loss, ClassificationLoss())


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        (TverskyLoss(softmax=True), 'cannot take the softmax of one channel; use .* "sigmoid": true'),
        (FocalLoss(use_softmax=True), "cannot take the softmax of one channel"),
        (lambda logits, mask: torch.zeros(5), r"of one image it gives \(5,\); a loss must give a scalar"),
        (lambda logits, mask: 0.5, "of one image it gives float"),
        (lambda logits, mask: torch.zeros(1), r"of 3 images it gives \(1,\)"),
        (nn.CrossEntropyLoss(), "cannot take the softmax of one channel"),  # would be 0 everywhere
        (lambda logits, mask: nn.MSELoss()(logits, mask[..., :1]), "does not take logits"),  # would be broadcast
    ],
)
def test_what_fits_no_shape_is_refused_when_called(batch, loss, message):
    with pytest.raises(ConfigError, match=f"loss#seg_loss: .*{message}"):
        PerImage(loss, "loss#seg_loss")(*batch)


def test_class_weights_that_a_single_images_mean_would_cancel_are_refused():
    weight = torch.tensor([1.0, 3.0])
    with pytest.raises(ConfigError, match='write "reduction": "none"'):
        PerImage(nn.CrossEntropyLoss(weight=weight), "loss#cls_loss")(torch.zeros(3, 2), CLASSES)
    values = PerImage(nn.CrossEntropyLoss(weight=weight, reduction="none"), "loss#cls_loss")(torch.zeros(3, 2), CLASSES)
    assert values.tolist() == pytest.approx([3 * math.log(2), math.log(2), 3 * math.log(2)])


def test_a_loss_of_samples_keeps_its_weights_and_any_other_has_none():
    logits = torch.tensor([[1.0, 2.0], [0.5, -1.0], [0.0, 3.0]])
    ldam = LDAMLoss(counts=[3, 5], drw_start_epoch=1, drw_divide="batch")
    ldam.set_epoch(1)
    assert per_sample(ldam, logits, CLASSES)[1].tolist() == ldam.weights[CLASSES].tolist()
    values, weights = per_sample(nn.CrossEntropyLoss(), logits, CLASSES)
    assert weights.tolist() == [1, 1, 1]
    assert values.mean().item() == pytest.approx(nn.CrossEntropyLoss()(logits, CLASSES).item())


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        (
            DiceFocalLoss(sigmoid=True, reduction="none", batch=True),
            'DiceLoss mixes the images.*"batch"',
        ),
        (AsymmetricUnifiedFocalLoss(), "AsymmetricUnifiedFocalLoss takes probabilities, the network gives logits; use"),
        (nn.CrossEntropyLoss(ignore_index=2), "CrossEntropyLoss with ignore_index has no value for an image"),
    ],
)
def test_what_mixes_images_or_applies_no_activation_is_refused(loss, message):
    with pytest.raises(ConfigError, match=f"loss#seg_loss: {message}"):
        PerImage(loss, "loss#seg_loss")


def test_logits_in_half_precision_are_summed_in_float32():
    logits = torch.full((1, 2, 256, 256), 6.0)
    logits[:, 1] = -6
    loss, mask = DiceLoss(softmax=True, to_onehot_y=True), torch.zeros(1, 1, 256, 256)
    exact = per_sample(loss, logits, mask)[0]
    for dtype in (torch.float16, torch.bfloat16):
        assert per_sample(loss, logits.to(dtype), mask)[0].item() == pytest.approx(exact.item(), abs=1e-6)
