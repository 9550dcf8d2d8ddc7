"""`monai.bundle.create_workflow`, and several bundles in one Python process."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from monai.bundle import ConfigWorkflow, create_workflow
from torch import distributed as dist

from medbundles.package import PACKAGE
from medbundles.preflight.command_line import readable
from tests.bundles.brain_tumor_ladder import BRAIN
from tests.bundles.dental_ladder import DENTAL
from tests.bundles.glioma_ladder import GLIOMA
from tests.bundles.ladder import Bundle, copied, newest
from tests.bundles.medical_ladder import MEDICAL


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """Another folder than the bundle's, and a command line of someone else's."""
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    monkeypatch.setattr("sys.argv", ["host"])
    monkeypatch.setattr("sys.path", sys.path[:])


def training(bundle: Bundle, data: Path, root: Path, **settings: Any) -> ConfigWorkflow:
    places = {name: str(value) for name, value in bundle.places(data, root).items()}
    return create_workflow(
        config_file=str(bundle.folder / "configs/train.json"), workflow_type="train", logging_file=False,
        bundle_root=str(bundle.folder), **bundle.tiny | places | {"epochs": 2} | settings,
    )  # fmt: skip


def trained(flow: ConfigWorkflow) -> dict[str, torch.Tensor]:
    flow.run()
    flow.finalize()
    return {name: value.clone() for name, value in flow.network_def.state_dict().items()}


def globals_now() -> dict[str, Any]:
    """What is the process's, and may not change because a bundle has run in it."""
    return {
        "cudnn": (torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic, torch.backends.cudnn.allow_tf32),
        "tf32": torch.backends.cuda.matmul.allow_tf32,
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "autocast": (torch.is_autocast_enabled("cpu"), torch.get_autocast_dtype("cpu")),
        "gradients": torch.is_grad_enabled(),
        "dtype": torch.get_default_dtype(),
        "threads": torch.get_num_threads(),
        "group": (dist.is_initialized(), getattr(dist, "of_medbundles", False)),
        "loggers": [logging.getLogger(name).handlers[:] for name in ("", "medbundles")],
        "level": logging.getLogger("medbundles").level,
        "signals": [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)],
        "hook": sys.excepthook,
        "folder": os.getcwd(),
        "variables": {name: value for name, value in os.environ.items() if not name.startswith("TORCHINDUCTOR")},
    }


@pytest.mark.parametrize("bundle", [BRAIN, GLIOMA, DENTAL, MEDICAL], ids=lambda bundle: bundle.name)
def test_create_workflow_trains_and_infers(bundle, tmp_path):
    data = bundle.data(tmp_path)
    trained(training(bundle, data, tmp_path / "runs"))
    best = newest(tmp_path / "runs", "best.pt")
    flow = create_workflow(
        config_file=[str(bundle.folder / "configs/inference.json"), str(best.with_name("trained.json"))],
        workflow_type="infer", logging_file=False, meta_file=str(bundle.folder / "configs/metadata.json"),
        bundle_root=str(bundle.folder), input=str(data.with_name("new")), output=str(tmp_path / "out"),
        checkpoint=str(best), num_workers=0, **bundle.of_inputs,
    )  # fmt: skip
    flow.run()
    flow.finalize()
    files = {path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*") if path.is_file()}
    assert files == {p.format(name) for p in bundle.pictures for name in bundle.inputs} | set(bundle.tables)
    assert list(Path.cwd().iterdir()) == []


def test_two_bundles_in_one_process_do_not_change_each_other(tmp_path):
    """One after the other, and both begun before either is run: the same weights, to the bit, as each alone."""
    every = (GLIOMA, MEDICAL)
    data = [bundle.data(tmp_path) for bundle in every]

    def begin(bundle: Bundle, number: int) -> ConfigWorkflow:
        options = {"cudnn_deterministic": bundle is MEDICAL, "amp": bundle is GLIOMA}
        return training(bundle, data[every.index(bundle)], tmp_path / f"{number}", **options)

    before = globals_now()
    alone = [trained(begin(bundle, 0)) for bundle in every]
    assert globals_now() == before
    turned = [trained(begin(bundle, 1)) for bundle in reversed(every)][::-1]
    both = [begin(bundle, 2) for bundle in every]
    torch.rand(7)  # a host does something else in between
    interleaved = [trained(flow) for flow in both]
    assert globals_now() == before
    for first, *others in zip(alone, turned, interleaved, strict=True):
        assert all(torch.equal(first[name], other[name]) for other in others for name in first)


def test_a_bundle_with_another_package_than_the_imported_one_is_refused(tmp_path):
    """An export carries a copy of the package; Python imports one in a process."""
    bundle = copied(MEDICAL, tmp_path / "export")
    shutil.copytree(PACKAGE, bundle / "medbundles", ignore=shutil.ignore_patterns("__pycache__"))
    (bundle / "medbundles/__init__.py").write_text('__version__ = "9.1"\n')
    for name, kind in (("train", "train"), ("inference", "infer")):
        flow = create_workflow(
            config_file=str(bundle / f"configs/{name}.json"), workflow_type=kind, logging_file=False,
            bundle_root=str(bundle),
        )  # fmt: skip
        with pytest.raises(RuntimeError) as error:
            flow.run()
        message = readable(error.value) or ""
        assert f"from {PACKAGE} is imported here, and this bundle carries another one, version 9.1, in" in message
        assert f"PYTHONPATH={bundle}" in message
    assert not (bundle / "runs").exists()
