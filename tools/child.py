"""Bundles run as a user would run them: `python -m monai.bundle run` in the bundle's folder."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import medbundles

GRACE = 3.0  # seconds a child gets to end by itself after Ctrl-C


def bundle_command(files: Sequence[str | Path], knobs: Mapping[str, Any]) -> list[str]:
    """The command line.

    Args:
        files: config files, merged in this order.
        knobs: id -> value; written so that MONAI reads back the same type ('2024' stays text).
    """
    names = [str(name) for name in files]
    return [
        *(sys.executable, "-m", "monai.bundle", "run", "--config_file", repr(names)),
        *(f"--{name}={value!r}" for name, value in knobs.items()),
    ]


def child_environment() -> dict[str, str]:
    """This environment, in which a child finds the same packages from any folder."""
    roots = [str(Path(medbundles.__file__).parents[1]), str(Path(__file__).resolve().parents[1])]
    here = [os.path.abspath(path) for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
    return {**os.environ, "PYTHONPATH": os.pathsep.join([*roots, *here])}


def run_child(command: Sequence[str], folder: Path) -> int:
    """Run a command in a folder, its output on this console, and wait for it.

    Returns:
        Its exit code.

    Raises:
        KeyboardInterrupt: after Ctrl-C, once the child has ended too.
        SystemExit: 143 after SIGTERM, once the child has ended too.
    """
    sys.stdout.flush()
    before = signal.signal(signal.SIGTERM, _terminated)
    child = subprocess.Popen(list(command), cwd=folder, env=child_environment())
    try:
        code = child.wait()
    except KeyboardInterrupt:  # a terminal tells the child as well; a kill of this process alone does not
        _end(child, signal.SIGINT, GRACE)
        raise
    except SystemExit:
        _end(child, signal.SIGTERM, 0.0)
        raise
    finally:
        signal.signal(signal.SIGTERM, before)
        if child.poll() is None:
            child.kill()
    if code in (128 + signal.SIGINT, -signal.SIGINT):
        raise KeyboardInterrupt
    return code


def _terminated(number: int, frame: Any) -> None:
    raise SystemExit(128 + number)


def _end(child: subprocess.Popen, number: int, grace: float) -> None:
    try:
        child.wait(grace)
    except subprocess.TimeoutExpired:
        child.send_signal(number)
        child.wait()
