"""The record of an inference: after its end, after a kill, and of several processes."""

from __future__ import annotations

import errno
import io
import json
from pathlib import Path

import pytest

from medbundles.data.reading.inference_record import InferenceRecord
from medbundles.errors import DataError, MedbundlesError

HEAD = '{"fresh": true, "head": {}}\n'


def names(folder) -> list[str]:
    return [row["file"] for row in InferenceRecord(folder).read()[1]]


def test_rows_of_all_processes_count_beside_those_of_the_run_that_is_gone_on_with(tmp_path):
    InferenceRecord(tmp_path).finish({"id": 1}, [{"file": "a"}, {"file": "b"}], [{"file": "x", "reason": "bad"}])
    assert InferenceRecord(tmp_path).read() == ({"id": 1}, [{"file": "a"}, {"file": "b"}])
    for rank, file in enumerate("cd"):
        record = InferenceRecord(tmp_path, rank)
        record.begin({"id": 1}, fresh=False)
        assert not record.path.exists()  # before there is a result, nothing is written
        record.add({"file": file})
    assert sorted(names(tmp_path)) == ["a", "b", "c", "d"]
    with (tmp_path / "progress_1.jsonl").open("ab") as file:
        file.write(b'{"file": "cut o')
    assert sorted(names(tmp_path)) == ["a", "b", "c", "d"]


def test_what_is_made_afresh_does_not_count_the_earlier_record(tmp_path):
    InferenceRecord(tmp_path).finish({"id": 1}, [{"file": "a"}, {"file": "b"}], [])
    record = InferenceRecord(tmp_path)
    record.begin({"id": 2}, fresh=True)
    assert names(tmp_path) == ["a", "b"]
    record.add({"file": "b", "value": float("nan")})
    assert InferenceRecord(tmp_path).read() == ({"id": 2}, [{"file": "b", "value": None}])
    record.finish({"id": 2}, [{"file": "b"}], [])
    assert json.loads((tmp_path / "predictions.json").read_text()) == {
        "id": 2,
        "failed": [],
        "results": [{"file": "b"}],
    }
    assert [path.name for path in tmp_path.iterdir()] == ["predictions.json"]


@pytest.mark.parametrize(
    ("name", "text", "where"),
    [
        ("predictions.json", "{}", "is no record"),
        ("progress_0.jsonl", "[]\n", "line 1 is no progress"),
        ("progress_0.jsonl", "half a li\n", "line 1 is no progress"),
        ("progress_1.jsonl", HEAD + '{"file": "a"}\n{"name": "b"}\n', "line 3 is no progress"),
        ("progress_1.jsonl", HEAD + '["a"]\n', "line 2 is no progress"),
        ("progress_1.jsonl", HEAD + '{"file": ["a"]}\n', "line 2 is no progress"),
    ],
)
def test_something_else_is_refused_with_its_file_and_line(tmp_path, name, text, where):
    (tmp_path / name).write_text(text)
    with pytest.raises(DataError, match=rf"{name}: {where} of an inference"):
        InferenceRecord(tmp_path).read()


@pytest.mark.parametrize("text", ["", '{"fresh": true, "he'])
def test_progress_without_a_whole_line_is_none(tmp_path, text):
    """So a kill or a full disk leaves it, between the file's making and the flush of its head."""
    InferenceRecord(tmp_path).finish({"id": 1}, [{"file": "a"}], [])
    (tmp_path / "progress_0.jsonl").write_text(text)
    assert InferenceRecord(tmp_path).read() == ({"id": 1}, [{"file": "a"}])


def test_progress_that_another_process_removes_meanwhile_is_none(tmp_path, monkeypatch):
    """Rank 0 clears the folder while rank 1 has listed it already."""
    InferenceRecord(tmp_path).finish({"id": 1}, [{"file": "a"}], [])
    record = InferenceRecord(tmp_path, 1)
    monkeypatch.setattr(record, "_progress_files", lambda: [tmp_path / "progress_0.jsonl"])
    assert record.read() == ({"id": 1}, [{"file": "a"}])
    record.clear()


class FullDisk(io.RawIOBase):
    """Takes nothing."""

    def writable(self):
        return True

    def write(self, data):
        raise OSError(errno.ENOSPC, "No space left on device")


def test_on_a_full_disk_closing_raises_nothing_more(tmp_path, monkeypatch):
    monkeypatch.setattr(Path, "open", lambda path, mode: io.BufferedWriter(FullDisk()))
    record = InferenceRecord(tmp_path)
    record.begin({}, fresh=True)
    with pytest.raises(MedbundlesError, match="the disk is full"):
        record.add({"file": "a"})
    record.close()


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    record = InferenceRecord(tmp_path / "file")
    record.begin({}, fresh=True)
    with pytest.raises(MedbundlesError, match=r"progress_0.jsonl: cannot be written"):
        record.add({"file": "a"})
