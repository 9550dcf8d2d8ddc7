"""As MONAI's model zoo tests a bundle (ci/unit_tests of its repository): from another folder, and with torchrun."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from monai.bundle import ConfigParser, ConfigWorkflow

from medbundles.preflight.command_line import readable
from tests.bundles.brain_tumor_ladder import BRAIN
from tests.bundles.dental_ladder import DENTAL
from tests.bundles.glioma_ladder import GLIOMA
from tests.bundles.ladder import ENVIRONMENT, Bundle, Settings, copied, newest
from tests.bundles.medical_ladder import MEDICAL

# what a training measures, and what inference without its trained.json must be told
UNMEASURED = {MEDICAL.name: {"modality": "xray", "ct_values": None, "spacing": None, "label_names": ["0", "1", "2"]}}
ALL = [BRAIN, GLIOMA, DENTAL, MEDICAL]


@pytest.fixture
def zoo(tmp_path, monkeypatch):
    """The zoo's folder, the current one, in which the bundles lie in models/."""
    for bundle in ALL:
        copied(bundle, tmp_path / "zoo/models")
    monkeypatch.chdir(tmp_path / "zoo")
    return tmp_path / "zoo"


@pytest.fixture
def logged(caplog):
    """What is logged after a bundle's logging.conf, which replaces the handlers that there are."""
    root, ours = logging.getLogger(), logging.getLogger("medbundles")
    handlers, level = root.handlers[:], root.level
    ours.addHandler(caplog.handler)
    yield caplog
    ours.removeHandler(caplog.handler)
    root.handlers[:] = handlers
    root.setLevel(level)


def overrides(bundle: Bundle, data: Path) -> Settings:
    """Of a training and of its evaluation."""
    root = f"models/{bundle.name}"
    return bundle.tiny | {"bundle_root": root, "dataset_dir": str(data), "epochs": 2, "publish": True}


def check_workflow(bundle: Bundle, files: list[str], workflow_type: str, override: Settings) -> None:
    """As the zoo's utils.py does it."""
    configs = f"models/{bundle.name}/configs"
    paths = [f"{configs}/{file}.json" for file in files]
    workflow = ConfigWorkflow(
        workflow_type=workflow_type,
        config_file=paths if len(paths) > 1 else paths[0],
        logging_file=f"{configs}/logging.conf",
        meta_file=f"{configs}/metadata.json",
        **override,
    )
    workflow.initialize()
    assert workflow.check_properties() == []
    workflow.run()
    workflow.finalize()


@pytest.mark.parametrize("bundle", ALL, ids=lambda bundle: bundle.name)
def test_train_then_evaluate(bundle, zoo, tmp_path, logged):
    override = overrides(bundle, bundle.data(tmp_path))
    check_workflow(bundle, ["train"], "train", override)
    check_workflow(bundle, ["train", "evaluate"], "train", override)
    about = json.loads(newest(zoo, "test_metrics.json").read_text())
    assert about["metrics"]
    assert about["checkpoint"] == f"models/{bundle.name}/models/model.pt"
    assert "no handler loads any" not in logged.text
    assert [path.name for path in zoo.iterdir()] == ["models"]


@pytest.mark.parametrize("bundle", ALL, ids=lambda bundle: bundle.name)
def test_inference_without_weights_says_so(bundle, zoo, tmp_path, logged):
    """The zoo disables the first handler, which loads the weights, as it has none at hand."""
    new = bundle.data(tmp_path).with_name("new")
    override = bundle.tiny_inference | UNMEASURED.get(bundle.name, {})
    override |= {"bundle_root": f"models/{bundle.name}", "dataset_dir": str(new)}
    with pytest.raises(RuntimeError) as error:
        check_workflow(bundle, ["inference"], "infer", override)
    assert "model.pt does not exist: there are no weights yet. Train first" in (readable(error.value) or "")
    assert "no handler loads any" not in logged.text
    check_workflow(bundle, ["inference"], "infer", override | {"handlers#0#_disabled_": True})
    assert "weights: no handler loads any" in logged.text
    assert json.loads(newest(zoo, "predictions.json").read_text())["checkpoint"] == ""


@pytest.mark.parametrize(
    "bundle", [MEDICAL, *(pytest.param(b, marks=pytest.mark.slow) for b in ALL[:3])], ids=lambda bundle: bundle.name
)
def test_torchrun_of_one_merged_file(bundle, zoo, tmp_path):
    """The zoo writes the merged config with its overrides into the bundle, and runs that."""
    override = overrides(bundle, bundle.data(tmp_path))
    torchrun(bundle, ["train", "multi_gpu_train"], override)
    assert newest(zoo, "model.pt").parent == zoo / "models" / bundle.name / "models"
    torchrun(bundle, ["train", "multi_gpu_train", "evaluate"], override)
    assert json.loads(newest(zoo, "test_metrics.json").read_text())["metrics"]
    assert [path.name for path in zoo.iterdir()] == ["models"]


def torchrun(bundle: Bundle, files: list[str], override: dict[str, Any]) -> None:
    """As `export_config_and_run_mgpu_cmd` of the zoo's utils.py, on two processes."""
    root = f"models/{bundle.name}"
    merged = f"{root}/configs/override.json"
    parser = ConfigParser()
    parser.read_config([f"{root}/configs/{file}.json" for file in files])
    parser.update(pairs=override)
    ConfigParser.export_config_file(parser.config, merged, indent=4)
    command = [
        *(sys.executable, "-m", "torch.distributed.run", "--standalone", "--nnodes=1", "--nproc_per_node=2"),
        *("-m", "monai.bundle", "run", "--config_file", merged),
        *("--meta_file", f"{root}/configs/metadata.json", "--logging_file", f"{root}/configs/logging.conf"),
    ]
    path = os.pathsep.join([root, os.environ.get("PYTHONPATH", "")])  # of an export, the bundle's own copy is found
    done = subprocess.run(command, env=ENVIRONMENT | {"PYTHONPATH": path}, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-5000:]
