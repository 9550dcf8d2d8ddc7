"""Freed memory stays with the process."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

from medbundles.networks.freed_memory import CHOSEN, keep_freed_memory

FAULTS = """
import resource, torch
from medbundles.networks import to_device
to_device(torch.nn.Linear(1, 1), "cpu")
torch.ones(64, 2**20)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    torch.ones(64, 2**20)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc gives it back")
def test_the_same_block_is_not_fetched_again():
    """256 MB are 65,536 pages of 4 kB; without it, each of ten blocks of them is new, with it at most the first."""
    done = subprocess.run([sys.executable, "-c", FAULTS], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 2 * 65536


@pytest.mark.parametrize("name", CHOSEN)
def test_what_the_user_chose_stays(monkeypatch, name):
    monkeypatch.setenv(name, "1")
    assert not keep_freed_memory()
