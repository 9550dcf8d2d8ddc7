"""What the ladder's tests share: the bundles, their tiny data, and MONAI's command line."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from medbundles.preflight.workflow import own_values

BUNDLES = Path(__file__).parents[2] / "bundles"
ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore", "PYTHONUNBUFFERED": "1"}


Settings = dict[str, Any]


@dataclass(frozen=True)
class Bundle:
    """A bundle, and what differs between the bundles on the ladder.

    Args:
        name: its folder's name, and perhaps a word in brackets that tells two of the same bundle apart.
        make_data: writes tiny data to a folder, other data with another seed, and to its neighbour "new" what inference
            is tried on.
        tiny: settings of every training that make it small.
        hard: further settings of the trainings that are stopped.
        split: settings that an evaluation needs to find the same cases.
        two: further settings of a training on two processes.
        logged: some of what metrics.json holds of each epoch.
        said: some of what the log says.
        left: all that a run of three epochs leaves, but the event file.
        inputs: names of what inference is tried on.
        pictures: what inference leaves of each, with {} for the name.
        tables: what inference leaves of all.
        drawn: a plot that an evaluation leaves.
        of_inputs: settings that an inference needs to read the inputs.
        mistakes: the settings of each mistake, and what the answer must say.
    """

    name: str
    make_data: Callable[..., None]
    tiny: Settings
    hard: Settings
    split: Settings
    two: Settings
    logged: frozenset[str]
    said: tuple[str, ...]
    left: frozenset[str]
    inputs: tuple[str, ...]
    pictures: tuple[str, ...]
    mistakes: dict[str, tuple[Settings, str]]
    tables: tuple[str, ...] = ("predictions.csv", "predictions.json")
    drawn: str = "confusion_matrix.png"
    of_inputs: Settings = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        return BUNDLES / self.name.partition(" (")[0]

    @property
    def tiny_inference(self) -> Settings:
        """Those of the tiny settings that inference has, too."""
        own = own_values(self.folder / "configs/inference.json")
        return {name: value for name, value in self.tiny.items() if name in own} | self.of_inputs

    def data(self, root: Path) -> Path:
        """Its tiny data below a folder; made once."""
        folder = root / self.name / "data"
        if not folder.exists():
            folder.parent.mkdir(parents=True)
            self.make_data(folder)
        return folder

    def places(self, data: Path, root: Path) -> Settings:
        """Where the data are and where runs go; all runs share what is cached of the data."""
        return {"dataset_dir": data, "output_dir": root, "cache_dir": data.with_name("cache")}


def flags(settings: dict[str, Any]) -> list[str]:
    """Settings as MONAI's command line takes them."""
    return [part for name, value in settings.items() for part in (f"--{name}", str(value))]


def command(configs: list[str], settings: dict[str, Any], processes: int = 1) -> list[str]:
    """`python -m monai.bundle run ...`, under torchrun for more than one process."""
    start = [sys.executable, "-m", "monai.bundle"]
    if processes > 1:
        torchrun = ["torch.distributed.run", "--standalone", "--nproc_per_node", str(processes)]
        start = [sys.executable, "-m", *torchrun, "-m", "monai.bundle"]
    files = ",".join(f"'{c if '/' in c else f'configs/{c}.json'}'" for c in configs)
    return [*start, "run", "--config_file", f"[{files}]", *flags(settings)]


def run(
    bundle: Bundle, configs: list[str], settings: dict[str, Any], processes: int = 1, expect: int = 0
) -> subprocess.CompletedProcess[str]:
    """Run a bundle to its end in its folder, and check the exit code."""
    done = subprocess.run(
        command(configs, settings, processes),
        cwd=bundle.folder,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == expect, done.stdout[-3000:] + done.stderr[-9000:]
    return done


def run_until(bundle: Bundle, configs: list[str], settings: dict[str, Any], line: str, wait: float, number: int) -> int:
    """Run a bundle, wait for a line of its output and then some seconds, send a signal; gives the exit code."""
    process = subprocess.Popen(
        command(configs, settings), cwd=bundle.folder, env=ENVIRONMENT,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, start_new_session=True,
    )  # fmt: skip
    assert process.stdout is not None
    seen = []
    for text in process.stdout:
        seen.append(text)
        if line in text:
            break
    else:
        raise AssertionError("".join(seen)[-3000:])
    time.sleep(wait)
    if number == signal.SIGKILL:  # the workers too, as when a machine is switched off
        os.killpg(process.pid, number)
    else:
        process.send_signal(number)
    process.communicate(timeout=60)
    return process.returncode


def copied(bundle: Bundle, folder: Path) -> Path:
    """A copy of a bundle in a folder, without weights, runs and data."""
    ignored = shutil.ignore_patterns("models", "runs", "data")
    return Path(shutil.copytree(bundle.folder, folder / bundle.name, ignore=ignored))


def newest(folder: Path, name: str) -> Path:
    """The newest file of this name below a folder."""
    return max(folder.rglob(name), key=_time)


def _time(path: Path) -> float:
    return path.stat().st_mtime


def differences(a: Any, b: Any, ignored: tuple[str, ...], path: str = "") -> list[str]:
    """Where two nested states differ in any bit; entries of an ignored name are left out."""
    if isinstance(a, dict) and isinstance(b, dict):
        names = [n for n in {**a, **b} if n not in ignored]
        missing = [f"{path}/{n}" for n in names if (n in a) != (n in b)]
        return missing + [
            d for n in names if n in a and n in b for d in differences(a[n], b[n], ignored, f"{path}/{n}")
        ]
    if isinstance(a, (list, tuple)) and isinstance(b, (list, tuple)) and len(a) == len(b):
        return [d for i, (x, y) in enumerate(zip(a, b, strict=True)) for d in differences(x, y, ignored, f"{path}/{i}")]
    if isinstance(a, torch.Tensor) and isinstance(b, torch.Tensor):
        return [] if torch.equal(a, b) else [path]
    return [] if a == b or (a != a and b != b) else [f"{path}: {a!r} {b!r}"]
