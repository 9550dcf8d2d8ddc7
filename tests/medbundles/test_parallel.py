from __future__ import annotations

import os
from functools import partial

import pytest
import torch

from medbundles import parallel
from medbundles.errors import DataError
from medbundles.parallel import on_all_cores


@pytest.fixture
def two_processes(monkeypatch):
    monkeypatch.setattr(parallel, "core_count", lambda: 2)
    monkeypatch.setattr(parallel, "ALONE", 0.0)


def work(item):
    if item == "bad":
        raise DataError("bad.png: is broken")
    return os.getpid(), torch.full((2, 2), item)


def test_results_come_in_order_from_two_processes(two_processes):
    found = list(on_all_cores(work, range(40), "working"))
    assert [int(tensor[0, 0]) for _, tensor in found] == list(range(40))
    assert len({pid for pid, _ in found} - {os.getpid()}) == 2


def test_a_little_work_starts_no_process(monkeypatch):
    monkeypatch.setattr(parallel, "core_count", lambda: 2)
    assert {pid for pid, _ in on_all_cores(work, range(40), "working")} == {os.getpid()}


def test_on_one_core_no_process_is_started(monkeypatch, two_processes):
    monkeypatch.setattr(parallel, "core_count", lambda: 1)
    assert {pid for pid, _ in on_all_cores(work, range(3), "working")} == {os.getpid()}


def test_what_a_user_can_mend_comes_as_it_is(two_processes):
    with pytest.raises(DataError, match=r"^bad\.png: is broken$"):
        list(on_all_cores(work, [1, 2, "bad", 3], "working"))


def test_nothing_is_taken_from_the_global_random_numbers(two_processes):
    torch.manual_seed(4)
    wanted = torch.rand(2)
    torch.manual_seed(4)
    list(on_all_cores(work, range(4), "working"))
    assert torch.equal(torch.rand(2), wanted)


def test_many_tensors_keep_no_file_open(two_processes):
    """Each tensor that comes through shared memory would: 1,024 of them are the usual limit."""
    before = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else pytest.skip("no Linux")
    kept = list(on_all_cores(partial(torch.full, (300, 300)), [1.0] * 200, "working"))
    assert len(os.listdir("/proc/self/fd")) < before + 20
    assert len(kept) == 200
