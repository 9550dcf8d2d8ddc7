"""The ladder that each bundle climbs: parse, check, train, stop and resume, evaluate, infer, two processes, misuse."""

from __future__ import annotations

import csv
import json
import random
import re
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from monai.bundle import ConfigWorkflow

from medbundles.data.synthetic import make_phantoms
from tests.bundles.ladder import BRAIN, Bundle, differences, newest, run, run_until

# all that a run must bear when it is stopped: augmentation, dropout, persistent workers, accumulation, bfloat16, a
# schedule with a memory, and an early-stopping counter above 0 (nothing improves by 0.9)
HARD = {
    "epochs": 3,
    "num_workers": 2,
    "gradient_accumulation_steps": 2,
    "amp": True,
    "scheduler#name": "plateau",
    "scheduler#patience": 0,
    "early_stopping#min_delta": 0.9,
    "early_stopping#patience": 9,
    "checkpointing#save_frequency": 2,
}


@pytest.fixture(scope="session", params=[BRAIN], ids=["brain"])
def bundle(request: pytest.FixtureRequest) -> Bundle:
    return request.param


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("phantoms") / "data"
    make_phantoms(folder, patients=(4, 3, 3), slices=2, size=64, pictures=(12, 8, 8))
    return folder


@pytest.fixture(scope="session")
def trained(bundle: Bundle, data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Root of the runs with one that was never interrupted."""
    root = tmp_path_factory.mktemp("runs")
    run(bundle, ["train"], bundle.tiny | HARD | {"dataset_dir": data, "output_dir": root})
    return root


def workflow(bundle: Bundle, name: str, kind: str, **knobs: Any) -> ConfigWorkflow:
    return ConfigWorkflow(
        str(bundle.folder / "configs" / f"{name}.json"), workflow_type=kind, logging_file=False,
        bundle_root=str(bundle.folder), **knobs,
    )  # fmt: skip


def test_configs_are_plain(bundle: Bundle) -> None:
    """No lambda, no import, no expression longer than a line, no key twice."""

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        assert len({k for k, _ in pairs}) == len(pairs), [k for k, _ in pairs]
        return dict(pairs)

    for path in sorted((bundle.folder / "configs").glob("*.json")):
        text = path.read_text()
        json.loads(text, object_pairs_hook=once)
        assert not re.search(r"\blambda\b|\$import\b|\$from\b", text), path
        assert max(map(len, text.splitlines())) <= (400 if path.name in ("metadata.json", "schema.json") else 160), path


@pytest.mark.parametrize(("name", "kind"), [("train", "train"), ("inference", "infer")])
def test_monai_finds_its_properties_and_nothing_is_written(
    bundle: Bundle, data: Path, tmp_path: Path, name: str, kind: str
) -> None:
    knobs = bundle.tiny | {"dataset_dir": str(data), "publish": False} if kind == "train" else {"input": str(data)}
    place = {"output_dir": str(tmp_path / "x")} if kind == "train" else {"output": str(tmp_path / "x")}
    flow = workflow(bundle, name, kind, **knobs, **place)
    flow.initialize()
    assert flow.check_properties() == []
    assert list(tmp_path.iterdir()) == []


def test_inference_prepares_as_training_does(bundle: Bundle, data: Path) -> None:
    lists = []
    for name, kind in (("train", "train"), ("inference", "infer")):
        flow = workflow(bundle, name, kind)
        lists.append(flow.parser.get("preprocessing::transforms"))
    assert lists[0][1:] == lists[1][1:]  # the first step reads the file: a slice with its mask, or an input
    assert len(lists[0]) > 1


def test_a_run_leaves_what_the_design_says(trained: Path) -> None:
    folder = newest(trained, "metrics.json").parents[1]
    history = json.loads((folder / "metrics/metrics.json").read_text())
    assert [e["epoch"] for e in history["epochs"]] == [1, 2, 3]
    assert {"train_loss", "train_dice", "train_acc", "val_loss", "val_combined", "grad_norm_max"} <= set(
        history["epochs"][0]
    )
    assert (folder / "plots/learning_curves.png").stat().st_size > 10_000
    assert {p.name for p in (folder / "checkpoints").iterdir()} == {
        "best.pt",
        "last.pt",
        "epoch_002.pt",
        "trained.json",
    }
    config = json.loads((folder / "config/config.json").read_text())
    assert config["epochs"] == 3
    assert json.loads((folder / "config/environment.json").read_text())["versions"]["monai"]
    log = (folder / "logs/train.log").read_text()
    assert "Epoch 3/3" in log
    assert "Train - Loss" in log
    assert list((folder / "logs").glob("events*"))


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGKILL, -9), (signal.SIGTERM, 143), (signal.SIGINT, 130)], ids=["kill", "term", "int"]
)
def test_a_stopped_run_goes_on_bit_equally(
    bundle: Bundle, data: Path, trained: Path, tmp_path: Path, number: int, code: int
) -> None:
    knobs = bundle.tiny | HARD | {"dataset_dir": data, "output_dir": tmp_path}
    wait = random.uniform(0, 0.5)  # any moment of the second epoch or the end of the first
    assert run_until(bundle, ["train"], knobs, "saved best.pt (epoch 1", wait, number) == code, f"waited {wait} s"
    run(bundle, ["train"], knobs | {"resume": True})
    assert len(list(tmp_path.glob("*/run_*"))) == 1
    ignored = ("epoch_seconds", "samples_per_second", "output_dir", "cache_dir", "resume", "run")
    for name in ("last.pt", "best.pt"):
        once, twice = (torch.load(newest(root, name), weights_only=True) for root in (trained, tmp_path))
        assert once["epoch"] == twice["epoch"]
        assert differences(once, twice, ignored) == [], f"waited {wait} s"


def test_a_finished_run_says_so_and_changes_nothing(bundle: Bundle, data: Path, trained: Path) -> None:
    before = newest(trained, "last.pt").read_bytes()
    done = run(bundle, ["train"], bundle.tiny | HARD | {"dataset_dir": data, "output_dir": trained, "resume": True})
    assert "the run is finished: it has done 3 of 3 epochs" in done.stdout
    assert newest(trained, "last.pt").read_bytes() == before


def test_evaluation_is_the_same_with_two_processes(bundle: Bundle, data: Path, trained: Path, tmp_path: Path) -> None:
    best = newest(trained, "best.pt")
    results = []
    for processes, extra in ((1, []), (2, ["multi_gpu_train"])):
        root = tmp_path / str(processes)
        knobs = {"dataset_dir": data, "output_dir": root, "checkpoint": best, "amp": False}
        run(bundle, ["train", *extra, "evaluate", str(best.with_name("trained.json"))], knobs, processes)
        results.append(json.loads(newest(root, "test_metrics.json").read_text())["metrics"])
        assert newest(root, "confusion_matrix.png").is_file()
    assert results[0].keys() == results[1].keys()
    for name, one in results[0].items():
        assert one["value"] == pytest.approx(results[1][name]["value"], abs=1e-6, nan_ok=True), name
    assert results[0]["dice"]["n_images"] > 0


def test_inference_writes_masks_tables_and_pictures(bundle: Bundle, data: Path, trained: Path, tmp_path: Path) -> None:
    best = newest(trained, "best.pt")
    inputs = data / "test/images"
    knobs = {"input": inputs, "output": tmp_path / "out", "checkpoint": best, "grad_cam": False}
    run(bundle, ["inference", str(best.with_name("trained.json"))], knobs)
    count = len(list(inputs.rglob("*.png")))
    assert len(list((tmp_path / "out/masks").rglob("*.png"))) == count
    assert len(list((tmp_path / "out/overlays").rglob("*.png"))) == count
    assert not (tmp_path / "out/gradcam").exists()
    with (tmp_path / "out/predictions.csv").open() as file:
        assert len(list(csv.DictReader(file))) == count


def test_training_on_two_processes(bundle: Bundle, data: Path, tmp_path: Path) -> None:
    """With frozen parts and mixed batches so small that a rank's batch may lack a mask; rank 0 alone writes."""
    knobs = bundle.tiny | {
        "dataset_dir": data, "output_dir": tmp_path, "epochs": 2, "batch_size": 2, "frozen": "['encoder']",
        "mixing#sampling": "weighted", "num_workers": 0,
    }  # fmt: skip
    done = run(bundle, ["train", "multi_gpu_train"], knobs, processes=2)
    assert done.stdout.count("Epoch 2/2") == 1
    assert len(list(tmp_path.glob("*/run_*"))) == 1


@pytest.mark.parametrize(
    ("knobs", "message"),
    [
        ({"batchsize": 4}, "unknown id 'batchsize'; did you mean 'batch_size'?"),
        ({"amp": "false"}, "amp: 'false' is text. Write False"),
        ({"dataset_dir": "/nowhere"}, "python -m tools sample-data"),
        ({"batch_size": 500, "mixing#mix_datasets": False}, "batch_size: one batch needs 500 training items"),
        ({"init_from": "/nowhere/best.pt"}, "init_from: /nowhere/best.pt does not exist"),
    ],
    ids=["misspelt", "text", "no data", "batch", "no weights"],
)
def test_a_mistake_is_one_message_and_exit_code_1(
    bundle: Bundle, data: Path, tmp_path: Path, knobs: dict[str, Any], message: str
) -> None:
    given = bundle.tiny | {"dataset_dir": data, "output_dir": tmp_path / "runs"} | knobs
    done = run(bundle, ["train"], given, expect=1)
    assert message in done.stderr
    assert "Traceback" not in done.stderr + done.stdout
    assert not (tmp_path / "runs").exists()
