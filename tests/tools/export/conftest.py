from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from tests.tools.export.made_runs import ALL, make_run
from tools.cli import main


@pytest.fixture(scope="session")
def run_of(tmp_path_factory):
    """The run of a bundle, by the bundle's short name; made once."""
    made: dict[str, Path] = {}

    def run(name: str) -> Path:
        if name not in made:
            made[name] = make_run(ALL[name], tmp_path_factory.mktemp(name))
        return made[name]

    return run


@pytest.fixture(scope="session")
def zip_of(run_of, tmp_path_factory):
    """The exported zip of a bundle, by its short name; made once."""
    made: dict[str, Path] = {}

    def exported(name: str) -> Path:
        if name not in made:
            out = tmp_path_factory.mktemp(f"{name}_export")
            words = [ALL[name].name, "--run", str(run_of(name)), "--output_dir", str(out), "--formats", "zip"]
            assert main(["export", *words]) == 0
            made[name] = out / f"{ALL[name].name}.zip"
        return made[name]

    return exported


@pytest.fixture
def unpacked(zip_of, tmp_path):
    """A folder, empty but for the exported medical bundle."""
    with zipfile.ZipFile(zip_of("medical")) as archive:
        archive.extractall(tmp_path)
    return tmp_path / ALL["medical"].name
