"""Each network that segments: what bfloat16 and channels-last weights make of a step and of its memory."""

import copy
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from statistics import median
from typing import Any

from medbundles.inferers import AutocastInferer
from medbundles.networks.memory_format import is_channels_last
from medbundles.networks.segmentation_network import NETWORKS, takes

from ..phantoms.organs import make_organs
from .bundles import MeasuredBundle
from .memory import peak_memory
from .timing import compare_in_turns
from .training import Training

FORMATS = {"": False, " channels-last": True}
PRECISIONS = {"float32": False, "bfloat16": True}
BASELINE = "float32"
# the sides are those that all networks take: swin_unetr needs one above 32, transunet and unetr multiples of 16
SIZES: dict[int, dict[str, Any]] = {
    2: {"image_size": 128, "batch_size": 4},
    3: {"image_size": [64, 64, 32], "batch_size": 2},
}
BATCHES = 2  # of an epoch
COLUMNS = (
    "network", "parameters", "float32, s", "float32 channels-last", "bfloat16", "bfloat16 channels-last",
    "auto is", "auto / fastest", "peak of memory float32, MiB", "bfloat16",
)  # fmt: skip


def measure(bundle: MeasuredBundle) -> dict[str, Any]:
    """A step of each network as configs/net_<name>.json has it, in 2D and where it can in 3D.

    Mixed precision and channels-last weights, on and off, are taken in turns on the same batches. `--spatial_dims` and
    `--network_def#name` choose one; other settings go to each network that has them.

    Returns:
        For each network what `compare_in_turns` found, its number of parameters, the choice of `auto`, how many times
        as long as the fastest that takes, and the peak of memory with each precision. A table of it is printed.
    """
    found = {}
    for name, dims in _chosen(bundle.settings):
        print(f"\n{name}, {dims}D", flush=True)
        found[f"{name} {dims}D"] = _network(bundle, name, dims)
    print("\n" + "\n".join(table(found)))
    return found


def _chosen(settings: Any) -> Iterator[tuple[str, int]]:
    for dims in SIZES:
        for name in NETWORKS:
            possible = dims == 2 or "spatial_dims" in takes(name)
            asked = settings.get("network_def#name", name) == name and settings.get("spatial_dims", dims) == dims
            if possible and asked:
                yield name, dims


def _network(bundle: MeasuredBundle, name: str, dims: int) -> dict[str, Any]:
    own = takes(name)
    given = {
        key: value
        for key, value in bundle.settings.items()
        if not key.startswith("network_def#") or key == "network_def#name" or key.partition("#")[2] in own
    }
    settings = {**SIZES[dims], **given, "spatial_dims": dims}
    data = bundle.temporary / f"organs_{dims}d"
    if not data.exists():
        make_organs(data, scans=-(-BATCHES * settings["batch_size"] * 5 // 4), size=64 * (4 - dims), dims=dims)
    files = ("train", f"net_{name}")
    one = replace(bundle, files=files, settings=settings, dataset_dir=str(data))
    trainings = {
        f"{precision}{order}": _with_precision(training, mixed)
        for order, last in FORMATS.items()
        for training in [one.training({"channels_last": last, "amp": False})]
        for precision, mixed in PRECISIONS.items()
    }
    batches = trainings[BASELINE].batches()
    epochs = {variant: partial(training.epoch, batches) for variant, training in trainings.items()}
    result = compare_in_turns("epoch of steps,", epochs, BASELINE, bundle.pairs)
    result["batches"] = len(batches)
    result["parameters"] = sum(p.numel() for p in trainings[BASELINE].network.parameters())
    del trainings, epochs
    chosen = one.training({"channels_last": "auto", "amp": "auto"})
    precision = list(PRECISIONS)[chosen.inferer.amp]
    result["auto"] = precision + list(FORMATS)[is_channels_last(chosen.network)]
    medians = {variant: median(seconds) for variant, seconds in result["seconds"].items()}
    result["auto_over_fastest"] = medians[result["auto"]] / min(medians.values())
    del chosen
    result["peak_memory"] = {
        precision: peak_memory(partial(one.training, {"amp": mixed, "channels_last": "auto", "cache": "none"}))
        for precision, mixed in PRECISIONS.items()
    }
    return result


def _with_precision(training: Training, mixed: bool) -> Training:
    """The same network and optimizer in another precision: so large networks are in memory once for each order."""
    other = copy.copy(training)
    other.inferer = AutocastInferer(mixed, training.device)
    other.set_precision()
    return other


def table(found: dict[str, dict[str, Any]]) -> list[str]:
    """The lines of the table in docs/time-and-memory.md; ratios are to float32 in the usual order of axes."""
    lines = [f"| {' | '.join(COLUMNS)} |", "|" + " --- |" * len(COLUMNS)]
    for name, of in found.items():
        seconds = median(of["seconds"][BASELINE]) / of["batches"]
        ratios = [f"{of[f'{variant}_over_{BASELINE}']['median']:.2f}" for variant in COLUMNS[3:6]]
        peaks = ["not known" if peak is None else f"{peak / 2**20:.0f}" for peak in of["peak_memory"].values()]
        auto = [of["auto"], f"{of['auto_over_fastest']:.2f}"]
        cells = [name, f"{of['parameters'] / 1e6:.1f} M", f"{seconds:.2f}", *ratios, *auto, *peaks]
        lines.append(f"| {' | '.join(cells)} |")
    return lines
