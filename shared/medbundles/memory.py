"""How much memory and disk there is still to take, and whether an error says that there was none."""

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import torch

# what torch says on a CPU, and a loader whose worker the system has ended
NO_MEMORY = ("can't allocate memory", "is killed by signal: Killed")
# what a control group is limited to, what it has taken, and what of that the system would give back (a cache of files)
GROUPS = {
    "": ("memory.max", "memory.current", "inactive_file"),
    "memory": ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),  # the first version's
}


def free_memory(processes: Path = Path("/proc"), groups: Path = Path("/sys/fs/cgroup")) -> int | None:
    """Bytes that programs can still take without swapping; where a container's or a job's limit leaves less, these.

    Args:
        processes: where Linux shows its processes and memory.
        groups: where it shows its control groups, which hold the limits of containers and jobs.

    Returns:
        None where the system does not say it.
    """
    try:
        free = re.search(r"^MemAvailable: *(\d+) kB", (processes / "meminfo").read_text(), re.MULTILINE)
        own = re.findall(r"^\d+:([^:]*):(.*)$", (processes / "self" / "cgroup").read_text(), re.MULTILINE)
    except OSError:  # no Linux
        return None
    left = [int(free[1]) * 1024] if free else []
    for kinds, path in own:
        if (kind := "memory" if "memory" in kinds.split(",") else kinds) in GROUPS:
            left += _left(groups / kind, path, *GROUPS[kind])
    return max(0, min(left)) if left else None


def ran_out(error: BaseException) -> bool:
    """Whether an error says that memory ran out."""
    text = str(error).partition("\n")[0]
    return isinstance(error, (MemoryError, torch.OutOfMemoryError)) or any(words in text for words in NO_MEMORY)


def _left(root: Path, path: str, most: str, taken: str, given_back: str) -> Iterator[int]:
    """What the limits of a group and of those around it leave; a container sees its own as the outermost."""
    inner = Path(os.path.normpath(root / path.lstrip("/")))
    for folder in (inner, *inner.parents):
        limit, used = (_read(folder / name) for name in (most, taken))
        if limit.isdigit() and used.isdigit():
            cached = re.search(rf"^{given_back} (\d+)$", _read(folder / "memory.stat"), re.MULTILINE)
            yield int(limit) - int(used) + (int(cached[1]) if cached else 0)
        if folder == root:
            return


def _read(file: Path) -> str:
    try:
        return file.read_text().strip()
    except OSError:  # the outermost group has no limit, and of groups outside a container nothing is seen
        return ""


def most_memory(processes: Path = Path("/proc")) -> int | None:
    """Bytes of the most that this process has had in memory at once; None where the system does not say it."""
    found = re.search(r"^VmHWM: *(\d+) kB", _read(processes / "self" / "status").replace("\t", " "), re.MULTILINE)
    return int(found[1]) * 1024 if found else None


def free_on_disk(folder: Path) -> int:
    """Bytes that can still be written into a folder, which may not be there yet."""
    there = next(parent for parent in (folder.absolute(), *folder.absolute().parents) if parent.is_dir())
    return shutil.disk_usage(there).free
