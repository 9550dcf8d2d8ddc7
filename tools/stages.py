"""Trains a bundle stage by stage and compares the stages."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medbundles.atomic_files import write_json_atomic, write_text_atomic
from medbundles.errors import ConfigError, MedbundlesError
from medbundles.runs.directory import RunDirectory, run_order
from tools.bundle import absolute_paths, build, bundle_folder, check_settings, read_config
from tools.child import bundle_command, run_child
from tools.runs import BEST, asked_for, going_on, newest_with
from tools.stages_report import TITLES, compare, in_markdown, read_evaluation, to_look_at

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
    for stage in stages:
        title(f"{stage.title} ({stage.name})")
        runs[stage.key] = train(folder, [*first, stage.file], stage, settings, list(runs.values()), resume)
    evaluations: dict[str, dict[str, Path]] = {part: {} for part in EVALUATED}
    for part, where in parts.items():
        for stage in stages:
            title(f"{stage.title}, on the {part} set")
            evaluations[part][stage.key] = evaluate(folder, stage, runs[stage.key], {**settings, **where})
    about = {**asked_for(folder, settings), "dataset_dir": settings["dataset_dir"], "quick_test": quick_test}
    report = about | compare(runs, evaluations)
    output = Path(settings["output_dir"])
    write_json_atomic(output / "stages.json", report)
    write_text_atomic(output / "stages.md", in_markdown(report))
    pictures: list[tuple[Path, str]] = []
    if infer:
        title("Inference with the joint weights on the test slices")
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
    folder: Path, files: list[str], stage: Stage, settings: Mapping[str, Any], earlier: list[Path], resume: bool
) -> Path:
    """Run one stage.

    Args:
        folder: the bundle.
        files: names of its config files.
        stage: the stage.
        settings: for all stages.
        earlier: run directories of the stages before.
        resume: go on with a run of this stage, if it began after the stage before.

    Returns:
        Its run directory.

    Raises:
        MedbundlesError: it failed.
    """
    experiment = RunDirectory(settings["output_dir"], stage.name)
    before = experiment.runs()
    begun = [run for run in before if resume and (not earlier or run_order(run) > run_order(earlier[-1]))]
    resumed = going_on(begun)
    options = stage_settings(folder, stage, settings) | resumed
    if earlier and not resumed:
        options["init_from"] = str(earlier[-1] / BEST)
    what = f"{stage.title} ({stage.name})"
    start(folder, files, options, what)
    made = [run for run in experiment.runs() if run not in before]
    if resumed:
        made = [Path(resumed["resume_from"]).parents[1]]
    return newest_with(made, BEST, f"stages: {what}")


def evaluate(folder: Path, stage: Stage, trained: Path, settings: Mapping[str, Any]) -> Path:
    """Evaluate the best weights of a stage on the set that the settings name; returns its run directory."""
    experiment = RunDirectory(settings["output_dir"], f"{stage.name}/evaluation")
    before = experiment.runs()
    weights = trained / "checkpoints"
    options = {**settings, "experiment#name": stage.name, "checkpoint": str(weights / "best.pt")}
    what = f"the evaluation of {stage.title}"
    start(folder, ["train", "evaluate", weights / "trained.json"], options, what)
    made = [run for run in experiment.runs() if run not in before]
    return newest_with(made, "metrics/test_metrics.json", f"stages: {what}")


def inference(
    folder: Path, trained: Path, evaluation: Path, where: Mapping[str, Any], settings: Mapping[str, Any]
) -> list[tuple[Path, str]]:
    """Run the joint weights on the test slices; returns pictures worth opening, with the reason."""
    weights = trained / "checkpoints"
    known = read_config(folder, "inference")
    options = {name: value for name, value in settings.items() if name in known and not name.endswith("_dir")}
    output = Path(settings["output_dir"]) / "inference"
    images = Path(where["test_dir"]) / "images"
    options |= {"input": str(images), "output": str(output), "checkpoint": str(weights / "best.pt")}
    start(folder, ["inference", weights / "trained.json"], options, "inference")
    pictures = to_look_at(read_evaluation(evaluation), output / "overlays", images)
    return [*pictures, *((path, "training") for path in sorted((trained / "plots").glob("learning_curves*.png")))]


def start(folder: Path, files: list[Any], settings: Mapping[str, Any], what: str) -> None:
    """Run a bundle in a child process.

    Raises:
        MedbundlesError: it failed; what was wrong stands above on the console.
    """
    names = [name if isinstance(name, Path) else f"configs/{name}.json" for name in files]
    code = run_child(bundle_command(names, settings), folder)
    if code:
        raise MedbundlesError(
            f"stages: {what} ended with exit code {code}; see its messages above. What is done is kept: mend it and "
            "give the same command with --resume True."
        )


def title(text: str) -> None:
    """A line that says what is done now."""
    print(f"\n=== {text} ===", flush=True)
