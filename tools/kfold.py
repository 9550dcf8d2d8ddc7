"""Cross-validates a bundle: trains and tests every fold, and puts the out-of-fold predictions together."""

import json
import os
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from medbundles.atomic_files import write_json_atomic
from medbundles.data.reading.checkpoint_files import FOLDS as RECORD
from medbundles.data.reading.checkpoint_files import REPORT, checkpoint_files
from medbundles.data.reading.trained_file import TRAINED
from medbundles.errors import CheckpointError, ConfigError
from medbundles.lines import typed
from medbundles.runs.checkpoints import with_settings
from medbundles.runs.common_settings import common_settings
from medbundles.runs.directory import RunDirectory
from medbundles.runs.lock import alone_in
from medbundles.runs.trained import trained_with

from .bundle import absolute_paths, build, bundle_folder, check_settings, read_config
from .child import Command, bundle_command
from .kfold_report import write_report
from .runs import BEST, TESTED, asked_for, going_on, left_by, ours, run_jobs, with_weights

RESERVED = {
    "part": "kfold tests each fold on its held-out cases",
    "publish": "kfold publishes nothing: the folds' weights are in their run directories",
    "checkpoint": "kfold tests the best.pt of each fold",
    "resume_from": "use --resume True",
    "bundle_root": "give the folder as BUNDLE",
    "config_file": "name the files that follow train.json with --overlays, such as quick_test",
}
MAY_CHANGE = {  # on resuming: they decide how fast a fold is trained and what is drawn, not what comes out
    "device", "num_workers", "prefetch_factor", "persistent_workers", "pin_memory", "cache", "cache_dir", "tensorboard",
    "plot_interval",
}  # fmt: skip


def kfold(
    bundle: str,
    dataset_dir: str,
    output_dir: str = "",
    quick_test: bool = False,
    overlays: tuple[str, ...] = (),
    selection: str = "inner",
    processes: int = 1,
    resume: bool = False,
    fold: int | None = None,
    **settings: Any,
) -> dict[str, Any]:
    """Train every fold of a bundle, test each on its held-out cases, and report the out-of-fold predictions.

    Writes kfold/ into <output_dir>/<experiment>: kfold.md, kfold.json, oof_predictions.csv, pictures, and trained.json,
    the settings with which the folds' weights work together (--checkpoint <output_dir>/<experiment>). With the
    selection inner, another fold than the tested one chooses the epoch and the threshold, so that the figures are
    those of cases no choice has seen.

    Args:
        bundle: name of a bundle in bundles/, or its folder.
        dataset_dir: the data.
        output_dir: root of the run directories; empty: the bundle's own.
        quick_test: the small, short training of configs/quick_test.json.
        overlays: further files of the bundle's configs folder, such as cross_entropy.
        selection: inner (3 folds or more), or held_out: the tested fold itself chooses, as in the original project (it
            flatters).
        processes: folds that run at the same time, each with its share of the cores, and with a GPU of its own where
            there are enough.
        resume: go on where an earlier call with the same settings was stopped.
        fold: train and test this one alone, as a job of its own; 'python -m tools collect' makes the report when all
            are there.
        **settings: any setting of the bundle, for all folds; 'python -m tools settings BUNDLE' shows them.

    Returns:
        What kfold.json holds; of a single fold what its record holds.

    Example:
        python -m tools kfold glioma_grading_resnet50_3d --dataset_dir /data/BraTS2018 --epochs 50 --folds 5
    """
    folder = bundle_folder(bundle)
    check_settings(folder, settings, RESERVED)
    if processes < 1:
        raise ConfigError(f"--processes: {processes} must be at least 1")
    output_dir = output_dir or str(folder / "runs")
    settings = {
        "dataset_dir": dataset_dir,
        "output_dir": output_dir,
        "selection": selection,
        "publish": False,
        **settings,
    }
    settings = absolute_paths(folder, settings)
    files = ["train", *(["quick_test"] if quick_test else []), *overlays]
    count, experiment = check(folder, files, settings)
    about = {**asked_for(folder, settings), "files": files, "folds": count}
    if fold is not None:
        return single_fold(folder, about, experiment, fold, resume)
    if alone := sorted(experiment.glob(f"fold_*/{RECORD}")):
        raise ConfigError(
            f"{alone[0].parent}: was trained as a job of its own (--fold); go on so and collect them, or give another "
            "--experiment#name or --output_dir."
        )
    with alone_in(experiment, "a cross-validation"):
        record = Record.open(experiment / RECORD, about, resume)
        left = [k for k in range(count) if not record.is_done(k)]
        if len(left) < count:
            print(f"{count - len(left)} of {count} folds are done already", flush=True)
        places = Places.of_this_machine(processes, settings)
        jobs = {f"fold {k}": one_fold(folder, files, settings, experiment, k, record, places) for k in left}
        run_jobs("kfold", jobs, processes)
        report = write_report(record.evaluations(), experiment / REPORT, record.about)
        write_ensemble_settings(experiment)
        return report


