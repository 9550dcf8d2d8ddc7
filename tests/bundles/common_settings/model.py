"""Settings of the network, the loss, the optimizer and the schedule that bundles share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from monai.bundle import ConfigWorkflow
from PIL import Image

from medbundles.errors import DataError
from medbundles.inferers.autocast import resolve_amp
from medbundles.networks.memory_format import resolve_channels_last
from tests.bundles.setting_bench import Bench, handler
from tests.bundles.setting_check import Check


def told_by_loaders(setting: str, test: ConfigWorkflow, new: ConfigWorkflow) -> dict[str, Any]:
    """What evaluation and inference say of a setting that the weights depend on."""
    return {
        "by evaluation": handler(test, "WeightsCheckpointLoader", "validate#handlers").trained[setting],
        "by inference": handler(new, "WeightsCheckpointLoader", "handlers").trained[setting],
    }


def everywhere(bench: Bench, look: Callable[[ConfigWorkflow], Any], setting: str, **turned: Any) -> dict[str, Any]:
    """`look(workflow)` in training and inference, and what training, evaluation and inference say of the weights."""
    train, test, new = bench.workflows(**turned)
    told = {
        "told by training": handler(train, "CheckpointSaver").trained[setting],
        **told_by_loaders(setting, test, new),
    }
    return {"training": look(train), "inference": look(new), **{name: str(value) for name, value in told.items()}}


def seen(look: Callable[[ConfigWorkflow], Any], setting: str) -> Callable[..., dict[str, Any]]:
    """`everywhere`, of a look that needs no bench."""
    return lambda bench, **turned: everywhere(bench, look, setting, **turned)


def all_five(value: Any, found: Any = None) -> dict[str, Any]:
    """What `everywhere` tells of a setting with the value; `found`: by looking, unless that is the value too."""
    told = dict.fromkeys(("told by training", "by evaluation", "by inference"), str(value))
    return {**dict.fromkeys(("training", "inference"), value if found is None else found), **told}


def colour_channel(bench: Bench, **turned: Any) -> dict[str, Any]:
    """Which channel is read of a picture that has in each of its three another bright pixel."""
    picture = bench.folder / "colours.png"
    pixels = np.zeros((4, 4, 3), dtype=np.uint8)
    pixels[0, [0, 1, 2], [0, 1, 2]] = 255
    Image.fromarray(pixels).save(picture)
    item = {"image": str(picture), "mask": "", "label": 0, "slice": -1, "slices": 1}

    def look(workflow: ConfigWorkflow) -> int | str:
        try:
            return int(workflow.parser.get_parsed_content("preprocessing").transforms[0](item)["image"].argmax())
        except DataError:
            return "refused"

    return everywhere(bench, look, "colour_channel", **turned)


def training_images(bench: Bench, **turned: Any) -> dict[str, Any]:
    """Whether inference marks an image, and what all tell of the weights."""
    train, test, new = bench.workflows(**turned, input=bench.image)
    told = {"by training": handler(train, "CheckpointSaver").trained["training_images"]}
    told |= told_by_loaders("training_images", test, new)
    [first, *_] = new.parser.get_parsed_content("data")
    marked = new.parser.get_parsed_content("preprocessing").transforms[0](first)["outside"]
    return {**{name: str(value) for name, value in told.items()}, "marked": bool(marked)}


TRAINING_IMAGES = Check(
    training_images,
    [["size", 1.0, 2.0]],
    {**dict.fromkeys(("by training", "by evaluation", "by inference"), "[['size', 1.0, 2.0]]"), "marked": True},
)


def told_names(bench: Bench, setting: str, reported: str, **turned: Any) -> dict[str, list[str]]:
    """What all that tell names tell: beside the weights and in tables under the setting's id, else as `reported`."""
    train, test, new = bench.workflows(**turned)
    return {
        "told": handler(train, "CheckpointSaver").trained[setting],
        "validation": getattr(handler(train, "ValidationReport").report, reported),
        "report": getattr(handler(test, "EvaluationReport", "validate#handlers"), reported),
        "tables": getattr(handler(new, bench.writer, "handlers"), setting),
        "compared": handler(new, "WeightsCheckpointLoader", "handlers").trained[setting],
    }


