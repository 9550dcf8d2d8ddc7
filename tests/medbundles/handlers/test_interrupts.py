from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import threading
import time

import pytest
from ignite.engine import Engine, Events

from medbundles import handlers
from medbundles.atomic_files import write_text_atomic
from medbundles.handlers import Interrupts, Run
from medbundles.runs import RunDirectory
from tests.medbundles.handlers.sharing import share

# what the run waits for when the signals come, the line after which they come, the signals, the exit code
CASES = {
    "iteration": ("ready 4", [signal.SIGINT], 130),
    "cache": ("ready 0", [signal.SIGTERM], 143),
    "for ever": ("ready 4", [signal.SIGTERM, signal.SIGINT], 130),
}


def child(folder, waits):
    """A run of three epochs of three iterations, in its own process; what it says goes to `folder`/out."""
    os.dup2(os.open(folder / "out", os.O_CREAT | os.O_WRONLY | os.O_APPEND), 1)
    os.dup2(1, 2)
    logging.getLogger("ignite").setLevel(logging.CRITICAL)
    handlers.interrupts.logger.warning = lambda text, *values: say(text % values)

    def say(text):
        os.write(1, text.encode() + b"\n")

    def wait(engine, seconds):
        say(f"ready {engine.state.iteration}")
        time.sleep(seconds)

    def step(engine, batch):
        if engine.state.epoch == 2:
            wait(engine, 0.6 if waits == "iteration" else 100)
            say(f"done {engine.state.iteration}")

    run_dir = RunDirectory(str(folder), "exp")
    engine = Engine(step)
    share(engine, run_dir, Engine(step))
    Interrupts().attach(engine)
    engine.add_event_handler(Events.STARTED, lambda engine: run_dir.start())
    engine.add_event_handler(Events.EPOCH_STARTED(once=1), wait, 100 if waits == "cache" else 0)
    engine.add_event_handler(
        Events.EPOCH_COMPLETED, lambda engine: write_text_atomic(run_dir.folder("checkpoints") / "last.pt", "")
    )
    engine.run([0] * 3, max_epochs=3)


@pytest.fixture(scope="module")
def stopped(tmp_path_factory):
    """By case: exit code and output. The processes are forked, because importing takes longer than all the rest."""
    results = {}
    for case, (line, signals, _) in CASES.items():
        folder = tmp_path_factory.mktemp("runs")
        process = multiprocessing.get_context("fork").Process(target=child, args=(folder, case))
        process.start()
        out = folder / "out"
        try:
            end = time.monotonic() + 20
            while not (out.is_file() and line in out.read_text()):
                assert time.monotonic() < end, out.read_text()
                time.sleep(0.01)
            for number in signals:
                os.kill(process.pid, number)
                time.sleep(0.2)
            process.join(20)
            results[case] = process.exitcode, out.read_text()
        finally:
            process.kill()
    return results


@pytest.mark.parametrize("case", CASES)
def test_exit_codes(stopped, case):
    code, out = stopped[case]
    assert code == CASES[case][2]
    assert "Traceback" not in out


def test_a_signal_ends_the_run_when_its_iteration_is_done_and_says_where_to_go_on(stopped):
    _, out = stopped["iteration"]
    told = "\nending after this iteration; once more: at once\n"
    assert out.startswith(f"ready 0\nready 4\n{told}done 4\nSIGINT: stopped in epoch 2. ")  # and no iteration more
    assert out.endswith("last.pt holds the last completed epoch; go on with --resume True.\n")


def test_before_the_first_iteration_it_ends_at_once(stopped):
    _, out = stopped["cache"]
    assert out.startswith("ready 0\nSIGTERM: stopped in epoch 1. No epoch was completed in ")


def test_the_second_signal_ends_an_iteration_that_does_not_end(stopped):
    assert "done" not in stopped["for ever"][1]


@pytest.mark.parametrize("ends_by", [None, ValueError, SystemExit])
def test_the_host_gets_its_signals_back_however_the_run_ends(ends_by):
    def step(engine, batch):
        assert signal.getsignal(signal.SIGTERM) == interrupts.receive
        if ends_by:
            raise ends_by("x")

    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    interrupts = Interrupts()
    engine = Engine(step)
    interrupts.attach(engine)
    if ends_by:
        with pytest.raises(ends_by):
            engine.run([0])
    else:
        engine.run([0])
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="this system has no SIGHUP")
@pytest.mark.parametrize("ignored", [True, False], ids=["under nohup", "in a terminal"])
def test_a_closed_terminal_ends_a_run_unless_it_was_to_be_ignored(ignored):
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN if ignored else signal.SIG_DFL)
    try:
        interrupts, reached = Interrupts(), []
        engine = Engine(lambda engine, batch: signal.raise_signal(signal.SIGHUP))
        interrupts.attach(engine)
        engine.add_event_handler(Events.COMPLETED, lambda: reached.append(True))
        if ignored:
            engine.run([0])
        else:
            with pytest.raises(SystemExit) as stopped:
                engine.run([0])
            assert stopped.value.code == 129
        assert bool(reached) == ignored
    finally:
        signal.signal(signal.SIGHUP, before)


def test_outside_the_main_thread_the_host_deals_with_signals():
    engine, done = Engine(lambda *_: None), []
    Interrupts().attach(engine)
    thread = threading.Thread(target=lambda: done.append(engine.run([0])))
    thread.start()
    thread.join(10)
    assert done


def test_before_the_run_has_a_folder_nothing_was_written(tmp_path):
    interrupts = Interrupts()
    assert interrupts.advice() == "Nothing was written."
    interrupts.run = Run(RunDirectory(str(tmp_path), "exp"))
    assert interrupts.advice() == "Nothing was written."
