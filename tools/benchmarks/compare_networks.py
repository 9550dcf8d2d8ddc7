"""Every network of the segmentation bundle trained for the same time on one split, and tested: one table."""

import json
import os
import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from medbundles.atomic_files import write_json_atomic, write_text_atomic
from medbundles.errors import MedbundlesError
from medbundles.reports.tables import markdown_table, with_interval

from ..bundle import absolute_paths, bundle_folder, check_settings, read_config
from ..child import Command, bundle_command, run_children
from ..runs import only as alone

BUNDLE = "medical_segmentation"
PROBED = 2  # epochs, the last of which says how many there is time for
WARM_UP = 0.1  # of the epochs, for the networks whose overlay has a warm-up
# narrow enough for some tens of epochs in ten minutes on two cores, with rates for so few steps
NARROW: dict[str, dict[str, Any]] = {
    "unet": {"network_def#base_channels": 16, "lr": 1e-3},
    "vnet": {"network_def#base_channels": 8, "lr": 1e-3},
    "segresnet": {"network_def#base_channels": 16, "lr": 1e-3},
    "deeplabv3plus": {"network_def#encoder": "resnet18"},
    "transunet": {"network_def#layers": 4, "network_def#hidden": 192, "network_def#heads": 6, "lr": 1e-3},
    "unetr": {"network_def#layers": 6, "network_def#hidden": 192, "network_def#heads": 6, "lr": 1e-3},
    "swin_unetr": {"network_def#embed_dim": 24, "lr": 1e-3},
}
PARAMETERS = re.compile(r"network: \w+ with ([\d,]+) parameters")
HEADER = ("network", "parameters", "epochs", "s per epoch", "peak memory", "validation Dice", "test Dice",
          "over one mask for all", "over a logistic regression")  # fmt: skip


def compare_networks(
    dataset_dir: str, output_dir: str, minutes: float = 10.0, only: tuple[str, ...] = (), **settings: Any
) -> list[dict[str, Any]]:
    """Train each network of medical_segmentation for the same time, test it, and write networks.md and networks.json.

    The time is that of the whole training, its start included; how many epochs fit is estimated from a training of two.
    Each network has its overlay (net_<name>.json) with a narrower width, a rate for few steps, and a warm-up of a tenth
    of the epochs where the overlay has one; none stops early. All see the same split with the same seed; the test part
    is only tested.

    Args:
        dataset_dir: the data.
        output_dir: runs, logs and the table.
        minutes: of each training.
        only: names of networks; empty: all.
        **settings: any setting of the bundle, for all networks, such as those that the data need.

    Returns:
        A dict for each network: its name, settings, parameters, epochs, seconds_per_epoch, minutes, peak_bytes,
        val_dice, and the metrics of the test part.

    Example:
        python -m tools compare-networks --dataset_dir /data/xrays --output_dir /tmp/networks --image_size 128
    """
    folder, target = bundle_folder(BUNDLE), Path(output_dir).resolve()
    unknown = sorted(set(only) - set(NARROW))
    if unknown or minutes <= 0:
        raise MedbundlesError(f"compare-networks: --only is of {', '.join(NARROW)}, and --minutes is above 0")
    reserved = {"epochs": "follows from --minutes", "network_def#name": "use --only"}
    check_settings(folder, settings, reserved)
    given = {"early_stopping#enabled": False, **settings, "dataset_dir": dataset_dir}  # the same time for all
    common = {**absolute_paths(folder, given), "publish": False}
    rows = []
    for name in only or NARROW:
        rows.append(_trained_and_tested(name, folder, target, minutes, common))
        write_json_atomic(target / "networks.json", rows)
        write_text_atomic(target / "networks.md", _table(rows, minutes))
    print((target / "networks.md").read_text())
    return rows


def _trained_and_tested(
    name: str, folder: Path, target: Path, minutes: float, common: Mapping[str, Any]
) -> dict[str, Any]:
    files, own = ["train", f"net_{name}"], {**NARROW[name], **common}
    warm_up = "scheduler#warmup_epochs"
    has_warm_up = read_config(folder, f"net_{name}").get(warm_up)

    def train(what: str, epochs: int) -> tuple[Path, float]:
        of_epochs = {"epochs": epochs, warm_up: int(epochs * WARM_UP) if has_warm_up else 0}
        begin = time.monotonic()
        run = _run(folder, files, {**own, **of_epochs}, target / name / what)
        return run, time.monotonic() - begin

    probe, seconds = train("probe", PROBED)
    history = _read(probe / "metrics" / "metrics.json")["epochs"]
    each = history[-1]["epoch_seconds"]
    start = seconds - sum(epoch["epoch_seconds"] for epoch in history)
    epochs = max(1, int((60 * minutes - start) / each))
    print(f"{name}: {each:.1f} s per epoch and {start:.0f} s around them, so {epochs} epochs", flush=True)
    run, seconds = train("training", epochs)
    trained = [*files, "evaluate", run / "checkpoints" / "trained.json"]
    checkpoint = {**common, "checkpoint": str(run / "checkpoints" / "best.pt")}
    test = _run(folder, trained, checkpoint, target / name / "test")
    summary = _read(run / "metrics" / "metrics.json")["summary"]
    tested = _read(test / "metrics" / "test_metrics.json")["metrics"]
    found = PARAMETERS.search((target / name / "training" / "log.txt").read_text(encoding="utf-8"))
    return {
        "name": name,
        "settings": own,
        "parameters": int(found[1].replace(",", "")) if found else None,
        "epochs": epochs,
        "seconds_per_epoch": summary["seconds_per_epoch"],
        "minutes": seconds / 60,
        "peak_bytes": summary["most_memory"],
        "val_dice": summary["best_value"],
        "metrics": tested,
    }


def _run(folder: Path, files: list[Any], settings: Mapping[str, Any], target: Path) -> Path:
    """The run directory of a bundle's run.

    Raises:
        MedbundlesError: it failed; names its log.
    """
    target.mkdir(parents=True, exist_ok=True)
    log = target / "log.txt"
    log.unlink(missing_ok=True)  # of an earlier comparison
    words = bundle_command(files, {**settings, "output_dir": str(target)})
    command = Command(words, folder, f"{target.parent.name}, {target.name}", log)
    if run_children({command.what: alone(command)}):
        last = log.read_text(encoding="utf-8").rstrip().rpartition("\n")[2]
        raise MedbundlesError(f"compare-networks: a run ended with '{last}'; its output is in {log}")
    return max(target.glob("**/metrics"), key=os.path.getmtime).parent


def _read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8"))


def _table(rows: list[dict[str, Any]], minutes: float) -> str:
    lines = [
        [
            f"`{row['name']}` ({_widths(row['settings'])})",
            f"{row['parameters'] / 1e6:.2f} M",
            row["epochs"],
            f"{row['seconds_per_epoch']:.1f}",
            "-" if row["peak_bytes"] is None else f"{row['peak_bytes'] / 1e9:.1f} GB",
            f"{row['val_dice']:.3f}",
            *(
                with_interval(row["metrics"][key], 3) if key in row["metrics"] else "-"
                for key in ("dice", "dice_over_constant", "dice_over_logistic")
            ),
        ]
        for row in rows
    ]
    title = f"Each network trained for {minutes:g} minutes on the same split, with one seed; tested on the test part.\n"
    return "\n".join([title, *markdown_table(HEADER, lines), ""])


def _widths(settings: Mapping[str, Any]) -> str:
    return ", ".join(f"{key.partition('#')[2]} {settings[key]}" for key in settings if key.startswith("network_def#"))