def single_fold(folder: Path, about: Mapping[str, Any], experiment: Path, fold: int, resume: bool) -> dict[str, Any]:
    """Train and test one fold, with a record in its own folder, so that several jobs share an experiment.

    Args:
        folder: the bundle.
        about: what the cross-validation was asked for.
        experiment: its folder.
        fold: number of the fold.
        resume: go on where this fold was stopped.

    Returns:
        What the record holds.

    Raises:
        ConfigError: there is no such fold, or the folder belongs to a cross-validation of all folds.
    """
    if not 0 <= fold < about["folds"]:
        raise ConfigError(f"--fold: {fold}, but the folds are 0 to {about['folds'] - 1}.")
    own = experiment / f"fold_{fold}"
    if (experiment / RECORD).is_file() and not (own / RECORD).is_file():
        raise ConfigError(
            f"{experiment}: holds a cross-validation of all folds; give another --experiment#name or --output_dir."
        )
    with alone_in(own, f"fold {fold} of a cross-validation"):
        record = Record.open(own / RECORD, dict(about), resume)
        if not record.is_done(fold):
            places = Places([{}], {}, False)
            job = one_fold(folder, about["files"], about["settings"], experiment, fold, record, places)
            run_jobs("kfold", {f"fold {fold}": job})
    print(f"when all {about['folds']} folds are there: python -m tools collect {experiment}", flush=True)
    return {**record.about, "done": record.done}


def write_ensemble_settings(experiment: Path) -> None:
    """Write kfold/trained.json, the settings with which the folds' weights work together, and say how; where the folds
    have measured too different ones, say that."""
    try:
        settings = common_settings({file: trained_with(file)[0] for file in checkpoint_files(experiment)})
    except CheckpointError as error:
        print(f"the folds together: {error}")
        return
    overlay = experiment / REPORT / TRAINED
    write_json_atomic(overlay, settings)
    files = typed(f"['configs/inference.json','{overlay}']")
    members = typed(experiment)
    alone = f"python -m tools export BUNDLE --run {members}/fold_0/run_..."
    print(f"nothing is published; to export the model of one fold: {alone}")
    print(f"all folds together: python -m monai.bundle run --config_file {files} --checkpoint {members} --input DIR")


def check(folder: Path, files: list[str], settings: Mapping[str, Any]) -> tuple[int, Path]:
    """Let the preflight and the data refuse now what would fail in the middle.

    Returns:
        Number of folds, and the folder of the experiment.

    Raises:
        MedbundlesError: what they refuse.
    """
    if not (folder / "configs" / "schema.json").is_file() or "folds" not in read_config(folder, "train"):
        raise ConfigError(f"{folder.name}: is not cross-validated; it has no setting 'folds'")
    config = build(folder, files, "train", {**settings, "fold": 0})
    count = int(config.get_parsed_content("folds"))
    if count < 2:
        raise ConfigError(f"--folds: {count}, but a cross-validation needs some; give --folds 5.")
    build(folder, [*files, "evaluate"], "evaluate", {**settings, "fold": count - 1})
    config.get_parsed_content("data")["train"]  # reads all headers and makes the split
    return count, Path(settings["output_dir"]) / str(config.get_parsed_content("experiment#name"))


