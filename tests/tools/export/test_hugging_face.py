from __future__ import annotations

import errno
import json
from pathlib import Path

import pytest

from tests.tools.export.made_runs import ALL
from tools.audit import findings_of
from tools.cli import main
from tools.export.hugging_face import card, write_folder

METADATA = json.loads((ALL["medical"].folder / "configs/metadata.json").read_text())


def test_the_card_has_front_matter():
    text = card("# Title\n", METADATA)
    front = dict(line.split(": ", 1) for line in text.split("---\n")[1].strip().splitlines() if ": " in line)
    assert front["library_name"] == '"monai"'
    assert front["pipeline_tag"] == '"image-segmentation"'
    assert front["license_link"] == '"docs/data_license.txt"'
    assert "model-index" not in front  # nothing is known of how good it is
    assert text.endswith("---\n\n# Title\n")


def test_the_card_is_read_by_the_hub():
    hub = pytest.importorskip("huggingface_hub", reason="the extra huggingface is not installed")
    data = hub.ModelCard(card("# Title\n", METADATA | {"eval_metrics": {"val_dice": 0.9, "val_loss": 0.1}})).data
    assert {(r.metric_type, r.metric_value, r.dataset_split) for r in data.eval_results} == {
        ("val_dice", 0.9, "validation"), ("val_loss", 0.1, "validation"),
    }  # fmt: skip
    assert (data.model_name, data.license, data.license_name) == (METADATA["name"], "other", "licence-of-the-data")


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "full"), KeyboardInterrupt()])
def test_a_folder_is_written_whole_or_not_at_all(tmp_path, monkeypatch, error):
    write_folder(tmp_path / "a/x", {"README.md": b"1", "models/model.pt": b"2"})
    assert (tmp_path / "a/x/models/model.pt").read_bytes() == b"2"
    assert "*.safetensors filter=lfs" in (tmp_path / "a/x/.gitattributes").read_text()
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["x"]
    with pytest.raises(Exception, match="is there already"):
        write_folder(tmp_path / "a/x", {"README.md": b"3"})

    def fails(*_):
        raise error

    monkeypatch.setattr(Path, "write_bytes", fails)
    with pytest.raises(BaseException, match="the disk is full" if isinstance(error, OSError) else ""):
        write_folder(tmp_path / "b/y", {"README.md": b"1"})
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_weights_beside_weights(run_of, tmp_path):
    safetensors = pytest.importorskip("safetensors.torch", reason="the extra safetensors is not installed")
    import torch

    words = ["medical_segmentation", "--run", str(run_of("medical")), "--output_dir", str(tmp_path)]
    assert main(["export", *words, "--formats", "huggingface"]) == 0
    folder = tmp_path / "medical_segmentation_huggingface"
    one = torch.load(folder / "models/model.pt", weights_only=True)
    two = safetensors.load_file(folder / "models/model.safetensors")
    assert one.keys() == two.keys()
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert (folder / "README.md").read_text().startswith("---\nlibrary_name")
    assert findings_of(folder) == []
