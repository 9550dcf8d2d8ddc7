"""What is special to the glioma bundle: re-weighting and early stopping, ties, folds, pretrained weights."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
from ignite.engine import Engine, Events
from monai.bundle import ConfigWorkflow, ckpt_export, verify_net_in_out

from medbundles.networks import GradingResNet
from tests.bundles.glioma_ladder import GLIOMA
from tests.bundles.ladder import run
from tests.bundles.setting_bench import quick

SMALL = GLIOMA.tiny | {"device": "cpu", "num_workers": 0, "tensorboard": False, "plot_interval": 0, "amp": False}
Train = Callable[..., Path]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return GLIOMA.data(tmp_path_factory.getbasetemp())


@pytest.fixture
def train(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> Iterator[Train]:
    """Really trains, in this process; gives the run's folder."""
    monkeypatch.setattr("sys.argv", ["test"])  # the preflight looks at it
    caplog.set_level(logging.INFO, logger="medbundles")

    def go(*overlays: str, finds: dict[str, list[float]] | None = None, **settings: Any) -> Path:
        """`finds`: what the validation metrics of these names are in each epoch; `...`: as the configs have it."""
        places = {key: str(value) for key, value in GLIOMA.places(data, tmp_path).items()}
        files = [str(GLIOMA.folder / f"configs/{name}.json") for name in ("train", *overlays)]
        given = {"bundle_root": str(GLIOMA.folder), **SMALL, **places, **settings}
        flow = ConfigWorkflow(
            files, workflow_type="train", logging_file=False,
            **{name: value for name, value in given.items() if value is not ...},
        )  # fmt: skip
        flow.initialize()
        if finds:
            evaluator = flow.parser.get_parsed_content("validate::evaluator")
            evaluator.add_event_handler(Events.EPOCH_COMPLETED, replace_metrics, finds)
        with nullcontext() if given["plot_interval"] else quick():
            flow.run()
        return flow.parser.get_parsed_content("run_dir").path

    yield go
    shutil.rmtree(tmp_path)  # checkpoints are large


def replace_metrics(validator: Engine, finds: dict[str, list[float]]) -> None:
    for name, values in finds.items():
        assert name in validator.state.metrics
        validator.state.metrics[name] = values[validator.state.epoch - 1]


def metrics_of(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "metrics/metrics.json").read_text())


def epochs_of(folder: Path) -> int:
    return metrics_of(folder)["summary"]["epochs"]


# nothing improves by 0.9, so the patience of one epoch is over after the second
IMPATIENT = {
    "epochs": 6,
    "early_stopping#patience": 1,
    "early_stopping#min_epochs": 1,
    "early_stopping#min_delta": 0.9,
}


@pytest.mark.parametrize(("start", "last"), [(3, 4), (False, 2)], ids=["re-weighting", "none"])
def test_the_reweighting_has_its_patience_before_a_run_stops(train: Train, start: int | bool, last: int) -> None:
    assert epochs_of(train(**IMPATIENT, drw_start_epoch=start)) == last


def test_of_equal_aucs_the_better_f1_is_best_and_an_improvement(train: Train) -> None:
    """Without the tie, epoch 1 would be best and the run over after epoch 3."""
    finds = {"val_auc": [0.8, 0.8, 0.8, 0.8, 0.8], "val_f1": [0.5, 0.7, 0.7, 0.6, 0.6]}
    settings = {"epochs": 5, "drw_start_epoch": False, "early_stopping#min_epochs": 1, "early_stopping#patience": 2}
    folder = train(finds=finds, **settings)
    history = metrics_of(folder)
    assert torch.load(folder / "checkpoints/best.pt", weights_only=True)["epoch"] == 2
    assert history["summary"]["best_epoch"] == history["best"]["epoch"] == history["classes"]["epoch"] == 2
    assert json.loads((folder / "metrics/val_metrics.json").read_text())["epoch"] == 2
    assert history["summary"]["epochs"] == 4


def test_an_auc_of_one_class_is_not_followed(train: Train, data: Path, tmp_path: Path) -> None:
    """A split made by hand may hold out a fold without LGG: another metric can choose the epoch then."""
    cases: dict[str, list[dict[str, str]]] = {"0": [], "1": []}
    for grade, count in (("HGG", 3), ("LGG", 0)):
        for i, case in enumerate(sorted((data / grade).iterdir())):
            cases["0" if i < count else "1"].append({"name": case.name, "patient": case.name, "grade": grade})
    split = tmp_path / "by_hand.json"
    split.write_text(json.dumps({"folds": 2, "fold_seed": 42, "class_names": ["LGG", "HGG"], "cases": cases}))
    with pytest.raises(RuntimeError) as refused:
        train(folds_file=str(split), epochs=2)
    assert "val_auc is not defined on the validation data (needs images of both classes)" in str(
        refused.value.__cause__
    )
    following = {"early_stopping#monitor": "val_loss", "early_stopping#mode": "min", "early_stopping#tie_break": False}
    folder = train(folds_file=str(split), epochs=2, plot_interval=1, **following)
    history = metrics_of(folder)
    assert [epoch["val_auc"] for epoch in history["epochs"]] == [None, None]
    assert history["summary"]["best_epoch"] in (1, 2)
    assert (folder / "checkpoints/best.pt").is_file()