def names_of_classes(bench: Bench, **turned: Any) -> dict[str, list[str]]:
    """What all that tell the classes' names tell."""
    return told_names(bench, "class_names", "class_names", **turned)


def dropped(layer: Callable[[Any], Any]) -> Callable[..., float]:
    """Share of its input that a layer of the network sets to 0."""

    def see(bench: Bench, **turned: Any) -> float:
        dropout = layer(bench.get("network_def", **turned))
        torch.manual_seed(0)
        return round(float((dropout(torch.ones(10000)) == 0).float().mean()), 1)

    return see


def compiled(bench: Bench, **turned: Any) -> int:
    """How often torch was asked to compile."""
    with patch("torch.compile", side_effect=lambda net, **_: net) as compile_:
        bench.get("train#trainer", **turned)
    return compile_.call_count


def channels_last_check(weight: Callable[[Any], torch.Tensor], layout: torch.memory_format) -> Check:
    """Of whether this weight of the network lies in this layout in training, evaluation and inference."""

    def turned(bench: Bench) -> bool:
        return not resolve_channels_last(bench.get("channels_last"), "cpu", bench.get("network_def"))

    def expected(bench: Bench) -> dict[str, bool]:
        return dict.fromkeys(("training", "evaluation", "inference"), turned(bench))

    def see(bench: Bench, **turned: Any) -> dict[str, bool]:
        train, test, new = bench.workflows(**turned)
        networks = {
            "training": train.parser.get_parsed_content("network"),
            "evaluation": test.parser.get_parsed_content("validate::evaluator").network,
            "inference": new.parser.get_parsed_content("network"),
        }
        return {name: weight(net).is_contiguous(memory_format=layout) for name, net in networks.items()}

    return Check(see, turned, expected)


def amp_check(infer: Callable[[Any, Any], Any]) -> Check:
    """Of the type that a convolution computes in when training, validation and inference `infer(inferer, network)`."""

    def see(bench: Bench, **turned: Any) -> dict[str, torch.dtype]:
        inferers, trained = bench.parts("inferer", **turned), bench.get("network_def", **turned)
        networks = {"train": trained, "validate": trained, "inference": bench.get("network_def", "inference", **turned)}
        seen = {}
        for name, inferer in inferers.items():
            convolution = next(m for m in networks[name].modules() if isinstance(m, (torch.nn.Conv2d, torch.nn.Conv3d)))
            hook = convolution.register_forward_hook(lambda *of, name=name: seen.update({name: of[-1].dtype}))
            infer(inferer, networks[name])
            hook.remove()
        return seen

    return Check(see, lambda bench: not resolve_amp("auto", "cpu")[0])


def threshold_check(setting: str, pred: Any) -> Check:
    """Of what is chosen from `pred`, a probability of 0.4, and of what is told when validation would choose 0.9."""

    def see(bench: Bench, **turned: Any) -> dict[str, Any]:
        _, test, new = bench.workflows(**turned)
        choosing = bench.parts("postprocessing", **turned)
        later = {f"val_{kind}_threshold": 0.9 for kind in ("mask", "class", "class_logit", "volume")}
        return {
            **{name: decided(choose, setting, pred) for name, choose in choosing.items()},
            "stored": bench.run({**bench.metrics(0.5), **later}, **turned).json("checkpoints/trained.json")[setting],
            **told_by_loaders(setting, test, new),
        }

    low = -0.6 if setting == "class_logit_threshold" else 0.3  # log-odds of 0.4 are -0.41
    from_low = dict.fromkeys(("stored", "by evaluation", "by inference"), low)
    return Check(see, low, {"train": 1, "validate": 1, "inference": 1, **from_low})


