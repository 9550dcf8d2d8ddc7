"""`--tracking mlflow` with the real MLflow: a database below output_dir/tracking, and nothing anywhere else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.bundles.brain_tumor_ladder import BRAIN
from tests.bundles.dental_ladder import DENTAL
from tests.bundles.glioma_ladder import GLIOMA
from tests.bundles.ladder import newest, run
from tests.bundles.medical_ladder import MEDICAL

mlflow = pytest.importorskip("mlflow", reason="the extra mlflow is not installed")
ALL = pytest.mark.parametrize("bundle", [BRAIN, GLIOMA, DENTAL, MEDICAL], ids=lambda bundle: bundle.name)


def tracked(database: Path, experiment: str) -> tuple[Any, Any]:
    """MLflow's client, and the only run of an experiment."""
    client = mlflow.MlflowClient(f"sqlite:///{database}")
    [found] = client.search_runs(client.get_experiment_by_name(experiment).experiment_id)
    return client, found


def files(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if "__pycache__" not in path.parts}


@ALL
def test_training_evaluation_and_inference(bundle, tmp_path):
    data, root, there = bundle.data(tmp_path), tmp_path / "runs", files(bundle.folder)
    settings = bundle.tiny | bundle.places(data, root) | {"epochs": 2, "tracking": "mlflow"}
    run(bundle, ["train"], settings)
    database = root / "tracking/mlruns.db"
    history = json.loads(newest(root, "metrics.json").read_text())
    name = json.loads(newest(root, "config.json").read_text())["experiment"]["name"]
    client, found = tracked(database, name)
    assert (found.info.run_name, found.info.status) == (newest(root, "last.pt").parents[1].name, "FINISHED")
    assert found.data.params["max_epochs"] == "2"
    assert found.data.params["batch_size"] == str(bundle.tiny["batch_size"])
    assert "lr" in found.data.params
    scores = {key for key, value in history["epochs"][0].items() if key.startswith("val_") and value is not None}
    assert scores & set(found.data.metrics)
    for score in scores & set(found.data.metrics):
        values = [metric.value for metric in client.get_metric_history(found.info.run_id, score)]
        assert values == pytest.approx([epoch[score] for epoch in history["epochs"]], abs=1e-6, nan_ok=True), score
    losses = client.get_metric_history(found.info.run_id, "train_loss")
    assert len(losses) == 2 * int(found.data.params["epoch_length"])

    best = newest(root, "best.pt")
    settings = bundle.split | bundle.places(data, root) | {"checkpoint": best, "tracking": "mlflow"}
    run(bundle, ["train", "evaluate", str(best.with_name("trained.json"))], settings)
    _, found = tracked(database, f"{name}/evaluation")
    assert found.info.status == "FINISHED"
    assert scores & set(found.data.metrics)

    out = tmp_path / "out"
    settings = {"input": data.with_name("new"), "output": out, "checkpoint": best, "tracking": "mlflow"}
    run(bundle, ["inference", str(best.with_name("trained.json"))], settings)
    _, found = tracked(out / "tracking/mlruns.db", "inference")
    assert found.info.status == "FINISHED"
    assert {path.name for path in root.iterdir()} == {name, "tracking"}
    assert {path.name for path in (root / "tracking").iterdir()} <= {"mlruns.db", "mlruns"}
    assert files(bundle.folder) == there


def test_the_second_rank_tracks_nothing(tmp_path):
    data, root, there = MEDICAL.data(tmp_path), tmp_path / "runs", files(MEDICAL.folder)
    settings = MEDICAL.tiny | MEDICAL.places(data, root) | {"epochs": 1, "tracking": "mlflow"}
    run(MEDICAL, ["train", "multi_gpu_train"], settings, processes=2)
    _, found = tracked(root / "tracking/mlruns.db", "segmentation")
    assert found.info.status == "FINISHED"
    assert "val_dice" in found.data.metrics
    assert files(MEDICAL.folder) == there
