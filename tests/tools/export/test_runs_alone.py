from __future__ import annotations

import os
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

from tests.tools.export.alone import listed, run_alone
from tests.tools.export.made_runs import ALL


def test_the_guard_refuses_other_packages(unpacked, tmp_path):
    for module, message in (("pytest", "No module named 'pytest'"), ("medbundles", ""), ("einops", "")):
        done = run_alone(unpacked, tmp_path / "guard", "-c", f"import {module}; print({module}.__file__)")
        assert done.returncode == (1 if message else 0)
        assert message in done.stderr
        assert (module == "medbundles") == done.stdout.startswith(str(unpacked))


def test_an_export_infers_and_trains_with_the_listed_packages_alone(unpacked, tmp_path):
    data = ALL["medical"].data(tmp_path / "data")
    new = data.with_name("new")
    command = ["-m", "monai.bundle", "run", "--config_file"]
    words = ["configs/inference.json", "--input", str(new), "--output", str(tmp_path / "out")]
    done = run_alone(unpacked, tmp_path / "guard", *command, *words)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "from run run_20260101_120000, epoch 3" in done.stdout
    assert len(list((tmp_path / "out/masks").iterdir())) == 2
    words = ["configs/train.json", "--dataset_dir", str(data), "--epochs", "1", "--batch_size", "2"]
    words += ["--cache_dir", str(tmp_path / "cache"), "--init_from", "models/model.pt", "--label_names", "auto"]
    done = run_alone(unpacked, tmp_path / "guard", *command, *words)
    assert done.returncode == 0, done.stderr[-3000:]
    assert (unpacked / "models/earlier/run_20260101_120000_epoch_3/model.pt").is_file()  # the new one is published
    assert not (tmp_path / "out/medbundles").exists()


@pytest.mark.slow
@pytest.mark.parametrize("name", ALL)
def test_in_a_fresh_environment(name, zip_of, tmp_path):
    """Takes minutes and gigabytes; PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu takes the small torch."""
    with zipfile.ZipFile(zip_of(name)) as archive:
        archive.extractall(tmp_path)
    bundle, home = tmp_path / ALL[name].name, tmp_path / "environment"
    venv.create(home, with_pip=True)
    python = str(home / ("Scripts" if os.name == "nt" else "bin") / Path(sys.executable).name)
    python = python if Path(python).exists() else str(home / "bin/python")
    wanted = [f"{package}=={version}" for package, version in listed(bundle).items()]
    installed = subprocess.run([python, "-m", "pip", "install", "-q", *wanted], capture_output=True, text=True)
    if installed.returncode:
        pytest.skip(f"the packages cannot be installed here: {installed.stderr[-300:]}")
    data = ALL[name].data(tmp_path / "data")
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"} | {"PYTHONWARNINGS": "ignore"}
    words = ["--config_file", "configs/inference.json", "--input", str(data.with_name("new"))]
    done = subprocess.run(
        [python, "-m", "monai.bundle", "run", *words, "--output", str(tmp_path / "out")],
        cwd=bundle, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    assert (tmp_path / "out/predictions.json").is_file()
