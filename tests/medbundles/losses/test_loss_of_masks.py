"""Someone else's loss gets logits and a mask, whatever else a batch's target holds."""

from __future__ import annotations

import pytest
import torch
from monai.losses import DiceCELoss

from medbundles.errors import ConfigError
from medbundles.losses import CombinedSegmentationLoss, MaskLoss, loss_of_masks

LOGITS = torch.linspace(-3, 3, 2 * 3 * 64).reshape(2, 3, 8, 8).cos()
TARGET = {"mask": torch.arange(128).reshape(2, 1, 8, 8) // 20 % 3, "spacing": torch.ones(2, 2)}


def test_it_is_what_the_loss_gives_of_logits_and_mask():
    loss = DiceCELoss(to_onehot_y=True, softmax=True)
    ours = loss_of_masks(loss)
    wanted = loss(LOGITS, TARGET["mask"].float())
    assert ours(LOGITS, TARGET).item() == ours({"seg": LOGITS}, TARGET).item() == wanted.item()
    values, weights = ours.per_sample(LOGITS, TARGET)
    assert values.shape == weights.shape == (2,)
    assert values.mean().item() == pytest.approx(wanted.item(), abs=1e-6)


def test_ours_stays_as_it_is():
    loss = CombinedSegmentationLoss(3)
    assert loss_of_masks(loss, 3) is loss


def test_a_loss_that_would_count_what_is_not_labelled_is_refused():
    with pytest.raises(ConfigError, match="ignore_label: MSELoss would count the pixels with 255 as a class"):
        loss_of_masks(torch.nn.MSELoss(), 255)
    assert isinstance(loss_of_masks(torch.nn.MSELoss(), False), MaskLoss)


def test_a_loss_that_follows_the_epochs_is_told_them():
    class Following(torch.nn.MSELoss):
        def set_epoch(self, epoch: int) -> str:
            return f"epoch {epoch}"

    assert loss_of_masks(Following()).set_epoch(3) == "epoch 3"
    assert not loss_of_masks(torch.nn.MSELoss()).set_epoch(3)
