"""Knobs of the network, the loss, the optimizer and the schedule; see brain_tumor_model for what both bundles share."""

from __future__ import annotations

from typing import Any

import torch
from monai.bundle import ConfigWorkflow

from medbundles.data import GradedFolds
from medbundles.inferers.autocast import resolve_amp
from medbundles.metrics import ConfusionScore
from tests.bundles.brain_tumor_model import (
    PLATEAU,
    STEP,
    all_five,
    compiled,
    epochs,
    everywhere,
    network,
    schedule,
    three_steps,
)
from tests.bundles.glioma_bench import REAL
from tests.bundles.knob_bench import Bench, handler
from tests.bundles.knob_check import Check

VOLUME = torch.linspace(-1, 1, 2 * 16**3).reshape(2, 1, 16, 16, 16).sin()
LOGITS, LABELS = torch.tensor([[0.3, -0.2], [0.5, 0.1], [-0.1, 0.4]]), torch.tensor([0, 1, 1])


def prepared(workflow: ConfigWorkflow, image: str | list[str]) -> torch.Tensor:
    """The case as the network sees it, in training or inference."""
    return workflow.parser.get_parsed_content("preprocessing")({"image": image})["image"]


def real(look: Any, knob: str) -> Any:
    """A check of what training and inference do, and of what is told of the weights, with the ResNet itself."""

    def see(bench: Bench, **turned: Any) -> dict[str, Any]:
        return everywhere(bench, look, knob, **REAL, **turned)

    return see


def blocks(workflow: ConfigWorkflow) -> int:
    return len(network(workflow).backbone.layer1)


def layer4_stride(workflow: ConfigWorkflow) -> int:
    return network(workflow).backbone.layer4[0].conv1.stride[0]


def head_class(workflow: ConfigWorkflow) -> str:
    return type(network(workflow).head).__name__


def scale(workflow: ConfigWorkflow) -> float:
    return float(network(workflow).scale)


def modality(bench: Any, **turned: Any) -> dict[str, Any]:
    """Channels of the first layer and of a prepared case, and the case's files."""

    def look(workflow: ConfigWorkflow) -> tuple[int, int, set[str]]:
        data = workflow.parser.get_parsed_content("data")
        item = (data["train"] if isinstance(data, GradedFolds) else data)[0]
        files = [item["image"]] if isinstance(item["image"], str) else item["image"]
        endings = {file.rpartition("_")[2].partition(".")[0] for file in files}
        return next(network(workflow).parameters()).shape[1], len(prepared(workflow, item["image"])), endings

    return everywhere(bench, look, "modality", **REAL, **turned)


def in_channels(turned: str | list[str]) -> dict[str, Any]:
    """What `modality` tells then."""
    names = {turned} if isinstance(turned, str) else set(turned)
    found = (len(names), len(names), names)
    return {**all_five(turned), "training": found, "inference": found}


def class_names(bench: Any, **turned: Any) -> dict[str, Any]:
    """The classes of everything that counts or names them; another class stands between the two."""

    def look(workflow: ConfigWorkflow) -> int:
        return network(workflow).head.weight.shape[0]

    turned = {"dataset_dir": str(bench.three_classes), **turned}
    found = everywhere(bench, look, "class_names", **REAL, **turned)
    train, test, new = (bench.workflow(*file, **turned) for file in ((), ("evaluate",), ("inference",)))
    parse = train.parser.get_parsed_content
    for part in ("train", "validate"):
        metrics = parse(f"{part}::metrics")
        found |= {k: tuple(m.confusion_matrix.shape) for k, m in metrics.items() if isinstance(m, ConfusionScore)}
    found["margins"] = len(parse("loss").margins)
    found["label"] = {item["label"] for item in parse("data")["train"] if item["grade"] == "HGG"}
    found["validation"] = handler(train, "ValidationReport").report.class_names
    found["report"] = handler(test, "EvaluationReport", "validate#handlers").class_names
    found["tables"] = handler(new, "CaseWriter", "handlers").class_names
    return found


def spatial_size(bench: Any, **turned: Any) -> dict[str, Any]:
    def look(workflow: ConfigWorkflow) -> list[int]:
        return list(prepared(workflow, bench.volume).shape[1:])

    return everywhere(bench, look, "spatial_size", **turned)


