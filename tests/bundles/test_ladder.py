"""The ladder that each bundle climbs: parse, check, train, stop and resume, evaluate, infer, two processes, misuse."""

import csv
import json
import random
import re
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from monai.bundle import ConfigWorkflow

from medbundles.preflight.command_line import readable
from tests.bundles.brain_tumor_ladder import BRAIN
from tests.bundles.dental_ladder import DENTAL
from tests.bundles.dental_ladder import VOLUMES as DENTAL_3D
from tests.bundles.glioma_ladder import GLIOMA
from tests.bundles.ladder import Bundle, differences, newest, run, run_until
from tests.bundles.medical_ladder import MEDICAL
from tests.bundles.medical_ladder import VOLUMES as MEDICAL_3D

# all that a run must bear when it is stopped: augmentation, dropout, persistent workers, accumulation, bfloat16, a
# schedule with a memory, and an early-stopping counter above 0 (nothing improves by 0.9)
HARD = {
    "epochs": 3,
    "num_workers": 2,
    "gradient_accumulation_steps": 2,
    "amp": True,
    "scheduler#name": "plateau",
    "scheduler#patience": 0,
    "early_stopping#min_delta": 0.9,
    "early_stopping#patience": 9,
    "checkpointing#save_frequency": 2,
}


@pytest.fixture(
    scope="session",
    params=[BRAIN, GLIOMA, DENTAL, DENTAL_3D, MEDICAL, MEDICAL_3D],
    ids=["brain", "glioma", "dental", "dental-3d", "medical", "medical-3d"],
)
def bundle(request: pytest.FixtureRequest) -> Bundle:
    return request.param


