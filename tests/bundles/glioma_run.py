"""Knobs of the run: how it stops, what it saves and starts from, where it computes, what it tells."""

from __future__ import annotations

from typing import Any

import torch

from medbundles.handlers import Seeding
from tests.bundles import brain_tumor_run
from tests.bundles.brain_tumor_model import network
from tests.bundles.brain_tumor_records import inputs
from tests.bundles.brain_tumor_run import AT_START, clipped, cudnn, first_weight, stops
from tests.bundles.glioma_bench import REAL
from tests.bundles.knob_bench import Bench, Run, handler
from tests.bundles.knob_check import Check

FLAT = [{"val_auc": 0.5, "val_f1": 0.5}] * 4
# the metric that is followed by default gets worse, others get better
APART = [
    {"val_auc": 0.5 - 0.1 * i, "val_f1": 0.5, "val_loss": 0.5 - 0.1 * i, "val_acc": 0.1 + 0.1 * i} for i in range(4)
]
SLOW = [{"val_auc": 0.1 + 0.01 * i, "val_f1": 0.5} for i in range(4)]
# equal values of the metric that is followed, of the others one rises and one rises later
TIES = [{"val_auc": 0.5, "val_f1": 0.1 + 0.1 * i, "val_acc": 0.1 + 0.1 * (i == 1)} for i in range(4)]
SOON = {"early_stopping#min_epochs": 0}
STOP = {"early_stopping#patience": 1}


def decided(run: Run) -> dict[str, Any]:
    """What early stopping, the best checkpoint and the history made of the metrics."""
    summary = run.json("metrics/metrics.json")["summary"]
    return {
        "trained": run.epochs,
        "best.pt": run.checkpoint("best.pt")["epoch"],
        "best in history": summary["best_epoch"],
    }


def followed(bench: Bench, **turned: Any) -> dict[str, Any]:
    """What all that follows a metric makes of it, the schedule too."""
    given = {"early_stopping#patience": 2, "scheduler#name": "plateau", "scheduler#patience": 0, "lr": 1e-3}
    run = bench.look(*APART, **SOON, **given, **turned)
    return {**decided(run), "rate": run.json("metrics/metrics.json")["summary"]["last"]["lr"]}


def monitor(bench: Bench, **turned: Any) -> dict[str, Any]:
    evaluator = bench.get("validate#evaluator", **turned)
    return followed(bench, **turned) | {"key metric": evaluator.state.key_metric_name}


def ties(bench: Bench, **turned: Any) -> dict[str, Any]:
    return decided(bench.look(*TIES, **SOON, **STOP, **turned))


def saved(bench: Bench, **turned: Any) -> list[str]:
    return bench.look(*APART, **turned).checkpoints()


def saved_state(part: str) -> Any:
    """Whether the checkpoints hold a part of the state."""

    def see(bench: Bench, **turned: Any) -> bool:
        return bench.look(FLAT[0], **turned).checkpoint("last.pt")[part] is not None

    return see


def validated(bench: Bench, **turned: Any) -> list[int]:
    return bench.look(*FLAT, **turned).validated


def started(bench: Any, **turned: Any) -> list[int]:
    """Epochs trained by a second run of the same experiment, of 3 epochs, after one of 2."""
    given = {"experiment#name": "resumed", "checkpointing#save_frequency": 1}
    first = bench.run(*FLAT[:2], **given)
    turned = {k: str(first.folder / v) if k == "resume_from" else v for k, v in turned.items()}
    return bench.run(*FLAT[:3], **given, **turned).epochs


def published(bench: Bench, **turned: Any) -> bool:
    model = bench.bundle / "models/model.pt"
    model.unlink(missing_ok=True)
    bench.run(FLAT[0], **turned)
    return model.is_file()


def first_weight_of_backbone(bench: Bench, **turned: Any) -> float:
    """A weight at the start of a run from a pretrained backbone."""
    workflow = bench.workflow(**REAL, **turned)
    handler(workflow, "PretrainedBackbone")(AT_START)
    return network(workflow).backbone.conv1.weight.flatten()[0].item()


