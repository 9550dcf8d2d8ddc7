"""Any loss as one value per image, so that images can be left out; what would be silently wrong is refused."""

import warnings
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import nn

from medbundles.errors import ConfigError

ACTIVATIONS = ("sigmoid", "softmax", "other_act")
# MONAI 1.6.1 applies none in these, whatever the docstring says
NO_ACTIVATION = ("AsymmetricFocalLoss", "AsymmetricFocalTverskyLoss", "AsymmetricUnifiedFocalLoss")
WANTED = "a loss must give a scalar, or one value or map per image (B, ...)."
Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


class PerImage:
    """Calls a loss so that it gives one value per image, (B,).

    - A loss that gives (B,) is taken as it is.
    - One that gives (B, ...) is averaged over everything else.
    - One that gives a scalar is called image by image, so that an image that does not count never enters.

    Args:
        loss: takes logits (B, ...) and a target (B, ...); MONAI's or torch's, too.
        id: where it stands in the config, for messages.

    Raises:
        ConfigError: it adds up instead of averaging, or takes probabilities where the network gives logits. When it is
            called: what it gives is neither of these shapes, or it does not take what it is given.

    Example:
        >>> loss = PerImage(monai.losses.TverskyLoss(sigmoid=True), "loss#seg_loss")
        >>> loss(torch.zeros(4, 1, 8, 8), torch.ones(4, 1, 8, 8)).shape
        torch.Size([4])
    """

    def __init__(self, loss: Loss, id: str):
        self.loss, self.id = loss, id
        self.gives_scalar: bool | None = None  # seen at the first call
        for module in _judged(loss):
            if getattr(module, "reduction", None) == "sum":
                raise ConfigError(f'{id}: {_name(module)} adds up instead of averaging; write "reduction": "mean".')
            if getattr(module, "reduction", None) == "none" and getattr(module, "batch", False):
                raise ConfigError(f'{id}: {_name(module)} mixes the images of a batch; leave out "batch".')
            ignored = getattr(module, "ignore_index", None)
            if ignored is not None and ignored >= 0:
                raise ConfigError(
                    f"{id}: {_name(module)} with ignore_index has no value for an image that is ignored whole; leave "
                    "it out."
                )
            if right := _instead_of_probabilities(module):
                raise ConfigError(f"{id}: {_name(module)} takes probabilities, the network gives logits; {right}.")

    def __call__(self, logits: torch.Tensor, target: torch.Tensor, counted: torch.Tensor | None = None) -> torch.Tensor:
        """Loss of each image.

        Args:
            logits: (B, ...).
            target: (B, ...).
            counted: (B,) bool: the images whose value will be used. Others may have any value; of a loss that gives a
                scalar it is 0.
        """
        if self.gives_scalar is None and len(logits):
            self.gives_scalar = self._try(logits, target)
        if self.gives_scalar:
            skipped = [False] * len(logits) if counted is None else (~counted).tolist()
            each = [
                0.0 * logits[i].sum() if skip else self.loss(logits[i : i + 1], target[i : i + 1])
                for i, skip in enumerate(skipped)
            ]
            return torch.stack(each)
        values = self.loss(logits, target)
        if values.ndim == 0 or len(values) != len(logits):
            raise ConfigError(f"{self.id}: of {len(logits)} images it gives {tuple(values.shape)}; {WANTED}")
        return values if values.ndim == 1 else values.flatten(1).mean(dim=1)

    def _try(self, logits: torch.Tensor, target: torch.Tensor) -> bool:
        """Whether it gives a scalar, seen on one image; what it cannot work with is refused."""
        for module in _judged(self.loss):
            softmax = getattr(module, "softmax", False) or getattr(module, "use_softmax", False)
            if logits.shape[1] == 1 and (softmax or isinstance(self.loss, nn.CrossEntropyLoss)):
                raise ConfigError(
                    f"{self.id}: {_name(module)} cannot take the softmax of one channel; use a loss with a sigmoid: "
                    'MONAI\'s with "sigmoid": true, its focal loss without "use_softmax", or BCEWithLogitsLoss.'
                )
            weighted = isinstance(module, nn.CrossEntropyLoss) and module.weight is not None
            if weighted and module.reduction == "mean" and logits.ndim == 2:
                raise ConfigError(
                    f"{self.id}: in the mean of a single image the weight of its class cancels out; "
                    'write "reduction": "none" to keep the weights.'
                )
        try:
            with torch.no_grad(), warnings.catch_warnings():
                warnings.filterwarnings("error", "Using a target size")  # torch would broadcast
                value = self.loss(logits[:1], target[:1])
        except Exception as error:  # whatever a loss raises that does not take these shapes
            raise ConfigError(
                f"{self.id}: does not take logits {tuple(logits.shape)} and a target {tuple(target.shape)}: {error}"
            ) from error
        if not isinstance(value, torch.Tensor) or (value.ndim and len(value) != 1):
            what = tuple(value.shape) if isinstance(value, torch.Tensor) else type(value).__name__
            raise ConfigError(f"{self.id}: of one image it gives {what}; {WANTED}")
        return value.ndim == 0


def at_least_float32(logits: torch.Tensor) -> torch.Tensor:
    """The logits: under autocast they are bfloat16 or float16, too coarse for sums over an image or a batch."""
    return logits.float() if logits.dtype in (torch.bfloat16, torch.float16) else logits


def _judged(loss: object) -> Iterator[nn.Module]:
    """The loss, and the losses inside it unless it applies an activation for them."""
    if isinstance(loss, nn.Module):
        yield loss
        if not any(getattr(loss, name, None) for name in ACTIVATIONS):
            for child in loss.children():
                yield from _judged(child)


def _instead_of_probabilities(module: nn.Module) -> str | None:
    """What to use instead of a loss that takes probabilities; None for one that takes logits."""
    if isinstance(module, nn.BCELoss):
        return "use torch.nn.BCEWithLogitsLoss"
    if isinstance(module, nn.NLLLoss):
        return "use torch.nn.CrossEntropyLoss"
    if type(module).__name__ in NO_ACTIVATION:
        return 'use MONAI\'s TverskyLoss or FocalLoss with "sigmoid": true'
    of_monai = any(kind.__module__.startswith("monai.losses") for kind in type(module).__mro__)
    if of_monai and hasattr(module, "sigmoid") and not any(getattr(module, name, None) for name in ACTIVATIONS):
        return 'write "sigmoid": true (or "softmax": true with several channels)'
    return None


def _name(module: nn.Module) -> str:
    return type(module).__name__


def per_sample(loss: Any, logits: torch.Tensor, target: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Loss and weight of each sample, (B,) and (B,): the loss's own `per_sample`; the weights are 1 for one without."""
    if hasattr(loss, "per_sample"):
        return loss.per_sample(logits, target)
    values = PerImage(loss, "loss")(at_least_float32(logits), target)
    return values, torch.ones_like(values)
