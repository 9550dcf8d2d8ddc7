from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading

import pytest

from medbundles import signals

PROGRAM = """
import os, signal, sys, time
from medbundles.signals import end_on_signals
end_on_signals()
try:
    for number in sys.argv[1:]:
        os.kill(os.getpid(), int(number))
    time.sleep(60)
finally:
    if len(sys.argv) > 2:
        os.kill(os.getpid(), int(sys.argv[2]))
    print("ended")
"""


@pytest.mark.parametrize(
    ("number", "code", "line"),
    [(signal.SIGINT, 130, "SIGINT: stopped"), (signal.SIGTERM, 143, "SIGTERM: stopped")],
)
def test_a_signal_ends_the_process_with_one_line(number, code, line):
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(int(number))], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr.strip(), done.stdout) == (code, line, "ended\n")


def test_a_second_one_ends_it_whatever_it_does():
    done = subprocess.run([sys.executable, "-c", PROGRAM, "15", "2"], capture_output=True, text=True, check=False)
    assert done.returncode == 130
    assert done.stdout == ""


def test_a_worker_leaves_ctrl_c_to_its_main_process(monkeypatch):
    before = {number: signal.getsignal(number) for number in signals.SIGNALS}
    try:
        signals.end_on_signals()
        monkeypatch.setattr(os, "getpid", lambda: -1)
        signal.getsignal(signal.SIGINT)(signal.SIGINT, None)  # nothing happens
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def test_in_another_thread_nothing_happens():
    before = signal.getsignal(signal.SIGTERM)
    thread = threading.Thread(target=signals.end_on_signals)
    thread.start()
    thread.join()
    assert signal.getsignal(signal.SIGTERM) == before
