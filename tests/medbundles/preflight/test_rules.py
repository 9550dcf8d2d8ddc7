from __future__ import annotations

import inspect

import pytest
import torch

from medbundles.optimizers import optimizer, scheduler
from medbundles.preflight import rules
from medbundles.rules import GIVEN, TYPED

RIGHT = {
    "mixing#brats_ratio": 0.3, "mixing#kaggle_ratio": 0.7,
    "early_stopping#enabled": True, "early_stopping#patience": 5, "val_interval": 5, "epochs": 10,
    "class_names": ["no", "yes"], "cls_num_classes": 2, "scheduler#warmup_epochs": 9,
    "scheduler#name": "step", "scheduler#T_max": 5, "scheduler#monitor": "val_loss", "scheduler#mode": "min",
    "loss#lambda_seg": 0, "loss#lambda_cls": 1,
    "loss#seg_loss#name": "dice_bce", "loss#seg_loss#dice_weight": 0, "loss#seg_loss#bce_weight": 1,
    "frozen": ["encoder", "decoder"], "resume": True, "init_from": "stage1",
    "early_stopping#monitor": "val_dice", "early_stopping#mode": "max", "device": "cpu",
    "early_stopping#tie_break": "val_f1", "fold": 4, "folds": 5, "selection": "inner", "drw_start_epoch": 10,
    "sampling": "balanced", "loss#name": "ldam", "loss#max_m": 0.5, "allow_double_balancing": True,
    "pretrained_path": False, "layout": "strided", "spatial_size": [16, 32, 33], "batch_size": 1, "drop_last": False,
}  # fmt: skip

# the components that carry the rules about these
CONFIG = {
    "train": [{"_target_": f"medbundles.{name}"} for name in (
        "data.training_batches", "data.GradedFolds", "losses.MultitaskLoss", "losses.SegmentationLoss",
        "losses.LDAMLoss", "networks.MultitaskUNet", "networks.GradingResNet", "optimizers.build_scheduler",
    )]
}  # fmt: skip


def broken_rules(values, workflow, config=CONFIG):
    return rules.broken_rules(config, values, workflow)


BROKEN = [
    ({"mixing#brats_ratio": 0.4}, "mixing: the ratios 0.4 and 0.7 add up to 1.1; they must add up to 1."),
    ({"early_stopping#patience": 4}, "early_stopping#patience: 4 epochs are less than one validation (val_interval 5)"),
    ({"val_interval": 11, "early_stopping#enabled": False}, "val_interval: 11 is beyond epochs (10)"),
    ({"class_names": ["a", "b", "c"]}, "class_names: ['a', 'b', 'c'] must be 2 names"),
    ({"class_names": ["a", "a"]}, "must be different names"),
    ({"scheduler#warmup_epochs": 10}, "scheduler#warmup_epochs: 10 leaves nothing of 10 epochs"),
    ({"scheduler#name": "cosine"}, "scheduler#warmup_epochs: 9 leaves nothing of 5 epochs"),
    ({"scheduler#mode": "max"}, "val_loss is best when it is min; use --scheduler#mode min"),
    ({"loss#lambda_cls": 0}, "loss#lambda_seg and loss#lambda_cls are both 0"),
    ({"loss#seg_loss#bce_weight": 0}, "loss#seg_loss#dice_weight and loss#seg_loss#bce_weight are both 0"),
    ({"frozen": ["head", "encoder", "decoder"]}, "leaves nothing to train"),
    ({"early_stopping#monitor": "val_loss"}, "val_loss is best when it is min; use --early_stopping#mode min"),
    ({"early_stopping#mode": "min"}, "val_dice is best when it is max; use --early_stopping#mode max"),
    ({"class_names": ["LGG", "lgg"]}, "must be different names (capitals do not count)"),
    ({"early_stopping#tie_break": "val_loss"}, "early_stopping#tie_break: of val_loss smaller is better"),
    ({"fold": 5}, "fold: 5 is beyond the last one; with folds 5 use 0 to 4"),
    ({"folds": 2, "fold": 1}, "selection: inner takes one fold to test, one to choose and trains on the rest"),
    ({"drw_start_epoch": 11}, "drw_start_epoch: 11 is beyond epochs (10)"),
    ({"allow_double_balancing": False}, "on top of the margins of loss#name ldam and drw_start_epoch 10"),
    ({"allow_double_balancing": False, "loss#name": "cross_entropy"}, "balanced comes on top of drw_start_epoch 10"),
    ({"pretrained_path": "w.pth", "layout": "medicalnet"}, "init_from and pretrained_path: both give initial weights"),
    ({"spatial_size": [16, 32, 32]}, "layout: strided leaves one voxel of the spatial_size [16, 32, 32]"),
    ({"spatial_size": [16] * 3, "drop_last": True}, "Use batch_size 2 or more and drop_last True, a larger spatial"),
    ({"spatial_size": [16] * 3, "batch_size": 2}, "with batch_size 2 and drop_last False, batch normalisation would"),
    ({"pretrained_path": "w.pth", "init_from": None}, "MedicalNet's weights mean something else in the layout"),
    ({"device": "gpu"}, "device: 'gpu' is no device; use cpu, cuda or cuda:0"),
    ({"device": "cuda:99"}, "device: 'cuda:99' is not in this machine"),
]  # fmt: skip


