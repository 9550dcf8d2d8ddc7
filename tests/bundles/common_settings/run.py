"""Settings of the run that bundles share: how it stops, what it saves and starts from, where it computes."""

from __future__ import annotations

import json
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import torch
from ignite.engine import Engine, State

from medbundles.handlers import Seeding
from tests.bundles.setting_bench import Bench, Metrics, Run, handler, network, quick
from tests.bundles.setting_check import Check


def at_start(workflow: Any) -> Any:
    """Stands in for the engine of a workflow at its start."""
    return SimpleNamespace(state=SimpleNamespace(epoch=0), network=network(workflow), _event_handlers={})


SOON = {"early_stopping#min_epochs": 0}
STOP = {"early_stopping#patience": 1}
SAVE = {"checkpointing#save_frequency": 1}


def flat(bench: Bench) -> Metrics:
    return [bench.metrics(0.5)] * 4


def slow(bench: Bench) -> Metrics:
    """The metric that is followed by default gets a little better."""
    return [bench.metrics(0.1 + 0.01 * i) for i in range(4)]


def apart(bench: Bench) -> Metrics:
    """The metric that is followed by default gets worse, another one and the loss get better."""
    better = [{"val_loss": 0.5 - 0.1 * i, bench.other_metric: 0.1 + 0.1 * i} for i in range(4)]
    return [{**bench.metrics(0.5 - 0.1 * i), **others} for i, others in enumerate(better)]


def stops(metrics: Callable[[Bench], Metrics]) -> Callable[..., list[int]]:
    """The epochs that are trained, with these metrics."""
    return lambda bench, **turned: bench.look(*metrics(bench), **turned).epochs


def decided(run: Run) -> dict[str, Any]:
    """What early stopping, the best checkpoint and the history made of the metrics."""
    best = run.json("metrics/metrics.json")["summary"]["best_epoch"]
    return {"trained": run.epochs, "best.pt": run.checkpoint("best.pt")["epoch"], "best in history": best}


def followed(bench: Bench, **turned: Any) -> dict[str, Any]:
    """What all that follows a metric makes of it, the schedule too."""
    given = {"early_stopping#patience": 2, "scheduler#name": "plateau", "scheduler#patience": 0, "lr": 1e-3}
    run = bench.look(*apart(bench), **SOON, **given, **turned)
    summary = run.json("metrics/metrics.json")["summary"]
    return {**decided(run), "best value": round(summary["best_value"], 6), "rate": summary["last"][bench.rate]}


def monitor(bench: Bench, **turned: Any) -> dict[str, Any]:
    evaluator = bench.get("validate#evaluator", **turned)
    return {**followed(bench, **turned), "key metric": evaluator.state.key_metric_name}


def last_is_best(value: float) -> dict[str, Any]:
    """What `followed` tells of a metric that gets better up to this value."""
    return {"trained": [1, 2, 3, 4], "best.pt": 4, "best in history": 4, "best value": value, "rate": 1e-3}


def saved(bench: Bench, **turned: Any) -> list[str]:
    return bench.look(*apart(bench), **turned).checkpoints()


def first_epoch(bench: Bench, **turned: Any) -> Run:
    return bench.look(bench.metrics(0.5), **turned)


def saved_state(part: str) -> Callable[..., bool]:
    """Whether the checkpoints hold a part of the state."""
    return lambda bench, **turned: first_epoch(bench, **turned).checkpoint("last.pt")[part] is not None


def validated(bench: Bench, **turned: Any) -> list[int]:
    return bench.look(*flat(bench), **turned).validated


def started(bench: Bench, **turned: Any) -> list[int]:
    """Epochs trained by a second run of the same experiment, of 3 epochs, after one of 2."""
    given = {"experiment#name": "resumed", **SAVE}
    first = bench.run(*flat(bench)[:2], **given)
    turned = {k: str(first.folder / v) if k == "resume_from" else v for k, v in turned.items()}
    return bench.run(*flat(bench)[:3], **given, **turned).epochs


def published(bench: Bench, **turned: Any) -> bool:
    model = bench.bundle / "models/model.pt"
    model.unlink(missing_ok=True)
    bench.run(bench.metrics(0.5), **turned)
    return model.is_file()


