"""The brain tumour bundle with several classes, on phantoms whose lesions have three parts."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import torch
from ignite.engine import Events
from PIL import Image
from scipy import ndimage

from medbundles.metrics import score
from medbundles.metrics.weighted import value_of
from tests.bundles.setting_bench import Bench
from tools.stages_report import read_evaluation

UNITED = {  # by hand: which labels a row of the report is about
    "necrotic_core": [1], "oedema": [2], "enhancing": [3],
    "whole_tumour": [1, 2, 3], "tumour_core": [1, 3], "enhancing_tumour": [3],
}  # fmt: skip
MIN_SIZE = 12.0  # pixels of the file


@pytest.fixture(scope="module")
def brats(brain_tumor: Bench, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Settings of trained weights, on a copy of the bench's slices with masks of three classes."""
    folder = tmp_path_factory.mktemp("brats")
    for part in ("train", "val", "test"):
        for path in (brain_tumor.data / part).rglob("*.png"):
            place = folder / "data" / path.relative_to(brain_tumor.data)
            place.parent.mkdir(parents=True, exist_ok=True)
            pixels = np.asarray(Image.open(path))
            Image.fromarray(three_parts(pixels) if "masks" in path.parts else pixels).save(place)
    settings = {
        "dataset_dir": str(folder / "data"), "kaggle_dir": False, "output_dir": str(folder / "runs"), "publish": False,
        "seg_out_channels": 4, "label_names": "brats", "amp": False,
    }  # fmt: skip
    # so small a rate that the weights stay random: every class is predicted somewhere
    workflow = brain_tumor.workflow(**settings, epochs=1, lr=1e-6, **{"early_stopping#monitor": "val_dice"})
    workflow.run()
    run = workflow.parser.get_parsed_content("run_dir").path
    return {**settings, "checkpoint": str(run / "checkpoints/best.pt")}


def three_parts(mask: np.ndarray) -> np.ndarray:
    """Labels 1 to 3 in rings from the inside to the outside of a lesion."""
    depth = ndimage.distance_transform_edt(mask > 0)
    return np.select([depth == 0, depth > 4, depth > 2], [0, 1, 3], 2).astype(np.uint8)


def rows(path: Path) -> dict[str, float]:
    with path.open(newline="") as file:
        return {row["metric"]: float(row["value"]) for row in csv.DictReader(file) if row["value"]}


def test_a_validation_reports_each_class_and_the_regions(brats):
    run = Path(brats["checkpoint"]).parents[1]
    found = rows(run / "metrics/val_metrics.csv")
    assert found.keys() >= {f"{score}_{name}" for score in ("dice", "iou") for name in UNITED}
    trained = json.loads((run / "checkpoints/trained.json").read_text())
    assert trained["label_names"] == "brats"
    assert trained["mask_threshold"] == "auto"  # a pixel has its most probable class: there is none to choose


def test_an_evaluation_gives_the_figures_of_float64_by_hand(brain_tumor, brats):
    workflow = brain_tumor.workflow("evaluate", **brats, test_time_flips=True, min_size=MIN_SIZE, largest_component=[2])
    evaluator, by_hand = workflow.parser.get_parsed_content("validate::evaluator"), []

    @evaluator.on(Events.ITERATION_COMPLETED)
    def measure(engine: Any) -> None:
        batch, output = engine.state.batch, engine.state.output
        for name, prob in flipped_by_hand(engine.network, batch["image"]).items():
            assert np.allclose(output["pred"][name].double().softmax(1).numpy(), prob, atol=1e-5)
        for i, crop in enumerate(batch["crop"].tolist()):
            pixel = (max(crop[2:]) / batch["image"].shape[-1]) ** 2  # in pixels of the file
            labels = cleaned_by_hand(output["pred"]["seg"][i].argmax(0).numpy(), pixel)
            by_hand.append((labels, batch["mask"][i, 0].numpy()))

    workflow.run()
    run = workflow.parser.get_parsed_content("run_dir").path
    found = rows(run / "metrics/test_metrics.csv")
    for name, united in UNITED.items():
        dice, iou = scores_by_hand(by_hand, united)
        assert found[f"dice_{name}"] == pytest.approx(dice, abs=1e-9)
        assert found[f"iou_{name}"] == pytest.approx(iou, abs=1e-9)
    classes = ("necrotic_core", "oedema", "enhancing")
    assert found["dice"] == pytest.approx(np.mean([found[f"dice_{name}"] for name in classes]), abs=1e-9)
    assert found["dice"] > 0
    content = json.loads((run / "metrics/test_metrics.json").read_text())
    assert {name: content["metrics"][name]["value"] for name in found if name.startswith("dice")} == pytest.approx(
        {name: value for name, value in found.items() if name.startswith("dice")}
    )
    assert content["min_size"] == MIN_SIZE
    assert "hd95_tumour_core" in found
    for baseline in ("constant", "logistic"):  # what costs nothing, fitted on the training part
        costless = {name: found[f"dice_{baseline}_{name}"] for name in UNITED}
        assert costless["enhancing"] == costless["enhancing_tumour"] > 0
        assert found[f"dice_{baseline}"] == pytest.approx(np.mean([costless[name] for name in classes]), abs=1e-9)
    over = found["dice_whole_tumour"] - found["dice_constant_whole_tumour"]
    assert found["dice_over_constant_whole_tumour"] == pytest.approx(over, abs=1e-9)
    stage = read_evaluation(run)  # as the comparison of the stages reads it
    combined = value_of(score("combined", stage.columns), len(stage.dice))
    assert combined == pytest.approx(evaluator.state.metrics["val_combined"], abs=1e-9)
    assert np.nanmin(stage.dice) >= 0