def test_values_that_work_together_break_no_rule():
    assert broken_rules(RIGHT, "train") == []
    unknown = {"early_stopping#monitor": "val_l1", "early_stopping#mode": "min"}
    assert broken_rules({**RIGHT, **unknown}, "train") == []
    assert broken_rules({}, "train") == []  # a bundle without these settings


@pytest.mark.parametrize(("change", "message"), BROKEN, ids=[m[:30] for _, m in BROKEN])
def test_each_combination_that_cannot_work_is_one_line(change, message):
    (line,) = broken_rules({**RIGHT, **change}, "train")
    assert message in line


def test_an_evaluation_is_judged_by_its_device_only(monkeypatch):
    wrong = {**RIGHT, "mixing#brats_ratio": 0.9, "device": "cuda:1"}
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert broken_rules(wrong, "evaluate") == [
        "device: 'cuda:1' is not in this machine, which has 1 GPUs; use cpu for the CPU."
    ]
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert broken_rules(wrong, "evaluate") == []
    assert len(broken_rules(wrong, "find_lr")) == 1


def test_a_rule_goes_away_with_its_component():
    wrong = {**RIGHT, "loss#lambda_cls": 0}
    for loss in ({"_target_": "torch.nn.MSELoss"}, {"_target_": "medbundles.losses.MultitaskLoss", "_disabled_": True}):
        assert broken_rules(wrong, "train", {"loss": loss}) == []
    assert len(broken_rules(wrong, "train", {"loss": {"_target_": "medbundles.losses.MultitaskLoss"}})) == 1


@pytest.mark.parametrize("target", ["Compose", "nowhere.Loss", "medbundles.losses.Nothing", "", "a..b"])
def test_what_cannot_be_located_carries_no_rule(target):
    assert rules.rules_of({"loss": {"_target_": target}}) == list(rules.SHARED)


def test_a_schedule_that_follows_the_monitor_is_blamed_once():
    both = {f"{group}#{name}": value for group in ("early_stopping", "scheduler")
            for name, value in (("monitor", "val_loss"), ("mode", "max"))}  # fmt: skip
    (line,) = broken_rules({**RIGHT, **both}, "train")
    assert line.startswith("early_stopping#mode")


@pytest.mark.parametrize(
    ("group", "name", "typed", "line"),
    [
        ("optimizer", "adam", "momentum", "optimizer#momentum: adam has none; it is a setting of sgd. Leave it"),
        ("optimizer", "sgd", "betas", "optimizer#betas: sgd has none; it is a setting of adam, adamw."),
        ("scheduler", "cosine", "step_size", "scheduler#step_size: cosine has none; it is a setting of step."),
        ("scheduler", "step", "power", "scheduler#power: step has none; it is a setting of polynomial."),
    ],
)
def test_what_is_typed_for_nothing_is_refused_and_may_stand_in_an_overlay(group, name, typed, line):
    config = {"it": {"_target_": f"medbundles.optimizers.build_{group}"}}
    given = {f"{group}#name": name, f"{group}#{typed}": 1, GIVEN: frozenset({f"{group}#{typed}"})}
    assert broken_rules(given, "train", config) == []
    [found] = broken_rules(given | {TYPED: frozenset({f"{group}#{typed}", "lr"})}, "train", config)
    assert found.startswith(line)


@pytest.mark.parametrize(
    ("built", "used_by", "names"),
    [
        (optimizer.build_optimizer, optimizer.USED_BY, optimizer.OPTIMIZERS),
        (scheduler.build_scheduler, scheduler.USED_BY, scheduler.SCHEDULES),
    ],
)
def test_what_some_names_use_are_arguments_and_the_names_are_there(built, used_by, names):
    assert used_by.keys() <= inspect.signature(built).parameters.keys()
    assert {name for several in used_by.values() for name in several} <= set(names)


@pytest.mark.parametrize(
    ("target", "switch", "off", "setting", "workflow"),
    [
        ("optimizers.build_scheduler", "scheduler#warmup_epochs", 0, "scheduler#warmup_type", "train"),
        ("handlers.GradientClip", "grad_clip", None, "grad_clip_type", "train"),
        ("handlers.WandB", "wandb#enabled", False, "wandb#project", "train"),
        ("transforms.ImageAugmentation", "augment", False, "augmentation#gamma", "train"),
        ("data.segmentation_parts", "folds", 0, "fold_seed", "evaluate"),
        ("data.checked_parts", "folds", 0, "selection", "train"),
        ("data.autoencoder_inputs", "interpolate", None, "interpolate_steps", "inference"),
        ("data.autoencoder_inputs", "sample", 0, "sample_size", "inference"),
    ],
)
def test_what_is_typed_while_its_switch_is_off_is_refused(target, switch, off, setting, workflow):
    values = {switch: off, TYPED: frozenset({setting, "lr"})}
    [found] = broken_rules(values, workflow, {"it": {"_target_": f"medbundles.{target}"}})
    assert found == f"{setting}: does nothing while {switch} is off; give --{switch}, too."
    for fine in ({switch: 3}, {TYPED: frozenset({"lr"}), GIVEN: frozenset({setting})}):
        assert broken_rules(values | fine, workflow, {"it": {"_target_": f"medbundles.{target}"}}) == []
