"""Trains a bundle stage by stage and compares the stages."""

from collections.abc import Generator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medbundles.atomic_files import write_json_atomic, write_text_atomic
from medbundles.data.reading.files import list_images
from medbundles.errors import ConfigError
from medbundles.runs.directory import RunDirectory, run_order
from medbundles.runs.lock import alone_in

from .bundle import absolute_paths, build, bundle_folder, check_settings, read_config
from .child import Command, bundle_command
from .runs import BEST, TESTED, asked_for, going_on, left_by, only, ours, run_jobs, with_weights
from .stages_report import TITLES, compare, in_markdown, read_evaluation, to_look_at

RESERVED = {
    "init_from": "stages hands the weights on from stage to stage",
    "resume_from": "use --resume True",
    "checkpoint": "stages evaluates the best.pt of each stage",
    "checkpoint_dir": "stages looks for checkpoints/ in the run directories",
    "experiment#name": "each stage has its own name; use another --output_dir",
    "bundle_root": "give the folder as BUNDLE",
}
EVALUATED = {"validation": "val", "test": "test"}


@dataclass(frozen=True)
class Stage:
    """One stage: its key in stages.json, its config file, and the name of its experiment."""

    key: str
    file: str
    name: str

    @property
    def title(self) -> str:
        """What users read, such as "stage 1, segmentation warm-up"."""
        return TITLES[self.key]


def run(
    bundle: str,
    dataset_dir: str,
    output_dir: str = "",
    quick_test: bool = False,
    infer: bool = False,
    resume: bool = False,
    **settings: Any,
) -> dict[str, Any]:
    """Train a bundle's stages one after the other, evaluate each on validation and test, and compare them.

    Writes stages.md and stages.json into the output folder. Each stage starts from the best weights of the one before.

    Args:
        bundle: name of a bundle in bundles/, or its folder.
        dataset_dir: the prepared data.
        output_dir: root of the run directories; empty: the bundle's own.
        quick_test: the small, short training of configs/quick_test.json.
        infer: afterwards find the tumours of the test slices with the joint weights.
        resume: go on where an earlier call with the same settings and output folder was stopped.
        **settings: any setting of the bundle, for all stages; 'python -m tools settings BUNDLE' shows them.

    Returns:
        What stages.json holds.

    Example:
        python -m tools stages brain_tumor_multitask_unet --dataset_dir /data/brain2d --image_size 128 --epochs 30
    """
    folder = bundle_folder(bundle)
    check_settings(folder, settings, RESERVED)
    output_dir = output_dir or str(folder / "runs")
    settings = absolute_paths(folder, {"dataset_dir": dataset_dir, "output_dir": output_dir, **settings})
    first = ["train", "quick_test"] if quick_test else ["train"]
    stages = find_stages(folder)
    parts = check(folder, first, stages, settings)
    runs: dict[str, Path] = {}
    evaluations: dict[str, dict[str, Path]] = {part: {} for part in EVALUATED}

    def train_and_evaluate() -> Generator[Command, int, None]:
        for stage in stages:
            runs[stage.key] = yield from train(folder, first, stage, settings, list(runs.values()), resume)
        for part, where in parts.items():
            for stage in stages:
                tested = RunDirectory(settings["output_dir"], f"{stage.name}/evaluation")
                options = {**settings, **where, "experiment#name": stage.name}
                words = with_weights(["train", "evaluate"], options, runs[stage.key])
                command = Command(words, folder, f"the evaluation of {stage.title} on the {part} set")
                before = [run.name for run in tested.runs()]
                evaluations[part][stage.key] = yield from left_by(command, tested, TESTED, before)

    output = Path(settings["output_dir"])
    with alone_in(output, "a training in stages"):
        run_jobs("stages", {"stages": train_and_evaluate()})
        about = {**asked_for(folder, settings), "dataset_dir": settings["dataset_dir"], "quick_test": quick_test}
        report = about | compare(runs, evaluations)
        write_json_atomic(output / "stages.json", report)
        write_text_atomic(output / "stages.md", in_markdown(report))
        pictures: list[tuple[Path, str]] = []
        if infer:
            joint = stages[-1].key
            pictures = inference(folder, runs[joint], evaluations["test"][joint], parts["test"], settings)
    print(f"\n{in_markdown(report)}\nwritten to {output / 'stages.md'} and stages.json")
    if pictures:
        print("\nPictures to open:", *(f"  {path}   {why}" for path, why in pictures), sep="\n")
    dice = report["parts"]["test"]["phases"][stages[-1].key]["dice"]["value"]
    print(f"\nJoint Dice on the test set: {'undefined' if dice is None else f'{dice:.4f}'}", end="")
    print(" (held-out phantoms: SYNTHETIC)" if report["synthetic"] else "")
    return report


