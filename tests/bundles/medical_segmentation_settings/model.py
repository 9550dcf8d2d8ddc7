"""Settings of the network, the intensities, the loss, the optimizer and the schedule."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from ignite.engine import Engine
from monai.bundle import ConfigWorkflow
from torch import nn

from medbundles.metrics.scores import score
from medbundles.metrics.weighted import value_of
from tests.bundles.common_settings import model as common
from tests.bundles.medical_segmentation_settings.bench import VOLUMES
from tests.bundles.setting_bench import Bench, handler, network
from tests.bundles.setting_check import Check

IMAGE = torch.linspace(-1, 1, 2 * 32 * 32).reshape(2, 1, 32, 32).sin()
LOGITS = torch.linspace(-3, 3, 2 * 3 * 64).reshape(2, 3, 8, 8).cos()
TARGET = {
    "mask": torch.arange(2 * 64).reshape(2, 1, 8, 8) // 20 % 3,
    "distance": torch.linspace(-1, 1, 2 * 2 * 64).reshape(2, 2, 8, 8),
}
OWN_SIZE = {"network_def#base_channels": ..., "network_def#depth": ...}  # takes the bench's back
UNETR = {**OWN_SIZE, "network_def#name": "unetr", "network_def#heads": 2, "network_def#hidden": 16}


def step(number: int, attribute: str) -> Callable[[ConfigWorkflow], Any]:
    """What a step of the preprocessing was told."""
    return lambda workflow: getattr(workflow.parser.get_parsed_content("preprocessing").transforms[number], attribute)


def loader(workflow: ConfigWorkflow) -> Any:
    """The step that reads the files, in training and inference."""
    first = workflow.parser.get_parsed_content("preprocessing").transforms[0]
    return getattr(first, "load", first)


def spatial_dims(bench: Any, **turned: Any) -> dict[str, Any]:
    """What is built for so many dimensions, in training and inference."""

    def look(workflow: ConfigWorkflow) -> tuple[int, int]:
        return next(network(workflow).parameters()).ndim - 2, loader(workflow).spatial_dims

    place = bench.volumes if "spatial_dims" in turned else bench.data
    given = {**turned, "dataset_dir": str(place), "image_size": 16, "input": str(place / "images")}
    parse = bench.workflow(**given).parser.get_parsed_content
    return {
        **common.everywhere(bench, look, "spatial_dims", **given),
        "list": parse("data")["train"][0]["image"].partition(".")[2],
        "inputs": bench.get("data", "inference", **given)[0]["image"].partition(".")[2],
        "augmentation": parse("patches").augmentation.spatial_dims,
        "windows": len(parse("window") or ()),
        "windows of inference": len(bench.get("window", "inference", **given) or ()),
        "measured": parse("measured")["spacing"],
    }


def in_channels(bench: Any, **turned: Any) -> dict[str, Any]:
    """Channels of the first layer and of what is read, and whether pictures of three channels are read as such."""

    def look(workflow: ConfigWorkflow) -> tuple[int, int]:
        return next(network(workflow).parameters()).shape[1], loader(workflow).channels

    place = str(bench.three_channels if "in_channels" in turned else bench.one_channel)
    given = {**turned, "dataset_dir": place, "input": f"{place}/images"}
    train = bench.workflow(**given).parser.get_parsed_content
    found = common.everywhere(bench, look, "in_channels", **given)
    new = bench.get("dataset", "inference", **given, modality="xray")
    return {
        **found,
        "train": len(train("train::dataset")[0]["image"]),
        "measured": train("measured")["modality"],
        "inputs": len(new[0]["image"]),
    }


def out_channels(bench: Any, **turned: Any) -> dict[str, Any]:
    def look(workflow: ConfigWorkflow) -> tuple[int, int]:
        return network(workflow).given["out_channels"], loader(workflow).rule.channels

    given = {**turned, "dataset_dir": str(bench.partly)}
    parse = bench.workflow(**given).parser.get_parsed_content
    new = bench.workflow("inference", **given)
    return {
        **common.everywhere(bench, look, "out_channels", **given),
        "list": parse("data").labels.rule.channels,
        "loss": parse("loss").out_channels,
        "distances": len(parse("distances").classes),
        "table": len(handler(new, bench.writer, "handlers").label_names),
    }


def regions(bench: Any, **turned: Any) -> dict[str, Any]:
    """What lists, masks, loss, predictions and tables make of labels."""

    def look(workflow: ConfigWorkflow) -> list[list[int]]:
        return list(loader(workflow).rule.regions)

    parse = bench.workflow(**turned).parser.get_parsed_content
    new = bench.workflow("inference", **turned)
    return {
        **common.everywhere(bench, look, "regions", **turned),
        "list": parse("data").labels.rule.class_names,
        "train": len(parse("train::dataset")[0]["mask"]),
        "validate": len(parse("validate::dataset")[0]["mask"]),
        "loss": parse("loss").regions,
        "distances": parse("distances").classes,
        "predictions": parse("postprocessing").mask_rule,
        "predictions of inference": new.parser.get_parsed_content("postprocessing").mask_rule,
        "table": handler(new, bench.writer, "handlers").labels,
    }


def label_names(bench: Any, **turned: Any) -> dict[str, Any]:
    """What all that tell the classes' names tell."""
    loader = handler(bench.workflow("evaluate", **turned), "WeightsCheckpointLoader", "validate#handlers")
    found = common.told_names(bench, "label_names", "channel_names", **turned)
    return found | {"evaluated": loader.trained["label_names"]}


