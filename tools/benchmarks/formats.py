"""The forms of an exported network: how large each is, how far from the network, and how long it takes on the CPU."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch

from ..bundle import read_config
from ..export.compare import Run, difference
from ..export.exported_program import read_program
from ..export.model import published
from ..export.network import Built, build_network, outputs_of
from ..export.onnx_file import read_onnx
from ..export.sizes import without_padding
from ..export.torchscript import read_torchscript
from ..import_bundle import import_bundle
from . import timing
from .bundles import MeasuredBundle

READERS: dict[str, Callable[[bytes], Run]] = {"ts": read_torchscript, "pt2": read_program, "onnx": read_onnx}
EAGER = "pt"
WARM = 3  # calls before the first that counts: TorchScript compiles in its first ones
CALLS = 5  # of one measurement


def measure(bundle: MeasuredBundle) -> dict[str, Any]:
    """One image of the trained size through each form that lies in the zip, in turns with the network itself.

    Returns:
        `size` in bytes and `difference` of each form, and what `compare_in_turns` found of a call's seconds. A table of
        it is printed.
    """
    if not bundle.exported:
        reason = "left out: it needs a zip that export wrote, --exported ZIP"
        print(reason)
        return {"skipped": reason}
    folder = import_bundle(bundle.exported, to=str(bundle.temporary / "exported"))
    model = published(folder)
    built = build_network(read_config(folder, "inference"), read_config(folder, "metadata"), model, model.source)
    files = {path.suffix[1:]: path for path in sorted((folder / "models").glob("model.*")) if path.suffix != ".json"}
    runs: dict[str, Run] = {EAGER: lambda image: outputs_of(built.network, image)}
    runs |= {form: read(files[form].read_bytes()) for form, read in READERS.items() if form in files}
    images = [built.example(without_padding(built), batch) for batch in (1, 2)]
    found = {
        "size": {form: path.stat().st_size for form, path in files.items()},
        "difference": {form: difference(run, built, images, f"model.{form}") for form, run in runs.items()},
        **timing.compare_in_turns("a call,", _timed(runs, built), EAGER, bundle.pairs),
    }
    print("\n" + "\n".join(table(found)))
    return found


def _timed(runs: dict[str, Run], built: Built) -> dict[str, Callable[[], float]]:
    image, cpu = built.example(without_padding(built)), torch.device("cpu")

    def seconds(run: Run) -> float:
        start = timing.now(cpu)
        for _ in range(CALLS):
            run(image)
        return (timing.now(cpu) - start) / CALLS

    for run in runs.values():
        for _ in range(WARM):
            run(image)
    return {form: partial(seconds, run) for form, run in runs.items()}


def table(found: dict[str, Any]) -> list[str]:
    """The rows in Markdown: MB, largest difference as a share of an output's range, ms, and the ratio to eager."""
    rows = ["| form | MB | largest difference | ms a call | / eager |", "| --- | --- | --- | --- | --- |"]
    for form, size in found["size"].items():
        cells = [f"model.{form}", f"{size / 1e6:.2f}", "", "", ""]
        if form in found["seconds"]:
            ratio = found.get(f"{form}_over_{EAGER}", {"median": 1.0, "q1": 1.0, "q3": 1.0})
            cells[2] = f"{found['difference'][form]:.1e}"
            cells[3] = f"{1e3 * timing.spread(found['seconds'][form])['median']:.1f}"
            cells[4] = "1" if form == EAGER else "{median:.2f} [{q1:.2f}, {q3:.2f}]".format(**ratio)
        rows.append(f"| {' | '.join(cells)} |")
    return rows
