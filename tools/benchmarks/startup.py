"""The time from the command line to the first training step, against that of importing torch and MONAI alone."""

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from ignite.engine import Engine, Events

from medbundles.errors import MedbundlesError

from ..child import bundle_command, child_environment
from .bundles import FILES, MeasuredBundle
from .timing import compare_in_turns

ROUNDS = 5
IMPORTS = [sys.executable, "-c", "import torch, monai.bundle"]


class StopAtFirstStep:
    """A handler that ends the process, with exit code 0, when the trainer starts its first step."""

    def attach(self, engine: Engine) -> None:
        """As the last of the trainer's handlers."""
        engine.add_event_handler(Events.ITERATION_STARTED, lambda: sys.exit(0))


def measure(bundle: MeasuredBundle) -> dict[str, Any]:
    """Both commands in turn, on sample data as the verb sample-data writes it."""
    data = bundle.dataset_dir or str(bundle.temporary / "sample")
    if not bundle.dataset_dir:
        bundle.write_sample(Path(data))
    overlay = bundle.temporary / "stop_at_first_step.json"
    overlay.write_text(json.dumps({"+train#handlers": [{"_target_": f"{__name__}.{StopAtFirstStep.__name__}"}]}))
    settings = {"output_dir": str(bundle.temporary / "starts"), "publish": False, "epochs": 1, "dataset_dir": data}
    settings |= {**bundle.start_settings, **(bundle.own_data_settings if bundle.dataset_dir else {}), **bundle.settings}
    training = bundle_command([*FILES, overlay], settings)
    commands = {"imports": IMPORTS, "training": training}
    print("imports: import torch, monai.bundle; training: from the command line to the first training step")
    measures = {name: partial(_run, words, bundle.folder) for name, words in commands.items()}
    return compare_in_turns("command,", measures, "imports", ROUNDS)


def _run(words: Sequence[str], folder: Path) -> float:
    """Seconds of a command."""
    begin = time.perf_counter()
    done = subprocess.run(words, cwd=folder, env=child_environment(), capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - begin
    if done.returncode:
        raise MedbundlesError(f"bench: startup: exit code {done.returncode}: {done.stderr.strip()[-500:]}")
    return seconds
