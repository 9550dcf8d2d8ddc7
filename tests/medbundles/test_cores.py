from __future__ import annotations

import os

import pytest

from medbundles.cores import core_count, local_rank_and_count


@pytest.mark.parametrize(("cores", "processes", "share"), [(8, 1, 8), (8, 4, 2), (2, 4, 1)])
def test_processes_of_a_run_share_the_cores(monkeypatch, cores, processes, share):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(cores)), raising=False)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", str(processes))
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert core_count() == share
    assert local_rank_and_count() == (1, processes)


def test_without_torchrun_there_is_one(monkeypatch):
    monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    assert local_rank_and_count() == (0, 1)
