"""Knobs of the network, the loss, the optimizer and the schedule."""

from __future__ import annotations

from typing import Any
from unittest.mock import patch

import torch
from monai.bundle import ConfigWorkflow

from medbundles.inferers.autocast import resolve_amp
from medbundles.metrics import ConfusionScore
from medbundles.networks import MultitaskUNet
from tests.bundles.knob_bench import Bench, handler
from tests.bundles.knob_check import Check

IMAGE = torch.linspace(-1, 1, 2 * 32 * 32).reshape(2, 1, 32, 32).sin()


class OtherUNet(MultitaskUNet):
    """Another network class with the same outputs."""


def trained(workflow: ConfigWorkflow, knob: str) -> Any:
    """What the checkpoints will tell of a knob that the weights depend on."""
    return handler(workflow, "CheckpointSaver").trained[knob]


def everywhere(bench: Bench, look: Any, knob: str, **turned: Any) -> dict[str, Any]:
    """`look(workflow)` in training and inference, and what training, evaluation and inference say of the weights."""
    train, test, new = (bench.workflow(*file, **turned) for file in ((), ("evaluate",), ("inference",)))
    told = [trained(train, knob)]
    told += [handler(test, "WeightsCheckpointLoader", "validate#handlers").trained[knob]]
    told += [handler(new, "WeightsCheckpointLoader", "handlers").trained[knob]]
    names = ("training", "inference", "told by training", "by evaluation", "by inference")
    return dict(zip(names, (look(train), look(new), *map(str, told)), strict=True))


def network(workflow: ConfigWorkflow) -> Any:
    return workflow.parser.get_parsed_content("network_def")


def prepared(workflow: ConfigWorkflow, picture: str) -> torch.Tensor:
    """The picture as the network sees it, in training or inference."""
    here = {"slice": -1, "slices": 1} if "input" in workflow.parser.get() else {"mask": "", "label": 0}
    return workflow.parser.get_parsed_content("preprocessing")({"image": picture, **here})["image"]


def in_channels(bench: Bench, **turned: Any) -> dict[str, Any]:
    def look(workflow: ConfigWorkflow) -> tuple[int, int]:
        first = next(network(workflow).parameters())
        return first.shape[1], len(prepared(workflow, bench.picture))

    try:
        read = len(bench.get("data", "inference", **turned, input=bench.three_channels))
    except RuntimeError:  # MONAI's around a DataError
        read = 0
    return {**everywhere(bench, look, "in_channels", **turned), "inference reads": read}


def seg_out_channels(bench: Bench, **turned: Any) -> dict[str, Any]:
    def look(workflow: ConfigWorkflow) -> int:
        return network(workflow).decoder.final_conv.out_channels

    item = {"image": bench.picture, "mask": bench.three_valued_mask, "label": -1}
    mask = bench.get("preprocessing", **turned)(item)["mask"]
    return {**everywhere(bench, look, "seg_out_channels", **turned), "largest index": int(mask.max())}


def cls_num_classes(bench: Bench, **turned: Any) -> dict[str, Any]:
    def look(workflow: ConfigWorkflow) -> int:
        return network(workflow).head.layers[-1].out_features

    workflow = bench.workflow(**turned)
    found = everywhere(bench, look, "cls_num_classes", **turned)
    for part in ("train", "validate"):
        metrics = workflow.parser.get_parsed_content(f"{part}::metrics")
        found |= {k: tuple(m.confusion_matrix.shape) for k, m in metrics.items() if isinstance(m, ConfusionScore)}
    return found


def base_filters(bench: Bench, **turned: Any) -> dict[str, Any]:
    return everywhere(bench, lambda w: next(network(w).parameters()).shape[0], "base_filters", **turned)


def depth(bench: Bench, **turned: Any) -> dict[str, Any]:
    return everywhere(bench, lambda w: len(network(w).encoder.downs), "depth", **turned)