@pytest.fixture(scope="session")
def data(bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bundle.data(tmp_path_factory.getbasetemp())


@pytest.fixture(scope="session")
def hard(bundle: Bundle) -> dict[str, Any]:
    return bundle.tiny | HARD | bundle.hard


@pytest.fixture(scope="session")
def trained(
    bundle: Bundle, data: Path, hard: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Path]:
    """Root of the runs with one that was never interrupted."""
    root = tmp_path_factory.mktemp("runs")
    run(bundle, ["train"], hard | bundle.places(data, root))
    yield root
    shutil.rmtree(root)  # checkpoints may be large


def workflow(bundle: Bundle, name: str, kind: str, **settings: Any) -> ConfigWorkflow:
    return ConfigWorkflow(
        str(bundle.folder / "configs" / f"{name}.json"), workflow_type=kind, logging_file=False,
        bundle_root=str(bundle.folder), **settings,
    )  # fmt: skip


def run_in_process(flow: ConfigWorkflow) -> None:
    flow.initialize()
    flow.run()


def test_configs_are_plain(bundle: Bundle) -> None:
    """No lambda, no import, no expression longer than a line, no key twice."""

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        assert len({k for k, _ in pairs}) == len(pairs), [k for k, _ in pairs]
        return dict(pairs)

    for path in sorted((bundle.folder / "configs").glob("*.json")):
        text = path.read_text()
        json.loads(text, object_pairs_hook=once)
        assert not re.search(r"\blambda\b|\$import\b|\$from\b", text), path
        assert max(map(len, text.splitlines())) <= (400 if path.name in ("metadata.json", "schema.json") else 160), path


@pytest.mark.parametrize(("name", "kind"), [("train", "train"), ("inference", "infer")])
def test_monai_finds_its_properties_and_nothing_is_written(
    bundle: Bundle, data: Path, tmp_path: Path, name: str, kind: str
) -> None:
    root = tmp_path / "x"
    places = {key: str(value) for key, value in bundle.places(data, root).items()}
    new = bundle.of_inputs | {"input": str(data), "output": str(root)}
    settings = bundle.tiny | places if kind == "train" else new
    flow = workflow(bundle, name, kind, **settings)
    flow.initialize()
    assert flow.check_properties() == []
    assert list(tmp_path.iterdir()) == []


def test_an_evaluation_has_the_properties_of_a_training(bundle: Bundle, data: Path, tmp_path: Path) -> None:
    """As the unit tests of MONAI's model zoo ask: the training part too, which an evaluation does not need."""
    files = [str(bundle.folder / "configs" / f"{name}.json") for name in ("train", "evaluate")]
    places = {key: str(value) for key, value in bundle.places(data, tmp_path / "x").items()}
    flow = ConfigWorkflow(
        files, workflow_type="train", logging_file=False, meta_file=str(bundle.folder / "configs/metadata.json"),
        bundle_root=str(bundle.folder), **bundle.tiny, **places,
    )  # fmt: skip
    flow.initialize()
    assert flow.check_properties() == []
    assert len(flow.train_dataset) > 0
    assert len(flow.val_dataset) > 0
    assert list(tmp_path.iterdir()) == []


def test_inference_prepares_as_training_does(bundle: Bundle, data: Path) -> None:
    lists = []
    for name, kind in (("train", "train"), ("inference", "infer")):
        flow = workflow(bundle, name, kind)
        lists.append(flow.parser.get("preprocessing::transforms"))
    train, new = lists
    new[0] = new[0].get("load", new[0])  # `MarkOutside` leaves what another step loads as it is
    same = 0 if train[0] == new[0] else 1  # the first step reads the file: a slice with its mask, or an input
    assert new[same : len(train)] == train[same:]
    assert len(train) > same
    later = [step["_target_"].rpartition(".")[2] for step in new[len(train) :]]
    assert set(later) <= {"LoadOther", "LoadLatent"}  # leave an image as it is


def test_a_run_leaves_what_the_design_says(bundle: Bundle, trained: Path) -> None:
    folder = newest(trained, "metrics.json").parents[1]
    files = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    boards = {name for name in files if "/events.out." in name}
    assert files - boards == bundle.left
    assert sorted(name.rpartition("/")[0] for name in boards) == ["logs", "logs/train", "logs/val"]
    history = json.loads((folder / "metrics/metrics.json").read_text())
    assert [e["epoch"] for e in history["epochs"]] == [1, 2, 3]
    assert bundle.logged <= set(history["epochs"][0])
    assert (folder / "plots/learning_curves.png").stat().st_size > 10_000
    config = json.loads((folder / "config/config.json").read_text())
    assert config["epochs"] == 3
    assert json.loads((folder / "config/environment.json").read_text())["versions"]["monai"]
    log = (folder / "logs/train.log").read_text()
    assert [line for line in bundle.said if line not in log] == []


def test_the_run_was_hard_to_resume(trained: Path) -> None:
    """Else the tests of stopped runs would show little."""
    last = torch.load(newest(trained, "last.pt"), weights_only=True)
    assert last["parts"]["early_stopping"]["best_epoch"] == 1
    assert last["scheduler"]
    assert last["optimizer"]["state"]


def test_a_run_stopped_again_and_again_is_bit_equal(
    bundle: Bundle, data: Path, hard: dict[str, Any], trained: Path, tmp_path: Path
) -> None:
    """Killed, terminated and interrupted, each time at any moment after the first epoch, then run to its end."""
    settings, waits, line = hard | bundle.places(data, tmp_path), [], "saved best.pt (epoch 1"
    for number, code in ((signal.SIGKILL, -9), (signal.SIGTERM, 143), (signal.SIGINT, 130)):
        waits.append(random.uniform(0, 0.4))
        assert run_until(bundle, ["train"], settings, line, waits[-1], number) == code, f"waited {waits} s"
        settings, line = settings | {"resume": True}, "resumed"
    run(bundle, ["train"], settings)
    assert len(list(tmp_path.rglob("run_*"))) == 1
    ignored = ("epoch_seconds", "samples_per_second", "output_dir", "cache_dir", "folds_file", "resume", "run")
    for name in ("last.pt", "best.pt"):
        once, many = (torch.load(newest(root, name), weights_only=True) for root in (trained, tmp_path))
        assert once["epoch"] == many["epoch"]
        assert differences(once, many, ignored) == [], f"waited {waits} s"
    shutil.rmtree(tmp_path)  # checkpoints may be large


def test_a_finished_run_says_so_and_changes_nothing(
    bundle: Bundle, data: Path, hard: dict[str, Any], trained: Path
) -> None:
    before = newest(trained, "last.pt").read_bytes()
    done = run(bundle, ["train"], hard | bundle.places(data, trained) | {"resume": True})
    assert "the run is finished: it has done 3 of 3 epochs" in done.stdout
    assert newest(trained, "last.pt").read_bytes() == before


def test_evaluation_is_the_same_with_two_processes(bundle: Bundle, data: Path, trained: Path, tmp_path: Path) -> None:
    best = newest(trained, "best.pt")
    results, predictions = [], []
    for processes, extra in ((1, []), (2, ["multi_gpu_train"])):
        root = tmp_path / str(processes)
        settings = bundle.split | bundle.places(data, root) | {"checkpoint": best, "amp": False, "report": False}
        run(bundle, ["train", *extra, "evaluate", str(best.with_name("trained.json"))], settings, processes)
        results.append(json.loads(newest(root, "test_metrics.json").read_text())["metrics"])
        with newest(root, "predictions.csv").open() as file:
            predictions.append([row["name"] for row in csv.DictReader(file)])
        assert newest(root, bundle.drawn).is_file()
    assert results[0].keys() == results[1].keys()
    for name, one in results[0].items():
        assert one["n_images"] == results[1][name]["n_images"]
        assert one["n_images"] > 0 or one["reason"]
        assert one["value"] == pytest.approx(results[1][name]["value"], abs=1e-6, nan_ok=True), name
    assert predictions[0] == predictions[1]


@pytest.mark.parametrize("processes", [1, 2])
def test_inference_writes_tables_and_pictures(
    bundle: Bundle, data: Path, trained: Path, tmp_path: Path, processes: int
) -> None:
    best = newest(trained, "best.pt")
    out = tmp_path / "out"
    settings = {"input": data.with_name("new"), "output": out, "checkpoint": best}
    run(bundle, ["inference", str(best.with_name("trained.json"))], settings, processes)
    files = {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}
    pictures = {picture.format(name) for picture in bundle.pictures for name in bundle.inputs}
    assert files == pictures | set(bundle.tables)
    with (out / bundle.tables[0]).open() as file:
        assert len(list(csv.DictReader(file))) == len(bundle.inputs)
    head = json.loads((out / "predictions.json").read_text())
    assert head["version"].startswith("medbundles ")
    settings = json.loads(best.with_name("trained.json").read_text())
    assert {*head["settings"], *head} >= set(settings)


def test_training_on_two_processes(bundle: Bundle, data: Path, tmp_path: Path) -> None:
    """Both fill the cache, rank 0 alone writes."""
    places = bundle.places(data, tmp_path) | {"cache_dir": tmp_path / "cache"}
    settings = bundle.tiny | places | {"epochs": 2, "num_workers": 0} | bundle.two
    done = run(bundle, ["train", "multi_gpu_train"], settings, processes=2)
    assert done.stdout.count("Epoch 2/2") == 1
    assert len(list(tmp_path.rglob("run_*"))) == 1
    assert newest(tmp_path, "val_metrics.json").is_file()
    shutil.rmtree(tmp_path)


def test_a_mistake_is_one_message_and_exit_code_1(bundle: Bundle, data: Path, tmp_path: Path) -> None:
    settings, message = bundle.mistakes["misspelt"]
    done = run(bundle, ["train"], bundle.tiny | bundle.places(data, tmp_path / "runs") | settings, expect=1)
    assert message in done.stderr
    assert "Traceback" not in done.stderr + done.stdout
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("mistake", ["misspelt", "value", "no data", "batch", "no weights"])
def test_a_mistake_is_named_before_anything_is_written(
    bundle: Bundle, data: Path, tmp_path: Path, mistake: str
) -> None:
    """In this process: what the command line makes of a message is the same for all."""
    settings, message = bundle.mistakes[mistake]
    places = {key: str(value) for key, value in bundle.places(data, tmp_path / "runs").items()}
    flow = workflow(bundle, "train", "train", **bundle.tiny | places | settings)
    with pytest.raises(Exception) as error:  # noqa: PT011  # MONAI wraps what its components raise
        run_in_process(flow)
    assert message in readable(error.value)
    assert not (tmp_path / "runs").exists()
