"""Settings of the run: where its files go, what Weights & Biases is told, what inference writes."""

from __future__ import annotations

from typing import Any

from tests.bundles.common_settings.inference import GRAD_CAM, INFERENCE, MASKS, writer
from tests.bundles.common_settings.run import FOLDERS, RUNNING, first_epoch, flat, named, names, steps, written
from tests.bundles.setting_bench import Bench, Run
from tests.bundles.setting_check import Check

WANDB = {"wandb#enabled": True}


def wandb_run(bench: Bench, **turned: Any) -> Run:
    return bench.look(*flat(bench)[:2], **{**WANDB, "wandb#log_frequency": 1, **turned})


def opened(option: str) -> Any:
    """What W&B is told when it is opened."""

    def see(bench: Bench, **turned: Any) -> Any:
        run = first_epoch(bench, **WANDB, **turned)
        assert run.wandb.opened is not None
        return run.wandb.opened[option]

    return see


def names_with_wandb(bench: Bench, **turned: Any) -> dict[str, str]:
    return {**names(bench, **WANDB, **turned), "wandb": opened("name")(bench, **turned)}


def written_and_opened(setting: str) -> Any:
    """What a run writes of its description, and tells W&B."""

    def see(bench: Bench, **turned: Any) -> dict[str, Any]:
        return {"config": written(setting)(bench, **WANDB, **turned), "wandb": opened(setting)(bench, **turned)}

    return see


def follows_wandb(bench: Bench, **turned: Any) -> bool:
    return first_epoch(bench, **turned).wandb.opened is not None


def logs(kind: str) -> Any:
    """Whether something of this kind is logged, of batches and of epochs."""

    def see(bench: Bench, **turned: Any) -> bool:
        return any(name.startswith(kind) for values in wandb_run(bench, **turned).wandb.logged for name in values)

    return see


def logged_batches(bench: Bench, **turned: Any) -> list[int]:
    run = bench.look(*flat(bench), **WANDB, **turned)
    return [values["step"] for values in run.wandb.logged if "batch/loss" in values]


def with_overlays(bench: Bench, **turned: Any) -> bool:
    return writer(bench, **turned).overlays


RUN = {
    **RUNNING,
    **FOLDERS,
    **INFERENCE,
    **GRAD_CAM,
    **MASKS,
    # without mixing an epoch has 4 batches
    "gradient_accumulation_steps": Check(steps, 3, 2, given={"mixing#mix_datasets": False}),
    "experiment#name": Check(names_with_wandb, "mine", {**named("mine"), "wandb": "mine"}),
    # in place of the shared ones: W&B is told too
    "experiment#tags": Check(written_and_opened("tags"), ["a", "b"], {"config": ["a", "b"], "wandb": ["a", "b"]}),
    "experiment#notes": Check(written_and_opened("notes"), "again", {"config": "again", "wandb": "again"}),
    "wandb#enabled": Check(follows_wandb, True, True),
    "wandb#project": Check(opened("project"), "p", "p"),
    "wandb#entity": Check(opened("entity"), "team", "team"),
    "wandb#name": Check(opened("name"), "n", "n"),
    "wandb#tags": Check(opened("tags"), ["x"], ["x"]),
    "wandb#notes": Check(opened("notes"), "n", "n"),
    "wandb#log_gradients": Check(logs("grad_norm"), False, False),
    "wandb#log_gradients (batches)": Check(logs("batch/grad_norm"), False, False),
    "wandb#log_weights": Check(logs("weights/"), True, True),
    "wandb#log_frequency": Check(logged_batches, 2, [2, 4]),
    "overlays": Check(with_overlays, False, False),
}