def cls_hidden_dim(bench: Bench, **turned: Any) -> dict[str, Any]:
    return everywhere(bench, lambda w: network(w).head.layers[0].out_features, "cls_hidden_dim", **turned)


def image_size(bench: Bench, **turned: Any) -> dict[str, Any]:
    def look(workflow: ConfigWorkflow) -> int:
        return prepared(workflow, bench.picture).shape[-1]

    return everywhere(bench, look, "image_size", **turned)


def dropped(bench: Bench, **turned: Any) -> float:
    """Share of the head's hidden units that dropout sets to 0."""
    head = network(bench.workflow(**turned)).head
    torch.manual_seed(0)
    return round(float((head.layers[2](torch.ones(10000)) == 0).float().mean()), 1)


def frozen(bench: Bench, **turned: Any) -> list[str]:
    """Parts without gradient that stay in evaluation mode, and that the optimizer leaves out."""
    workflow = bench.workflow(**turned)
    net, optimizer = network(workflow), workflow.parser.get_parsed_content("optimizer")
    net.train()
    mine = {id(p) for group in optimizer.param_groups for p in group["params"]}
    parts = {name: part for name, part in net.named_children() if not part.training}
    return [n for n, part in parts.items() if not any(p.requires_grad or id(p) in mine for p in part.parameters())]


def network_class(bench: Bench, **turned: Any) -> str:
    return type(bench.get("network", **turned)).__name__


def memory_format(bench: Bench, *file: str, **turned: Any) -> bool:
    weight = bench.get("network", *file, **turned).encoder.stem.conv_1.conv.weight
    return weight.is_contiguous(memory_format=torch.channels_last)


def memory_format_of_inference(bench: Bench, **turned: Any) -> bool:
    return memory_format(bench, "inference", **turned)


def compiled(bench: Bench, **turned: Any) -> int:
    """How often torch was asked to compile."""
    with patch("torch.compile", side_effect=lambda net, **_: net) as compile_:
        bench.get("train#trainer", **turned)
    return compile_.call_count


def precision(bench: Bench, **turned: Any) -> dict[str, torch.dtype]:
    """Type of the logits in training, validation and inference."""
    train, new = bench.workflow(**turned), bench.workflow("inference", **turned)
    found = {
        "train": (train, "train::inferer"),
        "validate": (train, "validate::inferer"),
        "inference": (new, "inferer"),
    }
    return {
        name: workflow.parser.get_parsed_content(id_)(IMAGE, network(workflow))["cls"].dtype
        for name, (workflow, id_) in found.items()
    }


def thresholded(bench: Bench, name: str, **turned: Any) -> dict[str, Any]:
    """Mask of a pixel, or class of an image, with the probability 0.4."""
    logit = torch.tensor(0.4).logit()
    data = {"pred": {"seg": logit.reshape(1, 1, 1, 1), "cls": torch.stack([torch.zeros(()), logit])[None]}}
    found: dict[str, Any] = {}
    for file in ((), ("inference",)):
        pred = bench.get("postprocessing", *file, **turned)(data)["pred"]
        found["new pictures" if file else "training"] = int(pred[name])
    return found


def mask_threshold(bench: Bench, **turned: Any) -> dict[str, Any]:
    return thresholded(bench, "mask", **turned) | told_thresholds(bench, "mask_threshold", **turned)


def class_threshold(bench: Bench, **turned: Any) -> dict[str, Any]:
    return thresholded(bench, "class", **turned) | told_thresholds(bench, "class_threshold", **turned)


def told_thresholds(bench: Bench, knob: str, **turned: Any) -> dict[str, Any]:
    """What a run stores with its weights when validation would choose 0.9, and what the loaders take theirs for."""
    run = bench.run({"val_combined": 0.5, "val_mask_threshold": 0.9, "val_class_threshold": 0.9}, **turned)
    test = handler(bench.workflow("evaluate", **turned), "WeightsCheckpointLoader", "validate#handlers")
    new = handler(bench.workflow("inference", **turned), "WeightsCheckpointLoader", "handlers")
    stored = run.json("checkpoints/trained.json")[knob]
    return {"stored": stored, "evaluation": test.trained[knob], "inference": new.trained[knob]}


