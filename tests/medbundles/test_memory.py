from __future__ import annotations

import pytest

from medbundles.memory import free_memory, free_on_disk, most_memory

GB = 2**30


@pytest.fixture
def machine(tmp_path):
    """A /proc and a /sys/fs/cgroup: 8 GB free, this process in the given group."""

    def make(group, **files):
        (tmp_path / "proc/self").mkdir(parents=True, exist_ok=True)
        (tmp_path / "proc/meminfo").write_text(f"MemTotal: 99 kB\nMemAvailable:   {8 * GB // 1024} kB\n")
        (tmp_path / "proc/self/cgroup").write_text(group)
        for name, content in files.items():
            file = tmp_path / "cgroup" / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(str(content))
        return free_memory(tmp_path / "proc", tmp_path / "cgroup")

    return make


def test_without_a_limit_it_is_the_machines(machine):
    assert machine("0::/user.slice\n") == 8 * GB
    assert machine("0::/\n", **{"memory.max": "max\n", "memory.current": GB}) == 8 * GB


def test_a_containers_limit_counts_and_what_is_only_cached_is_free(machine):
    own = {"memory.max": 2 * GB, "memory.current": GB, "memory.stat": f"anon 5\ninactive_file {GB // 2}\n"}
    assert machine("0::/\n", **own) == 1.5 * GB
    # without a namespace the path is that outside of the container, of which nothing is seen
    assert machine("0::/docker/abc\n", **own) == 1.5 * GB


def test_the_tightest_group_around_it_counts(machine):
    files = {f"job/{name}": value for name, value in (("memory.max", GB), ("memory.current", GB // 4))}
    files |= {f"job/step/{name}": value for name, value in (("memory.max", "max"), ("memory.current", 7))}
    assert machine("0::/job/step\n", **files) == 0.75 * GB


def test_the_first_version_of_control_groups(machine):
    files = {f"memory/a/memory.{name}_in_bytes": 3 * GB for name in ("limit", "usage")}
    files["memory/a/memory.stat"] = f"total_inactive_file {GB}"
    assert machine("9:memory:/a\n4:cpuset:/a\n", **files) == GB


def test_elsewhere_it_is_unknown_and_here_it_is_something(tmp_path):
    assert free_memory(tmp_path, tmp_path) is None
    here = free_memory()
    assert here is None or here > 0
    assert free_on_disk(tmp_path / "not" / "there") > 0


def test_the_most_memory_is_what_linux_says_of_this_process(tmp_path):
    (tmp_path / "self").mkdir()
    (tmp_path / "self/status").write_text("VmPeak:\t  999 kB\nVmHWM:\t     12 kB\nVmRSS:\t   3 kB\n")
    assert most_memory(tmp_path) == 12 * 1024
    assert most_memory(tmp_path / "nothing") is None
