"""Lists of images with masks in the place of a bundle's own datalists, as MONAI Label gives them to a training."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest
from monai.bundle import ConfigWorkflow

from medbundles.preflight.command_line import readable
from tests.bundles.brain_tumor_ladder import BRAIN
from tests.bundles.dental_ladder import DENTAL
from tests.bundles.ladder import Bundle, Settings, newest
from tests.bundles.medical_ladder import MEDICAL, VOLUMES


def files(bundle: Bundle, root: Path, part: str = "train") -> list[dict[str, str]]:
    """The images with their masks of a bundle's tiny data, as MONAI Label lists them."""
    folder = bundle.data(root) / (part if bundle is BRAIN else "")
    images = sorted(path for path in (folder / "images").rglob("*") if path.is_file())
    masks = next(folder / name for name in ("masks", "labels") if (folder / name).is_dir())
    return [{"image": str(path), "label": str(masks / path.relative_to(folder / "images"))} for path in images]


def settings(bundle: Bundle, root: Path, train: Any, val: Any) -> Settings:
    """The overrides of BundleTrainTask, and what makes the training small."""
    return bundle.tiny | {
        "bundle_root": str(bundle.folder), "output_dir": str(root / "runs"), "device": "cpu",
        "train#trainer#max_epochs": 2, "train#dataset#data": train, "validate#dataset#data": val,
    }  # fmt: skip


def train(bundle: Bundle, override: Settings) -> None:
    """As `monai.bundle.run` does it."""
    logging.getLogger("medbundles").setLevel(logging.INFO)
    workflow = ConfigWorkflow(
        config_file=str(bundle.folder / "configs/train.json"), workflow_type="train", logging_file=False, **override
    )
    workflow.initialize()
    workflow.run()
    workflow.finalize()


def refused(bundle: Bundle, override: Settings) -> str:
    with pytest.raises(Exception) as error:  # noqa: PT011
        train(bundle, override)
    return readable(error.value) or ""


@pytest.mark.parametrize("bundle", [BRAIN, MEDICAL, VOLUMES], ids=lambda bundle: bundle.name)
def test_trained_on_the_lists_alone(bundle, tmp_path):
    some = files(bundle, tmp_path)
    rest, val = (some, files(bundle, tmp_path, "val")) if bundle is BRAIN else (some[:10], some[10:])
    train(bundle, settings(bundle, tmp_path, rest, val))
    split = json.loads(newest(tmp_path, "split.json").read_text())["parts"]
    wanted = {"train": rest, "val": val, "test": []}
    assert {part: {row["image"] for row in rows} for part, rows in split.items()} == {
        part: {entry["image"] for entry in entries} for part, entries in wanted.items()
    }
    patients = {row["patient"] for row in split["train"]}
    assert len(patients) == (4 if bundle is BRAIN else len(rest))  # in folders of their own, or flat
    history = json.loads(newest(tmp_path, "metrics.json").read_text())["epochs"]
    assert [row["epoch"] for row in history] == [1, 2]
    config = json.loads(newest(tmp_path, "config.json").read_text())
    assert config["epochs"] == 2  # the schedule ends with the training
    assert config["given"]["val"] == val


@pytest.mark.parametrize("bundle", [BRAIN, MEDICAL], ids=lambda bundle: bundle.name)
def test_an_image_in_both_lists(bundle, tmp_path):
    some = files(bundle, tmp_path)
    text = refused(bundle, settings(bundle, tmp_path, some[:-2], some[-3:]))
    assert "leak(s) between" in text
    assert Path(some[-3]["image"]).stem in text or Path(some[-3]["image"]).parent.name in text


@pytest.mark.parametrize("bundle", [BRAIN, MEDICAL], ids=lambda bundle: bundle.name)
def test_what_lists_may_not_be(bundle, tmp_path):
    some = files(bundle, tmp_path)
    gone = {"image": some[0]["image"], "label": "/nowhere/a.png"}
    cases = {
        "validate#dataset#data: no list is given, or an empty one": (some, []),
        "train#dataset#data#1: is {'image': 'a.png'}; wanted": ([some[0], {"image": "a.png"}], some[-2:]),
        "is in the list of train, and is not there": ([gone, *some[2:-2]], some[-2:]),
        "is twice in the list of train": ([some[0], *some[:-2]], some[-2:]),
    }
    for wanted, (train_list, val_list) in cases.items():
        assert wanted in refused(bundle, settings(bundle, tmp_path, train_list, val_list))


def test_the_id_of_the_lists_is_none_that_one_types(tmp_path):
    typed = {"bundle_root": str(MEDICAL.folder), "output_dir": str(tmp_path), "given": 3}
    assert refused(MEDICAL, typed) == "unknown id 'given'"


def test_not_for_a_bundle_without_masks(tmp_path):
    text = refused(DENTAL, settings(DENTAL, tmp_path, [{"image": "a", "label": "b"}], [{"image": "c", "label": "d"}]))
    assert "this bundle takes no lists of images with masks" in text