def known_ranges(bench: Any, **turned: Any) -> bool:
    """Whether inference knows, from beside its weights, what the training's images were like."""
    first = bench.get("preprocessing", "inference", **turned, bundle_root=str(bench.other_bundle)).transforms[0]
    return bool(first.ranges)


def of_volumes(look: Callable[[ConfigWorkflow], Any], setting: str) -> Callable[..., dict[str, Any]]:
    """As `common.seen`, of a setting of volumes."""

    def see(bench: Any, **turned: Any) -> dict[str, Any]:
        return common.everywhere(bench, look, setting, **VOLUMES, dataset_dir=str(bench.volumes), **turned)

    return see


def window_overlap(bench: Bench, **turned: Any) -> dict[str, Any]:
    new = bench.workflow("inference", **turned)
    return {
        "validate": bench.get("validate#inferer", **turned).overlap,
        "inference": new.parser.get_parsed_content("inferer").overlap,
        "told": handler(new, bench.writer, "handlers").settings["window_overlap"],
    }


def losses(bench: Bench, **turned: Any) -> dict[str, float]:
    """Training and validation loss of two images."""
    parse = bench.workflow(**turned).parser.get_parsed_content
    loss = parse("train::trainer").loss_function
    [measure] = [measure for measure in parse("validate::cases").measures if type(measure).__name__ == "Losses"]
    columns = {name: values.numpy() for name, values in measure({"pred": {"seg": LOGITS}, "label": TARGET}).items()}
    return {
        "train": round(float(loss({"seg": LOGITS}, TARGET)), 6),
        "val": round(value_of(score("loss", columns), 2), 6),
    }


def ramp(bench: Bench, **turned: Any) -> float:
    """The weight of the boundary loss in the second epoch."""
    workflow, trainer = bench.workflow(**turned), Engine(lambda *_: None)
    trainer.loss_function = loss = workflow.parser.get_parsed_content("train::trainer").loss_function
    trainer.state.epoch = 2
    handler(workflow, "EpochOfLoss")(trainer)
    return round(loss.lambda_boundary, 3)


def distances(bench: Bench, **turned: Any) -> dict[str, Any]:
    """The loss, and whether the items of training and validation have distances."""
    items = {part: bench.get(f"{part}#dataset", **turned)[0] for part in ("train", "validate")}
    return {**losses(bench, **turned), **{f"{part} has": "distance" in item for part, item in items.items()}}


def rates(bench: Bench, **turned: Any) -> list[float]:
    return [group["lr"] for group in bench.get("optimizer", **turned).param_groups]


def body(workflow: ConfigWorkflow) -> str:
    return type(network(workflow).body).__name__


def of_body(name: str) -> Callable[[ConfigWorkflow], Any]:
    """An argument that the network was built with."""
    return lambda workflow: network(workflow).given[name]


def first_features(workflow: ConfigWorkflow) -> int:
    return next(network(workflow).parameters()).shape[0]


def multiples(workflow: ConfigWorkflow) -> list[int]:
    return network(workflow).multiples


def norms(workflow: ConfigWorkflow) -> bool:
    return any(isinstance(module, nn.BatchNorm2d) for module in network(workflow).modules())


def parameters(workflow: ConfigWorkflow) -> int:
    return sum(weight.numel() for weight in network(workflow).parameters())


def dropout(bench: Bench, **turned: Any) -> set[float]:
    return {m.p for m in bench.get("network_def", **turned).modules() if isinstance(m, (nn.Dropout, nn.Dropout2d))}


def of_network(
    name: str, look: Callable[[ConfigWorkflow], Any], turned: Any, found: Any = None, given: dict | None = None
) -> dict[str, Check]:
    """A setting of the network that the weights depend on, by looking at the network."""
    setting = f"network_def#{name}"
    return {setting: Check(common.seen(look, setting), turned, common.all_five(turned, found), given or {})}


PLATEAU = common.PLATEAU
LAYERS = {**UNETR, "network_def#layers": 4}