def logit_scale(bench: Bench, **turned: Any) -> dict[str, Any]:
    """Of the network, and of the loss, which takes it out again."""
    loss = bench.get("loss", **turned).logit_scale
    return {**everywhere(bench, scale, "logit_scale", **REAL, **turned), "loss": loss}


def dropped(bench: Bench, **turned: Any) -> float:
    """Share of the features that dropout sets to 0."""
    net = bench.get("network_def", **REAL, **turned)
    torch.manual_seed(0)
    return round(float((net.dropout(torch.ones(10000)) == 0).float().mean()), 1)


def memory_formats(bench: Bench, **turned: Any) -> dict[str, bool]:
    """Whether the weights are channels-last in training, evaluation and inference."""
    train, test, new = (bench.workflow(*file, **turned) for file in ((), ("evaluate",), ("inference",)))
    networks = {
        "training": train.parser.get_parsed_content("network"),
        "evaluation": test.parser.get_parsed_content("validate::evaluator").network,
        "inference": new.parser.get_parsed_content("network"),
    }
    layout = torch.channels_last_3d
    return {n: net.backbone.layer4.weight.is_contiguous(memory_format=layout) for n, net in networks.items()}


def precision(bench: Bench, **turned: Any) -> dict[str, torch.dtype]:
    """Type of the features in training, validation and inference; the head always works in float32."""
    train, new = bench.workflow(**turned), bench.workflow("inference", **turned)
    found = {"train": (train, "train::inferer"), "validate": (train, "validate::inferer"), "new": (new, "inferer")}
    return {
        name: workflow.parser.get_parsed_content(id_)(VOLUME, network(workflow).backbone).dtype
        for name, (workflow, id_) in found.items()
    }


def class_threshold(bench: Bench, **turned: Any) -> dict[str, Any]:
    """Class of a case with the probability 0.4, and what is stored when validation would choose 0.9."""
    data = {"pred": torch.tensor([[0.0, torch.tensor(0.4).logit()]])}
    train, test, new = (bench.workflow(*file, **turned) for file in ((), ("evaluate",), ("inference",)))
    choosing = {
        "training": train.parser.get_parsed_content("train::postprocessing"),
        "validation": train.parser.get_parsed_content("validate::postprocessing"),
        "inference": new.parser.get_parsed_content("postprocessing"),
    }
    found: dict[str, Any] = {name: int(choose(data)["pred"]["class"]) for name, choose in choosing.items()}
    run = bench.run({"val_auc": 0.5, "val_f1": 0.5, "val_class_threshold": 0.9}, **turned)
    found["stored"] = run.json("checkpoints/trained.json")["class_threshold"]
    found["by evaluation"] = handler(test, "WeightsCheckpointLoader", "validate#handlers").trained["class_threshold"]
    found["by inference"] = handler(new, "WeightsCheckpointLoader", "handlers").trained["class_threshold"]
    return found


def losses(bench: Bench, **turned: Any) -> dict[str, float]:
    """Training and validation loss of three cases in the first epoch, which may be re-weighted."""
    workflow = bench.workflow(**turned)
    trainer, metrics = (workflow.parser.get_parsed_content(i) for i in ("train::trainer", "validate::metrics"))
    trainer.loss_function.set_epoch(1)
    metric = metrics["val_loss"]
    metric.reset()
    metric.update((LOGITS, LABELS))
    return {"train": round(float(trainer.loss_function(LOGITS, LABELS)), 6), "val": round(float(metric.compute()), 6)}


def scaled_loss(bench: Bench, **turned: Any) -> dict[str, float]:
    """s stands in the loss; and in the network, unless its own scale is set."""
    return {"network": scale(bench.workflow(**turned)), **losses(bench, **turned, logit_scale=10)}


def reweighted_from(bench: Bench, **turned: Any) -> dict[str, Any]:
    """The first epoch in which the classes weigh differently, and how long early stopping waits for it."""
    loss = bench.get("loss", **turned)
    on = [epoch for epoch in range(1, 30) if loss.set_epoch(epoch)]
    flat = [{"val_auc": 0.5, "val_f1": 0.5}] * 5
    stop = {"early_stopping#patience": 1, "early_stopping#min_epochs": 0}
    return {"loss": on[:1], "trained": bench.look(*flat, **stop, **turned).epochs}


