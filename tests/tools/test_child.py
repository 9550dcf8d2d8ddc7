"""Children: their command line, exit code, packages, and that they end with their parent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tools.child import bundle_command, child_environment, run_child


def test_values_keep_their_types_on_the_command_line():
    command = bundle_command(["configs/train.json", "/a b/o.json"], {"lr": 1e-3, "tags": "2024", "amp": False})
    assert command[4:6] == ["--config_file", "['configs/train.json', '/a b/o.json']"]
    assert command[6:] == ["--lr=0.001", "--tags='2024'", "--amp=False"]


def test_a_child_finds_the_packages_from_any_folder_and_its_exit_code_comes_back(tmp_path):
    program = "import sys, pathlib, medbundles, tools; pathlib.Path('here').touch(); sys.exit(7)"
    assert run_child([sys.executable, "-c", program], tmp_path) == 7
    assert (tmp_path / "here").exists()


def test_an_interrupted_child_interrupts_the_parent(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        run_child([sys.executable, "-c", "import sys; sys.exit(130)"], tmp_path)


CHILD = """
import pathlib, signal, sys, time
def stop(number, frame):
    pathlib.Path("told").write_text(str(number))
    sys.exit(128 + number)
signal.signal(signal.SIGINT, stop)
signal.signal(signal.SIGTERM, stop)
pathlib.Path("ready").touch()
time.sleep(60)
"""
PARENT = """
import pathlib, sys
import tools.child
tools.child.GRACE = 0.1
tools.child.run_child([sys.executable, "child.py"], pathlib.Path.cwd())
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_the_parent_alone_reaches_the_child(number, tmp_path):
    (tmp_path / "child.py").write_text(CHILD)
    # a group of its own, so that only the parent gets the signal from here
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT], cwd=tmp_path, env=child_environment(), stderr=subprocess.DEVNULL,
        start_new_session=True,
    )  # fmt: skip
    _wait_for(tmp_path / "ready")
    os.kill(parent.pid, number)
    code = parent.wait(timeout=30)
    assert code in (128 + number, -number)
    assert (tmp_path / "told").read_text() == str(int(number))


def _wait_for(path: Path) -> None:
    end = time.monotonic() + 30
    while not path.exists():
        assert time.monotonic() < end
        time.sleep(0.05)