@dataclass
class Record:
    """What a cross-validation was asked for, and which run and evaluation each fold has; kept on disk."""

    path: Path
    about: dict[str, Any]
    done: dict[str, dict[str, Any]]

    @classmethod
    def open(cls, path: Path, about: dict[str, Any], resume: bool) -> Self:
        """A new record, or with `resume` the one that is there.

        Raises:
            ConfigError: there is one and `resume` is False; there is none; or it was asked for something else.
        """
        if path.is_file() != resume:
            raise ConfigError(
                f"{path.parent}: holds a cross-validation already; go on with it (--resume True), or give another "
                "--experiment#name or --output_dir."
                if path.is_file()
                else f"--resume: there is no cross-validation in {path.parent}; start one without --resume."
            )
        if not resume:
            return cls(path, about, {})
        content = with_settings(json.loads(path.read_text(encoding="utf-8")))
        then, now = ({**c["settings"], "files": c["files"]} for c in (content, json.loads(json.dumps(about))))
        other = [key for key in {**then, **now} if then.get(key) != now.get(key) and key not in MAY_CHANGE]
        if other:
            changed = "; ".join(
                f"{key} {then.get(key, 'not given')!r} -> {now.get(key, 'not given')!r}" for key in other
            )
            raise ConfigError(f"--resume: {path} was begun with other settings: {changed}. Give the old ones.")
        return cls(path, {**about, "command": content["command"]}, content["done"])

    def is_done(self, fold: int) -> bool:
        """Whether a fold is trained and tested."""
        return "evaluation" in self.of(fold)

    def of(self, fold: int) -> dict[str, Any]:
        """What is known of a fold: `earlier` (runs that are not ours), `run`, `evaluation`."""
        return self.done.get(str(fold), {})

    def note(self, fold: int, what: str, value: Any) -> None:
        """Keep something of a fold."""
        self.done.setdefault(str(fold), {})[what] = value
        write_json_atomic(self.path, {**self.about, "done": self.done})

    def evaluations(self) -> dict[int, Path]:
        """Fold -> run directory of its evaluation."""
        return {fold: Path(self.of(fold)["evaluation"]) for fold in sorted(map(int, self.done))}


@dataclass
class Places:
    """Where the folds run that run at the same time.

    Args:
        environments: further variables of each place that is free.
        settings: for all places.
        logs: whether each fold has its own log, because several would mix on one console.
    """

    environments: list[dict[str, str]]
    settings: dict[str, Any]
    logs: bool

    @classmethod
    def of_this_machine(cls, processes: int, settings: Mapping[str, Any]) -> Self:
        """A share of the cores for each, and the GPUs in turn; what the user sets is left alone."""
        if processes == 1:
            return cls([{}], {}, False)
        import torch

        from medbundles.cores import core_count
        from medbundles.data.batches.loader import worker_count

        share = max(1, core_count() // processes)
        environments: list[dict[str, str]] = [{} for _ in range(processes)]
        visible = os.environ.get("CUDA_VISIBLE_DEVICES") or ",".join(map(str, range(torch.cuda.device_count())))
        gpus = visible.split(",") if visible and "device" not in settings else []
        for number, environment in enumerate(environments):
            if "OMP_NUM_THREADS" not in os.environ:
                environment["OMP_NUM_THREADS"] = str(share)
            if gpus:
                environment["CUDA_VISIBLE_DEVICES"] = gpus[number % len(gpus)]
        workers = {} if "num_workers" in settings else {"num_workers": worker_count(cores=share)}
        return cls(environments, workers, True)


def one_fold(
    folder: Path,
    files: list[str],
    settings: Mapping[str, Any],
    experiment: Path,
    fold: int,
    record: Record,
    places: Places,
) -> Generator[Command, int, None]:
    """The commands that train and test a fold; what they leave is noted in the record.

    Yields:
        A command; is sent its exit code, which is 0.

    Raises:
        MedbundlesError: a command left nothing.
    """
    environment = places.environments.pop(0)
    log = experiment / f"fold_{fold}" / "kfold.log" if places.logs else None
    settings = {**settings, **places.settings, "fold": fold}
    trained = RunDirectory(str(experiment.parent), experiment.name, fold)
    tested = RunDirectory(str(experiment.parent), f"{experiment.name}/evaluation", fold)
    if "earlier" not in record.of(fold):
        record.note(fold, "earlier", [run.name for run in trained.runs()])
    earlier = record.of(fold)["earlier"]
    if "run" not in record.of(fold):
        words = bundle_command(files, {**settings, **going_on(ours(trained, earlier))})
        command = Command(words, folder, f"training of fold {fold}", log, environment)
        record.note(fold, "run", str((yield from left_by(command, trained, BEST, earlier))))
    words = with_weights([*files, "evaluate"], settings, Path(record.of(fold)["run"]))
    command = Command(words, folder, f"test of fold {fold}", log, environment)
    before = [run.name for run in tested.runs()]
    record.note(fold, "evaluation", str((yield from left_by(command, tested, TESTED, before))))
    places.environments.append(environment)
