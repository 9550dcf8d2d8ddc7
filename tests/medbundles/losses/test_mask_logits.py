from __future__ import annotations

import pytest
import torch

from medbundles.errors import ConfigError
from medbundles.losses import CombinedSegmentationLoss, loss_of_masks
from medbundles.losses.mask_logits import mask_logits

MASK = torch.zeros(2, 1, 8, 8)


def test_the_logits_are_taken_as_they_are_or_by_name_and_never_coarser_than_float32():
    logits = torch.rand(2, 3, 8, 8)
    assert mask_logits(logits, MASK) is logits
    assert mask_logits({"seg": logits, "cls": torch.rand(2, 2)}, MASK) is logits
    assert mask_logits(logits.bfloat16(), MASK).dtype == torch.float32


@pytest.mark.parametrize(
    ("pred", "said"),
    [
        ([torch.zeros(2, 2, 8, 8), torch.zeros(2, 2, 4, 4)], "gives a list of 2 for masks"),
        (torch.zeros(2, 3, 2, 8, 8), r"gives \(2, 3, 2, 8, 8\) for masks"),  # heads of DynUNet, stacked
        (torch.zeros(2, 2, 4, 4), r"gives \(2, 2, 4, 4\) for masks \(2, 1, 8, 8\)"),
        ({"out": torch.zeros(2, 2, 8, 8)}, "gives the outputs out for masks"),
    ],
)
def test_of_several_outputs_the_network_is_named_and_not_the_loss(pred, said):
    for loss in (CombinedSegmentationLoss(2), loss_of_masks(torch.nn.CrossEntropyLoss())):
        with pytest.raises(ConfigError, match=f"network_def: the network {said}.*deep supervision"):
            loss(pred, {"mask": MASK})
