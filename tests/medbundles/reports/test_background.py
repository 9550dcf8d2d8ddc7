"""A second thread: in order, and what happens when a job fails."""

from __future__ import annotations

import threading

import pytest

from medbundles.reports.background import Background


def test_behind_a_job_that_fails_nothing_begins():
    queued, go, told, done = *(threading.Event() for _ in range(3)), list[int]()

    def fail() -> None:
        assert queued.wait(60)
        raise ValueError("broken")

    def slow() -> None:
        told.set()
        assert go.wait(60)

    background = Background()
    background.do(fail)
    background.do(slow)
    background.do(lambda: done.append(1))
    queued.set()
    assert told.wait(60)
    threading.Timer(0.2, go.set).start()  # while the one that has begun is waited for, the last one is dropped
    with pytest.raises(ValueError, match="broken"):
        background.wait()
    background.end()
    assert not done