def decided(choose: Any, setting: str, pred: Any) -> int:
    """What the postprocessing makes of a probability of 0.4; of a volume, whether its own threshold is at most that."""
    if setting == "volume_threshold":
        return int((choose.thresholds()[setting] or 1) <= 0.4)
    return int(choose({"pred": pred})["pred"]["mask" if setting == "mask_threshold" else "class"])


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
    """Learning rate of the head in 8 epochs in which the metric gets better once and then stays."""
    workflow = bench.workflow(**turned)
    optimizer, scheduler = (workflow.parser.get_parsed_content(name) for name in ("optimizer", "scheduler"))
    seen = []
    for epoch in range(8):
        optimizer.step()
        seen.append(round(scheduler.get_last_lr()[-1], 12))
        scheduler.step(bench.metrics(0.5 if epoch == 0 else 0.6)[bench.followed])
    return seen


def followed(bench: Bench, **turned: Any) -> str | None:
    """The metric that the schedule is stepped with."""
    return bench.get("scheduler", **turned).monitor


def epochs(bench: Bench, **turned: Any) -> dict[str, Any]:
    """Two schedules that hang on the number of epochs, one of them by T_max, and the epochs that are trained."""
    trainer = bench.get("train#trainer", **turned)
    names = ("cosine", "polynomial")
    found: dict[str, Any] = {n: schedule(bench, **turned, **{"scheduler#name": n}) for n in names}
    return {**found, "trained": trainer.state.max_epochs}


def optimizer_checks(rate: str) -> dict[str, Check]:
    """`rate`: the setting that the rate of the first weights hangs on."""
    fast = {rate: 0.1}
    pure = {**fast, "optimizer#weight_decay": 0.0}
    sgd = {**pure, "optimizer#name": "sgd"}
    return {
        "optimizer#name": Check(three_steps, "sgd", given=pure),
        "optimizer#weight_decay": Check(three_steps, 0.1, given=fast),
        "optimizer#betas": Check(three_steps, [0.5, 0.9], given=pure),
        "optimizer#eps": Check(three_steps, 0.1, given=pure),
        "optimizer#momentum": Check(three_steps, 0.5, given=sgd),
        "optimizer#nesterov": Check(three_steps, False, given=sgd),
    }


STEP = {"lr": 1.0, "scheduler#name": "step"}
PLATEAU = {"lr": 1.0, "scheduler#name": "plateau"}
COSINE = {"lr": 1e-3, "scheduler#name": "cosine"}
TENTH = [1.0] * 4 + [0.1] * 4

SCHEDULE = {
    "epochs": Check(epochs, 5),
    "scheduler#name": Check(schedule, "step", TENTH, given={"lr": 1.0, "scheduler#step_size": 4}),
    "scheduler#T_max": Check(schedule, 4, given=COSINE),
    "scheduler#eta_min": Check(schedule, 5e-5, given=COSINE),
    "scheduler#step_size": Check(schedule, 4, TENTH, given=STEP),
    "scheduler#gamma": Check(
        schedule, 0.5, [1.0, 1.0, 0.5, 0.5, 0.25, 0.25, 0.125, 0.125], given={**STEP, "scheduler#step_size": 2}
    ),
    "scheduler#patience": Check(schedule, 1, [1.0, 1.0, 1.0, 1.0, 0.5, 0.5, 0.25, 0.25], given=PLATEAU),
    "scheduler#monitor": Check(followed, "val_loss", "val_loss", given=PLATEAU),
    "scheduler#mode": Check(
        schedule,
        lambda bench: "min" if bench.mode == "max" else "max",
        [1.0, 1.0, 1.0, 0.5, 0.5, 0.25, 0.25, 0.125],
        given={**PLATEAU, "scheduler#patience": 1},
    ),
    "scheduler#factor": Check(schedule, 0.1, given={**PLATEAU, "scheduler#patience": 1}),
    "scheduler#power": Check(schedule, 2.0, given={"scheduler#name": "polynomial"}),
    "scheduler#warmup_epochs": Check(schedule, 3),
    "scheduler#warmup_type": Check(schedule, "constant", given={"scheduler#warmup_epochs": 3}),
}
