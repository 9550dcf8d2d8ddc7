"""Settings of the network, the loss, the optimizer and the schedule."""

from __future__ import annotations

from typing import Any

import torch
from ignite.engine import Engine
from monai.bundle import ConfigWorkflow

from medbundles.data import GradedFolds
from tests.bundles.common_settings import model as common
from tests.bundles.glioma_settings.bench import REAL
from tests.bundles.setting_bench import Bench, handler, network
from tests.bundles.setting_check import Check

PREDICTED = torch.tensor([[0.0, torch.tensor(0.4).logit()]])
VOLUME = torch.linspace(-1, 1, 2 * 16**3).reshape(2, 1, 16, 16, 16).sin()
LOGITS, LABELS = torch.tensor([[0.3, -0.2], [0.5, 0.1], [-0.1, 0.4]]), torch.tensor([0, 1, 1])


def prepared(workflow: ConfigWorkflow, image: str | list[str]) -> torch.Tensor:
    """The case as the network sees it, in training or inference."""
    return workflow.parser.get_parsed_content("preprocessing")({"image": image})["image"]


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

    return common.everywhere(bench, look, "modality", **turned)


def in_channels(turned: str | list[str]) -> dict[str, Any]:
    """What `modality` tells then."""
    names = {turned} if isinstance(turned, str) else set(turned)
    return common.all_five(turned, (len(names), len(names), names))


def class_names(bench: Any, **turned: Any) -> dict[str, Any]:
    """The classes of everything that counts or names them; another class stands between the two."""

    def look(workflow: ConfigWorkflow) -> int:
        return network(workflow).head.weight.shape[0]

    turned = {"dataset_dir": str(bench.three_classes), **turned}
    found = common.everywhere(bench, look, "class_names", **turned)
    train = bench.workflow(**turned)
    data = train.parser.get_parsed_content("data")["train"]
    return {
        **found,
        **common.names_of_classes(bench, **turned),
        "margins": len(train.parser.get_parsed_content("loss").margins),
        "label": {item["label"] for item in data if item["grade"] == "HGG"},
    }


def spatial_size(bench: Any, **turned: Any) -> dict[str, Any]:
    def look(workflow: ConfigWorkflow) -> list[int]:
        return list(prepared(workflow, bench.image).shape[1:])

    return common.everywhere(bench, look, "spatial_size", **turned)


def normalisation(bench: Bench, **turned: Any) -> dict[str, Any]:
    """How much the input varies, and what is told of it."""

    def look(workflow: ConfigWorkflow) -> float:
        return round(float(prepared(workflow, bench.image).std()), 4)

    return common.everywhere(bench, look, "normalisation", **turned)


def background_noise(bench: Bench, **turned: Any) -> dict[str, Any]:
    """Whether the corner of the input is anything but background."""

    def look(workflow: ConfigWorkflow) -> bool:
        return bool((prepared(workflow, bench.image)[0, :3, :3, :3] != 0).all())

    return common.everywhere(bench, look, "background_noise", **turned)


def logit_scale(bench: Bench, **turned: Any) -> dict[str, Any]:
    """Of the network, and of the loss, which takes it out again."""
    loss = bench.get("loss", **turned).logit_scale
    return {**common.everywhere(bench, scale, "logit_scale", **turned), "loss": loss}


def losses(bench: Bench, **turned: Any) -> dict[str, float]:
    """Training and validation loss of three cases in the first epoch, which may be re-weighted."""
    workflow = bench.workflow(**turned)
    trainer, metrics = (workflow.parser.get_parsed_content(i) for i in ("train::trainer", "validate::metrics"))
    trainer.loss_function.set_epoch(1)
    image = torch.zeros(len(LOGITS), 1, 4, 4, 4)
    output = {"image": image, "pred": {"cls": LOGITS}, "label": {"cls": LABELS}}
    output["pred"] |= {"class": LOGITS.argmax(1), "prob": LOGITS.softmax(1)}
    engine = Engine(lambda engine, batch: output)
    metrics["val_loss"].attach(engine, "val_loss")
    engine.run([0])
    train = float(trainer.loss_function(LOGITS, LABELS))
    return {"train": round(train, 6), "val": round(engine.state.metrics["val_loss"], 6)}


