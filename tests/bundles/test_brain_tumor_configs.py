"""What only the brain tumour bundle's configs promise: its three stages."""

from __future__ import annotations

from typing import Any

from tests.bundles.brain_tumor_settings.data import AMOUNTS
from tests.bundles.setting_bench import handler


def test_stage_1_augments_more(brain_tumor):
    usual = brain_tumor.get("augmentation")
    for stage in ("stage2_cls_head", "stage3_joint"):
        assert_same(brain_tumor.get("augmentation", stage), usual)
    aggressive = brain_tumor.get("augmentation", "stage1_seg_warmup")
    amounts = [name for name in (*AMOUNTS, "elastic_alpha") if "flip" not in name]
    assert all(getattr(aggressive, name) > getattr(usual, name) for name in amounts)


def assert_same(one: Any, other: Any) -> None:
    """The settings, without the state of the generator."""
    assert {k: v for k, v in vars(one).items() if k != "R"} == {k: v for k, v in vars(other).items() if k != "R"}


def test_stage_2_trains_the_head_alone(brain_tumor):
    workflow = brain_tumor.workflow("stage2_cls_head")
    network = workflow.parser.get_parsed_content("network_def").train()
    assert {n.partition(".")[0] for n, p in network.named_parameters() if p.requires_grad} == {"head"}
    assert not network.encoder.training


def test_stages_follow_the_settings_that_they_name(brain_tumor):
    folder = str(brain_tumor.folder / "mine")
    rates = brain_tumor.get("optimizer", "stage1_seg_warmup", lr=0.02).param_groups
    assert {group["lr"] for group in rates} == {0.02}
    for stage, before in (("stage2_cls_head", "stage1_seg_warmup"), ("stage3_joint", "stage2_cls_head")):
        weights = handler(brain_tumor.workflow(stage, output_dir=folder), "InitialWeights")
        assert weights.path == f"{folder}/{before}"