def first_weight(bench: Bench, **turned: Any) -> float:
    """A weight at the start of a run."""
    workflow = bench.workflow(**turned)
    handler(workflow, "InitialWeights")(at_start(workflow))
    return next(network(workflow).parameters()).flatten()[0].item()


def loaded(bench: Bench, **turned: Any) -> dict[str, Any]:
    """A weight at the start of evaluation and inference, and what their results say of it."""
    found: dict[str, Any] = {}
    for file, where in (("evaluate", "validate#handlers"), ("inference", "handlers")):
        workflow = bench.workflow(file, **turned)
        loader = handler(workflow, "WeightsCheckpointLoader", where)
        if "checkpoint" in turned:
            loader(at_start(workflow))
        found[file] = next(network(workflow).parameters()).flatten()[0].item()
        teller = handler(workflow, "EvaluationReport" if file == "evaluate" else bench.writer, where)
        found[f"{file} tells"] = teller.about["checkpoint"] if file == "evaluate" else teller.checkpoint
    return found


def weights(bench: Bench) -> str:
    return bench.weights


def all_from_weights(bench: Bench) -> dict[str, Any]:
    told = dict.fromkeys(("evaluate tells", "inference tells"), bench.weights)
    return {"evaluate": 0.25, "inference": 0.25, **told}


def devices(bench: Bench, **turned: Any) -> dict[str, str]:
    """Where everything of training, evaluation and inference is to be computed."""
    train, test, new = bench.workflows(**bench.own_folds(), **turned)
    parse, evaluator = train.parser.get_parsed_content, test.parser.get_parsed_content("validate::evaluator")
    networks = {
        "train": parse("network"),
        "evaluation": evaluator.network,
        "inference": new.parser.get_parsed_content("network"),
    }
    found = {
        **{f"{name} network": next(net.parameters()).device for name, net in networks.items()},
        # bfloat16 on a CPU is the inferer's own, elsewhere it is the engine's
        "train inferer": parse("train::inferer").enabled,
        "validate inferer": parse("validate::inferer").enabled,
        "inference inferer": new.parser.get_parsed_content("inferer").enabled,
        "trainer": parse("train::trainer").state.device,
        "evaluator": parse("validate::evaluator").state.device,
        "inference": new.parser.get_parsed_content("evaluator").state.device,
        "run record": environment(handler(train, "Run"), parse("train::trainer"))["device"],
        "evaluation record": environment(handler(test, "Run", "validate#handlers"), evaluator)["device"],
    }
    return {name: str(value) for name, value in found.items()}


def on(device: str) -> dict[str, str]:
    """What `devices` tells if amp is left to the engines."""
    networks = ("train network", "evaluation network", "inference network")
    engines = ("trainer", "evaluator", "inference", "run record", "evaluation record")
    inferers = ("train inferer", "validate inferer", "inference inferer")
    return {**dict.fromkeys((*networks, *engines), device), **dict.fromkeys(inferers, "False")}


def environment(record: Any, engine: Any = None) -> dict[str, Any]:
    """What a run of the engine, or of one on the CPU, writes about the machine."""
    bare = Engine(lambda engine, batch: None)
    bare.state = engine.state if engine else State(device="cpu")
    with quick():
        record.start(bare)
    record.close()
    return json.loads((record.directory.path / "config/environment.json").read_text())


def seeded(bench: Bench, **turned: Any) -> dict[str, Any]:
    """A random number from everything that draws some, and the seed that the runs tell."""
    turned = {**bench.own_folds(), **turned}
    workflow, test = bench.workflow(**turned), bench.workflow("evaluate", **turned)
    parse = workflow.parser.get_parsed_content
    found = {"weights": torch.rand(1).item(), "order": [i for batch in parse("train::sampler") for _, i, _ in batch]}
    found["augmentation"] = float(parse("train::dataset")[(1, 0)]["image"].sum())
    engine = SimpleNamespace(state=SimpleNamespace(epoch=1), data_loader=None)
    handler(workflow, "Seeding").seed_epoch(engine)
    found["epoch"] = torch.rand(1).item()
    found["run record"] = environment(handler(workflow, "Run"))["seed"]
    found["evaluation record"] = environment(handler(test, "Run", "validate#handlers"))["seed"]
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
    """Steps of the optimizer in an epoch of 4 or 5 batches."""
    return bench.look(bench.metrics(0.5), whole_epochs=True, **turned).steps