def test_the_quick_test_reaches_its_reweighting(train: Train, caplog: pytest.LogCaptureFixture) -> None:
    overlay = json.loads((GLIOMA.folder / "configs/quick_test.json").read_text())
    train("quick_test", epochs=2, drw_start_epoch=...)
    assert overlay["drw_start_epoch"] == 2
    assert "loss: from epoch 2 on" in caplog.text


def medicalnet_file(path: Path, depth: int) -> dict[str, torch.Tensor]:
    """A file as MedicalNet published them: wrapped for several GPUs, with the layers of a segmentation."""
    torch.manual_seed(depth)
    backbone = {
        name: torch.rand_like(value) / 10
        for name, value in GradingResNet(depth=depth).backbone.state_dict().items()
        if value.is_floating_point()
    }
    weights = {f"module.{name}": value for name, value in backbone.items()}
    weights["module.conv_seg.0.weight"] = torch.zeros(3, 3)
    torch.save({"state_dict": weights}, path)
    return backbone


def trained_settings(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "checkpoints/trained.json").read_text())


def test_a_training_starts_from_pretrained_weights(
    train: Train, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    backbone = medicalnet_file(tmp_path / "resnet_10.pth", 10)
    folder = train(
        pretrained_path=str(tmp_path / "resnet_10.pth"),
        epochs=1,
        drw_start_epoch=1,
        lr=1e-9,
        **{"scheduler#eta_min": 0.0},
    )
    assert f"loaded {len(backbone)} of {len(backbone)} tensors of the backbone" in caplog.text
    trained = torch.load(folder / "checkpoints/last.pt", weights_only=True)["network"]
    assert trained_settings(folder)["normalisation"] == "moments"  # as its loader normalises, also in inference
    for name, value in backbone.items():
        if "running" not in name:
            value = value.permute(0, 1, 4, 3, 2) if value.dim() == 5 else value
            torch.testing.assert_close(trained[f"backbone.{name}"], value, atol=1e-6, rtol=0)


def test_pretrained_weights_of_another_depth_are_refused(data: Path, tmp_path: Path) -> None:
    path = tmp_path / "resnet_18.pth"
    medicalnet_file(path, 18)
    settings = GLIOMA.tiny | GLIOMA.places(data, tmp_path / "runs") | {"pretrained_path": path, "num_workers": 0}
    done = run(GLIOMA, ["train"], settings, expect=1)
    assert f"{path} is a ResNet-18, the network is a ResNet-10" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "runs").exists()


def test_all_folds_use_the_split_that_the_first_one_wrote(train: Train, tmp_path: Path) -> None:
    def validated(folder: Path) -> set[str]:
        return set(json.loads((folder / "predictions/val_names.json").read_text()))

    settings = {"epochs": 1, "drw_start_epoch": False}
    first = train(**settings)
    (file,) = tmp_path.rglob("folds.json")
    split = json.loads(file.read_text())
    folds = [{row["name"] for row in split["cases"][fold]} for fold in ("0", "1")]
    assert validated(first) == folds[0]
    assert len(folds[0] | folds[1]) == 14
    # another split that is as good: were it computed again, this one would be forgotten
    low = [next(row for row in split["cases"][fold] if row["grade"] == "LGG") for fold in ("0", "1")]
    for fold, mine, other in (("0", low[0], low[1]), ("1", low[1], low[0])):
        split["cases"][fold] = [other if row == mine else row for row in split["cases"][fold]]
    file.write_text(json.dumps(split))
    second = train(fold=1, **settings)
    assert validated(second) == folds[1] - {low[1]["name"]} | {low[0]["name"]}
    assert json.loads(file.read_text()) == split
    assert second.parent.name == "fold_1"


@pytest.fixture
def in_bundle(monkeypatch: pytest.MonkeyPatch) -> None:
    """MONAI's own tools find what the configs name relative to the bundle's folder."""
    monkeypatch.chdir(GLIOMA.folder)


TINY_NETWORK = {"config_file": "configs/inference.json", "meta_file": "configs/metadata.json", "depth": 10}


def test_monai_verifies_what_goes_in_and_out(in_bundle: None) -> None:
    shape = {"_meta_#network_data_format#inputs#image#spatial_shape": [16, 16, 16]}
    verify_net_in_out("network_def", device="cpu", **TINY_NETWORK, **shape)


def test_monai_exports_the_network(in_bundle: None, tmp_path: Path) -> None:
    network = GradingResNet(depth=10).eval()
    torch.save({"network": network.state_dict()}, tmp_path / "best.pt")
    ckpt_export(
        "network_def", filepath=str(tmp_path / "model.ts"), ckpt_file=str(tmp_path / "best.pt"),
        key_in_ckpt="network", **TINY_NETWORK,
    )  # fmt: skip
    volume = torch.rand(2, 1, 16, 16, 16)
    exported = torch.jit.load(tmp_path / "model.ts").eval()
    torch.testing.assert_close(exported(volume), network(volume))
