"""Knobs of what a run tells: TensorBoard, Weights & Biases, its name and notes; and of what inference writes."""

from __future__ import annotations

from typing import Any

from tests.bundles.brain_tumor_run import FLAT
from tests.bundles.knob_bench import Bench, Run, handler
from tests.bundles.knob_check import Check


def run_name(bench: Bench, **turned: Any) -> dict[str, str]:
    run = bench.look(FLAT[0], **turned, **{"wandb#enabled": True})
    report = bench.get("run_dir", "evaluate", **turned)
    assert run.wandb.opened is not None
    written = run.json("config/config.json")["experiment"]["name"]
    return {
        "folder": run.folder.parent.name,
        "evaluation": str(report.parent).split("/runs/")[1],
        "wandb": run.wandb.opened["name"],
        "config": written,
    }


def written(knob: str) -> Any:
    """What a run writes of its description, and tells W&B."""

    def see(bench: Bench, **turned: Any) -> dict[str, Any]:
        run = bench.look(FLAT[0], **turned, **{"wandb#enabled": True})
        assert run.wandb.opened is not None
        found = {"config": run.json("config/config.json")["experiment"][knob]}
        return found | ({"wandb": run.wandb.opened[knob]} if knob != "description" else {})

    return see


def events(bench: Bench, **turned: Any) -> int:
    """Number of TensorBoard files."""
    return len(list((bench.look(FLAT[0], **turned).folder / "logs").glob("events.*")))


def wandb_run(bench: Bench, **turned: Any) -> Run:
    return bench.look(*FLAT[:2], **{"wandb#enabled": True, "wandb#log_frequency": 1, **turned})


def opened(option: str) -> Any:
    def see(bench: Bench, **turned: Any) -> Any:
        run = wandb_run(bench, **turned)
        assert run.wandb.opened is not None
        return run.wandb.opened[option]

    return see


def follows_wandb(bench: Bench, **turned: Any) -> bool:
    return bench.look(FLAT[0], **turned).wandb.opened is not None


def logs(kind: str) -> Any:
    """Whether something of this kind is logged, of batches and of epochs."""

    def see(bench: Bench, **turned: Any) -> bool:
        return any(name.startswith(kind) for values in wandb_run(bench, **turned).wandb.logged for name in values)

    return see


def logged_batches(bench: Bench, **turned: Any) -> list[int]:
    run = bench.look(*FLAT, **turned, **{"wandb#enabled": True})
    return [values["step"] for values in run.wandb.logged if "batch/loss" in values]


def written_for(bench: Bench, **turned: Any) -> Any:
    return handler(bench.workflow("inference", **turned), "InferenceWriter", "handlers")


def with_overlays(bench: Bench, **turned: Any) -> bool:
    return written_for(bench, **turned).overlays


def with_heat_maps(bench: Bench, **turned: Any) -> bool:
    return written_for(bench, **turned).grad_cam is not None


def inputs(bench: Bench, **turned: Any) -> set[str]:
    return {item["image"] for item in bench.get("data", "inference", **turned)}


def outputs(bench: Bench, **turned: Any) -> dict[str, Any]:
    """Where results go, and which inputs have some already."""
    done = len(bench.get("data", "inference", **turned, existing="skip", input=str(bench.inputs)))
    return {"writer": str(written_for(bench, **turned).output), "left to do": done}


def existing(bench: Bench, **turned: Any) -> dict[str, Any]:
    given = {"output": str(bench.results), "input": str(bench.inputs)}
    left = len(bench.get("data", "inference", **turned, **given))
    return {"writer": written_for(bench, **turned).existing, "left to do": left}


RECORDS = {
    "experiment#name": Check(
        run_name, "mine", {"folder": "mine", "evaluation": "mine/evaluation", "wandb": "mine", "config": "mine"}
    ),
    "experiment#description": Check(written("description"), "first try", {"config": "first try"}),
    "experiment#tags": Check(written("tags"), ["a", "b"], {"config": ["a", "b"], "wandb": ["a", "b"]}),
    "experiment#notes": Check(written("notes"), "again", {"config": "again", "wandb": "again"}),
    "tensorboard": Check(events, True, 1),
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
    "input": Check(inputs, lambda bench: str(bench.picture), lambda bench: {str(bench.picture)}),
    "output": Check(
        outputs, lambda bench: str(bench.results), lambda bench: {"writer": str(bench.results), "left to do": 1}
    ),
    "existing": Check(existing, "skip", {"writer": "skip", "left to do": 1}),
    "overlays": Check(with_overlays, False, False),
    "grad_cam": Check(with_heat_maps, False, False),
}
