from __future__ import annotations

import pytest
import torch
from ignite.engine import Events
from monai.bundle import ConfigParser
from monai.bundle.utils import DEFAULT_MLFLOW_SETTINGS
from monai.handlers import from_engine

from medbundles.handlers import ListedOutput


def test_a_handler_behind_it_reads_the_loss_as_monais_tracking_does(tiny_training):
    """Which reads a tuple of it without ours: `float()` of that is an error."""
    trainer = tiny_training(epochs=1)
    seen = []

    def read(engine):
        loss = from_engine(["loss"], first=True)(engine.state.output)
        seen.append((float(loss), float(engine.state.output["loss"]), len(engine.state.output)))

    trainer.add_event_handler(Events.ITERATION_COMPLETED, read)
    with pytest.raises(TypeError):
        trainer.run()
    trainer = tiny_training(epochs=1, after_history=lambda *_: [ListedOutput()])
    trainer.add_event_handler(Events.ITERATION_COMPLETED, read)
    trainer.run()
    assert len(seen) == 4
    assert all(one == other and count == 1 for one, other, count in seen)
    assert torch.isfinite(torch.tensor(seen)).all()


def test_monais_tracking_of_a_run(tiny_training, tmp_path):
    mlflow = pytest.importorskip("mlflow", reason="the extra mlflow is not installed")
    uri = f"sqlite:///{tmp_path}/runs/tracking/mlruns.db"
    settings = DEFAULT_MLFLOW_SETTINGS["configs"]["trainer"]
    chosen = {
        "_disabled_": False,
        "tracking_uri": uri,
        "experiment_name": "tiny",
        "run_name": "run_1",
        "artifacts": None,
    }
    tracker = ConfigParser({"handler": settings | chosen}).get_parsed_content("handler")
    tiny_training(epochs=2, after_history=lambda *_: [ListedOutput(), tracker]).run()
    client = mlflow.MlflowClient(uri)
    [run] = client.search_runs(client.get_experiment_by_name("tiny").experiment_id)
    assert (run.info.run_name, run.info.status) == ("run_1", "FINISHED")
    assert [metric.step for metric in client.get_metric_history(run.info.run_id, "train_loss")] == list(range(1, 9))
    assert {path.name for path in (tmp_path / "runs").iterdir()} == {"tiny", "tracking"}
