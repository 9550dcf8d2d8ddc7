"""Runs a script in two real processes that form one process group."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

START = """
import os
import sys
import torch.distributed as dist
rank = int(sys.argv[1])
dist.init_process_group("gloo", init_method="file://" + sys.argv[2], rank=rank, world_size=2)
"""
END = """
dist.barrier()
dist.destroy_process_group()
sys.stdout.flush()
os._exit(0)  # torch's threads now and then abort the interpreter's own end, which no test is about
"""


def in_two_processes(folder: Path, body: str, *arguments: str) -> list[str]:
    """What each of them prints; `body` knows dist and its rank, and finds the arguments from sys.argv[3] on."""
    script = folder / "script.py"
    script.write_text(START + body + END)
    root = Path(__file__).parents[1]
    path = os.pathsep.join([str(root), str(root / "shared"), os.environ.get("PYTHONPATH", "")])
    processes = [
        subprocess.Popen(
            [sys.executable, str(script), str(rank), str(folder / "store"), *arguments],
            env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for rank in range(2)
    ]  # fmt: skip
    try:
        results = [process.communicate(timeout=90) for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert all(process.returncode == 0 for process in processes), results
    return [out for out, _ in results]
