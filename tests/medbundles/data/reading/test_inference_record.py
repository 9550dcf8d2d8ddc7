"""The record of an inference: after its end, after a kill, and of several processes."""

from __future__ import annotations

import json

import pytest

from medbundles.data.reading.inference_record import InferenceRecord
from medbundles.errors import DataError, MedbundlesError


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
    ("name", "text"), [("predictions.json", "{}"), ("progress_0.jsonl", "[]\n"), ("progress_0.jsonl", "")]
)
def test_something_else_is_refused(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    with pytest.raises(DataError, match=rf"{name}: is no .* of an inference"):
        InferenceRecord(tmp_path).read()


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    record = InferenceRecord(tmp_path / "file")
    record.begin({}, fresh=True)
    with pytest.raises(MedbundlesError, match=r"progress_0.jsonl: cannot be written"):
        record.add({"file": "a"})
