"""The exported zip: what is in it, and that it says what the weights belong to."""

from __future__ import annotations

import errno
import json
import shutil
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from monai.bundle import load

from medbundles.atomic_files import write_json_atomic
from medbundles.data.reading.files import content_id
from medbundles.runs.trained import trained_with
from tests.tools.export.made_runs import ALL
from tools.audit import findings_of
from tools.bundle import bundle_folder
from tools.cli import main
from tools.export.archive import write_zip
from tools.export.model import of_run
from tools.export.readme import yours_to_write


def typed(bundle: str, run: Path | None, out: Path, *more: str) -> int:
    given = ["--run", str(run)] if run else []
    return main(["export", bundle, *given, "--output_dir", str(out), "--formats", "zip", *more])


def read(path: Path, name: str) -> bytes:
    with zipfile.ZipFile(path) as archive:
        return archive.read(f"{path.stem}/{name}")


@pytest.mark.parametrize("name", ALL)
def test_a_zip_holds_the_trained_values_and_its_audit_is_clean(name, zip_of, run_of):
    path, trained = zip_of(name), json.loads((run_of(name) / "checkpoints/trained.json").read_text())
    assert findings_of(path) == []
    for config in ("train", "inference"):
        content = json.loads(read(path, f"configs/{config}.json"))
        for id_, value in trained.items():
            there = content
            for part in id_.split("#"):
                there = there[part]
            is_measured = config == "train" and id_.endswith(("_threshold", "training_images"))
            assert there == ("auto" if is_measured else value), (config, id_)
    metadata = json.loads(read(path, "configs/metadata.json"))
    assert metadata["eval_metrics"] == {"val_loss": 0.5}
    assert metadata["version"] in metadata["changelog"]
    assert "no weights" not in metadata["data_source"]
    with zipfile.ZipFile(path) as archive:
        names = set(archive.namelist())
    assert {n.split("/")[0] for n in names} == {ALL[name].name}
    inside = {n.partition("/")[2] for n in names}
    assert {"LICENSE", "README.md", "docs/README.md", "docs/data_license.txt", "medbundles/__init__.py"} <= inside
    assert not any("__pycache__" in n or n.startswith(("tests/", "tools/")) for n in inside)
    assert "../.." not in read(path, "docs/README.md").decode()


@pytest.mark.parametrize("name", ALL)
def test_monai_loads_the_trained_network(name, zip_of, run_of, tmp_path):
    with zipfile.ZipFile(zip_of(name)) as archive:
        archive.extractall(tmp_path)
    weights = torch.load(run_of(name) / "checkpoints/best.pt", weights_only=True)["network"]
    for kind in ("train", "inference"):
        loaded = load(ALL[name].name, bundle_dir=tmp_path, workflow_type=kind, device="cpu").state_dict()
        assert loaded.keys() == weights.keys()
        assert all(torch.equal(loaded[key], weights[key]) for key in weights)


def test_metadata_say_the_shapes_of_the_model(zip_of):
    formats = json.loads(read(zip_of("medical"), "configs/metadata.json"))["network_data_format"]
    assert formats["inputs"]["image"]["spatial_shape"] == [32, 32]
    pred = formats["outputs"]["pred"]
    assert (pred["num_channels"], pred["spatial_shape"], len(pred["channel_def"])) == (3, [32, 32], 3)
    free = json.loads(read(zip_of("dental"), "configs/metadata.json"))["network_data_format"]
    assert free["inputs"]["image"]["spatial_shape"] == ["*", "*"]


def test_the_weights_belong_to_what_stands_beside_them(zip_of, run_of, tmp_path):
    with zipfile.ZipFile(zip_of("medical")) as archive:
        archive.extractall(tmp_path)
    weights = tmp_path / "medical_segmentation/models/model.pt"
    trained, source, _ = trained_with(weights)
    assert trained["network_def#base_channels"] == 4
    assert source == "run run_20260101_120000, epoch 3"
    about = json.loads(weights.with_name("model.json").read_text())
    assert about["model_id"] == content_id(weights)
    assert about["exported_from"] == content_id(run_of("medical") / "checkpoints/best.pt")  # results of before name it
    assert about["data_license"]
    assert "run_directory" not in about  # a path of the machine that trained
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    with pytest.raises(Exception, match="is not the file that"):
        trained_with(weights)


def test_two_exports_are_equal_bit_by_bit(zip_of, run_of, tmp_path):
    assert typed("medical_segmentation", run_of("medical"), tmp_path) == 0
    assert (tmp_path / "medical_segmentation.zip").read_bytes() == zip_of("medical").read_bytes()
    with zipfile.ZipFile(tmp_path / "medical_segmentation.zip") as archive:
        entries = archive.infolist()
    assert [e.filename for e in entries] == sorted(e.filename for e in entries)
    assert {(e.date_time, e.external_attr >> 16) for e in entries} == {((1980, 1, 1, 0, 0, 0), 0o100644)}


def test_what_needs_a_file_that_cannot_come_along_is_off_and_said(run_of, tmp_path, capsys):
    assert typed("dental_vae_autoencoder", run_of("dental"), tmp_path) == 0
    said = capsys.readouterr().out
    assert "configs/train.json: the perceptual loss is off" in said
    path = tmp_path / "dental_vae_autoencoder.zip"
    assert json.loads(read(path, "configs/train.json"))["perceptual_weight"] == 0.0
    assert "the perceptual loss is off" in read(path, "README.md").decode()
    assert "fast, few_images, high_quality, quick_test, volumes" in said  # other networks than that of the weights
    assert "dental_vae_autoencoder/configs/fast.json" not in zipfile.ZipFile(path).namelist()