def rate(bench: Bench, **turned: Any) -> list[float]:
    return [group["lr"] for group in bench.get("optimizer", **turned).param_groups]


OPTIMIZER = {"lr": 0.1, "optimizer#weight_decay": 0.0}
SGD = {**OPTIMIZER, "optimizer#name": "sgd"}
FROM_03 = {
    **dict.fromkeys(("training", "validation", "inference"), 1),
    **dict.fromkeys(("stored", "by evaluation", "by inference"), 0.3),
}
DRW = {"drw_start_epoch": 1}

MODEL = {
    "depth": Check(real(blocks, "depth"), 18, {**all_five(18), "training": 2, "inference": 2}),
    "layout": Check(real(layer4_stride, "layout"), "strided", {**all_five("strided"), "training": 2, "inference": 2}),
    "head": Check(real(head_class, "head"), "linear"),
    "logit_scale": Check(logit_scale, 12.0, {**all_five(12.0), "loss": 12.0}),
    "dropout": Check(dropped, 0.2, 0.2),
    "modality": Check(modality, ["t1ce", "t2"], in_channels(["t1ce", "t2"])),
    "modality (another one)": Check(modality, "t1", in_channels("t1")),
    "class_names": Check(class_names, ["LGG", "MID", "HGG"]),
    "spatial_size": Check(spatial_size, [24, 16, 32], all_five([24, 16, 32])),
    "channels_last": Check(memory_formats, False, dict.fromkeys(("training", "evaluation", "inference"), False)),
    "compile_model": Check(compiled, True, 1),
    "amp": Check(precision, lambda bench: not resolve_amp("auto", "cpu")),
    "class_threshold": Check(class_threshold, 0.3, FROM_03),
    "drw_start_epoch": Check(reweighted_from, 3, {"loss": [3], "trained": [1, 2, 3, 4]}),
    "loss#name": Check(losses, "cross_entropy"),
    "loss#max_m": Check(losses, 0.3),
    "loss#s": Check(scaled_loss, 20.0),
    "loss#drw_rule": Check(losses, "effective", given=DRW),
    "loss#drw_beta": Check(losses, 0.5, given={**DRW, "loss#drw_rule": "effective"}),
    "lr": Check(rate, 3e-3, [3e-3]),
    "optimizer#name": Check(three_steps, "sgd", given=OPTIMIZER),
    "optimizer#weight_decay": Check(three_steps, 0.1, given={"lr": 0.1}),
    "optimizer#betas": Check(three_steps, [0.5, 0.9], given=OPTIMIZER),
    "optimizer#eps": Check(three_steps, 0.1, given=OPTIMIZER),
    "optimizer#momentum": Check(three_steps, 0.5, given=SGD),
    "optimizer#nesterov": Check(three_steps, False, given=SGD),
    "epochs": Check(epochs, 5),
    "scheduler#name": Check(schedule, "step", [1.0] * 4 + [0.1] * 4, given={"lr": 1.0, "scheduler#step_size": 4}),
    "scheduler#T_max": Check(schedule, 4),
    "scheduler#eta_min": Check(schedule, 5e-5),
    "scheduler#step_size": Check(schedule, 4, [1.0] * 4 + [0.1] * 4, given={"lr": 1.0, "scheduler#name": "step"}),
    "scheduler#gamma": Check(schedule, 0.5, [1.0, 1.0, 0.5, 0.5, 0.25, 0.25, 0.125, 0.125], given=STEP),
    "scheduler#patience": Check(schedule, 1, [1.0, 1.0, 1.0, 1.0, 0.5, 0.5, 0.25, 0.25], given=PLATEAU),
    "scheduler#factor": Check(schedule, 0.1, given={**PLATEAU, "scheduler#patience": 1}),
    "scheduler#power": Check(schedule, 2.0, given={"scheduler#name": "polynomial"}),
    "scheduler#warmup_epochs": Check(schedule, 3),
    "scheduler#warmup_type": Check(schedule, "constant", given={"scheduler#warmup_epochs": 3}),
}