def find_stages(folder: Path) -> list[Stage]:
    """The stages of a bundle, by the names of its config files.

    Raises:
        ConfigError: there are not three of them, as the comparison needs.
    """
    files = sorted(path.stem for path in (folder / "configs").glob("stage[0-9]_*.json"))
    if len(files) != 3:
        raise ConfigError(f"{folder}: is not trained in three stages (configs/stage1_*.json to stage3_*.json)")
    return [
        Stage(key, file, read_config(folder, file)["experiment#name"]) for key, file in zip(TITLES, files, strict=True)
    ]


def check(
    folder: Path, first: list[str], stages: list[Stage], settings: Mapping[str, Any]
) -> dict[str, dict[str, Any]]:
    """Let the preflights of all that will run refuse it now, not hours later.

    Returns:
        set -> the settings that evaluate it: its folders as test_dir and kaggle_test_dir.
    """
    for stage in stages:
        config = build(
            folder, [*first, stage.file], "train", {**stage_settings(folder, stage, settings), "init_from": False}
        )
    where = {
        part: {f"{source}test_dir": config.get_parsed_content(f"{source}{short}_dir") for source in ("", "kaggle_")}
        for part, short in EVALUATED.items()
    }
    for folders in where.values():
        build(folder, ["train", "evaluate"], "evaluate", {**settings, **folders})
    return where


def stage_settings(folder: Path, stage: Stage, settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings for one stage: a source of data that a stage switches off stays off."""
    overlay = read_config(folder, stage.file)
    return {
        name: value for name, value in settings.items() if not (name.endswith("_dir") and overlay.get(name) is False)
    }


def train(
    folder: Path, first: list[str], stage: Stage, settings: Mapping[str, Any], before: list[Path], resume: bool
) -> Generator[Command, int, Path]:
    """The command of one stage, which starts from the best weights of the one before.

    Args:
        folder: the bundle.
        first: names of its config files before the stage's own.
        stage: the stage.
        settings: for all stages.
        before: run directories of the stages before.
        resume: go on with a run of this stage, if it began after the stage before.

    Returns:
        Its run directory.
    """
    runs = RunDirectory(settings["output_dir"], stage.name)
    since = [run_order(run) for run in before[-1:]] or [("", 0)]
    earlier = [run.name for run in runs.runs() if not resume or run_order(run) <= since[0]]
    options = stage_settings(folder, stage, settings)
    if before:
        options["init_from"] = str(before[-1] / BEST)
    options |= going_on(ours(runs, earlier))
    words = bundle_command([*first, stage.file], options)
    return (yield from left_by(Command(words, folder, f"{stage.title} ({stage.name})"), runs, BEST, earlier))


def inference(
    folder: Path, trained: Path, evaluation: Path, where: Mapping[str, Any], settings: Mapping[str, Any]
) -> list[tuple[Path, str]]:
    """Run the joint weights on the test slices; returns pictures worth opening, with the reason."""
    known = read_config(folder, "inference")
    options = {name: value for name, value in settings.items() if name in known and not name.endswith("_dir")}
    output = Path(settings["output_dir"]) / "inference"
    images = Path(where["test_dir"]) / "images"
    # a picture of each slice: the best and the worst one may be any
    options = {"max_pictures": len(list_images(images)), **options, "input": str(images), "output": str(output)}
    words = with_weights(["inference"], options, trained)
    run_jobs(
        "stages", {"inference": only(Command(words, folder, "inference with the joint weights on the test slices"))}
    )
    pictures = to_look_at(read_evaluation(evaluation), output / "overlays", images)
    return [*pictures, *((path, "training") for path in sorted((trained / "plots").glob("learning_curves*.png")))]
