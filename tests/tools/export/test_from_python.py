"""The code of docs/from-python.md runs, on an export of each bundle."""

from __future__ import annotations

import re
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from medbundles.data import read_volume
from medbundles.transforms.grid import to_input_grid
from tests.tools.export.made_runs import ALL

BLOCK = re.compile(r"^```python\n(.*?)^```", re.M | re.S)
RUN, SAVE, TENSORS = BLOCK.findall((Path(__file__).parents[3] / "docs/from-python.md").read_text())
FOUND = {  # entries that the page names
    "brain": ({"mask", "class", "prob", "mask_area"}, {"seg", "cls", "mask_prob", "mask", "prob", "class"}),
    "glioma": ({"grade", "prob"}, {"cls", "prob", "class"}),
    "dental": ({"reconstruction", "latent", "psnr", "ssim"}, {"reconstruction", "mean", "sigma"}),
    "medical": ({"mask", "area"}, {"seg", "mask_prob", "mask"}),
}


@pytest.mark.parametrize("name", ALL)
def test_the_code_predicts_an_array_and_a_file(name, zip_of, tmp_path, monkeypatch):
    with zipfile.ZipFile(zip_of(name)) as archive:
        archive.extractall(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    file = next(path for path in sorted(ALL[name].data(tmp_path / "data").with_name("new").rglob("*.[pn]*")))
    (tmp_path / "here").mkdir()
    scan = tmp_path / "here" / ("scan.nii.gz" if name == "glioma" else "scan.npy")

    def in_place(code: str) -> str:
        code = code.replace("/bundles/medical_segmentation", str(tmp_path / ALL[name].name))
        return code.replace("/data/scan.npy", str(scan)).replace("/data/", f"{tmp_path}/here/")

    if name == "glioma":
        array, info = read_volume(file)
        exec(in_place(SAVE), {"array": array, "affine": info.canonical_affine})
        code = re.sub(r"^np\.save.*\n", "", RUN, flags=re.M)
    else:
        array, code = np.asarray(Image.open(file)), RUN
    names = {"array": array}
    exec(in_place(code), names)
    found = names["found"]
    assert FOUND[name][0] <= found.keys()
    if name in ("brain", "medical"):
        assert np.asarray(Image.open(tmp_path / "here/found" / found["mask"])).shape == array.shape
    tensors: dict = {}
    exec(in_place(TENSORS), tensors)
    pred = tensors["predict"](str(scan))
    assert FOUND[name][1] == pred.keys()
    assert all(torch.equal(value, tensors["predict"](str(file))[key]) for key, value in pred.items())
    if "prob" in pred:
        assert found["prob"] == pytest.approx(pred["prob"][0].tolist(), abs=1e-6)
    if name == "medical":
        classes = to_input_grid(pred["seg"][0], array.shape).argmax(0)
        assert found["area"] == [float((classes == k).sum()) for k in (1, 2)]
    if name == "dental":
        reconstruction = np.load(tmp_path / "here/found" / found["reconstruction"])
        assert np.abs(reconstruction - 255 * pred["reconstruction"][0, 0].clip(0, 1).numpy()).max() <= 0.51
