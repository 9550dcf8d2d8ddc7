"""What to try against a trouble of a training: flags of the bundle that runs, with values that it does not have yet.

The advice is document 001's ("Common Issues").
"""

from collections.abc import Callable, Mapping
from typing import Any


def times(factor: float) -> Callable[[Any], Any]:
    """A number multiplied."""

    def changed(value: Any) -> Any:
        product = value * factor
        return f"{product:.3g}" if isinstance(product, float) else product

    return changed


def to(wanted: Any, *instead_of: Any) -> Callable[[Any], Any]:
    """Another value, in the place of these alone, where any are given."""
    return lambda value: None if value == wanted or (instead_of and value not in instead_of) else wanted


def at_least(wanted: str) -> Callable[[Any], Any]:
    """A number that is not below another one, written as the document writes it."""
    return lambda value: wanted if value < float(wanted) else None


SWITCHED_ON = to(True, False)
# trouble -> setting and its change (None: none is needed), in the document's order; then what is no setting
TRY: dict[str, tuple[dict[str, Callable[[Any], Any]], str]] = {
    "overfits": (
        {
            "optimizer#weight_decay": at_least("1e-3"),
            "augmentation": SWITCHED_ON,
            "augmentation#enabled": SWITCHED_ON,
            "augment": SWITCHED_ON,
            "augmentation_strength": to("strong"),
            "early_stopping#enabled": SWITCHED_ON,
            "network_def#dropout": to(0.5, 0),
            "dropout": to(0.5, 0),
            "cls_dropout": to(0.5, 0),
        },
        "a smaller network, or more images",
    ),
    "learns nothing": (
        {"lr": times(10)},
        "what `python -m tools find-lr` says, or a larger network; TensorBoard shows whether images and labels match",
    ),
    "underfits": ({"epochs": times(2)}, "another rate (`python -m tools find-lr` finds one), or a larger network"),
    "oscillates": (
        {"lr": times(0.1), "grad_clip": to(1.0, None, 0, False)},
        "a warm-up, or a larger batch",
    ),
    "is no number": (
        {"lr": times(0.1), "grad_clip": to(1.0, None, 0, False), "amp": to(False)},
        "and `python -m tools check-data` on the data",
    ),
    "no gradient": ({}, "a loss that depends on them, to freeze what is not to learn, or a lower lr"),
    "predicts": (
        {
            "sampling": to("oversample", "shuffle"),
            "mixing#sampling": to("balanced", "weighted"),
            "loss#seg_loss#name": to("dice_bce", "bce", "focal"),
        },
        "a loss that weighs what is rare (Dice, LDAM, weights of the classes), or more epochs",
    ),
}  # fmt: skip


def advice(trouble: str, settings: Mapping[str, Any]) -> str:
    """A sentence with what to try.

    Args:
        trouble: a key of `TRY`.
        settings: of the run, by id; those that it does not have are not advised. None at all: all are, without values.

    Example:
        >>> advice("oscillates", {"lr": 0.01, "grad_clip": 1.0})
        'Try --lr 0.001, a warm-up, or a larger batch.'
    """
    changes, more = TRY[trouble]
    if not settings:
        return f"Try other values of {', '.join([*changes, more])}."
    flags = [
        f"--{name} {value}"
        for name, change in changes.items()
        if name in settings and (value := change(settings[name])) is not None
    ]
    return f"Try {', '.join([*flags, more])}."
