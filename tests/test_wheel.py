"""The wheel brings a command, and no top-level package that could be anybody else's."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The folder of an installation without its dependencies."""
    pytest.importorskip("setuptools", reason="the wheel is built with setuptools")
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q"]
    source = folder / "source"
    subprocess.run(["git", "clone", "-q", str(ROOT), str(source)], check=True)
    subprocess.run([*pip, "wheel", "--no-deps", "--no-build-isolation", "-w", str(folder), str(source)], check=True)
    (wheel,) = folder.glob("*.whl")
    subprocess.run([*pip, "install", "--no-deps", "--target", str(folder / "site"), str(wheel)], check=True)
    with zipfile.ZipFile(wheel) as archive:
        tops = {name.split("/")[0] for name in archive.namelist()}
    assert {name for name in tops if not name.endswith(".dist-info")} == {"medbundles", "medbundles_tools"}
    return folder / "site"


def typed(installed: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    command = [sys.executable, str(installed / "bin/medbundles"), *words]
    return subprocess.run(command, cwd=installed, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="no clone")
def test_the_command_of_the_wheel(installed):
    audited = typed(installed, "audit", str(ROOT / "bundles/medical_segmentation"), "--format", "json")
    assert json.loads(audited.stdout)["findings"] == [], audited.stderr
    wrong = typed(installed, "audit")
    assert wrong.returncode == 1
    assert "'medbundles audit --help'" in wrong.stderr
    assert (installed / "medbundles_tools/verify/meta_schema.json").is_file()
    assert typed(installed, "--help").stdout.startswith("medbundles VERB")
