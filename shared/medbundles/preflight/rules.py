"""Combinations of settings that cannot work: those that all bundles share, and those of the config's components."""

import pydoc
from collections.abc import Iterator, Sequence
from typing import Any

import torch

from medbundles.errors import nearest
from medbundles.rules import EVERYWHERE, Rule

SMALL_IS_GOOD = ("_loss", "_fp_area", "_l1", "_mse", "_lpips", "_l1_patch", "_hd95", "_volume_error")
LARGE_IS_GOOD = (
    "_dice", "_iou", "_acc", "_accuracy", "_auc", "_f1", "_precision", "_recall", "_sensitivity", "_specificity",
    "_combined", "_psnr", "_psnr_over_bicubic", "_psnr_over_pca", "_ssim", "_at_half",
)  # fmt: skip


def _patience(enabled: bool, patience: int, interval: int) -> str | None:
    if enabled and patience < interval:
        return (
            f"early_stopping#patience: {patience} epochs are less than one validation (val_interval {interval}); "
            f"use at least {interval}."
        )
    return None


def _validates(interval: int, epochs: int) -> str | None:
    if interval > epochs:
        return f"val_interval: {interval} is beyond epochs ({epochs}); nothing would be validated."
    return None


def _number_of_classes(names: Sequence[str], classes: int) -> str | None:
    return None if len(names) == classes else f"class_names: {names} must be {classes} names (cls_num_classes)."


def _different_classes(names: Sequence[str]) -> str | None:
    if len({str(name).lower() for name in names}) != len(names):
        return f"class_names: {names} must be different names (capitals do not count)."
    return None


def _best(group: str, monitor: str, mode: str) -> str | None:
    right = "min" if monitor.endswith(SMALL_IS_GOOD) else "max" if monitor.endswith(LARGE_IS_GOOD) else mode
    return None if mode == right else f"{group}#mode: {monitor} is best when it is {right}; use --{group}#mode {right}."


def _best_epoch(monitor: str, mode: str) -> str | None:
    return _best("early_stopping", monitor, mode)


def _best_of_schedule(monitor: str, mode: str, *followed: str) -> str | None:
    same = followed == (monitor, mode)  # as unless set: early stopping's line says it
    return None if same else _best("scheduler", monitor, mode)


def _tie_break(name: str | bool | None) -> str | None:
    if name and str(name).endswith(SMALL_IS_GOOD):
        return f"early_stopping#tie_break: of {name} smaller is better; use one of which larger is, such as val_f1."
    return None


def _two_starts(init_from: Any, pretrained_path: Any) -> str | None:
    if init_from and pretrained_path:
        return "init_from and pretrained_path: both give initial weights; use one of them."
    return None


def _device(name: str) -> str | None:
    try:
        device = torch.device(name)
    except RuntimeError:
        return f"device: {name!r} is no device; use cpu, cuda or cuda:0."
    there = torch.cuda.device_count()
    if device.type == "cuda" and (device.index or 0) >= there:
        return f"device: {name!r} is not in this machine, which has {there or 'no'} GPUs; use cpu for the CPU."
    return None


FOLLOWED = ("early_stopping#monitor", "early_stopping#mode")
SHARED = (
    Rule(("early_stopping#enabled", "early_stopping#patience", "val_interval"), _patience),
    Rule(("val_interval", "epochs"), _validates),
    Rule(("class_names", "cls_num_classes"), _number_of_classes),
    Rule(("class_names",), _different_classes, EVERYWHERE),
    Rule(FOLLOWED, _best_epoch),
    Rule(("scheduler#monitor", "scheduler#mode", *FOLLOWED), _best_of_schedule),
    Rule(("early_stopping#tie_break",), _tie_break),
    Rule(("init_from", "pretrained_path"), _two_starts),
    Rule(("device",), _device, EVERYWHERE),
)


def targets(config: Any) -> Iterator[str]:
    """Every `_target_` of a config, without what is disabled."""
    disabled = config.get("_disabled_", False) if isinstance(config, dict) else False
    if isinstance(config, dict) and disabled is False:  # an expression may say so; building names what is wrong then
        if isinstance(target := config.get("_target_"), str):
            yield target
        for value in config.values():
            yield from targets(value)
    elif isinstance(config, list):
        for value in config:
            yield from targets(value)


def unknown_targets(config: Any) -> list[str]:
    """A line for each `_target_` with dots that there is not, with the nearest name of its module."""
    wrong = []
    for target in dict.fromkeys(targets(config)):
        module, _, name = target.rpartition(".")
        if not module or target.startswith(("$", "@")):
            continue
        try:
            there, home = pydoc.locate(target), pydoc.locate(module)
        except pydoc.ErrorDuringImport as error:
            wrong.append(f"_target_: {target} cannot be imported: {error.value}")
            continue
        if there is None:
            near = nearest(name, dir(home) if home else ())
            package = target.partition(".")[0]
            hint = f"did you mean {module}.{near}?" if near else "there is no such class or function."
            hint = hint if pydoc.locate(package) else f"the package {package!r} is not installed."
            wrong.append(f"_target_: {target} is unknown; {hint}")
    return wrong


def rules_of(config: Any) -> list[Rule]:
    """The rules that all bundles share, and those that the config's components carry; nothing is built.

    MONAI's short names, and what cannot be imported, carry none: building says what is wrong with them.
    """
    rules = list(SHARED)
    for target in dict.fromkeys(targets(config)):
        try:
            component = pydoc.locate(target) if "." in target else None
        except pydoc.ErrorDuringImport:
            continue
        rules += getattr(component, "rules", ())
    return list(dict.fromkeys(rules))


def broken_rules(config: Any, values: dict[str, Any], workflow: str) -> list[str]:
    """A line for each rule that the resolved values of the config's settings break."""
    return [line for rule in rules_of(config) if (line := rule.line(values, workflow))]
