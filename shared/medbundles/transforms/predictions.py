"""From logits to masks, probabilities and classes."""

from typing import Any

import torch
from monai.transforms import Transform

from medbundles.errors import in_range


class Predictions(Transform):
    """Postprocessing of a whole batch for the engines (decollate=False).

    MONAI's Activations and AsDiscrete work on one item's channels, and know no threshold that is chosen later.

    Reads data["pred"] with "seg" (B, K, H, W) and "cls" (B, N) logits of any float type; either may be missing. Adds
    "mask_prob" (B, 1, H, W) and "mask" (B, 1, H, W) float 0/1, both float32; "prob" (B, N) softmax in float64, because
    in float32 it is soon 1.0 for many, whose order is then lost; and "class" (B,) int64. All are without gradient, and
    the logits stay. A network with one output gives a plain tensor of logits: (B, N) is taken as {"cls": logits},
    (B, K, H, W) or (B, K, H, W, D) as {"seg": logits}. So is a plain tensor of labels: classes as {"cls": labels},
    masks as {"seg": labels, "mask": labels}, so that all networks look the same to measures and reports.

    mask_prob is sigmoid(seg) for K = 1, and sigmoid(strongest foreground - background) for K > 1, so that a threshold
    of 0.5 is the argmax rule (tumour where any foreground channel beats channel 0). Class: for N = 2 the second one
    from class_threshold on, otherwise the most probable.

    Args:
        mask_threshold: mask where mask_prob is at least this; "auto" is 0.5 until someone sets the attribute.
        class_threshold: the same for the probability of class 1.

    Raises:
        ConfigError: a threshold that is neither "auto" nor between 0 and 1.
    """

    def __init__(self, mask_threshold: float | str = "auto", class_threshold: float | str = "auto"):
        self.mask_threshold, self.class_threshold = mask_threshold, class_threshold
        for name in ("mask_threshold", "class_threshold"):
            threshold_value(name, getattr(self, name))

    @torch.no_grad()
    def __call__(self, data: dict[str, Any]) -> dict[str, Any]:
        data = {**data, **{key: _named(key, data[key]) for key in ("pred", "label") if torch.is_tensor(data.get(key))}}
        pred = dict(data["pred"])
        if "seg" in pred:
            seg = pred["seg"].detach().float()
            if seg.shape[1] > 1:
                seg = seg[:, 1:].amax(dim=1, keepdim=True) - seg[:, :1]
            pred["mask_prob"] = seg.sigmoid()
            pred["mask"] = (pred["mask_prob"] >= threshold_value("mask_threshold", self.mask_threshold)).float()
        if "cls" in pred:
            prob = pred["prob"] = pred["cls"].detach().double().softmax(dim=1)
            if prob.shape[1] == 2:
                limit = threshold_value("class_threshold", self.class_threshold)
                pred["class"] = (prob[:, 1] >= limit).long()
            else:
                pred["class"] = prob.argmax(dim=1)
        return {**data, "pred": pred}


def _named(key: str, values: torch.Tensor) -> dict[str, torch.Tensor]:
    """A plain tensor of logits or labels under the name of its task; labels of pixels are masks already."""
    if values.ndim <= 2:
        return {"cls": values}
    return {"seg": values, "mask": values} if key == "label" else {"seg": values}


def threshold_value(name: str, value: float | str) -> float:
    """The number that a threshold stands for ("auto" is 0.5)."""
    if value == "auto":
        return 0.5
    in_range(f"{name}, if not 'auto'", value, minimum=0, maximum=1)  # type: ignore[arg-type]
    return float(value)
