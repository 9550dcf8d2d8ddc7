"""Children: their command line, exit code, packages, and that they end with their parent."""

from __future__ import annotations

import inspect
import os
import signal
import subprocess
import sys
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from medbundles.errors import DataError
from tools.child import Command, bundle_command, child_environment, run_children
from tools.runs import only


def test_values_keep_their_types_on_the_command_line():
    command = bundle_command(["train", Path("/a b/o.json")], {"lr": 1e-3, "tags": "2024", "amp": False})
    assert command[4:6] == ["--config_file", "['configs/train.json', '/a b/o.json']"]
    assert command[6:] == ["--lr=0.001", "--tags='2024'", "--amp=False"]


def test_a_child_finds_the_packages_from_any_folder_and_its_exit_code_comes_back(tmp_path):
    program = "import sys, pathlib, medbundles, tools; pathlib.Path('here').touch(); sys.exit(7)"
    failed = run_children({"a": only(Command([sys.executable, "-c", program], tmp_path, "it"))})
    assert failed == ["it ended with exit code 7, see its messages above"]
    assert (tmp_path / "here").exists()


def test_an_interrupted_child_interrupts_the_parent(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        run_children({"a": only(Command([sys.executable, "-c", "import sys; sys.exit(130)"], tmp_path, "it"))})


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
import pathlib, signal, sys
import tools.child
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell starts what runs in the background without
tools.child.GRACE = 0.1
import tools.runs
command = tools.child.Command([sys.executable, "child.py"], pathlib.Path.cwd(), "it")
tools.child.run_children({"a": tools.runs.only(command)})
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


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not tell a child that its parent was killed")
def test_a_child_ends_when_its_parent_is_killed(tmp_path):
    (tmp_path / "child.py").write_text(CHILD)
    parent = subprocess.Popen([sys.executable, "-c", PARENT], cwd=tmp_path, env=child_environment())
    _wait_for(tmp_path / "ready")
    parent.kill()
    parent.wait(timeout=30)
    _wait_for(tmp_path / "told")
    assert (tmp_path / "told").read_text() == str(int(signal.SIGTERM))


def _wait_for(path: Path) -> None:
    end = time.monotonic() + 30
    while not path.exists():
        assert time.monotonic() < end
        time.sleep(0.05)


JOBS_PARENT = """
import pathlib, signal, sys
import tools.child
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell starts what runs in the background without
tools.child.GRACE = 0.1
def job(name):
    folder = pathlib.Path.cwd() / name
    folder.mkdir()
    yield tools.child.Command([sys.executable, str(pathlib.Path.cwd() / "child.py")], folder, name, folder / "log")
tools.child.run_children({name: job(name) for name in "abc"}, 2)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_all_children_and_starts_no_more(number, tmp_path):
    (tmp_path / "child.py").write_text(CHILD)
    parent = subprocess.Popen(
        [sys.executable, "-c", JOBS_PARENT], cwd=tmp_path, env=child_environment(), stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    for name in "ab":
        _wait_for(tmp_path / name / "ready")
    os.kill(parent.pid, number)
    code = parent.wait(timeout=30)
    assert code in (128 + number, -number)
    assert [(tmp_path / name / "told").read_text() for name in "ab"] == [str(int(number))] * 2
    assert not (tmp_path / "c").exists()


def program(text: str, folder: Path, what: str, **more: Any) -> Command:
    return Command([sys.executable, "-S", "-E", "-c", text], folder, what, **more)


def test_the_commands_of_a_job_follow_one_another_and_see_its_variables(tmp_path):
    order = []

    def job(name: str) -> Generator[Command, int, None]:
        order.append(f"{name} 1")
        text = "import os, pathlib; pathlib.Path('a').write_text(os.environ['COLOUR'])"
        code = yield program(text, tmp_path, name, environment={"COLOUR": "blue"})
        order.append(f"{name} 2 after {code} {(tmp_path / 'a').read_text()}")
        yield program("print('said')", tmp_path, name, log=tmp_path / "logs" / "b.log")

    assert run_children({"x": job("x"), "y": job("y")}) == []
    assert order == ["x 1", "x 2 after 0 blue", "y 1", "y 2 after 0 blue"]
    assert (tmp_path / "logs" / "b.log").read_text() == "said\nsaid\n"  # appended to


def test_a_failure_starts_no_more_and_lets_the_others_end(tmp_path):
    def fails() -> Generator[Command, int, None]:
        yield program("raise SystemExit(3)", tmp_path, "the first", log=tmp_path / "log")
        raise AssertionError("goes on after a failure")

    def refuses() -> Generator[Command, int, None]:
        yield program("pass", tmp_path, "the second")
        raise DataError("the second left nothing")

    def goes_on() -> Generator[Command, int, None]:
        for number in range(2):
            yield program(f"import time; time.sleep(0.5); open('{number}', 'w')", tmp_path, "the third")

    jobs = {"a": fails(), "b": refuses(), "c": goes_on(), "d": goes_on()}
    failed = run_children(jobs, at_once=3)
    assert sorted(failed) == [
        f"the first ended with exit code 3; its output is in {tmp_path / 'log'}", "the second left nothing"
    ]  # fmt: skip
    assert (tmp_path / "1").exists()
    assert inspect.getgeneratorstate(jobs["d"]) == inspect.GEN_CREATED


def test_of_a_log_the_last_epoch_is_shown(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("tools.child.SHOWN_EVERY", 0.1)

    def job() -> Generator[Command, int, None]:
        lines = ["Epoch 1/2", "Val   - Auc: 0.5", "Epoch 2/2", "Train - Loss: 1", "Val   - Auc: 0.75", "saved best.pt"]
        text = f"import time; print(*{lines}, sep='\\n', flush=True); time.sleep(1)"
        yield program(text, tmp_path, "it", log=tmp_path / "log")

    assert run_children({"fold 0": job()}) == []
    assert capsys.readouterr().out.splitlines().count("fold 0: Epoch 2/2; Val   - Auc: 0.75") == 1
