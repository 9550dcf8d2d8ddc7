"""Settings of the network, the loss, the optimizer and the schedule."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from monai.bundle import ConfigWorkflow

from medbundles.networks import MultitaskUNet
from tests.bundles.common_settings import model as common
from tests.bundles.setting_bench import Bench, handler, network
from tests.bundles.setting_check import Check

IMAGE = torch.linspace(-1, 1, 2 * 32 * 32).reshape(2, 1, 32, 32).sin()


class OtherUNet(MultitaskUNet):
    """Another network class with the same outputs."""


def prepared(workflow: ConfigWorkflow, picture: str) -> torch.Tensor:
    """The picture as the network sees it, in training or inference."""
    here = {"slice": -1, "slices": 1} if "input" in workflow.parser.get() else {"mask": "", "label": 0}
    return workflow.parser.get_parsed_content("preprocessing")({"image": picture, **here})["image"]


def in_channels(bench: Bench, **turned: Any) -> dict[str, Any]:
    def look(workflow: ConfigWorkflow) -> tuple[int, int]:
        first = next(network(workflow).parameters())
        return first.shape[1], len(prepared(workflow, bench.image))

    try:
        read = len(bench.get("data", "inference", **turned, input=bench.three_channels))
    except RuntimeError:  # MONAI's around a DataError
        read = 0
    return {**common.everywhere(bench, look, "in_channels", **turned), "inference reads": read}


def modality(bench: Bench, **turned: Any) -> dict[str, Any]:
    """What inference takes of a case with two sequences, and what all tell of the weights."""
    train, test, new = bench.workflows(**turned, input=str(bench.case))
    told = {"told by training": handler(train, "CheckpointSaver").trained["modality"]}
    told |= common.told_by_loaders("modality", test, new)
    try:
        [image] = {item["image"] for item in new.parser.get_parsed_content("data")}
    except RuntimeError:  # MONAI's around a ConfigError
        image = "refused"
    return {**told, "inference takes": Path(image).name}


def seg_out_channels(bench: Bench, **turned: Any) -> dict[str, Any]:
    def look(workflow: ConfigWorkflow) -> int:
        return network(workflow).decoder.final_conv.out_channels

    item = {"image": bench.image, "mask": bench.three_valued_mask, "label": -1}
    mask = bench.get("preprocessing", **turned)(item)["mask"]
    return {**common.everywhere(bench, look, "seg_out_channels", **turned), "largest index": int(mask.max())}


def label_names(bench: Bench, **turned: Any) -> dict[str, Any]:
    """What all that tell the classes' names tell, and the channels whose regions are measured."""
    found = common.told_names(bench, "label_names", "channel_names", **turned)
    test = bench.workflow("evaluate", **turned)
    loader = handler(test, "WeightsCheckpointLoader", "validate#handlers")
    regions = [m.regions for m in test.parser.get_parsed_content("validate::cases").measures if hasattr(m, "regions")]
    return {**found, "evaluated": loader.trained["label_names"], "regions": [list(each) for each in regions]}


def cls_num_classes(bench: Bench, **turned: Any) -> dict[str, Any]:
    def look(workflow: ConfigWorkflow) -> int:
        return network(workflow).head.layers[-1].out_features

    return common.everywhere(bench, look, "cls_num_classes", **turned)


def base_filters(workflow: ConfigWorkflow) -> int:
    return next(network(workflow).parameters()).shape[0]


def depth(workflow: ConfigWorkflow) -> int:
    return len(network(workflow).encoder.downs)


def cls_hidden_dim(workflow: ConfigWorkflow) -> int:
    return network(workflow).head.layers[0].out_features


def image_size(bench: Bench, **turned: Any) -> dict[str, Any]:
    def look(workflow: ConfigWorkflow) -> int:
        return prepared(workflow, bench.image).shape[-1]

    return common.everywhere(bench, look, "image_size", **turned)


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


BRATS = ["necrotic_core", "oedema", "enhancing", "whole_tumour", "tumour_core", "enhancing_tumour"]
THREE = {"class_names": ["no", "yes", "maybe"]}
LOGIT = torch.tensor(0.4).logit()
PREDICTED = {"seg": LOGIT.reshape(1, 1, 1, 1), "cls": torch.stack([torch.zeros(()), LOGIT])[None]}


def min_head(bench: Bench, **turned: Any) -> dict[str, Any]:
    """What inference looks at, and what all tell of the weights."""
    train, test, new = bench.workflows(**turned)
    told = {"told by training": handler(train, "CheckpointSaver").trained["min_head"]}
    return (
        told
        | common.told_by_loaders("min_head", test, new)
        | {"inference": handler(new, bench.writer, "handlers").min_head}
    )


MODEL = {
    "training_images": common.TRAINING_IMAGES,
    "network_def#_target_": Check(network_class, "tests.bundles.brain_tumor_settings.model.OtherUNet", "OtherUNet"),
    "image_size": Check(image_size, 48, common.all_five(48)),
    "in_channels": Check(in_channels, 3, {**common.all_five(3, (3, 3)), "inference reads": 1}),
    "modality": Check(
        modality,
        "t1ce",
        {**dict.fromkeys(("told by training", "by evaluation", "by inference"), "t1ce"), "inference takes": "t1ce.nii"},
    ),
    "min_head": Check(
        min_head, 0.25, dict.fromkeys(("told by training", "by evaluation", "by inference", "inference"), 0.25)
    ),
    "colour_channel": Check(common.colour_channel, 3, common.all_five(3, 2)),
    "seg_out_channels": Check(seg_out_channels, 3, {**common.all_five(3), "largest index": 2}),
    "label_names": Check(
        label_names,
        "brats",
        {
            **dict.fromkeys(("told", "evaluated", "compared"), "brats"),
            "tables": ["background", *BRATS[:3]],
            **dict.fromkeys(("validation", "report"), BRATS),
            "regions": [BRATS[3:]] * 3,
        },
        given={"seg_out_channels": 4},
    ),
    "cls_num_classes": Check(cls_num_classes, 3, along=THREE),
    "base_filters": Check(common.seen(base_filters, "base_filters"), 6, common.all_five(6)),
    "depth": Check(common.seen(depth, "depth"), 4, common.all_five(4)),
    "cls_hidden_dim": Check(common.seen(cls_hidden_dim, "cls_hidden_dim"), 12, common.all_five(12)),
    "cls_dropout": Check(common.dropped(lambda net: net.head.layers[2]), 0.2, 0.2),
    "frozen": Check(frozen, ["decoder"], ["decoder"]),
    "channels_last": common.channels_last_check(lambda net: net.encoder.stem.conv_1.conv.weight, torch.channels_last),
    "compile_model": Check(common.compiled, True, 1),
    "amp": common.amp_check(lambda inferer, net: inferer(IMAGE, net)),
    "mask_threshold": common.threshold_check("mask_threshold", PREDICTED),
    "class_threshold": common.threshold_check("class_threshold", PREDICTED),
    "class_logit_threshold": common.threshold_check("class_logit_threshold", PREDICTED),
    "volume_threshold": common.threshold_check("volume_threshold", PREDICTED),
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
    **common.optimizer_checks("encoder_lr"),
    **common.SCHEDULE,
}
