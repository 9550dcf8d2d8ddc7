from __future__ import annotations

import pytest
import torch

from medbundles.errors import ConfigError
from medbundles.losses import SegmentationLoss


def batch(channels):
    generator = torch.Generator().manual_seed(channels)
    logits = 3 * torch.randn(3, channels, 5, 7, generator=generator, dtype=torch.float64)
    mask = torch.randint(0, max(channels, 2), (3, 1, 5, 7), generator=generator, dtype=torch.uint8)
    mask[2] = 0  # an image without foreground
    return logits, mask


def by_hand(name, logits, mask, dice_weight, bce_weight, smooth, gamma):
    """Image by image, channel by channel."""
    losses = []
    for image, truth in zip(logits, mask, strict=True):
        channels = len(image)
        dice, bce, focal = [], [], []
        for channel in range(channels):
            p = 1 / (1 + (-image[channel]).exp())
            t = (truth[0] == (1 if channels == 1 else channel)).double()
            dice.append(1 - (2 * (p * t).sum() + smooth) / (p.sum() + t.sum() + smooth))
            bce.append((-t * p.log() - (1 - t) * (1 - p).log()).mean())
            p_t = t * p + (1 - t) * (1 - p)
            focal.append(((1 - p_t) ** gamma * -p_t.log()).mean())
        dice, bce, focal = (sum(values) / channels for values in (dice, bce, focal))
        losses.append(
            {"dice": dice, "bce": bce, "dice_bce": dice_weight * dice + bce_weight * bce, "focal": focal}[name]
        )
    return torch.stack(losses)


@pytest.mark.parametrize("channels", [1, 2, 4])
@pytest.mark.parametrize("name", SegmentationLoss.NAMES)
@pytest.mark.parametrize("values", [(0.6, 0.4, 1.0, 2.0), (0.3, 0.9, 1e-3, 0.5)])
def test_formula(name, channels, values):
    logits, mask = batch(channels)
    loss = SegmentationLoss(name, *values)(logits, mask)
    assert loss.shape == (3,)
    # MONAI's focal loss computes in float32
    torch.testing.assert_close(
        loss.double(), by_hand(name, logits, mask, *values), atol=1e-6 if name == "focal" else 1e-12, rtol=1e-6
    )


@pytest.mark.parametrize("name", ["dice", "bce", "dice_bce"])
def test_gradient(name):
    logits, mask = batch(2)
    loss = SegmentationLoss(name)
    assert torch.autograd.gradcheck(lambda values: loss(values, mask), logits.requires_grad_())


def test_an_image_does_not_depend_on_the_others():
    logits, mask = batch(2)
    loss = SegmentationLoss()
    alone = torch.cat([loss(logits[i : i + 1], mask[i : i + 1]) for i in range(3)])
    torch.testing.assert_close(loss(logits, mask), alone)


def test_smooth_gives_an_empty_image_a_gradient_and_no_nan():
    logits, mask = batch(1)
    logits = logits.float().requires_grad_()
    SegmentationLoss("dice")(logits, mask)[2].backward()
    assert logits.grad[2].gt(0).all()


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"name": "jaccard"}, "segmentation loss: 'jaccard' is unknown; use one of: dice, bce, dice_bce, focal"),
        ({"smooth": 0.0}, "smooth of the segmentation loss: 0.0 is not allowed; it must be above 0"),
        ({"gamma": -1.0}, "gamma of the segmentation loss: -1.0 is not allowed"),
        ({"dice_weight": 0, "bce_weight": 0}, "are both 0"),
    ],
)
def test_misuse(kwargs, message):
    with pytest.raises(ConfigError, match=message):
        SegmentationLoss(**kwargs)
