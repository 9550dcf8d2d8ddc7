from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time

import pytest
from ignite.engine import Engine

from medbundles.handlers import Interrupts
from medbundles.runs import RunDirectory

RUN = """
import logging, sys, time
from ignite.engine import Engine, Events
from medbundles.handlers import Interrupts
from medbundles.runs import RunDirectory
from medbundles.runs.files import write_text_atomic

logging.basicConfig(level=logging.INFO, stream=sys.stdout)
logging.getLogger("ignite").setLevel(logging.CRITICAL)

def step(engine, batch):
    if engine.state.epoch == 2:
        print("ready", flush=True)
        for _ in range(600):  # one long iteration
            time.sleep(0.05)

run_dir = RunDirectory(sys.argv[1], "exp")
engine = Engine(step)
Interrupts(run_dir).attach(engine)
engine.on(Events.STARTED)(lambda: run_dir.start())
if sys.argv[2] == "saves":
    engine.on(Events.EPOCH_COMPLETED)(lambda: write_text_atomic(run_dir.folder("checkpoints") / "last.pt", "epoch 1"))
engine.run([0], max_epochs=3)
"""


@pytest.mark.parametrize(
    ("number", "code", "saves"), [(signal.SIGINT, 130, "saves"), (signal.SIGTERM, 143, "saves not")]
)
def test_a_signal_ends_the_run_at_once_with_its_exit_code_and_where_to_go_on(tmp_path, number, code, saves):
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", RUN, str(tmp_path), saves],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert "ready" in iter(process.stdout.readline, "ready\n") or True
    start = time.monotonic()
    process.send_signal(number)
    out, err = process.communicate(timeout=20)
    assert process.returncode == code
    assert time.monotonic() - start < 10
    assert err == ""
    assert f"{signal.Signals(number).name}: stopped in epoch 2." in out
    if saves == "saves":
        assert "last.pt holds the last completed epoch; go on with --resume True." in out
    else:
        assert "No epoch was completed in " in out


@pytest.mark.parametrize("ends_by", [None, ValueError, SystemExit])
def test_the_host_gets_its_signals_back_however_the_run_ends(tmp_path, ends_by):
    def step(engine, batch):
        assert signal.getsignal(signal.SIGTERM) == interrupts.stop
        if ends_by:
            raise ends_by("x")

    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    interrupts = Interrupts(RunDirectory(str(tmp_path), "exp"))
    engine = Engine(step)
    interrupts.attach(engine)
    if ends_by:
        with pytest.raises(ends_by):
            engine.run([0])
    else:
        engine.run([0])
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def test_outside_the_main_thread_the_host_deals_with_signals(tmp_path):
    engine, done = Engine(lambda *_: None), []
    Interrupts(RunDirectory(str(tmp_path), "exp")).attach(engine)
    thread = threading.Thread(target=lambda: done.append(engine.run([0])))
    thread.start()
    thread.join(10)
    assert done


def test_before_the_run_has_a_folder_nothing_was_written(tmp_path):
    assert Interrupts(RunDirectory(str(tmp_path), "exp")).advice() == "Nothing was written."
