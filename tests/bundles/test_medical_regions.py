"""Regions up the ladder in miniature: a training, its evaluation and inference, and weights that are refused."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest

from medbundles.preflight.command_line import readable
from tests.bundles.setting_bench import Bench, quick
from tests.bundles.setting_cases import MEDICAL
from tools.phantoms.organs import make_organs

NAMES = ["whole organ", "lesion"]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Volumes of two channels, as the Decathlon has them, with regions, as nnU-Net has them."""
    folder = tmp_path_factory.mktemp("regions") / "data"
    make_organs(folder, scans=12, size=16, dims=3)
    about = json.loads((folder / "dataset.json").read_text())
    about |= {"labels": {"background": 0, NAMES[0]: [1, 2], NAMES[1]: [2]}, "regions_class_order": [1, 2]}
    about["channel_names"] = {"0": "FLAIR", "1": "T1w"}
    (folder / "dataset.json").write_text(json.dumps(about))
    for path in sorted((folder / "images").iterdir()):
        volume = nibabel.load(path)
        voxels = np.asarray(volume.dataobj).astype(np.int16)
        nibabel.save(nibabel.Nifti1Image(np.stack([voxels, 300 - voxels], axis=3), volume.affine), path)
    return folder


@pytest.fixture(scope="module")
def bench(bench_of) -> Bench:
    return bench_of(MEDICAL)


@pytest.fixture(scope="module")
def given(data: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    out = tmp_path_factory.mktemp("runs")
    return {
        **{"dataset_dir": str(data), "output_dir": str(out), "spatial_dims": 3, "image_size": 16, "cache": "none"},
        **{"in_channels": 2, "out_channels": 2, "regions": "auto", "epochs": 1, "publish": False},
        **{"loss#boundary_weight": 0.2, "loss#class_weights": [1, 3]},
    }


@pytest.fixture(scope="module")
def run(bench: Bench, given: dict[str, Any]) -> Path:
    workflow = bench.workflow(**given)
    with quick():
        workflow.run()
    return workflow.parser.get_parsed_content("run_dir").path


def of_weights(run: Path) -> dict[str, Any]:
    """The overlay beside the weights, as overrides."""
    trained = json.loads((run / "checkpoints/trained.json").read_text())
    return {**trained, "checkpoint": str(run / "checkpoints/best.pt")}


def test_a_training_measures_each_region_and_keeps_them_with_the_weights(run):
    [epoch] = json.loads((run / "metrics/metrics.json").read_text())["epochs"]
    assert {"val_dice", "val_dice_loss", "val_ce_loss", "val_boundary_loss"} <= epoch.keys()
    measured = json.loads((run / "metrics/val_metrics.json").read_text())
    assert measured["channel_names"] == NAMES
    trained = of_weights(run)
    assert trained["regions"] == [[1, 2], [2]]
    assert trained["label_names"] == NAMES
    assert (run / "plots/augmented_samples.png").is_file()


def test_an_evaluation_has_a_column_for_each_region(bench, given, run):
    workflow = bench.workflow("evaluate", **given | of_weights(run))
    with quick():
        workflow.run()
    folder = workflow.parser.get_parsed_content("run_dir").path
    with (folder / "predictions/predictions.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {f"{score}_{name}" for score in ("dice", "hd95", "surface_dice") for name in NAMES} <= rows[0].keys()


def test_an_inference_writes_one_label_map_on_the_inputs_grid(bench, data, run, tmp_path):
    places = {"input": str(data / "images"), "output": str(tmp_path / "out")}
    with quick():
        bench.workflow("inference", **{**of_weights(run), **places, "max_pictures": 1}).run()
    masks = sorted((tmp_path / "out/masks").iterdir())
    assert len(masks) == 12
    found = nibabel.load(masks[0])
    assert found.shape == (16, 16, 8)
    assert set(np.unique(np.asarray(found.dataobj))) <= {0, 1, 2}
    about = json.loads((tmp_path / "out/predictions.json").read_text())
    assert about["labels"] == {"1": NAMES[0], "2": NAMES[1]}


def test_one_threshold_decides_all_regions(bench, data, run, tmp_path):
    sizes = []
    for threshold in (0.01, 0.99):
        places = {"input": str(data / "images"), "output": str(tmp_path / str(threshold)), "max_pictures": 0}
        with quick():
            bench.workflow(
                "inference", **of_weights(run), **places, **{"postprocessing#mask_threshold": threshold}
            ).run()
        with (tmp_path / str(threshold) / "predictions.csv").open() as file:
            rows = list(csv.DictReader(file))
        sizes.append([sum(float(row[f"area_{name}"]) for row in rows) for name in NAMES])
    assert all(low > high for low, high in zip(*sizes, strict=True))
    with quick(), pytest.raises(RuntimeError) as error:
        bench.workflow("inference", **of_weights(run), **places, **{"postprocessing#mask_threshold": 7}).run()
    assert "mask_threshold: 7 is not allowed; it must be above 0 and below 1." in (readable(error.value) or "")


def test_weights_of_regions_are_refused_for_classes(bench, data, run, tmp_path):
    options = {**of_weights(run), "regions": None, "label_names": "auto"}
    places = {"input": str(data / "images"), "output": str(tmp_path / "out")}
    with quick(), pytest.raises(RuntimeError) as error:
        bench.workflow("inference", **options, **places).run()
    assert "regions is None here, [[1, 2], [2]] there" in (readable(error.value) or "")
