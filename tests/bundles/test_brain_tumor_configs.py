"""What only the brain tumour bundle's configs promise: its three stages."""

from __future__ import annotations

import shutil
from typing import Any

import pytest
from PIL import Image

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


def test_a_training_is_refused_whose_test_part_holds_a_copy(brain_tumor, tmp_path):
    """It would run, and its evaluation be refused when all is done."""
    data = tmp_path / "data"
    shutil.copytree(brain_tumor.data, data)
    shown = next((data / "train/images").rglob("*.png"))
    other = next((data / "test/images").rglob("*.png"))
    found = brain_tumor.workflow(dataset_dir=str(data)).parser.get_parsed_content("data")
    assert found["test"]
    Image.open(shown).rotate(0).save(other, compress_level=1)
    with pytest.raises(RuntimeError) as error:
        brain_tumor.workflow(dataset_dir=str(data)).parser.get_parsed_content("data")
    assert "leak(s) between train, val, test" in str(error.value.__cause__)
    shutil.rmtree(data / "test")
    shutil.rmtree(data / "kaggle/test")
    assert brain_tumor.workflow(dataset_dir=str(data)).parser.get_parsed_content("data")["test"] == []
