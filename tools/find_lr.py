"""A learning-rate range test on a bundle's own training."""

import math
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from pydoc import locate
from typing import Any

from medbundles.atomic_files import replace_atomic, write_json_atomic
from medbundles.errors import MedbundlesError
from medbundles.handlers.loss_guard import NoNumberError
from medbundles.handlers.phases import phase_of

from .bundle import absolute_paths, build, bundle_folder, check_settings, plain_errors, read_config

KEPT = ("start", "load", "guard")  # phases of the handlers that make the training what it is; the others watch it
FROM_THE_START = "a learning-rate test starts from the beginning"
RESERVED = {
    "bundle_root": "give the folder as BUNDLE",
    "config_file": "name the files that follow train.json with --overlays, such as quick_test",
    "output_dir": "--out says where the result goes",
    "epochs": "--iterations says how long the test is",
    "resume": FROM_THE_START,
    "resume_from": FROM_THE_START,
}
SMOOTHING = 0.8  # weight of the past in the running mean of the loss
DIVERGED = 4.0  # times the smallest loss so far


def find_lr(
    bundle: str,
    dataset_dir: str,
    start: float = 1e-6,
    end: float = 1.0,
    iterations: int = 60,
    overlays: tuple[str, ...] = (),
    out: str = "find_lr",
    **settings: Any,
) -> dict[str, Any]:
    """Train for some iterations while the learning rate rises from start to end, and suggest one (Smith 2017).

    Network, initial weights, loss, batches, precision and clipping are those of the training; the rates of the parts
    keep their ratios to --lr. Writes OUT.png and OUT.json, and nothing else.

    Args:
        bundle: name of a bundle in bundles/, or its folder.
        dataset_dir: the prepared data.
        start: the first learning rate.
        end: the last one; the test ends earlier when the loss diverges.
        iterations: number of batches.
        overlays: config files to merge after train.json, such as quick_test,stage1_seg_warmup.
        out: path of the picture and the JSON file, without ending.
        **settings: any setting of the bundle.

    Returns:
        What the JSON file holds.

    Example:
        python -m tools find-lr brain_tumor_multitask_unet --dataset_dir /data/brain2d --overlays quick_test
    """
    if not 0 < start < end or iterations < 5:
        raise MedbundlesError("find-lr: --start must be above 0 and below --end, and --iterations at least 5")
    folder = bundle_folder(bundle)
    check_settings(folder, settings, RESERVED)
    settings = absolute_paths(folder, {"dataset_dir": dataset_dir, **settings})
    rates, losses = range_test(folder, ["train", *overlays], settings, start, end, iterations)
    result = {"bundle": folder.name, "settings": settings, "overlays": list(overlays), **suggest(rates, losses)}
    picture = Path(out).with_name(Path(out).name + ".png")
    draw(result, picture)
    write_json_atomic(picture.with_suffix(".json"), result)
    print(
        f"{len(rates)} iterations, {rates[0]:.1e} to {rates[-1]:.1e}"
        f"{' (the loss diverged)' if len(rates) < iterations else ''}\n"
        f"steepest descent:        --lr {result['steepest']:.1e}\n"
        f"a tenth of the minimum:  --lr {result['tenth_of_minimum']:.1e}\n"
        f"written to {picture} and {picture.with_suffix('.json').name}"
    )
    return result


def range_test(
    folder: Path, files: Sequence[str], settings: dict[str, Any], start: float, end: float, iterations: int
) -> tuple[list[float], list[float]]:
    """Learning rates and losses of the iterations."""
    handlers = [h for h in read_config(folder, "train")["train"]["handlers"] if phase_of(locate(h["_target_"])) in KEPT]
    parser = build(
        folder, files, "find_lr", {"epochs": 10**6, "cache": "memory", **settings, "train#handlers": handlers}
    )
    with plain_errors():
        trainer = parser.get_parsed_content("train#trainer")
        test = RangeTest(float(parser.get_parsed_content("lr")), start, end, iterations)
        test.attach(trainer)
        with suppress(NoNumberError):  # a loss that is no number ends the test as one that diverges does
            trainer.run()
    return test.rates, test.losses