def flipped_by_hand(network: Any, image: torch.Tensor) -> dict[str, np.ndarray]:
    """The mean of the four flips' probabilities."""
    sums: dict[str, list[np.ndarray]] = {"seg": [], "cls": []}
    with torch.no_grad():
        network.eval()
        for axes in ((), (2,), (3,), (2, 3)):
            found = network(image.flip(axes))
            sums["seg"].append(found["seg"].double().softmax(1).flip(axes).numpy())
            sums["cls"].append(found["cls"].double().softmax(1).numpy())
    return {name: np.mean(each, axis=0) for name, each in sums.items()}


def cleaned_by_hand(labels: np.ndarray, pixel: float) -> np.ndarray:
    """Without components below MIN_SIZE, of class 2 the largest alone."""
    kept = np.zeros_like(labels)
    for label in (1, 2, 3):
        parts, count = ndimage.label(labels == label)
        sizes = [(float((parts == part).sum()) * pixel, part) for part in range(1, count + 1)]
        if label == 2 and sizes:
            sizes = [max(sizes, key=lambda one: (one[0], -one[1]))]
        for size, part in sizes:
            if size >= MIN_SIZE:
                kept[parts == part] = label
    return kept


def scores_by_hand(pairs: list[tuple[np.ndarray, np.ndarray]], united: list[int]) -> tuple[float, float]:
    """Mean Dice and IoU over the images that have it."""
    dice, iou = [], []
    for found, truth in pairs:
        one, other = np.isin(found, united), np.isin(truth, united)
        if other.any():
            dice.append(2.0 * (one & other).sum() / (one.sum() + other.sum()))
            iou.append(float((one & other).sum()) / (one | other).sum())
    return float(np.mean(dice)), float(np.mean(iou))


def test_an_inference_writes_maps_of_classes_on_the_input_s_grid(brain_tumor, brats, tmp_path):
    volume = np.stack([np.asarray(Image.open(brain_tumor.image), dtype=np.int16).T] * 3, axis=2)
    affine = np.array([[0, -1.5, 0, 9], [1, 0, 0, 3], [0, 0, 3, -7], [0, 0, 0, 1]], dtype=float)
    (tmp_path / "in").mkdir()
    nibabel.save(nibabel.Nifti1Image(volume, affine), tmp_path / "in/v.nii.gz")
    (tmp_path / "in/p.png").write_bytes(Path(brain_tumor.image).read_bytes())
    given = {"input": str(tmp_path / "in"), "output": str(tmp_path / "out"), "probabilities": True, "grad_cam": True}
    brain_tumor.workflow("inference", **brats, **given, test_time_flips=True, min_size=[0, 5, 0]).run()
    found = nibabel.load(tmp_path / "out/masks/v_mask.nii.gz")
    labels = np.asarray(found.dataobj)
    assert found.get_data_dtype() == np.uint8
    assert np.allclose(found.affine, affine)
    assert labels.shape == volume.shape
    assert {0, 1, 2} <= set(np.unique(labels)) <= {0, 1, 2, 3}  # what a network with random weights happens to find
    prob = np.stack([nibabel.load(tmp_path / f"out/probabilities/v_{k}.nii.gz").get_fdata() for k in (1, 2, 3)])
    most_probable = np.concatenate([1 - prob.sum(0, keepdims=True), prob]).argmax(0)
    kept = labels > 0
    assert (labels[kept] == most_probable[kept]).mean() > 0.999  # float32 and ties
    picture = np.asarray(Image.open(tmp_path / "out/masks/p_mask.png"))
    assert picture.dtype == np.uint8
    assert {1, 2} <= set(np.unique(picture))
    with (tmp_path / "out/predictions.csv").open(newline="") as file:
        table = {row["name"]: row for row in csv.DictReader(file) if row["kind"] != "slice"}
    for number, name in enumerate(("necrotic_core", "oedema", "enhancing"), start=1):
        assert float(table["v"][f"mask_areas_{name}"]) == pytest.approx((labels == number).sum() * 4.5)
        assert float(table["p"][f"mask_areas_{name}"]) == (picture == number).sum()
    content = json.loads((tmp_path / "out/predictions.json").read_text())
    assert content["labels"]["2"] == "oedema"
    assert content["settings"]["min_size"] == [0, 5, 0]
    assert content["mask_threshold"] is None
    assert (tmp_path / "out/gradcam/p.jpg").is_file()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"label_names": "brats"}, "label_names: 'brats' does not fit seg_out_channels 1; use 4"),
        ({"mask_threshold": 0.4, "seg_out_channels": 4}, "leave it 'auto'"),
    ],
)
def test_what_does_not_fit_the_classes_is_refused_at_the_start(brain_tumor, given, said):
    with pytest.raises(RuntimeError) as error:
        brain_tumor.workflow(**given).run()
    assert said in str(error.value.__cause__)
