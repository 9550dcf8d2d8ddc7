"""Knobs of the run: how it stops, what it saves, what it starts from, where it computes."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import torch

from medbundles.handlers import Seeding
from tests.bundles.brain_tumor_model import network
from tests.bundles.knob_bench import Bench, handler, quick
from tests.bundles.knob_check import Check

AT_START = SimpleNamespace(state=SimpleNamespace(epoch=0))
FLAT = [{"val_combined": 0.5}] * 4
# the metric that is followed by default gets worse, another one gets better
APART = [{"val_combined": 0.5 - 0.1 * i, "val_loss": 0.5 - 0.1 * i, "val_dice": 0.1 + 0.1 * i} for i in range(4)]
SLOW = [{"val_combined": 0.1 + 0.01 * i} for i in range(4)]


def files_of(name: str) -> Any:
    """How many such files a run's folder `turned` holds."""

    def see(bench: Bench, **turned: Any) -> int:
        return len(list((bench.look(FLAT[0], **turned).folder / "turned").glob(name)))

    return see


def stops(*metrics: dict[str, float]) -> Any:
    """The epochs that are trained, with these metrics."""

    def see(bench: Bench, **turned: Any) -> list[int]:
        return bench.look(*metrics, **turned).epochs

    return see


def followed(bench: Bench, **turned: Any) -> dict[str, Any]:
    """What early stopping, the best checkpoint, the history, the schedule and the engine make of two metrics."""
    given = {"early_stopping#patience": 2, "scheduler#name": "plateau", "scheduler#patience": 0, "lr": 1e-3}
    run = bench.look(*APART, **given, **turned)
    summary = run.json("metrics/metrics.json")["summary"]
    return {
        "trained": run.epochs,
        "best.pt": run.checkpoint("best.pt")["epoch"],
        "best in history": round(summary["best_value"], 6),
        "rates": summary["last"]["lr_rest"],
    }


def monitor(bench: Bench, **turned: Any) -> dict[str, Any]:
    evaluator = bench.get("validate#evaluator", **turned)
    return followed(bench, **turned) | {"key metric": evaluator.state.key_metric_name}


def saved(bench: Bench, **turned: Any) -> list[str]:
    return bench.look(*APART, **turned).checkpoints()


def saved_state(part: str) -> Any:
    """Whether the checkpoints hold a part of the state."""

    def see(bench: Bench, **turned: Any) -> bool:
        return bench.look(FLAT[0], **turned).checkpoint("last.pt")[part] is not None

    return see


def validated(bench: Bench, **turned: Any) -> list[int]:
    return bench.look(*FLAT, **turned).validated


def started(bench: Bench, **turned: Any) -> list[int]:
    """Epochs trained by a second run of the same experiment, of 3 epochs, after one of 2."""
    name = {"experiment#name": "resumed"}
    first = bench.run(*FLAT[:2], **name, **{"checkpointing#save_frequency": 1})
    turned = {k: str(first.folder / v) if k == "resume_from" else v for k, v in turned.items()}
    return bench.run(*FLAT[:3], **name, **turned).epochs


def published(bench: Bench, **turned: Any) -> bool:
    model = bench.bundle / "models/model.pt"
    model.unlink(missing_ok=True)
    bench.run(FLAT[0], **turned)
    return model.is_file()


def first_weight(bench: Bench, **turned: Any) -> float:
    """A weight at the start of a run."""
    workflow = bench.workflow(**turned)
    handler(workflow, "InitialWeights")(AT_START)
    return next(network(workflow).parameters()).flatten()[0].item()


def loaded(bench: Bench, **turned: Any) -> dict[str, Any]:
    """A weight at the start of evaluation and inference, and what their results say of it."""
    found: dict[str, Any] = {}
    for file, where in (("evaluate", "validate#handlers"), ("inference", "handlers")):
        workflow = bench.workflow(file, **turned)
        loader = handler(workflow, "WeightsCheckpointLoader", where)
        if "checkpoint" in turned:
            loader(None)
        found[file] = next(network(workflow).parameters()).flatten()[0].item()
        told = handler(workflow, "EvaluationReport" if file == "evaluate" else "InferenceWriter", where)
        found[f"{file} tells"] = told.about["checkpoint"] if file == "evaluate" else told.checkpoint
    return found


def devices(bench: Bench, **turned: Any) -> dict[str, Any]:
    """Where everything of training, evaluation and inference is to be computed."""
    train, test, new = (bench.workflow(*f, **turned) for f in ((), ("evaluate",), ("inference",)))
    found = {}
    for name, workflow, prefix in (("train", train, "train::"), ("inference", new, "")):
        found[f"{name} network"] = next(workflow.parser.get_parsed_content("network").parameters()).device
        # bfloat16 on a CPU is the inferer's own, elsewhere it is the engine's
        found[f"{name} inferer"] = workflow.parser.get_parsed_content(f"{prefix}inferer").enabled
    found["trainer"] = train.parser.get_parsed_content("train::trainer").state.device
    found["evaluator"] = train.parser.get_parsed_content("validate::evaluator").state.device
    found["inference"] = new.parser.get_parsed_content("evaluator").state.device
    found["run record"] = environment(bench, handler(train, "RunRecord"))["device"]
    found["evaluation record"] = environment(bench, handler(test, "RunRecord", "validate#handlers"))["device"]
    return {name: str(value) for name, value in found.items()}


