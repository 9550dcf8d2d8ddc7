"""MONAI's own commands on an export, as docs/share.md gives them."""

from __future__ import annotations

import zipfile

import pytest
import torch
from monai.bundle import ckpt_export
from monai.data import load_net_with_metadata

from tests.tools.export.made_runs import ALL

OPTIONS = {
    "brain": {},
    "glioma": {},
    "medical": {"use_trace": True, "input_shape": [1, 1, 32, 32]},
    "dental": {"use_trace": True, "input_shape": [1, 1, 32, 32], "converter_kwargs": {"strict": False}},
}


@pytest.mark.parametrize("name", ALL)
def test_ckpt_export(name, zip_of, run_of, tmp_path):
    with zipfile.ZipFile(zip_of(name)) as archive:
        archive.extractall(tmp_path)
    bundle = tmp_path / ALL[name].name
    files = {
        "config_file": str(bundle / "configs/inference.json"),
        "meta_file": str(bundle / "configs/metadata.json"),
        "ckpt_file": str(bundle / "models/model.pt"),
        "filepath": str(bundle / "models/mine.ts"),
    }
    ckpt_export("network_def", **files, **OPTIONS[name])
    module, metadata, _ = load_net_with_metadata(bundle / "models/mine.ts", map_location=torch.device("cpu"))
    weights = torch.load(run_of(name) / "checkpoints/best.pt", weights_only=True)["network"]
    assert all(torch.equal(value, weights[key]) for key, value in module.state_dict().items())
    assert metadata["version"]