def losses(bench: Bench, **turned: Any) -> float:
    """The loss of two images, one of them without a mask."""
    loss = bench.get("loss", **turned)
    mask = (IMAGE > 0.5).to(torch.uint8)
    target = {"mask": mask, "cls": torch.tensor([0, 1]), "has_mask": torch.tensor([True, False])}
    return round(float(loss({"seg": IMAGE.cos(), "cls": torch.tensor([[0.3, -0.2], [0.5, 0.1]])}, target)), 6)


def rates(bench: Bench, **turned: Any) -> dict[str, float]:
    """Learning rate of the parts of the network."""
    workflow = bench.workflow(**turned)
    groups = workflow.parser.get_parsed_content("optimizer").param_groups
    rate = {id(p): group["lr"] for group in groups for p in group["params"]}
    return {name: round(rate[id(next(part.parameters()))], 12) for name, part in network(workflow).named_children()}


def encoder_rate(bench: Bench, **turned: Any) -> float:
    return rates(bench, **turned)["encoder"]


def decoder_rates(bench: Bench, **turned: Any) -> dict[str, float]:
    return {name: rate for name, rate in rates(bench, **turned).items() if name != "encoder"}


def three_steps(bench: Bench, **turned: Any) -> list[float]:
    """A weight on its way through three steps of the optimizer with given gradients."""
    optimizer = bench.get("optimizer", **turned)
    weight = optimizer.param_groups[0]["params"][0]
    weight.data.fill_(1.0)
    path = []
    for gradient in (0.5, -0.1, 0.2):
        weight.grad = torch.full_like(weight, gradient)
        optimizer.step()
        path.append(round(weight.flatten()[0].item(), 7))
    return path


def schedule(bench: Bench, **turned: Any) -> list[float]:
    """Learning rate of the head in 8 epochs in which the metric rises once and then stays."""
    workflow = bench.workflow(**turned)
    optimizer, scheduler = (workflow.parser.get_parsed_content(name) for name in ("optimizer", "scheduler"))
    seen = []
    for epoch in range(8):
        optimizer.step()
        seen.append(round(scheduler.get_last_lr()[-1], 12))
        scheduler.step(0.5 if epoch == 0 else 0.6)
    return seen


def epochs(bench: Bench, **turned: Any) -> dict[str, Any]:
    """Two schedules that hang on the number of epochs, one of them by T_max, and the epochs that are trained."""
    trainer = bench.get("train#trainer", **turned)
    names = ("cosine", "polynomial")
    found: dict[str, Any] = {n: schedule(bench, **turned, **{"scheduler#name": n}) for n in names}
    return {**found, "trained": trainer.state.max_epochs}


OPTIMIZER = {"encoder_lr": 0.1, "optimizer#weight_decay": 0.0}
SGD = {**OPTIMIZER, "optimizer#name": "sgd"}
STEP = {"lr": 1.0, "scheduler#name": "step", "scheduler#step_size": 2}
PLATEAU = {"lr": 1.0, "scheduler#name": "plateau"}
THREE = {"class_names": ["no", "yes", "maybe"]}
BOTH = ("training", "inference", "told by training", "by evaluation", "by inference")


def all_five(value: Any) -> dict[str, Any]:
    return dict(zip(BOTH, (value, value, str(value), str(value), str(value)), strict=True))


THRESHOLD = {"training": 1, "new pictures": 1, "stored": 0.3, "evaluation": 0.3, "inference": 0.3}