MODEL = {
    "training_images": common.TRAINING_IMAGES,
    "checkpoint (its images)": Check(known_ranges, lambda bench: str(bench.earlier), True),
    "colour_channel": Check(common.colour_channel, 3, common.all_five(3, 2)),
    "spatial_dims": Check(
        spatial_dims,
        3,
        {
            **common.all_five(3, (3, 3)),
            "list": "nii.gz",
            "inputs": "nii.gz",
            "augmentation": 3,
            "windows": 3,
            "windows of inference": 3,
            "measured": [1.0, 1.0, 2.0],
        },
    ),
    "in_channels": Check(in_channels, 3, {**common.all_five(3, (3, 3)), "train": 3, "measured": "rgb", "inputs": 3}),
    "out_channels": Check(
        out_channels,
        4,
        {**common.all_five(4, (4, 4)), "list": 4, "loss": 4, "distances": 3, "table": 4},
        given={"ignore_label": 3},
        along={"ignore_label": False},
    ),
    "regions": Check(
        regions,
        [[1, 2], [2]],
        {
            **common.all_five([[1, 2], [2]]),
            **{"list": ["organ+lesion", "lesion"], "train": 2, "validate": 2, "loss": True, "distances": []},
            **{"predictions": "regions", "predictions of inference": "regions", "table": {1: "1+2", 2: "2"}},
        },
        along={"out_channels": 2},
    ),
    "label_names": Check(
        label_names,
        ["none", "a", "b"],
        {
            **{key: ["none", "a", "b"] for key in ("told", "tables", "evaluated", "compared")},
            **{key: ["a", "b"] for key in ("validation", "report")},
        },
    ),
    "modality": Check(common.seen(step(1, "modality"), "modality"), "mri", common.all_five("mri")),
    "ct_values": Check(
        common.seen(step(1, "ct_values"), "ct_values"),
        [-100.0, 100.0, 0.0, 50.0],
        common.all_five([-100.0, 100.0, 0.0, 50.0]),
        given={"modality": "mri"},
    ),
    "spacing": Check(of_volumes(step(2, "spacing"), "spacing"), [2.0, 2.0, 2.0], common.all_five([2.0, 2.0, 2.0])),
    "window_overlap": Check(window_overlap, 0.25, dict.fromkeys(("validate", "inference", "told"), 0.25)),
    "network_def#name": Check(
        common.seen(body, "network_def#name"), "segresnet", common.all_five("segresnet", "SegResNet")
    ),
    **of_network("base_channels", first_features, 4),
    **of_network("depth", multiples, 3, [8, 8]),
    **of_network(
        "embed_dim", first_features, 24, given={**OWN_SIZE, "image_size": 64, "network_def#name": "swin_unetr"}
    ),
    "network_def#dropout": Check(dropout, 0.5, {0.5}),
    **of_network("norm", norms, "batch", True),
    **of_network("encoder", of_body("encoder"), "resnet10", given={**OWN_SIZE, "network_def#name": "deeplabv3plus"}),
    **of_network(
        "output_stride",
        of_body("output_stride"),
        8,
        given={**OWN_SIZE, "network_def#name": "deeplabv3plus", "network_def#encoder": "resnet10"},
    ),
    **of_network("layers", of_body("layers"), 5, given=UNETR),
    **of_network("heads", of_body("heads"), 4, given={**LAYERS, "network_def#hidden": 24}),
    **of_network("hidden", of_body("hidden"), 32, given={**LAYERS, "network_def#hidden": ...}),
    "channels_last": common.channels_last_check(
        lambda net: net.body.input_block.conv2.conv.weight, torch.channels_last
    ),
    "compile_model": Check(common.compiled, True, 1),
    "amp": common.amp_check(lambda inferer, net: inferer(IMAGE, net)),
    "loss#name": Check(losses, "dice"),
    "loss#smooth": Check(losses, 5.0),
    "loss#class_weights": Check(losses, [0.1, 0.3, 0.6]),
    "loss#alpha": Check(losses, 0.5, given={"loss#name": "focal"}),
    "loss#gamma": Check(losses, 1.0, given={"loss#name": "focal"}),
    "loss#dice_weight": Check(losses, 0.4),
    "loss#ce_weight": Check(losses, 0.4),
    "loss#focal_weight": Check(losses, 0.5),
    "loss#boundary_weight": Check(distances, 0.2),
    "loss#boundary_ramp": Check(ramp, 8, 0.05, given={"loss#boundary_weight": 0.2}),
    "lr": Check(rates, 3e-3, [3e-3]),
    **common.optimizer_checks("lr"),
    **common.SCHEDULE,
    # in place of the shared ones: the schedule follows the loss, of which less is better
    "scheduler#patience": Check(common.schedule, 1, [1.0, 1.0, 1.0, 0.5, 0.5, 0.25, 0.25, 0.125], given=PLATEAU),
    "scheduler#monitor": Check(common.followed, "val_dice", "val_dice", given=PLATEAU),
    "scheduler#mode": Check(
        common.schedule,
        "max",
        [1.0, 1.0, 1.0, 1.0, 0.5, 0.5, 0.25, 0.25],
        given={**PLATEAU, "scheduler#patience": 1},
    ),
}
