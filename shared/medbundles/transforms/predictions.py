"""From logits to masks, probabilities and classes."""

from collections.abc import Sequence
from typing import Any

import torch
from monai.transforms import Transform
from scipy.special import expit, logit

from medbundles.errors import ConfigError, in_range, one_of
from medbundles.metrics.log_odds import log_odds

MASK_RULES = ("foreground", "classes", "regions")


def mask_rule(regions: Sequence[Sequence[int]] | str | bool | None) -> str:
    """The rule of `Predictions` and of the losses for the channels: "regions" where there are any, else "classes"."""
    return "regions" if regions else "classes"


class Predictions(Transform):
    """Postprocessing of a whole batch for the engines (decollate=False).

    MONAI's Activations and AsDiscrete work on one item's channels, and know no threshold that is chosen later.

    Reads data["pred"] with "seg" (B, C, H, W) or (B, C, H, W, D) and "cls" (B, N) logits of any float type; either may
    be missing. Adds "mask_prob" and "mask" (B, K, ...), float32, the mask 0/1; "prob" (B, N) softmax in float64,
    because in float32 it is soon 1.0 for many, whose order is then lost; and "class" (B,) int64. All are without
    gradient, and the logits stay; so do masks that are there already. A network with one output gives a plain tensor of
    logits: (B, N) is taken as {"cls": logits}, (B, C, H, W) or (B, C, H, W, D) as {"seg": logits}. So is a plain tensor
    of labels: classes as {"cls": labels}, masks as {"seg": labels, "mask": labels}, so that all networks look the same
    to measures and reports.

    Class: for N = 2 the second one from its threshold on, otherwise the most probable. Masks of C logits:

    - one: sigmoid, set from mask_threshold on (K = 1)
    - several, by mask_rule. "foreground": sigmoid(strongest foreground - background), so that a threshold of 0.5 is the
      argmax rule (tumour where any foreground channel beats channel 0; K = 1). "classes": softmax, each pixel has its
      most probable class, channel 0 is background and has no mask (K = C - 1). "regions": sigmoid of each channel,
      which may overlap, set from mask_threshold on (K = C).

    Args:
        mask_threshold: mask where mask_prob is at least this; "auto" is 0.5 until someone sets the attribute.
        class_threshold: the same for the probability of class 1.
        class_logit_threshold: where class_threshold is "auto": class 1 where its log-odds are at least this, in which
            probabilities near 1 differ; "auto" is 0.
        volume_threshold: from which probability on a volume has class 1; "auto": not known.
        tumour_class: of two classes that of a slice with tumour, and so of a volume with such slices.
        mask_rule: "foreground", "classes" or "regions".

    Attributes:
        untrained: outputs of the network, "seg" or "cls", that no training has touched: handlers say it. They become no
            masks and no classes, and the data's entry "untrained" names them for measures and reports.

    Raises:
        ConfigError: a threshold of the masks with "classes", which has none, or one that is no probability; an unknown
            rule. When it is called: a
            network with a single class logit.
    """

    def __init__(
        self,
        mask_threshold: float | str = "auto",
        class_threshold: float | str = "auto",
        mask_rule: str = "foreground",
        class_logit_threshold: float | str = "auto",
        volume_threshold: float | str = "auto",
        tumour_class: int = 1,
    ):
        self.mask_threshold, self.class_threshold = mask_threshold, class_threshold
        self.class_logit_threshold, self.volume_threshold = class_logit_threshold, volume_threshold
        self.tumour_class = tumour_class
        one_of("mask_rule", mask_rule, MASK_RULES)
        probabilities = {"mask": mask_threshold, "class": class_threshold, "volume": volume_threshold}
        for kind, threshold in probabilities.items():
            if threshold != "auto":
                in_range(f"{kind}_threshold", threshold, above=0, below=1)  # type: ignore[arg-type]
        self.mask_rule = mask_rule
        self.untrained: list[str] = []
        if mask_rule == "classes" and mask_threshold != "auto":
            raise ConfigError(
                f"mask_threshold: {mask_threshold!r} does nothing with the mask_rule 'classes', by which a "
                "pixel has its most probable class; leave it 'auto'."
            )

    @torch.no_grad()
    def __call__(self, data: dict[str, Any]) -> dict[str, Any]:
        data = {**data, **{key: _named(key, data[key]) for key in ("pred", "label") if torch.is_tensor(data.get(key))}}
        pred = dict(data["pred"])
        if "seg" in pred and "mask" not in pred and "seg" not in self.untrained:
            seg = pred["seg"].detach().float()
            pred["mask_prob"] = self._mask_probabilities(seg)
            several = self.mask_rule == "classes" and seg.shape[1] > 1
            pred["mask"] = (_one_hot(seg) if several else self.masks(pred["mask_prob"])).float()
        if "cls" in pred and "cls" not in self.untrained:
            if pred["cls"].shape[1] < 2:
                raise ConfigError("the network gives one class logit; it must give one for each class, two for yes/no")
            pred["prob"] = pred["cls"].detach().double().softmax(dim=1)
            pred["class"] = self.classes(pred["prob"])
        return {**data, "pred": pred, **({"untrained": self.untrained} if self.untrained else {})}

    def classes(self, prob: torch.Tensor) -> torch.Tensor:
        """Probabilities (B, N), float64 -> classes (B,)."""
        if prob.shape[1] != 2:
            return prob.argmax(dim=1)
        if self._by_logit():
            return (log_odds(prob) >= float(self.class_logit_threshold)).long()
        return (prob[:, 1] >= _number(self.class_threshold)).long()

    def thresholds(self) -> dict[str, float | None]:
        """Thresholds as probabilities, None for one that decides nothing or is not known; that of the class as log-odds
        too, which tell those apart that are 1.0 as a probability."""
        mask = None if self.mask_rule == "classes" else _number(self.mask_threshold)
        in_class = float(expit(self.class_logit_threshold)) if self._by_logit() else _number(self.class_threshold)
        volume = None if self.volume_threshold == "auto" else float(self.volume_threshold)
        in_logit = float(self.class_logit_threshold if self._by_logit() else logit(in_class))
        return {
            "mask_threshold": mask,
            "class_threshold": in_class,
            "class_logit_threshold": in_logit,
            "volume_threshold": volume,
        }

    def by_threshold(self) -> list[str]:
        """Which of "mask" and "class" (of two classes) are decided by a threshold."""
        return ["class"] if self.mask_rule == "classes" else ["mask", "class"]

    def undecided(self) -> list[str]:
        """Which of them has no threshold yet, so that a validation chooses it."""
        is_open = {
            "mask": self.mask_threshold == "auto",
            "class": self.class_threshold == self.class_logit_threshold == "auto",
        }
        return [kind for kind in self.by_threshold() if is_open[kind]]

    def _by_logit(self) -> bool:
        """Whether the stored log-odds decide: a probability that the user gives wins."""
        return self.class_threshold == "auto" and self.class_logit_threshold != "auto"

    def _mask_probabilities(self, seg: torch.Tensor) -> torch.Tensor:
        if seg.shape[1] > 1 and self.mask_rule == "classes":
            return seg.softmax(dim=1)[:, 1:]
        if seg.shape[1] > 1 and self.mask_rule == "foreground":
            seg = seg[:, 1:].amax(dim=1, keepdim=True) - seg[:, :1]
        return seg.sigmoid()

    def masks(self, mask_prob: torch.Tensor) -> torch.Tensor:
        """Probabilities (B, K, ...) -> masks (B, K, ...), bool."""
        if self.mask_rule == "classes" and mask_prob.shape[1] > 1:
            return _one_hot(torch.cat([1 - mask_prob.sum(dim=1, keepdim=True), mask_prob], dim=1))
        return mask_prob >= _number(self.mask_threshold)


def _one_hot(values: torch.Tensor) -> torch.Tensor:
    """Background and K classes (B, 1 + K, ...) -> where each of the K is the highest (B, K, ...), bool."""
    highest = values.argmax(dim=1, keepdim=True)
    return torch.cat([highest == k for k in range(1, values.shape[1])], dim=1)


def _named(key: str, values: torch.Tensor) -> dict[str, torch.Tensor]:
    """A plain tensor of logits or labels under the name of its task; labels of pixels are masks already."""
    if values.ndim <= 2:
        return {"cls": values}
    return {"seg": values, "mask": values} if key == "label" else {"seg": values}


def _number(threshold: float | str) -> float:
    """The number that a threshold stands for."""
    return 0.5 if threshold == "auto" else float(threshold)
