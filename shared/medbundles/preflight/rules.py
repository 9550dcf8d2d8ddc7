"""Combinations of settings that cannot work; each rule looks only at settings that the bundle has."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

SMALL_IS_GOOD = ("_loss", "_fp_area")
LARGE_IS_GOOD = (
    "_dice", "_iou", "_acc", "_auc", "_f1", "_precision", "_recall", "_sensitivity", "_specificity", "_combined",
)  # fmt: skip

Values = dict[str, Any]
Rule = Callable[[Values], str | None]


def _ratios(v: Values) -> str | None:
    total = v["mixing#brats_ratio"] + v["mixing#kaggle_ratio"]
    if abs(total - 1) > 1e-6:
        return f"mixing#brats_ratio and mixing#kaggle_ratio add up to {total:g}; they must add up to 1."
    return None


def _patience(v: Values) -> str | None:
    if v["early_stopping#enabled"] and v["early_stopping#patience"] < v["val_interval"]:
        return (
            f"early_stopping#patience: {v['early_stopping#patience']} epochs are less than one validation "
            f"(val_interval {v['val_interval']}); use at least {v['val_interval']}."
        )
    return None


def _validates(v: Values) -> str | None:
    if v["val_interval"] > v["epochs"]:
        return f"val_interval: {v['val_interval']} is beyond epochs ({v['epochs']}); nothing would be validated."
    return None


def _classes(v: Values) -> str | None:
    names = v["class_names"]
    if len(names) != v["cls_num_classes"]:
        return f"class_names: {names} must be {v['cls_num_classes']} names (cls_num_classes)."
    return None


def _warmup(v: Values) -> str | None:
    if v["scheduler#warmup_epochs"] >= v["epochs"]:
        return f"scheduler#warmup_epochs: {v['scheduler#warmup_epochs']} leaves nothing of {v['epochs']} epochs."
    return None


def _losses(v: Values) -> str | None:
    if v["loss#lambda_seg"] == 0 and v["loss#lambda_cls"] == 0:
        return "loss#lambda_seg and loss#lambda_cls are both 0; nothing would be learnt."
    return None


def _dice_bce(v: Values) -> str | None:
    if v["loss#seg_loss#name"] == "dice_bce" and v["loss#seg_loss#dice_weight"] + v["loss#seg_loss#bce_weight"] == 0:
        return "loss#seg_loss#dice_weight and loss#seg_loss#bce_weight are both 0."
    return None


def _frozen(v: Values) -> str | None:
    if {"encoder", "decoder", "head"} <= set(v["frozen"]):
        return f"frozen: {v['frozen']} leaves nothing to train."
    return None


def _mode(v: Values) -> str | None:
    monitor, mode = v["early_stopping#monitor"], v["early_stopping#mode"]
    right = "min" if monitor.endswith(SMALL_IS_GOOD) else "max" if monitor.endswith(LARGE_IS_GOOD) else mode
    if mode != right:
        return f"early_stopping#mode: {monitor} is best when it is {right}; use --early_stopping#mode {right}."
    return None


def _class_names(v: Values) -> str | None:
    names = v["class_names"]
    if len({str(name).lower() for name in names}) != len(names):
        return f"class_names: {names} must be different names (capitals do not count)."
    return None


def _fold(v: Values) -> str | None:
    if v["fold"] >= v["folds"]:
        return f"fold: {v['fold']} is beyond the last one; with folds {v['folds']} use 0 to {v['folds'] - 1}."
    return None


def _inner(v: Values) -> str | None:
    if v["selection"] == "inner" and v["folds"] < 3:
        return (
            "selection: inner takes one fold to test, one to choose and trains on the rest; "
            f"folds is {v['folds']}. Use 3 folds or more, or the selection held_out."
        )
    return None


def _drw_start(v: Values) -> str | None:
    if v["drw_start_epoch"] and v["drw_start_epoch"] > v["epochs"]:
        return (
            f"drw_start_epoch: {v['drw_start_epoch']} is beyond epochs ({v['epochs']}); the classes would never be "
            f"re-weighted. Use 1 to {v['epochs']}, or --drw_start_epoch False for none."
        )
    return None


def _balanced_twice(v: Values) -> str | None:
    others = [text for text, on in (
        ("the margins of loss#name ldam", v["loss#name"] == "ldam" and v["loss#max_m"] > 0),
        (f"drw_start_epoch {v['drw_start_epoch']}", bool(v["drw_start_epoch"])),
    ) if on]  # fmt: skip
    if v["sampling"] == "balanced" and others and not v["allow_double_balancing"]:
        return (
            f"sampling: balanced comes on top of {' and '.join(others)}; one way of balancing the classes works "
            "against another. Use --loss#name cross_entropy --drw_start_epoch False with it, or insist: "
            "--allow_double_balancing True."
        )
    return None


def _two_starts(v: Values) -> str | None:
    if v["init_from"] and v["pretrained_path"]:
        return "init_from and pretrained_path: both give initial weights; use one of them."
    return None


def _layout(v: Values) -> str | None:
    if v["pretrained_path"] and v["layout"] != "medicalnet":
        return (
            f"pretrained_path: MedicalNet's weights mean something else in the layout {v['layout']!r}; "
            "use --layout medicalnet with them."
        )
    return None


def _single_value(v: Values) -> str | None:
    """Layout strided reduces each side 32 times; batch normalisation cannot work on one value per channel."""
    if v["layout"] == "strided" and max(v["spatial_size"]) <= 32 and (v["batch_size"] == 1 or not v["drop_last"]):
        return (
            f"layout: strided leaves one voxel of the spatial_size {v['spatial_size']}; with one case in a batch, as "
            f"with batch_size {v['batch_size']} and drop_last {v['drop_last']}, batch normalisation would fail. Use "
            "batch_size 2 or more and drop_last True, a larger spatial_size, or the layout medicalnet."
        )
    return None


def _tie_break(v: Values) -> str | None:
    name = v["early_stopping#tie_break"]
    if name and name.endswith(SMALL_IS_GOOD):
        return f"early_stopping#tie_break: of {name} smaller is better; use one of which larger is, such as val_f1."
    return None


def _device(v: Values) -> str | None:
    try:
        device = torch.device(v["device"])
    except RuntimeError:
        return f"device: {v['device']!r} is no device; use cpu, cuda or cuda:0."
    there = torch.cuda.device_count()
    if device.type == "cuda" and (device.index or 0) >= there:
        return f"device: {v['device']!r} is not in this machine, which has {there or 'no'} GPUs; use cpu for the CPU."
    return None


RULES: list[tuple[tuple[str, ...], Rule]] = [
    (("mixing#brats_ratio", "mixing#kaggle_ratio"), _ratios),
    (("early_stopping#enabled", "early_stopping#patience", "val_interval"), _patience),
    (("val_interval", "epochs"), _validates),
    (("class_names", "cls_num_classes"), _classes),
    (("scheduler#warmup_epochs", "epochs"), _warmup),
    (("loss#lambda_seg", "loss#lambda_cls"), _losses),
    (("loss#seg_loss#name", "loss#seg_loss#dice_weight", "loss#seg_loss#bce_weight"), _dice_bce),
    (("frozen",), _frozen),
    (("early_stopping#monitor", "early_stopping#mode"), _mode),
    (("early_stopping#tie_break",), _tie_break),
    (("drw_start_epoch", "epochs"), _drw_start),
    (("sampling", "loss#name", "loss#max_m", "drw_start_epoch", "allow_double_balancing"), _balanced_twice),
    (("init_from", "pretrained_path"), _two_starts),
    (("pretrained_path", "layout"), _layout),
    (("layout", "spatial_size", "batch_size", "drop_last"), _single_value),
]
ALWAYS: list[tuple[tuple[str, ...], Rule]] = [
    (("device",), _device),
    (("class_names",), _class_names),
    (("fold", "folds"), _fold),
    (("selection", "folds"), _inner),
]

TRAINING = ("train", "find_lr")


def broken_rules(values: Values, workflow: str) -> list[str]:
    """A line for each rule that the values break."""
    rules = ALWAYS + (RULES if workflow in TRAINING else [])
    lines = [rule(values) for needed, rule in rules if all(name in values for name in needed)]
    return [line for line in lines if line]
