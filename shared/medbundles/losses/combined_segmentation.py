"""The loss of a network that segments classes or regions: Dice, cross entropy, focal, boundary, or a weighted sum."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import torch
from monai.losses import DiceLoss
from monai.networks import one_hot
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from medbundles.errors import ConfigError, in_range, one_of, refuse
from medbundles.losses.mask_logits import mask_logits
from medbundles.rules import GIVEN, Rule, has_rules

NAMES = {"dice": "dice", "cross_entropy": "ce", "focal": "focal", "combined": ""}  # the term that each consists of
MASK_RULES = ("classes", "regions")
DEFAULTS: dict[str, Any] = {
    "smooth": 1.0,
    "class_weights": None,
    "alpha": 0.25,
    "gamma": 2.0,
    "dice_weight": 0.5,
    "ce_weight": 0.5,
    "focal_weight": 0.0,
    "boundary_weight": 0.0,
    "boundary_ramp": 0,
}
TERM_OF = {"smooth": "dice", "class_weights": "ce", "alpha": "focal", "gamma": "focal", "boundary_ramp": "boundary"}
WEIGHTS = tuple(setting for setting in DEFAULTS if setting.endswith("_weight"))
Values = tuple[torch.Tensor, torch.Tensor]  # of each image: the value, and what it counts with in a mean


def _cannot_be(by_user: Collection[str], name: str, *given: Any) -> str | None:
    """What is wrong with settings that are each allowed: those of `DEFAULTS`, in that order; those that the user gave
    count with their defaults, too."""
    values = dict(zip(DEFAULTS, given, strict=True))
    terms = [setting.removesuffix("_weight") for setting in WEIGHTS if values[setting]]
    if name != "combined":
        terms = [NAMES.get(name, "")]
    elif not terms:
        return f"{', '.join(f'loss#{setting}' for setting in WEIGHTS)} are all 0; nothing would be learnt."
    for setting, default in DEFAULTS.items():
        used = name == "combined" if setting in WEIGHTS else TERM_OF[setting] in terms
        unused = (None,) if f"loss#{setting}" in by_user else (default or None, None)
        if not used and (values[setting] or None) not in unused and name in NAMES:  # False is off, too
            weight = f" and loss#{TERM_OF[setting]}_weight 0" if name == "combined" else ""
            return f"loss#{setting}: {values[setting]} does nothing with loss#name {name}{weight}; leave it out."
    return None


def _one_each(weights: Any, out_channels: int, regions: Any, setting: str = "class_weights") -> str | None:
    if not isinstance(weights, (list, tuple)):
        return None
    wanted = out_channels if regions else max(out_channels, 2)
    what = "regions" if regions else "classes, the background first"
    if len(weights) != wanted:
        return (
            f"loss#{setting}: {list(weights)} are {len(weights)} numbers; with out_channels {out_channels} it must be "
            f"{wanted}, one for each of the {what}."
        )
    return None if sum(weights) > 0 else f"loss#{setting}: {list(weights)} are all 0; nothing would be learnt."


def _alpha_each(alpha: Any, out_channels: int, regions: Any) -> str | None:
    return _one_each(alpha, out_channels, regions, "alpha")


def _is_no_class(ignore_label: int | bool | None, out_channels: int, regions: Any) -> str | None:
    if ignore_label in (None, False):
        return None
    if isinstance(regions, (list, tuple)):
        held = {label for region in regions for label in region}
        free = max(held) + 1
        return f"ignore_label: {ignore_label} is a label of a region; take {free}." if ignore_label in held else None
    classes = 2 if regions else max(out_channels, 2)
    if int(ignore_label) >= classes:  # type: ignore[arg-type]
        return None
    return (
        f"ignore_label: {ignore_label} is the label of a class; with out_channels {out_channels} take {classes} to 255."
    )


def needs_distances(loss: Any) -> bool:
    """Whether a loss wants the distances of `medbundles.transforms.BoundaryDistance`; any other loss does not."""
    return "boundary" in getattr(loss, "terms", ())


@has_rules(
    Rule((GIVEN, "loss#name", *(f"loss#{setting}" for setting in DEFAULTS)), _cannot_be),
    Rule(("loss#class_weights", "out_channels", "regions"), _one_each),
    Rule(("loss#alpha", "out_channels", "regions"), _alpha_each),
    Rule(("ignore_label", "out_channels", "regions"), _is_no_class),
)
class CombinedSegmentationLoss(nn.Module):
    """Dice, cross entropy or focal loss, or a weighted sum of these and the boundary loss.

    The mean over a batch of, with p the probability of a class and t its mask, over all pixels (voxels) of an image:

    - dice: mean over foreground classes of 1 - (2 * sum(p * t) + smooth) / (sum(p) + sum(t) + smooth)
    - cross_entropy: sum(w * -log(p_y)) / sum(w), y the class of a pixel and w its weight: torch's CrossEntropyLoss
    - focal: mean of -alpha * (1 - p_y)^gamma * log(p_y)
    - combined: dice_weight * dice + ce_weight * cross_entropy + focal_weight * focal + boundary_weight * boundary
    - boundary: mean over foreground classes and pixels of p * distance (Kervadec et al. 2019, arXiv:1812.07032), the
      distance of `medbundles.transforms.BoundaryDistance`, from -1 inside of the class to 1 outside of it. It is
      negative where the prediction is good

    One channel is the foreground (sigmoid). Several are classes that exclude each other (softmax), of which channel 0
    is the background: it has no Dice and no boundary, as no score counts it either. With "regions" each channel is a
    class that may overlap others (sigmoid), its cross entropy and focal loss are those of a pixel that is in it or not,
    and there is no background.

    alpha is that of the formula, one factor of all pixels, whatever their class; or one for each class, which balances
    them. So one channel and two say the same. (MONAI's FocalLoss has alpha for the foreground, 1 - alpha for the
    background, so that 0.25 makes the background count three times as much as a lesion; and its softmax form divides by
    the number of channels.)

    Pixels with the ignore_label count in no term. What of a batch is labelled counts, as if the rest were not there.

    Args:
        out_channels: C of the network; the background included where there is softmax.
        name: dice, cross_entropy, focal or combined.
        smooth: of dice, > 0, in numerator and denominator: it defines the loss of an image without the class.
        class_weights: of cross_entropy, >= 0: one for each class, the background first, so two for one channel; or one
            for each region. None: 1 each.
        alpha: of focal, > 0; or one for each class or region, as class_weights.
        gamma: focusing exponent of focal, >= 0.
        dice_weight: in combined, >= 0; so are the following.
        ce_weight: of cross_entropy.
        focal_weight: of focal.
        boundary_weight: of the boundary loss.
        boundary_ramp: epoch from which on the boundary loss has its whole weight; before, it rises linearly, and losses
            of different epochs cannot be compared. The handler `medbundles.handlers.EpochOfLoss` belongs to it. 0: the
            whole weight at once.
        mask_rule: classes or regions, as that of `medbundles.transforms.Predictions`.
        ignore_label: value of the mask that stands for "not labelled", above those of the classes and at most 255; None
            or False: there is none.

    Attributes:
        parts: of the latest call, detached, before the weights: those of dice, ce, focal, boundary that there are.
        counts: how many images these are means of.

    Raises:
        ConfigError: an unknown name or rule; a number out of its range; weights of the wrong number, or all 0; a
            setting that the loss does not use. When it is called: another number of channels, or no distances.

    Example:
        >>> loss = CombinedSegmentationLoss(out_channels=3, dice_weight=0.5, ce_weight=0.5)
        >>> total = loss(torch.zeros(2, 3, 8, 8), torch.ones(2, 1, 8, 8))
    """

    def __init__(
        self,
        out_channels: int,
        name: str = "combined",
        smooth: float = 1.0,
        class_weights: Sequence[float] | None = None,
        alpha: float | Sequence[float] = 0.25,
        gamma: float = 2.0,
        dice_weight: float = 0.5,
        ce_weight: float = 0.5,
        focal_weight: float = 0.0,
        boundary_weight: float = 0.0,
        boundary_ramp: int | bool = 0,
        mask_rule: str = "classes",
        ignore_label: int | bool | None = None,
    ):
        super().__init__()
        one_of("loss#name", name, NAMES)
        one_of("mask_rule", mask_rule, MASK_RULES)
        boundary_ramp = boundary_ramp or 0
        alphas = list(alpha) if isinstance(alpha, Sequence) else [alpha]
        weights = dict(zip(WEIGHTS, (dice_weight, ce_weight, focal_weight, boundary_weight), strict=True))
        at_least_0 = {**weights, "gamma": gamma, "boundary_ramp": boundary_ramp}
        for setting, value in [*at_least_0.items(), *(("class_weights", weight) for weight in class_weights or ())]:
            in_range(f"loss#{setting}", value, minimum=0)
        for setting, value in [("smooth", smooth), *(("alpha", each) for each in alphas)]:
            in_range(f"loss#{setting}", value, above=0)
        refuse(
            [
                _cannot_be((), name, smooth, class_weights, alpha, gamma, *weights.values(), boundary_ramp),
                _one_each(class_weights, out_channels, mask_rule == "regions"),
                _alpha_each(alpha, out_channels, mask_rule == "regions"),
                _is_no_class(ignore_label, out_channels, mask_rule == "regions"),
            ]
        )
        if name != "combined":
            weights = {f"{NAMES[name]}_weight": 1.0}
        self.terms = [setting.removesuffix("_weight") for setting, weight in weights.items() if weight]
        for term in self.terms:
            setattr(self, f"lambda_{term}", float(weights[f"{term}_weight"]))
        self.boundary_weight, self.boundary_ramp = boundary_weight, boundary_ramp
        self.out_channels, self.gamma, self.ignore_label = out_channels, gamma, ignore_label or None
        self.softmax, self.regions = out_channels > 1 and mask_rule == "classes", mask_rule == "regions"
        self.dice = DiceLoss(smooth_nr=smooth, smooth_dr=smooth, reduction="none")
        each = out_channels if self.regions else max(out_channels, 2)
        self.class_weights = torch.tensor(list(class_weights), dtype=torch.float64) if class_weights else None
        self.alpha = torch.tensor(alphas if len(alphas) > 1 else alphas * each, dtype=torch.float64)
        self.parts: dict[str, torch.Tensor] = {}
        self.counts: dict[str, torch.Tensor] = {}
        self.set_epoch(1)

    def set_epoch(self, epoch: int) -> str:
        """Set the weight of the boundary loss of an epoch (1-based); gives a line that says it once it is whole."""
        if not self.boundary_ramp:
            return ""
        self.lambda_boundary = self.boundary_weight * min(1.0, epoch / self.boundary_ramp)
        whole = epoch >= self.boundary_ramp
        return f"the boundary loss has its whole weight, {self.boundary_weight:g}" if whole else ""

    def forward(self, pred: Any, target: Any) -> torch.Tensor:
        """The scalar to minimise.

        Args:
            pred: logits (B, C, ...) of any float type, or {"seg": logits}; computed in at least float32.
            target: the mask; or {"mask": mask} and, for the boundary loss, "distance": (B, K, ...) of the K foreground
                classes. The mask is (B, 1, ...) class indices, or (B, C, ...) with regions, 1 where a pixel is in it.
        """
        found = self._terms(pred, target)
        means = {term: (values * weights).sum() / _not_0(weights.sum()) for term, (values, weights) in found.items()}
        self.parts = {term: mean.detach() for term, mean in means.items()}
        self.counts = {term: weights.sum().detach() for term, (_, weights) in found.items()}
        return torch.stack([getattr(self, f"lambda_{term}") * mean for term, mean in means.items()]).sum()

    @torch.no_grad()
    def per_sample(self, pred: Any, target: Any) -> dict[str, Values]:
        """Of each term the value of each image and what it counts with, (B,) and (B,), before the weights."""
        return self._terms(pred, target)

    def _terms(self, pred: Any, target: Any) -> dict[str, Values]:
        target = target if isinstance(target, Mapping) else {"mask": target}
        mask = target["mask"]
        logits = mask_logits(pred, mask)
        if logits.shape[1] != self.out_channels:
            raise ConfigError(
                f"loss: the network gives {logits.shape[1]} channels, out_channels is {self.out_channels}"
            )
        labelled = None if self.ignore_label is None else mask != self.ignore_label
        truth = mask if labelled is None else torch.where(labelled, mask, 0)
        if self.softmax:
            classes = one_hot(truth, self.out_channels, dtype=logits.dtype)[:, 1:]
            prob = logits.softmax(dim=1)[:, 1:]
            nll = cross_entropy(logits, truth[:, 0].long(), reduction="none")[:, None]  # -log(p_y)
        else:
            classes, prob = truth.to(logits.dtype), logits.sigmoid()
            nll = binary_cross_entropy_with_logits(logits, classes, reduction="none")
        found = {}
        if "dice" in self.terms:
            counted = None if labelled is None else labelled.any(dim=tuple(range(2, mask.ndim)), keepdim=True)
            found["dice"] = _mean(self.dice(_product(prob, labelled), classes), counted)
        if "ce" in self.terms:
            weights = None if self.class_weights is None else self._of_class(self.class_weights, truth, nll)
            found["ce"] = _mean(nll, _product(weights, labelled))
        if "focal" in self.terms:
            # at 0 the power has no gradient for gamma below 1. MONAI's FocalLoss would take the softmax again
            missed = (-torch.expm1(-nll)).clamp(min=1e-12)
            found["focal"] = _mean(self._of_class(self.alpha, truth, nll) * missed**self.gamma * nll, labelled)
        if "boundary" in self.terms:
            if "distance" not in target:
                raise ConfigError(
                    "loss#boundary_weight: the data hold no distances; put medbundles.transforms.BoundaryDistance last "
                    "among the transforms and let medbundles.transforms.PrepareSegmentationBatch hand them on."
                )
            found["boundary"] = _mean(prob * target["distance"].to(prob), labelled)
        return found

    def _of_class(self, values: torch.Tensor, truth: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
        """The value of each pixel's class; with regions that of the region."""
        values = values.to(like)
        return values.view(1, -1, *[1] * (truth.ndim - 2)) if self.regions else values[truth.long()]


def _product(one: torch.Tensor | None, other: torch.Tensor | None) -> Any:
    """Of those that are there."""
    return one * other if one is not None and other is not None else other if one is None else one


def _mean(values: torch.Tensor, weights: torch.Tensor | None) -> Values:
    """The weighted mean of each image (B, ...), and its mean weight, (B,) and (B,); None: all weigh 1."""
    if weights is None:
        return values.flatten(1).mean(1), values.new_ones(len(values))
    weights = weights.to(values).expand_as(values).flatten(1)
    return (values.flatten(1) * weights).sum(1) / _not_0(weights.sum(1)), weights.mean(1)


def _not_0(sums: torch.Tensor) -> torch.Tensor:
    return sums.clamp(min=torch.finfo(sums.dtype).tiny)
