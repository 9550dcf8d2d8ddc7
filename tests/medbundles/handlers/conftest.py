"""A training of seconds on random images, with the handlers that others rely on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from ignite.metrics import Accuracy, Metric
from monai.data import DataLoader, Dataset
from monai.engines import SupervisedEvaluator, SupervisedTrainer
from monai.handlers import ValidationHandler
from torch import nn

from medbundles.handlers import CheckpointSaver, GradientClip, History, Monitor, Resume, Run, Seeding
from medbundles.runs import RunDirectory


class TinyNetwork(nn.Module):
    """(B, 1, H, W) -> {"seg": (B, 1, H, W), "cls": (B, 2)}."""

    def __init__(self) -> None:
        super().__init__()
        self.seg = nn.Conv2d(1, 1, 3, padding=1)
        self.cls = nn.Linear(1, 2)

    def forward(self, image: torch.Tensor) -> dict[str, torch.Tensor]:
        seg = self.seg(image)
        return {"seg": seg, "cls": self.cls(seg.mean((2, 3)))}


class TinyLoss(nn.Module):
    """Tells its parts as the losses of the package do."""

    def forward(self, pred: dict[str, torch.Tensor], target: dict[str, torch.Tensor]) -> torch.Tensor:
        seg = nn.functional.binary_cross_entropy_with_logits(pred["seg"], target["mask"].float())
        cls = nn.functional.cross_entropy(pred["cls"], target["cls"])
        self.parts = {"seg": seg.detach(), "cls": cls.detach()}
        self.counts = dict.fromkeys(self.parts, torch.tensor(len(target["cls"])))
        return seg + cls


class Undefined(Metric):
    """NaN, like an AUC when all cases are of one class."""

    def reset(self) -> None: ...

    def update(self, output: Any) -> None: ...

    def compute(self) -> float:
        return float("nan")


def prepare_batch(batch: dict, device: Any = None, non_blocking: bool = False, **_: Any) -> tuple:
    return batch["image"], {"mask": batch["mask"], "cls": batch["label"]}


def postprocess(data: dict) -> dict:
    pred = data["pred"]
    return {**data, "pred": {**pred, "mask": (pred["seg"] > 0).float(), "class": pred["cls"].argmax(1)}}


def classes(output: dict) -> tuple[torch.Tensor, torch.Tensor]:
    return output["pred"]["class"], output["label"]["cls"]


def random_items(count: int, seed: int) -> list[dict[str, Any]]:
    generator = torch.Generator().manual_seed(seed)
    items = []
    for i in range(count):
        image = torch.rand(1, 16, 16, generator=generator)
        items.append({"image": image, "mask": (image > 0.8).to(torch.uint8), "label": i % 2, "name": f"{seed}_{i}"})
    return items


@pytest.fixture
def tiny_training(tmp_path: Path) -> Callable[..., SupervisedTrainer]:
    """Builds a trainer of 4 iterations per epoch whose runs go below tmp_path / "runs".

    `first(run_dir, network, validator)` gives handlers that stand first, `after_history(...)` those after History;
    `guard` are those before the validation.
    The trainer's `run_dir`, `history` and `validator` are for the test.
    """

    def nothing(*_: Any) -> Sequence[Any]:
        return ()

    def build(
        epochs: int = 2,
        resume: bool = False,
        accumulation: int = 1,
        guard: Sequence[Any] = (),
        first: Callable[..., Sequence[Any]] = nothing,
        after_history: Callable[..., Sequence[Any]] = nothing,
    ) -> SupervisedTrainer:
        torch.manual_seed(0)
        network = TinyNetwork()
        network.seg.weight.data[0, 0, 1, 1], network.seg.bias.data[0] = 2.0, -1.0  # so that it predicts some mask
        optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
        scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 1)
        run_dir = RunDirectory(str(tmp_path / "runs"), "tiny", resume=resume)
        run_dir.record({"epochs": "@max_epochs"}, {"lr": 0.1, "seed": 7, "wandb#project": "tiny"}, set())
        validator = SupervisedEvaluator(
            device=torch.device("cpu"),
            val_data_loader=DataLoader(Dataset(random_items(5, seed=2)), batch_size=3, num_workers=0),
            network=network,
            prepare_batch=prepare_batch,
            postprocessing=postprocess,
            key_val_metric={"val_acc": Accuracy(classes)},
            additional_metrics={"val_auc": Undefined(classes)},
            decollate=False,
        )
        history, monitor = History(), Monitor("val_acc")
        trainer = SupervisedTrainer(
            device=torch.device("cpu"),
            max_epochs=epochs,
            train_data_loader=DataLoader(Dataset(random_items(8, seed=1)), batch_size=2, num_workers=0),
            network=network,
            optimizer=optimizer,
            loss_function=TinyLoss(),
            prepare_batch=prepare_batch,
            decollate=False,
            accumulation_steps=accumulation,
            train_handlers=[
                *first(run_dir, network, validator),
                Seeding(seed=7),
                Resume(),
                Run(run_dir, "cpu", 7, validator, scheduler, monitor),
                GradientClip(1.0),
                *guard,
                ValidationHandler(interval=1, validator=validator),
                history,
                *after_history(run_dir, network, validator),
                CheckpointSaver(),
            ],
        )
        trainer.run_dir, trainer.history, trainer.validator = run_dir, history, validator
        return trainer

    return build
