"""Classification loss, one value per image."""

import torch
from monai.losses import FocalLoss
from torch import nn

from medbundles.errors import in_range, one_of


class ClassificationLoss(nn.Module):
    """Cross entropy or focal loss on softmax probabilities, per image.

    Label smoothing is torch's: of N classes the true one has the target 1 - s + s / N, the others s / N each (s = 0.1
    and two classes: 0.95 and 0.05). It works with both losses:

    - cross_entropy: -sum_c target_c * log(p_c)
    - focal: -sum_c target_c * (1 - p_c)^gamma * log(p_c)  (Lin et al. 2017; gamma = 0 is cross entropy)

    Args:
        name: cross_entropy or focal.
        label_smoothing: s, 0 <= s < 1.
        gamma: focusing exponent of focal, >= 0.

    Raises:
        ConfigError: for an unknown name, or a number out of its range.
    """

    NAMES = ("cross_entropy", "focal")

    def __init__(self, name: str = "cross_entropy", label_smoothing: float = 0.1, gamma: float = 2.0):
        super().__init__()
        one_of("name of the classification loss", name, self.NAMES)
        in_range("label_smoothing", label_smoothing, minimum=0, below=1)
        in_range("gamma of the classification loss", gamma, minimum=0)
        self.name, self.label_smoothing = name, label_smoothing
        self.cross_entropy = nn.CrossEntropyLoss(label_smoothing=label_smoothing, reduction="none")
        self.focal = FocalLoss(gamma=gamma, use_softmax=True, reduction="none")

    def forward(self, logits: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        """Logits (B, N) and class indices (B,) -> loss per image (B,)."""
        if self.name == "cross_entropy":
            return self.cross_entropy(logits, label)
        classes = logits.shape[1]
        target = nn.functional.one_hot(label, classes) * (1 - self.label_smoothing) + self.label_smoothing / classes
        return self.focal(logits, target).sum(dim=1)