def scaled_loss(bench: Bench, **turned: Any) -> dict[str, float]:
    """s stands in the loss; and in the network, unless its own scale is set."""
    return {"network": scale(bench.workflow(**turned)), **losses(bench, **turned, logit_scale=10)}


def reweighted_from(bench: Bench, **turned: Any) -> dict[str, Any]:
    """The first epoch in which the classes weigh differently, and how long early stopping waits for it."""
    loss = bench.get("loss", **turned)
    on = [epoch for epoch in range(1, 30) if loss.set_epoch(epoch)]
    stop = {"early_stopping#patience": 1, "early_stopping#min_epochs": 0}
    return {"loss": on[:1], "trained": bench.look(*[bench.metrics(0.5)] * 5, **stop, **turned).epochs}


def any_loss_may_train(bench: Bench, **turned: Any) -> bool:
    """Whether a loss that cannot be re-weighted passes the check at the start."""
    reweighting, trainer = handler(bench.workflow(**turned), "EpochOfLoss"), Engine(lambda *_: None)
    reweighting.attach(trainer)
    return not trainer.has_event_handler(reweighting.check)


def rate(bench: Bench, **turned: Any) -> list[float]:
    return [group["lr"] for group in bench.get("optimizer", **turned).param_groups]


DRW = {"drw_start_epoch": 1}

MODEL = {
    "training_images": common.TRAINING_IMAGES,
    "depth": Check(common.seen(blocks, "depth"), 18, common.all_five(18, 2), REAL),
    "layout": Check(common.seen(layer4_stride, "layout"), "strided", common.all_five("strided", 2), REAL),
    "head": Check(common.seen(head_class, "head"), "linear", given=REAL),
    "logit_scale": Check(logit_scale, 12.0, {**common.all_five(12.0), "loss": 12.0}, REAL),
    "dropout": Check(common.dropped(lambda net: net.dropout), 0.2, 0.2, REAL),
    "modality": Check(modality, ["t1ce", "t2"], in_channels(["t1ce", "t2"]), REAL),
    "modality (another one)": Check(modality, "t1", in_channels("t1"), REAL),
    "class_names": Check(class_names, ["LGG", "MID", "HGG"], given=REAL),
    "normalisation": Check(normalisation, "moments"),
    "background_noise": Check(background_noise, True, common.all_five(True), given={"normalisation": "moments"}),
    "spatial_size": Check(spatial_size, [24, 16, 32], common.all_five([24, 16, 32])),
    "channels_last": common.channels_last_check(lambda n: n.backbone.layer4.weight, torch.channels_last_3d),
    "compile_model": Check(common.compiled, True, 1),
    "amp": common.amp_check(lambda inferer, net: inferer(VOLUME, net.backbone)),
    "class_threshold": common.threshold_check("class_threshold", PREDICTED),
    "class_logit_threshold": common.threshold_check("class_logit_threshold", PREDICTED),
    "drw_start_epoch": Check(reweighted_from, 3, {"loss": [3], "trained": [1, 2, 3, 4]}),
    "drw_start_epoch (which loss it takes)": Check(any_loss_may_train, 3, False),
    "loss#name": Check(losses, "cross_entropy"),
    "loss#max_m": Check(losses, 0.3),
    "loss#s": Check(scaled_loss, 20.0),
    "loss#drw_rule": Check(losses, "effective", given=DRW),
    "loss#drw_divide": Check(losses, "batch", given=DRW),
    "loss#drw_beta": Check(losses, 0.5, given={**DRW, "loss#drw_rule": "effective"}),
    "lr": Check(rate, 3e-3, [3e-3]),
    **common.optimizer_checks("lr"),
    **common.SCHEDULE,
}
