"""Exported bundles run where nothing of this repository is: in an empty folder, with the packages that they list."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

CORE = {"monai": "monai_version", "torch": "pytorch_version", "numpy": "numpy_version"}
GUARD = """
import json, os, sys

allowed = set(json.loads(os.environ["ALLOWED"])) | set(sys.stdlib_module_names)

class Guard:
    def __init__(self, finder):
        self.finder = finder

    def __getattr__(self, name):  # such as find_distributions
        return getattr(self.finder, name)

    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        if top == "medbundles" and path is None:
            path = [os.getcwd()]
        elif top != "medbundles" and top not in allowed and not top.startswith("_sysconfigdata"):
            return None  # as if it were not installed
        return self.finder.find_spec(name, path, target)

sys.meta_path[:] = map(Guard, sys.meta_path)
"""


def listed(bundle: Path) -> dict[str, str]:
    """Package -> version in the metadata of a bundle."""
    content = json.loads((bundle / "configs/metadata.json").read_text())
    return {name: content[key] for name, key in CORE.items()} | content["required_packages_version"]


def modules_of(packages: list[str]) -> list[str]:
    """The top-level modules of packages and of what these need, as far as they are installed."""
    wanted, left = set(), [*packages]
    while left:
        name = re.sub(r"[-_.]+", "-", left.pop()).lower()
        if name in wanted:
            continue
        wanted.add(name)
        try:
            needs = metadata.requires(name) or []
        except metadata.PackageNotFoundError:
            continue
        left += [re.match(r"[\w.-]+", need)[0] for need in needs if "extra ==" not in need]
    modules = metadata.packages_distributions()
    return [m for m, owners in modules.items() if {re.sub(r"[-_.]+", "-", o).lower() for o in owners} & wanted]


def run_alone(bundle: Path, guard: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """`python ...` in the bundle's folder, where any other package is as if it were not installed."""
    guard.mkdir(exist_ok=True)
    (guard / "sitecustomize.py").write_text(GUARD)
    environment = {
        **{k: v for k, v in os.environ.items() if k != "MEDBUNDLES_DATA"},
        "PYTHONPATH": str(guard), "ALLOWED": json.dumps(modules_of([*listed(bundle)])),
        "PYTHONWARNINGS": "ignore", "OMP_NUM_THREADS": "1",
    }  # fmt: skip
    return subprocess.run(
        [sys.executable, *words],
        cwd=bundle, env=environment, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