def environment(bench: Bench, record: Any) -> dict[str, Any]:
    """What a run writes about the machine."""
    with quick():
        record.start(None)
    record.close(None)
    return json.loads((record.run_dir.path / "config/environment.json").read_text())


def seeded(bench: Bench, **turned: Any) -> dict[str, Any]:
    """A random number from everything that draws some, and the seed that the runs tell."""
    workflow, test = bench.workflow(**turned), bench.workflow("evaluate", **turned)
    parse = workflow.parser.get_parsed_content
    found = {"weights": torch.rand(1).item(), "order": [i for batch in parse("train::sampler") for _, i in batch]}
    found["augmentation"] = float(parse("train::dataset")[(1, 0)]["image"].sum())
    engine = SimpleNamespace(state=SimpleNamespace(epoch=1), data_loader=None)
    handler(workflow, "Seeding").seed_epoch(engine)
    found["epoch"] = torch.rand(1).item()
    found["run record"] = environment(bench, handler(workflow, "RunRecord"))["seed"]
    found["evaluation record"] = environment(bench, handler(test, "RunRecord", "validate#handlers"))["seed"]
    return found


def clipped(bench: Bench, **turned: Any) -> float:
    """Norm of large gradients when the optimizer steps."""
    workflow = bench.workflow(**turned)
    optimizer = workflow.parser.get_parsed_content("optimizer")
    gradients = []
    for weight in optimizer.param_groups[0]["params"]:
        weight.grad = torch.ones_like(weight)
        gradients.append(weight.grad)
    state = SimpleNamespace(iteration=1, epoch_length=1)
    engine = SimpleNamespace(state=state, accumulation_steps=1, scaler=None, optimizer=optimizer)
    handler(workflow, "GradientClip")(engine)
    return round(float(torch.nn.utils.get_total_norm(gradients)), 3)


def steps(bench: Bench, **turned: Any) -> int:
    """Steps of the optimizer in an epoch of 4 batches."""
    return bench.look(FLAT[0], whole_epochs=True, **turned, **{"mixing#mix_datasets": False}).steps


def cudnn(bench: Bench, **turned: Any) -> list[bool]:
    seeding: Seeding = handler(bench.workflow(**turned), "Seeding")
    with torch.backends.cudnn.flags():
        seeding.set_flags(None)  # type: ignore[arg-type]
        return [torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic]


STOP = {"early_stopping#patience": 1}
SAVE = {"checkpointing#save_frequency": 1}

RUN = {
    "checkpoint_dir": Check(files_of("last.pt"), "turned", 1),
    "log_dir": Check(files_of("train.log"), "turned", 1),
    "early_stopping#enabled": Check(stops(*FLAT), False, [1, 2, 3, 4], given=STOP),
    "early_stopping#patience": Check(stops(*FLAT), 2, [1, 2, 3]),
    "early_stopping#min_delta": Check(stops(*SLOW), 0.05, [1, 2, 3], given={"early_stopping#patience": 2}),
    "early_stopping#min_epochs": Check(stops(*FLAT), 3, [1, 2, 3], given=STOP),
    "early_stopping#monitor": Check(
        monitor,
        "val_dice",
        {"trained": [1, 2, 3, 4], "best.pt": 4, "best in history": 0.4, "rates": 1e-3, "key metric": "val_dice"},
    ),
    "early_stopping#mode": Check(
        followed,
        "min",
        {"trained": [1, 2, 3, 4], "best.pt": 4, "best in history": 0.2, "rates": 1e-3},
        along={"early_stopping#monitor": "val_loss"},
    ),
    "checkpointing#save_best": Check(saved, False, ["last.pt"]),
    "checkpointing#save_last": Check(saved, False, ["best.pt"]),
    "checkpointing#save_frequency": Check(saved, 2, ["best.pt", "epoch_002.pt", "epoch_004.pt", "last.pt"]),
    "checkpointing#keep_last_n": Check(saved, 1, ["best.pt", "epoch_004.pt", "last.pt"], given=SAVE),
    "checkpointing#save_optimizer": Check(saved_state("optimizer"), False, False),
    "checkpointing#save_scheduler": Check(saved_state("scheduler"), False, False),
    "val_interval": Check(validated, 2, [2, 4]),
    "resume": Check(started, True, [3]),
    "resume_from": Check(started, "checkpoints/epoch_001.pt", [2, 3]),
    "publish": Check(published, False, False),
    "init_from": Check(first_weight, lambda bench: str(bench.weights), 0.25),
    "checkpoint": Check(
        loaded,
        lambda bench: str(bench.weights),
        lambda bench: {
            "evaluate": 0.25,
            "evaluate tells": str(bench.weights),
            "inference": 0.25,
            "inference tells": str(bench.weights),
        },
    ),
    "device": Check(
        devices,
        "meta",
        given={"amp": True},
        expected=lambda bench: {
            **dict.fromkeys(("trainer", "evaluator", "inference", "train network", "inference network"), "meta"),
            **dict.fromkeys(("run record", "evaluation record"), "meta"),
            **dict.fromkeys(("train inferer", "inference inferer"), "False"),
        },
    ),
    "seed": Check(seeded, 7),
    "grad_clip": Check(clipped, 0.5, 0.5),
    "gradient_accumulation_steps": Check(steps, 3, 2),
    "cudnn_benchmark": Check(cudnn, False, [False, False]),
    "cudnn_deterministic": Check(cudnn, True, [True, True]),
}
