"""The inputs of an inference: bad ones come as such, and processes share the others."""

from __future__ import annotations

import pytest

from medbundles.data import InputBatches, InputDataset, SeededLoader
from medbundles.errors import DataError


def read(item: dict) -> dict:
    if "bad" in item["image"]:
        read.tried.append(item["image"])
        raise DataError(f"{item['image']}: is broken")
    return item


ITEMS = [{"image": path, "name": path, "number": i} for i, path in enumerate(["a", "bad", "bad", "b", "c"])]


def test_bad_inputs_come_with_what_is_wrong_and_are_tried_once():
    read.tried = []
    loader = SeededLoader(InputDataset(ITEMS, read), InputBatches(ITEMS, 2), num_workers=0)
    first, second, third = loader
    assert first["image"] == ["a"]
    assert first["failed"] == second["failed"] == [("bad", "is broken")]
    assert second["image"] == ["b"]
    assert "failed" not in third
    assert read.tried == ["bad"]
    only, *_ = SeededLoader(InputDataset(ITEMS[1:2], read), InputBatches(ITEMS[1:2], 2), num_workers=0)
    assert only == {"failed": [("bad", "is broken")]}


@pytest.mark.parametrize("world", [1, 2, 3, 5])
def test_processes_share_whole_inputs_about_equally(monkeypatch, world):
    sizes = [9, 1, 9, 1, 9, 1]  # volumes between pictures: one by one, one of two processes would get all volumes
    items = [{"image": str(i), "name": str(i)} for i, size in enumerate(sizes) for _ in range(size)]
    shares = []
    for rank in range(world):
        monkeypatch.setattr("medbundles.data.batches.inputs.rank_and_world", lambda rank=rank: (rank, world))
        batches = InputBatches(items, 4)
        shares.append([index for batch in batches for _, index, _ in batch])
        assert len(list(batches)) == len(batches)
    assert sorted(index for share in shares for index in share) == list(range(len(items)))
    names = [{items[index]["name"] for index in share} for share in shares]
    assert sum(map(len, names)) == len(sizes)
    assert max(map(len, shares)) - min(map(len, shares)) <= 9
    assert all(share == sorted(share) for share in shares)


def test_a_process_without_inputs_has_an_empty_batch(monkeypatch):
    monkeypatch.setattr("medbundles.data.batches.inputs.rank_and_world", lambda: (1, 2))
    assert list(SeededLoader(InputDataset(ITEMS[:1], read), InputBatches(ITEMS[:1], 2), num_workers=0)) == [{}]
    assert list(InputBatches([], 2)) == [[]]
