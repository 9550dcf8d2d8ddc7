"""Segmentation loss, one value per image."""

import torch
from monai.losses import DiceLoss, FocalLoss
from monai.networks import one_hot
from torch import nn

from medbundles.errors import in_range, one_of, refuse
from medbundles.rules import Rule, has_rules


def _some_weight(name: str, dice_weight: float, bce_weight: float) -> str | None:
    if name == "dice_bce" and dice_weight + bce_weight == 0:
        return "loss#seg_loss#dice_weight and loss#seg_loss#bce_weight are both 0."
    return None


@has_rules(Rule(("loss#seg_loss#name", "loss#seg_loss#dice_weight", "loss#seg_loss#bce_weight"), _some_weight))
class SegmentationLoss(nn.Module):
    """Dice, binary cross entropy, their weighted sum, or focal loss; per image, so that images can be left out.

    With K = 1 channel the target is the mask itself. With more, channel 0 is the background, the target is the one-hot
    mask and every channel has its own sigmoid; the loss is the mean over the channels.

    - dice: mean over channels of 1 - (2 * sum(p * t) + smooth) / (sum(p) + sum(t) + smooth)  (Milletari et al. 2016)
    - bce: mean over pixels of -t * log(p) - (1 - t) * log(1 - p)
    - dice_bce: dice_weight * dice + bce_weight * bce
    - focal: mean over pixels of (1 - p_t)^gamma * -log(p_t)  (Lin et al. 2017)

    Args:
        name: dice, bce, dice_bce or focal.
        dice_weight: weight of dice in dice_bce.
        bce_weight: weight of bce in dice_bce.
        smooth: added to numerator and denominator of dice, > 0: it defines the loss of an image without foreground.
        gamma: focusing exponent of focal, >= 0; 0 gives bce.

    Raises:
        ConfigError: for an unknown name, a number out of its range, or a dice_bce of which both weights are 0.
    """

    NAMES = ("dice", "bce", "dice_bce", "focal")

    def __init__(
        self,
        name: str = "dice_bce",
        dice_weight: float = 0.6,
        bce_weight: float = 0.4,
        smooth: float = 1.0,
        gamma: float = 2.0,
    ):
        super().__init__()
        one_of("name of the segmentation loss", name, self.NAMES)
        refuse([_some_weight(name, dice_weight, bce_weight)])
        in_range("dice_weight", dice_weight, minimum=0)
        in_range("bce_weight", bce_weight, minimum=0)
        in_range("smooth of the segmentation loss", smooth, above=0)
        in_range("gamma of the segmentation loss", gamma, minimum=0)
        terms = {
            "dice": DiceLoss(sigmoid=True, smooth_nr=smooth, smooth_dr=smooth, reduction="none"),
            "bce": nn.BCEWithLogitsLoss(reduction="none"),
            "focal": FocalLoss(gamma=gamma, reduction="none"),
        }
        weights = {"dice": dice_weight, "bce": bce_weight} if name == "dice_bce" else {name: 1.0}
        self.weights = {term: weight for term, weight in weights.items() if weight}
        self.terms = nn.ModuleDict({term: terms[term] for term in self.weights})

    def forward(self, logits: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Logits (B, K, H, W) and class indices (B, 1, H, W) -> loss per image (B,)."""
        channels = logits.shape[1]
        target = (mask if channels == 1 else one_hot(mask, channels)).to(logits.dtype)
        means = {term: loss(logits, target).flatten(1).mean(dim=1) for term, loss in self.terms.items()}
        return torch.stack([self.weights[term] * mean for term, mean in means.items()]).sum(dim=0)