def cudnn(bench: Bench, **turned: Any) -> list[bool]:
    seeding: Seeding = handler(bench.workflow(**turned), "Seeding")
    with torch.backends.cudnn.flags():
        seeding.set_flags(None)  # type: ignore[arg-type]
        return [torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic]


def names(bench: Bench, **turned: Any) -> dict[str, str]:
    """The experiment's name in all that carries it."""
    run, (train, test, _) = first_epoch(bench, **turned), bench.workflows(**turned)
    reports = test.parser.get_parsed_content("run_dir").parent
    return {
        "runs": str(run.folder.parent).split("/runs/")[1],
        "evaluation": str(reports).split("/runs/")[1],
        "config": run.json("config/config.json")["experiment"]["name"],
        "tracked": train.parser.get_parsed_content("experiment_name"),
        "tracked evaluation": test.parser.get_parsed_content("experiment_name"),
    }


def named(name: str, fold: str = "") -> dict[str, str]:
    """What `names` tells then; `fold`: the folder of a fold, with the slash before it."""
    told = {"config": name, "tracked": name, "tracked evaluation": f"{name}/evaluation"}
    return {"runs": name + fold, "evaluation": f"{name}/evaluation{fold}", **told}


def written(setting: str) -> Callable[..., Any]:
    """What a run writes of its description."""
    return lambda bench, **turned: first_epoch(bench, **turned).json("config/config.json")["experiment"][setting]


def events(bench: Bench, **turned: Any) -> int:
    """Number of TensorBoard files."""
    return len(list((first_epoch(bench, **turned).folder / "logs").glob("events.*")))


def pages(bench: Bench, **turned: Any) -> int:
    """Number of pages of the run."""
    return len(list(first_epoch(bench, **turned).folder.glob("report.html")))


def files_of(name: str) -> Callable[..., int]:
    """How many such files a run's folder `turned` holds."""

    def see(bench: Bench, **turned: Any) -> int:
        return len(list((first_epoch(bench, **turned).folder / "turned").glob(name)))

    return see


RUNNING = {
    "early_stopping#enabled": Check(stops(flat), False, [1, 2, 3, 4], given={**SOON, **STOP}),
    "early_stopping#patience": Check(stops(flat), 2, [1, 2, 3], given=SOON),
    "early_stopping#min_delta": Check(stops(slow), 0.05, [1, 2, 3], given={**SOON, "early_stopping#patience": 2}),
    "early_stopping#min_epochs": Check(stops(flat), 3, [1, 2, 3], given=STOP),
    "early_stopping#monitor": Check(
        monitor,
        lambda bench: bench.other_metric,
        lambda bench: {**last_is_best(0.4), "key metric": bench.other_metric},
    ),
    "early_stopping#mode": Check(followed, "min", last_is_best(0.2), along={"early_stopping#monitor": "val_loss"}),
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
    "init_from": Check(first_weight, weights, 0.25),
    "checkpoint": Check(loaded, weights, all_from_weights),
    "device": Check(devices, "meta", on("meta"), given={"amp": True}),
    "seed": Check(seeded, 7),
    "grad_clip": Check(clipped, 0.5, 0.5),
    "gradient_accumulation_steps": Check(steps, 3, 2),
    "cudnn_benchmark": Check(cudnn, False, [False, False]),
    "cudnn_deterministic": Check(cudnn, True, [True, True]),
    "experiment#description": Check(written("description"), "first try", "first try"),
    "experiment#tags": Check(written("tags"), ["a", "b"], ["a", "b"]),
    "experiment#notes": Check(written("notes"), "again", "again"),
    "tensorboard": Check(events, True, 1),
    "report": Check(pages, True, 1),
}
FOLDERS = {
    "checkpoint_dir": Check(files_of("last.pt"), "turned", 1),
    "log_dir": Check(files_of("train.log"), "turned", 1),
}