def loaded(bench: Bench, **turned: Any) -> dict[str, Any]:
    """A weight at the start of evaluation and inference, and what their results say of it."""
    found: dict[str, Any] = {}
    for file, where in (("evaluate", "validate#handlers"), ("inference", "handlers")):
        workflow = bench.workflow(file, **turned)
        loader = handler(workflow, "WeightsCheckpointLoader", where)
        if "checkpoint" in turned:
            loader(None)
        found[file] = next(network(workflow).parameters()).flatten()[0].item()
        teller = handler(workflow, "EvaluationReport" if file == "evaluate" else "CaseWriter", where)
        found[f"{file} tells"] = teller.about["checkpoint"] if file == "evaluate" else teller.checkpoint
    return found


def all_from(bench: Any) -> dict[str, Any]:
    file = str(bench.weights)
    return {"evaluate": 0.25, "evaluate tells": file, "inference": 0.25, "inference tells": file}


def devices(bench: Any, **turned: Any) -> dict[str, Any]:
    """Where everything of training, evaluation and inference is to be computed."""
    test = bench.workflow("evaluate", **turned).parser.get_parsed_content("validate::evaluator")
    found = brain_tumor_run.devices(bench, **bench.own_folds(), **turned)
    return {**found, "evaluation network": str(next(test.network.parameters()).device)}


def on(device: str) -> dict[str, str]:
    places = ("trainer", "evaluator", "inference", "train network", "inference network", "evaluation network")
    records = ("run record", "evaluation record")
    return {**dict.fromkeys((*places, *records), device), "train inferer": "False", "inference inferer": "False"}


def seeded(bench: Any, **turned: Any) -> dict[str, Any]:
    return brain_tumor_run.seeded(bench, **bench.own_folds(), **turned)


def steps(bench: Bench, **turned: Any) -> int:
    """Steps of the optimizer in an epoch of 5 batches."""
    return bench.look(FLAT[0], whole_epochs=True, **turned).steps


def tf32(bench: Bench, **turned: Any) -> list[bool]:
    """What torch may use in matrix products and in convolutions."""
    seeding: Seeding = handler(bench.workflow(**turned), "Seeding")
    before = torch.backends.cuda.matmul.allow_tf32
    try:
        with torch.backends.cudnn.flags():
            seeding.set_flags(None)  # type: ignore[arg-type]
            return [torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32]
    finally:
        torch.backends.cuda.matmul.allow_tf32 = before


def name(bench: Bench, **turned: Any) -> dict[str, str]:
    """The experiment's name in all that carries it."""
    run = bench.look(FLAT[0], **turned)
    train, test = bench.workflow(**turned).parser, bench.workflow("evaluate", **turned).parser
    return {
        "folder": run.folder.parents[1].name,
        "folds": train.get_parsed_content("data").file.parent.name,
        "evaluation": str(test.get_parsed_content("run_dir").parent).split("/runs/")[1],
        "config": run.json("config/config.json")["experiment"]["name"],
        "tracked": train.get_parsed_content("experiment_name"),
        "tracked evaluation": test.get_parsed_content("experiment_name"),
    }


def named(name: str) -> dict[str, str]:
    evaluation = {"evaluation": f"{name}/evaluation/fold_0", "tracked evaluation": f"{name}/evaluation"}
    return {**dict.fromkeys(("folder", "folds", "config", "tracked"), name), **evaluation}


def written(knob: str) -> Any:
    """What a run writes of its description."""

    def see(bench: Bench, **turned: Any) -> Any:
        return bench.look(FLAT[0], **turned).json("config/config.json")["experiment"][knob]

    return see


def events(bench: Bench, **turned: Any) -> int:
    """Number of TensorBoard files."""
    return len(list((bench.look(FLAT[0], **turned).folder / "logs").glob("events.*")))


def plots_every(bench: Bench, **turned: Any) -> dict[str, int]:
    workflow = bench.workflow(**turned)
    return {n: handler(workflow, n).every for n in ("ValidationReport", "LearningCurves")}


