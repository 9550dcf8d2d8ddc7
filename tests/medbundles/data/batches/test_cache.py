from __future__ import annotations

import errno
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import Compose, Spacingd

from medbundles.data import DiskCache, SeededDataset
from medbundles.data.batches.cache import recipe_hash
from medbundles.errors import DataError


class Scale:
    calls = 0

    def __init__(self, factor):
        self.factor = factor

    def __call__(self, item):
        Scale.calls += 1
        return {"image": torch.from_numpy(np.load(item["image"])) * self.factor, "name": item["name"]}


@pytest.fixture
def read(tmp_path):
    """read(factor): the item through a fresh disk-cached dataset, and how often it was prepared."""
    np.save(tmp_path / "a.npy", np.ones((1, 8, 8)))
    item = {"image": str(tmp_path / "a.npy"), "name": "a", "label": 1}

    def once(factor=2.0, **changed):
        Scale.calls = 0
        dataset = SeededDataset(
            [{**item, **changed}], Compose([Scale(factor)]), cache="disk", cache_dir=str(tmp_path / "cache")
        )
        return dataset[0]["image"], Scale.calls

    return once


def test_another_instance_finds_what_the_first_one_stored(read):
    first, calls = read()
    assert calls == 1
    again, calls = read()
    assert calls == 0
    assert torch.equal(first, again)


def test_a_changed_file_a_changed_entry_and_a_changed_transform_are_read_again(read, tmp_path):
    read()
    np.save(tmp_path / "a.npy", np.full((1, 8, 8), 3.0))  # same size
    os.utime(tmp_path / "a.npy", ns=(1, 1))
    image, calls = read()
    assert (float(image.max()), calls) == (6.0, 1)
    image, calls = read(factor=5.0)
    assert (float(image.max()), calls) == (15.0, 1)
    assert read(label=0)[1] == 1
    assert read()[1] == 0  # the first one is still there


@pytest.mark.parametrize("keep", [0, 1, 10, 100, 0.5, 0.9, -1])
def test_a_cache_file_cut_short_is_made_again(read, tmp_path, keep):
    wanted, _ = read()
    (file,) = (tmp_path / "cache").iterdir()
    content = file.read_bytes()
    file.write_bytes(content[: int(keep * len(content)) if isinstance(keep, float) else keep])
    image, calls = read()
    assert calls == 1
    assert torch.equal(image, wanted)
    assert file.read_bytes() == content
    assert read()[1] == 0


def test_a_full_disk_names_the_cache_folder_and_leaves_no_half_file(read, tmp_path, monkeypatch):
    def full(path, content):
        with path.open("wb") as file:
            file.write(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(DataError, match=r"cache_dir: .*cache cannot be written; is the disk full\?"):
        read()
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match=r"cache_dir: .*file/cache cannot be written"):
        DiskCache(dict, tmp_path / "file" / "cache", "")({"image": "x"})


def test_the_hash_of_a_recipe_knows_settings_but_not_objects_addresses_or_random_states():
    def recipe(factor):
        step = Scale(factor)
        step.R = np.random.RandomState()
        return recipe_hash(Compose([step]))

    assert recipe(2.0) == recipe(2.0) != recipe(3.0)


def test_the_hash_looks_into_steps_that_hold_others():
    """Spacingd holds a Spacing, whose repr is its address: the cache would be made anew in every process."""

    def recipe(pixdim):
        return recipe_hash(Compose([Spacingd(keys="image", pixdim=pixdim)]))

    kept = Spacingd(keys="image", pixdim=[1, 1, 1])  # so that the next one lies elsewhere
    assert recipe_hash(kept) == recipe_hash(Spacingd(keys="image", pixdim=[1, 1, 1]))
    assert recipe([1, 1, 1]) == recipe([1, 1, 1]) != recipe([1, 1, 2])


def test_using_a_step_leaves_its_key_alone():
    step = Spacingd(keys="image", pixdim=[1.0, 1.0, 1.0])
    before = recipe_hash(step)
    step({"image": MetaTensor(torch.rand(1, 4, 4, 4))})
    assert recipe_hash(step) == before


def test_each_file_of_several_channels_counts(tmp_path):
    paths = [str(tmp_path / name) for name in ("flair", "t1")]
    for path in paths:
        np.save(f"{path}.npy", np.ones(3))
    item = {"image": [f"{path}.npy" for path in paths], "name": "a"}
    cache = DiskCache(dict, tmp_path, "")
    before = cache.path(item)
    assert cache.path(item) == before
    os.utime(item["image"][1], ns=(1, 1))
    assert cache.path(item) != before


@pytest.mark.parametrize("change", ["one bit", "a page of zeros"])
def test_a_file_that_was_changed_on_the_disk_is_made_again(tmp_path, change):
    np.save(tmp_path / "a.npy", np.random.default_rng(0).random((64, 64)))
    cache = DiskCache(Scale(2.0), tmp_path / "cache", "recipe")
    item = {"image": str(tmp_path / "a.npy"), "name": "a"}
    wanted, path = cache(item)["image"], cache.path(item)
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    if change == "one bit":
        content[middle] ^= 1
    else:
        content[middle : middle + 4096] = bytes(4096)
    path.write_bytes(content)
    assert torch.equal(cache(item)["image"], wanted)
    calls = Scale.calls
    assert torch.equal(cache(item)["image"], wanted)
    assert Scale.calls == calls