MODEL = {
    "network_def#_target_": Check(network_class, "tests.bundles.brain_tumor_model.OtherUNet", "OtherUNet"),
    "image_size": Check(image_size, 48, all_five(48)),
    "in_channels": Check(
        in_channels, 3, {**all_five(3), "training": (3, 3), "inference": (3, 3), "inference reads": 1}
    ),
    "seg_out_channels": Check(seg_out_channels, 3, {**all_five(3), "largest index": 2}),
    "cls_num_classes": Check(cls_num_classes, 3, along=THREE),
    "base_filters": Check(base_filters, 6, all_five(6)),
    "depth": Check(depth, 4, all_five(4)),
    "cls_hidden_dim": Check(cls_hidden_dim, 12, all_five(12)),
    "cls_dropout": Check(dropped, 0.2, 0.2),
    "frozen": Check(frozen, ["decoder"], ["decoder"]),
    "channels_last": Check(memory_format, True, True),
    "channels_last (inference)": Check(memory_format_of_inference, True, True),
    "compile_model": Check(compiled, True, 1),
    "amp": Check(precision, lambda bench: not resolve_amp("auto", "cpu")),
    "mask_threshold": Check(mask_threshold, 0.3, THRESHOLD),
    "class_threshold": Check(class_threshold, 0.3, THRESHOLD),
    "loss#seg_loss#name": Check(losses, "dice"),
    "loss#seg_loss#dice_weight": Check(losses, 0.5),
    "loss#seg_loss#bce_weight": Check(losses, 0.5),
    "loss#seg_loss#smooth": Check(losses, 1e-5),
    "loss#cls_loss#name": Check(losses, "focal"),
    "loss#cls_loss#label_smoothing": Check(losses, 0.0),
    "loss#lambda_seg": Check(losses, 0.5),
    "loss#lambda_cls": Check(losses, 1.0),
    "lr": Check(rates, 3e-3, {"encoder": 1e-3, "decoder": 3e-3, "head": 3e-3}),
    "encoder_lr": Check(encoder_rate, 5e-5, 5e-5),
    "decoder_cls_lr": Check(decoder_rates, 1e-4, {"decoder": 1e-4, "head": 1e-4}),
    "optimizer#name": Check(three_steps, "sgd", given=OPTIMIZER),
    "optimizer#weight_decay": Check(three_steps, 0.1, given={"encoder_lr": 0.1}),
    "optimizer#betas": Check(three_steps, [0.5, 0.9], given=OPTIMIZER),
    "optimizer#eps": Check(three_steps, 0.1, given=OPTIMIZER),
    "optimizer#momentum": Check(three_steps, 0.5, given=SGD),
    "optimizer#nesterov": Check(three_steps, False, given=SGD),
    "epochs": Check(epochs, 5),
    "scheduler#name": Check(schedule, "step", [1.0] * 4 + [0.1] * 4, given={"lr": 1.0, "scheduler#step_size": 4}),
    "scheduler#T_max": Check(schedule, 4),
    "scheduler#eta_min": Check(schedule, 1e-4),
    "scheduler#step_size": Check(schedule, 4, [1.0] * 4 + [0.1] * 4, given={"lr": 1.0, "scheduler#name": "step"}),
    "scheduler#gamma": Check(schedule, 0.5, [1.0, 1.0, 0.5, 0.5, 0.25, 0.25, 0.125, 0.125], given=STEP),
    "scheduler#patience": Check(schedule, 1, [1.0, 1.0, 1.0, 1.0, 0.5, 0.5, 0.25, 0.25], given=PLATEAU),
    "scheduler#factor": Check(schedule, 0.1, given={**PLATEAU, "scheduler#patience": 1}),
    "scheduler#power": Check(schedule, 2.0, given={"scheduler#name": "polynomial"}),
    "scheduler#warmup_epochs": Check(schedule, 3),
    "scheduler#warmup_type": Check(schedule, "constant", given={"scheduler#warmup_epochs": 3}),
}
