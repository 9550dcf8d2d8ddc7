"""Results of other inputs in the output folder are said, and stay."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from medbundles.data import autoencoder_inputs, inference_datalist
from medbundles.errors import DataError


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Two inputs, and a folder with the results of the first and of one that is gone."""
    for name in ("in/a.png", "in/b.png", "out/masks/a_mask.png", "out/masks/gone_mask.png", "out/overlays/gone.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8)).save(tmp_path / name)
    rows = [{"file": f"in/{name}.png", "name": name, "mask": f"masks/{name}_mask.png"} for name in ("a", "gone")]
    (tmp_path / "out/predictions.json").write_text(json.dumps({"results": rows}))
    return tmp_path


@pytest.mark.parametrize(("existing", "said"), [("overwrite", True), ("skip", False)])
def test_results_of_other_inputs_are_told_unless_their_rows_stay(place, caplog, monkeypatch, existing, said):
    monkeypatch.chdir(place)
    before = sorted(place.rglob("*"))
    with caplog.at_level(logging.WARNING, "medbundles"):
        items = inference_datalist("in", output="out", existing=existing)
    assert [item["name"] for item in items] == (["a", "b"] if said else ["b"])
    text = "out: holds 2 files that belong to no input of this run, such as masks/gone_mask.png, overlays/gone.png."
    assert (text in caplog.text) is said
    assert ("out: its tables are of 1 other inputs, such as in/gone.png; those of this run" in caplog.text) is said
    assert sorted(place.rglob("*")) == before


def test_error_refuses_to_lose_the_rows_of_other_inputs(place):
    (place / "in/a.png").unlink()
    with pytest.raises(DataError, match=r"already has results of 2 other inputs, in/a.png for one"):
        inference_datalist(place / "in", output=place / "out", existing="error")


def test_so_are_draws_of_an_earlier_sampling(tmp_path, caplog):
    (tmp_path / "samples").mkdir()
    for name in ("sample_0", "sample_1", "samples", "sample_7", ".123-00000000~sample_8"):
        (tmp_path / "samples" / f"{name}.png").write_bytes(b"x")
    with caplog.at_level(logging.WARNING, "medbundles"):
        autoencoder_inputs("", sample=2, output=tmp_path)
    assert "holds 1 files that belong to no input of this run, such as samples/sample_7.png." in caplog.text
