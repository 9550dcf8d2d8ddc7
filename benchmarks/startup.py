"""The time from the command line to the first training step, against that of importing torch and MONAI alone."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.parts import FILES, Case, ratios, spread, take_turns, tell
from medbundles.errors import MedbundlesError
from tools.child import bundle_command, child_environment

ROUNDS = 5
IMPORTS = [sys.executable, "-c", "import torch, monai.bundle"]


class StopAtFirstStep:
    """A handler that ends the process, with exit code 0, when the trainer starts its first step."""

    def attach(self, engine: Any) -> None:
        """As the last of the trainer's handlers."""
        from ignite.engine import Events

        engine.add_event_handler(Events.ITERATION_STARTED, self)

    def __call__(self, engine: Any) -> None:
        raise SystemExit(0)


def measure(case: Case) -> dict[str, Any]:
    """Both commands in turn, on sample data as the verb sample-data writes it."""
    data = case.temporary / "sample"
    settings: dict[str, Any] = {"output_dir": str(case.temporary / "starts"), "publish": False, "epochs": 1}
    settings |= case.subject.start_settings
    if case.dataset_dir:
        data = Path(case.dataset_dir).resolve()
        settings |= case.subject.own_data_settings
    else:
        case.subject.sample(data)
    overlay = case.temporary / "stop_at_first_step.json"
    overlay.write_text(json.dumps({"+train#handlers": [{"_target_": "benchmarks.startup.StopAtFirstStep"}]}))
    settings = {"dataset_dir": str(data), **settings, **case.settings}
    command = bundle_command([*(f"configs/{name}.json" for name in FILES), overlay], settings)
    seconds = take_turns(
        {"imports": _Command(IMPORTS, case.folder), "training": _Command(command, case.folder)}, ROUNDS
    )
    result: dict[str, Any] = {"seconds": seconds}
    result["training_over_imports"] = ratios(seconds["training"], seconds["imports"])
    tell("import torch, monai.bundle", spread(seconds["imports"]), " s")
    tell("command to first training step", spread(seconds["training"]), " s")
    tell("first training step / imports", result["training_over_imports"])
    return result


class _Command:
    def __init__(self, command: Sequence[str], folder: Path):
        self.command, self.folder = list(command), folder

    def __call__(self, number: int) -> float:
        begin = time.perf_counter()
        done = subprocess.run(
            self.command, cwd=self.folder, env=child_environment(), capture_output=True, text=True, check=False
        )
        seconds = time.perf_counter() - begin
        if done.returncode:
            raise MedbundlesError(f"bench: startup: exit code {done.returncode}: {done.stderr.strip()[-500:]}")
        return seconds