def precise_bn(bench: Bench, **turned: Any) -> int:
    return handler(bench.workflow(**turned), "PreciseBatchNorm").batches


def writer(bench: Bench, **turned: Any) -> Any:
    return handler(bench.workflow("inference", **turned), "CaseWriter", "handlers")


def with_heat_maps(bench: Bench, **turned: Any) -> bool:
    return writer(bench, **turned).grad_cam is not None


def outputs(bench: Any, **turned: Any) -> dict[str, Any]:
    """Where results go, and which cases have some already."""
    tracked = bench.get("tracking_uri", "inference", **turned).removeprefix("sqlite:///")
    left = len(bench.get("data", "inference", **turned, existing="skip", input=str(bench.inputs)))
    return {
        "writer": str(writer(bench, **turned).output),
        "tracking": tracked.removesuffix("/tracking/mlruns.db"),
        "left to do": left,
    }


def all_in_results(bench: Any) -> dict[str, Any]:
    return {"writer": str(bench.results), "tracking": str(bench.results), "left to do": 1}


def existing(bench: Any, **turned: Any) -> dict[str, Any]:
    given = {"output": str(bench.results), "input": str(bench.inputs)}
    left = len(bench.get("data", "inference", **turned, **given))
    return {"writer": writer(bench, **turned).existing, "left to do": left}


SAVE = {"checkpointing#save_frequency": 1}

RUN = {
    "early_stopping#enabled": Check(stops(*FLAT), False, [1, 2, 3, 4], given={**SOON, **STOP}),
    "early_stopping#patience": Check(stops(*FLAT), 2, [1, 2, 3], given=SOON),
    "early_stopping#min_delta": Check(stops(*SLOW), 0.05, [1, 2, 3], given={**SOON, "early_stopping#patience": 2}),
    "early_stopping#min_epochs": Check(stops(*FLAT), 3, [1, 2, 3], given=STOP),
    "early_stopping#monitor": Check(
        monitor,
        "val_acc",
        {"trained": [1, 2, 3, 4], "best.pt": 4, "best in history": 4, "rate": 1e-3, "key metric": "val_acc"},
    ),
    "early_stopping#mode": Check(
        followed,
        "min",
        {"trained": [1, 2, 3, 4], "best.pt": 4, "best in history": 4, "rate": 1e-3},
        along={"early_stopping#monitor": "val_loss"},
    ),
    "early_stopping#tie_break": Check(ties, "val_acc", {"trained": [1, 2, 3], "best.pt": 2, "best in history": 2}),
    "early_stopping#tie_break (off)": Check(ties, False, {"trained": [1, 2], "best.pt": 1, "best in history": 1}),
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
    "pretrained_path": Check(first_weight_of_backbone, lambda bench: str(bench.backbone), 0.25),
    "checkpoint": Check(loaded, lambda bench: str(bench.weights), all_from),
    "device": Check(devices, "meta", on("meta"), given={"amp": True}),
    "seed": Check(seeded, 7),
    "grad_clip": Check(clipped, 0.5, 0.5),
    "gradient_accumulation_steps": Check(steps, 3, 2),
    "cudnn_benchmark": Check(cudnn, False, [False, False]),
    "cudnn_deterministic": Check(cudnn, True, [True, True]),
    "tf32": Check(tf32, False, [False, False]),
    "experiment#name": Check(name, "mine", named("mine")),
    "experiment#description": Check(written("description"), "first try", "first try"),
    "experiment#tags": Check(written("tags"), ["a", "b"], ["a", "b"]),
    "experiment#notes": Check(written("notes"), "again", "again"),
    "tensorboard": Check(events, True, 1),
    "precise_bn": Check(precise_bn, 3, 3),
    "plot_interval": Check(plots_every, 2, {"ValidationReport": 2, "LearningCurves": 2}),
    "input": Check(inputs, lambda bench: str(bench.volume), lambda bench: {str(bench.volume)}),
    "output": Check(outputs, lambda bench: str(bench.results), all_in_results),
    "existing": Check(existing, "skip", {"writer": "skip", "left to do": 1}),
    "grad_cam": Check(with_heat_maps, False, False),
}