class RangeTest:
    """Raises the learning rate by the same factor with each iteration, and ends the run when the loss diverges.

    MONAI's LearningRateFinder gives all parts of the network one rate, knows neither clipping nor bfloat16 on a CPU,
    and goes on with NaN; on the bundle's own trainer all is as in training.

    Args:
        lr: the setting, to which the rates of the optimizer's groups keep their ratios.
        start: first rate.
        end: last rate.
        iterations: number of rates.
    """

    def __init__(self, lr: float, start: float, end: float, iterations: int):
        self.plan = [start * (end / start) ** (i / (iterations - 1)) for i in range(iterations)]
        self.lr = lr
        self.ratios: list[float] = []
        self.rates: list[float] = []
        self.losses: list[float] = []

    def attach(self, engine: Any) -> None:
        """Wire it to the trainer."""
        from ignite.engine import Events

        self.ratios = [group["lr"] / self.lr for group in engine.optimizer.param_groups]
        engine.add_event_handler(Events.ITERATION_STARTED, self.set_rate)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self.note_loss)

    def set_rate(self, engine: Any) -> None:
        """Set this iteration's rate in all groups."""
        for group, ratio in zip(engine.optimizer.param_groups, self.ratios, strict=True):
            group["lr"] = self.plan[len(self.rates)] * ratio

    def note_loss(self, engine: Any) -> None:
        """Note the loss; end the run after the last rate, or when the loss is far above its minimum or no number."""
        loss = float(engine.state.output["loss"].detach())
        if math.isfinite(loss):
            self.rates.append(self.plan[len(self.rates)])
            self.losses.append(loss)
        recent = self.losses and smooth(self.losses)
        if not recent or not math.isfinite(loss) or len(self.rates) == len(self.plan) or diverged(recent):
            engine.terminate()


def diverged(losses: Sequence[float]) -> bool:
    """Whether the last of the smoothed losses is far above the smallest, measured from the first."""
    return losses[-1] > DIVERGED * max(abs(min(losses)), 1e-12) and losses[-1] > losses[0]


def smooth(losses: Sequence[float]) -> list[float]:
    """Exponential running mean without the bias towards 0 at its start (as in Adam)."""
    mean, smoothed = 0.0, []
    for number, loss in enumerate(losses, start=1):
        mean = SMOOTHING * mean + (1 - SMOOTHING) * loss
        smoothed.append(mean / (1 - SMOOTHING**number))
    return smoothed


def suggest(rates: Sequence[float], losses: Sequence[float]) -> dict[str, Any]:
    """The rate of the steepest descent of the smoothed loss over log(rate), and a tenth of the rate at its minimum.

    Raises:
        MedbundlesError: too few iterations before the loss was no number any more, or a loss that never falls.
    """
    if len(rates) < 5:
        raise MedbundlesError("find-lr: the loss was no number within 5 iterations; give a smaller --start")
    smoothed = smooth(losses)
    lowest = min(range(len(smoothed)), key=smoothed.__getitem__)
    wide = max(1, min(len(rates) // 20, lowest // 2))  # a slope over neighbours alone follows the noise
    slopes = [
        (smoothed[i + wide] - smoothed[i - wide]) / (math.log(rates[i + wide]) - math.log(rates[i - wide]))
        for i in range(wide, lowest - wide + 1)
    ]
    if not slopes or min(slopes) >= 0:
        raise MedbundlesError("find-lr: the loss never falls; try a smaller --start, or more --iterations")
    steepest = rates[wide + min(range(len(slopes)), key=slopes.__getitem__)]
    return {
        "rates": list(rates), "losses": list(losses), "smoothed": smoothed,
        "minimum": rates[lowest], "tenth_of_minimum": rates[lowest] / 10, "steepest": steepest,
    }  # fmt: skip


def draw(result: dict[str, Any], path: Path) -> None:
    """The losses over the rates, with the suggestions marked."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 4.5), layout="constrained")
    axes.plot(result["rates"], result["losses"], ".", color="0.7", label="loss of a batch")
    axes.plot(result["rates"], result["smoothed"], color="#0072b2", label="running mean")
    axes.axvline(result["steepest"], color="#009e73", label=f"steepest descent: {result['steepest']:.1e}")
    tenth = result["tenth_of_minimum"]
    axes.axvline(tenth, color="#d55e00", linestyle="--", label=f"a tenth of the minimum: {tenth:.1e}")
    axes.set(xscale="log", xlabel="learning rate (lr)", ylabel="training loss", title=result["bundle"])
    low, high = min(result["smoothed"]), max(result["smoothed"][0], *result["losses"][:5])
    axes.set_ylim(low - 0.1 * (high - low), high + 0.3 * (high - low))
    axes.legend()
    with replace_atomic(path) as temporary:
        figure.savefig(temporary, dpi=120)
    pyplot.close(figure)