def test_large_files_are_listed(zip_of):
    listed = json.loads(read(zip_of("glioma"), "large_files.yml"))["large_files"]
    assert [(e["path"], e["url"], e["hash_type"]) for e in listed] == [("models/model.pt", "", "sha256")]
    assert "medical_segmentation/large_files.yml" not in zipfile.ZipFile(zip_of("medical")).namelist()


def test_phantoms_are_called_so(run_of, tmp_path):
    run = tmp_path / run_of("medical").name
    shutil.copytree(run_of("medical"), run)
    checkpoint = torch.load(run / "checkpoints/best.pt", weights_only=True)
    data = tmp_path / "data"
    data.mkdir()
    (data / "SYNTHETIC.txt").touch()
    torch.save(checkpoint | {"settings": {"dataset_dir": str(data)}}, run / "checkpoints/best.pt")
    assert typed("medical_segmentation", run, tmp_path) == 0
    path = tmp_path / "medical_segmentation.zip"
    assert "SYNTHETIC DATA" in read(path, "README.md").decode()
    assert "SYNTHETIC" in json.loads(read(path, "configs/metadata.json"))["data_source"]


def test_texts_that_are_still_the_bundles_own_are_told(run_of, tmp_path, capsys):
    assert typed("medical_segmentation", run_of("medical"), tmp_path) == 0
    said = capsys.readouterr().out
    assert "note: docs/data_license.txt: is still that of the bundle" in said
    assert "note: configs/metadata.json: authors are still 'The medbundles authors'" in said
    model = of_run(bundle_folder("medical_segmentation"), run_of("medical"))
    assert yours_to_write({"authors": "A. Physician"}, replace(model, about={"data_license": "CC0"})) == []


@pytest.fixture
def broken(run_of, tmp_path):
    run = tmp_path / run_of("medical").name
    shutil.copytree(run_of("medical"), run)
    return run


def test_runs_that_cannot_be_exported(broken, run_of, tmp_path, capsys):
    out = tmp_path / "out"

    def refused(bundle: str, run: Path, message: str) -> None:
        assert typed(bundle, run, out) == 1
        error = capsys.readouterr().err
        assert message in error
        assert "Traceback" not in error
        assert not out.exists()

    refused("glioma_grading_resnet50_3d", broken, "is of another bundle")
    refused("medical_segmentation", tmp_path / "nothing", "is no run's folder")
    (tmp_path / "kfold_run.json").touch()
    refused("medical_segmentation", tmp_path, f"give one of a fold, such as {tmp_path}/fold_0/run_")
    other = torch.load(broken / "checkpoints/best.pt", weights_only=True)
    other["trained"]["network_def#base_channels"] = 8
    torch.save(other, broken / "checkpoints/best.pt")
    refused("medical_segmentation", broken, "does not fit")
    (broken / "checkpoints/best.pt").write_bytes(b"PK no weights")
    refused("medical_segmentation", broken, "is cut off or broken")
    (broken / "checkpoints/best.pt").unlink()
    refused("medical_segmentation", broken, "best.pt is missing")


def test_a_bundle_without_weights_is_not_exported(tmp_path, capsys):
    folder = tmp_path / "bundle"
    shutil.copytree(ALL["medical"].folder, folder, ignore=shutil.ignore_patterns("models", "runs", "data"))
    assert typed(str(folder), None, tmp_path / "out") == 1
    assert "there are no weights yet" in capsys.readouterr().err


def test_published_weights_are_exported(run_of, tmp_path):
    folder = tmp_path / "medical_segmentation"
    shutil.copytree(ALL["medical"].folder, folder, ignore=shutil.ignore_patterns("models", "runs", "data"))
    checkpoint = torch.load(run_of("medical") / "checkpoints/best.pt", weights_only=True)
    (folder / "models").mkdir()
    torch.save(checkpoint["network"], folder / "models/model.pt")
    write_json_atomic(folder / "models/trained.json", checkpoint["trained"])
    about = {"run": "run_1", "epoch": 2, "metrics": {"val_loss": None, "val_dice": 0.7}}
    write_json_atomic(folder / "models/model.json", about | {"model_id": content_id(folder / "models/model.pt")})
    assert typed(str(folder), None, tmp_path / "out") == 0
    path = tmp_path / "out/medical_segmentation.zip"
    assert json.loads(read(path, "configs/metadata.json"))["eval_metrics"] == {"val_dice": 0.7}


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()])
def test_a_full_disk_and_an_interruption_leave_nothing(error, run_of, tmp_path, capsys, monkeypatch):
    written = zipfile.ZipFile.writestr

    def fails(self, entry, content):
        if entry.filename.endswith("model.pt"):
            raise error
        written(self, entry, content)

    monkeypatch.setattr(zipfile.ZipFile, "writestr", fails)
    code = typed("medical_segmentation", run_of("medical"), tmp_path)
    assert code == (130 if isinstance(error, KeyboardInterrupt) else 1)
    assert list(tmp_path.iterdir()) == []
    message = capsys.readouterr().err
    assert message.startswith("interrupted" if code == 130 else str(tmp_path / "medical_segmentation.zip"))
    assert ("the disk is full" in message) is (code == 1)


def test_a_zip_that_is_there_stays_when_another_cannot_be_written(tmp_path, monkeypatch):
    path = tmp_path / "a.zip"
    write_zip(path, "a", {"x": b"1"})
    before = path.read_bytes()
    monkeypatch.setattr(zipfile.ZipFile, "writestr", lambda *_: (_ for _ in ()).throw(OSError(28, "full")))
    with pytest.raises(Exception, match="The file that was there is unchanged"):
        write_zip(path, "a", {"x": b"2"})
    assert path.read_bytes() == before
