from __future__ import annotations

import errno
import json
import shutil
import stat
import zipfile
from pathlib import Path

import pytest

from tests.tools.export.made_runs import ALL, make_run
from tools import import_bundle as module
from tools.cli import main

NAME = "medical_segmentation"


@pytest.fixture(scope="module")
def exported(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("export")
    run = make_run(ALL["medical"], root)
    assert main(["export", NAME, "--run", str(run), "--output_dir", str(root), "--formats", "zip"]) == 0
    return root / f"{NAME}.zip"


def with_entries(exported: Path, path: Path, entries: dict[str | zipfile.ZipInfo, str], without: str = "-") -> Path:
    """A copy of the zip with further entries, and without some."""
    with zipfile.ZipFile(exported) as source, zipfile.ZipFile(path, "w") as made:
        for entry in source.infolist():
            if without not in entry.filename and entry.filename not in entries:
                made.writestr(entry, source.read(entry))
        for entry, content in entries.items():
            made.writestr(entry, content)
    return path


def link(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name)
    entry.create_system, entry.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
    return entry


def test_what_was_exported_is_imported(exported, tmp_path, capsys):
    assert main(["import", str(exported), "--to", str(tmp_path / "a/b")]) == 0
    folder = tmp_path / "a/b" / NAME
    with zipfile.ZipFile(exported) as archive:
        for entry in archive.infolist():
            assert (tmp_path / "a/b" / entry.filename).read_bytes() == archive.read(entry)
    assert str(folder) in capsys.readouterr().out
    assert [p.name for p in (tmp_path / "a/b").iterdir()] == [NAME]


def test_a_folder_that_is_there_is_left_alone(exported, tmp_path, capsys):
    (tmp_path / NAME).mkdir()
    assert main(["import", str(exported), "--to", str(tmp_path)]) == 1
    assert "is there already; nothing was changed" in capsys.readouterr().err
    assert list((tmp_path / NAME).iterdir()) == []


HARMFUL = json.dumps({"run": ["$__import__('os').system('echo x')"]})


@pytest.mark.parametrize(
    ("entries", "is_ever_trusted"),
    [
        ({f"{NAME}/configs/x.json": HARMFUL}, True),
        ({f"{NAME}/scripts/x.py": "print(1)"}, True),
        ({f"{NAME}/configs/x.json": json.dumps({"dataset_dir": "/workspace/data"})}, True),  # as in the zoo
        ({f"{NAME}/../x.txt": "out"}, False),
        ({"/tmp/x.txt": "out"}, False),
        ({link(f"{NAME}/docs/x"): "/etc/passwd"}, False),
    ],
    ids=["expression", "code", "path in a config", "up", "absolute", "link"],
)
def test_findings_keep_a_zip_from_being_unpacked(exported, tmp_path, capsys, entries, is_ever_trusted):
    path, out = with_entries(exported, tmp_path / "x.zip", entries), tmp_path / "out"
    assert main(["import", str(path), "--to", str(out)]) == 1
    assert "nothing was unpacked" in capsys.readouterr().err
    assert not out.exists()
    assert main(["import", str(path), "--to", str(out), "--trust", "True"]) == (0 if is_ever_trusted else 1)
    assert out.exists() is is_ever_trusted
    assert sorted(p.name for p in tmp_path.iterdir()) == (["out", "x.zip"] if is_ever_trusted else ["x.zip"])


@pytest.mark.parametrize(
    ("entries", "without", "message"),
    [
        ({"other/x.txt": "x"}, "-", "one folder and nothing beside it"),
        ({"x.txt": "x"}, "-", "one folder and nothing beside it"),
        ({}, "metadata.json", "metadata.json is not in it"),
        ({f"{NAME}/models/trained.json": "{}"}, "-", ""),
    ],
)
def test_what_is_no_bundle(exported, tmp_path, capsys, entries, without, message):
    path = with_entries(exported, tmp_path / "x.zip", entries, without)
    code = main(["import", str(path), "--to", str(tmp_path / "out")])
    assert code == (1 if message else 0)
    assert message in capsys.readouterr().err
    assert (tmp_path / "out").exists() is (code == 0)


def test_other_weights_than_the_bundle_describes_are_refused(exported, tmp_path, capsys):
    with zipfile.ZipFile(exported) as archive:
        about = json.loads(archive.read(f"{NAME}/models/model.json")) | {"model_id": "sha256:0"}
    path = with_entries(exported, tmp_path / "x.zip", {f"{NAME}/models/model.json": json.dumps(about)})
    assert main(["import", str(path), "--to", str(tmp_path / "out")]) == 1
    assert "is not the file that" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_no_zip(tmp_path, capsys):
    (tmp_path / "x.zip").write_text("x")
    for path, message in ((tmp_path / "x.zip", "no folder and no zip"), (tmp_path, "only a zip"), ("no", "no such")):
        assert main(["import", str(path), "--to", str(tmp_path / "out")]) == 1
        assert message in capsys.readouterr().err


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "full"), KeyboardInterrupt()])
def test_a_full_disk_and_an_interruption_leave_nothing(error, exported, tmp_path, capsys, monkeypatch):
    copied, count = shutil.copyfileobj, []

    def fails(*files):
        count.append(1)
        if len(count) == 5:
            raise error
        copied(*files)

    monkeypatch.setattr(module.shutil, "copyfileobj", fails)
    code = main(["import", str(exported), "--to", str(tmp_path / "out")])
    assert code == (130 if isinstance(error, KeyboardInterrupt) else 1)
    assert not (tmp_path / "out").exists()
    assert ("the disk is full. Nothing was written." in capsys.readouterr().err) is (code == 1)


def test_a_disk_with_too_little_room(exported, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(module.shutil, "disk_usage", lambda _: type("usage", (), {"free": 1000}))
    assert main(["import", str(exported), "--to", str(tmp_path / "out")]) == 1
    assert "has 1,000 left" in capsys.readouterr().err
