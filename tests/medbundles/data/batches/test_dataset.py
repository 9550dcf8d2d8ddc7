from __future__ import annotations

import gc
import logging
import multiprocessing
import threading

import numpy as np
import pytest
import torch
from monai.transforms import Compose, Randomizable, RandScaleIntensityd

from medbundles import parallel
from medbundles.data import SeededDataset
from medbundles.data.batches import dataset as module
from medbundles.errors import DataError

ONE_AT_A_TIME = threading.Lock()


class Read:
    """Reads a .npy file and counts."""

    def __init__(self, factor=1.0):
        self.factor = factor

    def __call__(self, item):
        with open(item["image"] + ".reads", "a") as log:
            log.write("x")
        with ONE_AT_A_TIME:  # see data/reading/images.py
            image = np.load(item["image"])
        return {"image": torch.from_numpy(image) * self.factor, "name": item["name"]}


class Noise(Randomizable):
    def __call__(self, item):
        return {**item, "image": item["image"] + torch.from_numpy(self.R.normal(size=item["image"].shape))}


@pytest.fixture
def data(tmp_path):
    items = []
    for i in range(6):
        np.save(tmp_path / f"{i}.npy", np.full((1, 4, 4), float(i)))
        items.append({"image": str(tmp_path / f"{i}.npy"), "name": str(i)})
    return items


def reads(data):
    out = []
    for item in data:
        try:
            with open(item["image"] + ".reads") as log:
                out.append(len(log.read()))
        except FileNotFoundError:
            out.append(0)
    return out


def test_augmentation_depends_on_seed_epoch_and_index_but_not_on_the_order(data):
    first = SeededDataset(data, Compose([Read()]), Noise(), seed=3)
    forward = {key: first[key]["image"] for key in [(2, i) for i in range(6)]}
    again = SeededDataset(data, Compose([Read()]), Noise(), seed=3)
    again[1, 4]
    for key in reversed(forward):
        assert torch.equal(again[key]["image"], forward[key])
    noise = [forward[2, i] - i for i in range(6)] + [first[3, 0]["image"]]
    noise.append(SeededDataset(data, Compose([Read()]), Noise(), seed=4)[2, 0]["image"])
    assert len({tuple(n.flatten().tolist()) for n in noise}) == 8  # another index, epoch or seed: other noise


def test_an_index_from_the_end_and_a_huge_seed_are_the_same_items(data):
    items = SeededDataset(data, Compose([Read()]), Noise(), seed=2**40)
    assert torch.equal(items[-1]["image"], items[5]["image"])
    assert torch.equal(items[2, 3]["image"], items[2, 3, 0]["image"])  # draw 0 is meant, whatever the seed
    assert not torch.equal(items[2, 3]["image"], items[2, 3, 1]["image"])
    with pytest.raises(IndexError, match="item -7 of 6"):
        items[-7]


def test_a_plain_index_is_epoch_0_and_without_augmentation_nothing_is_random(data):
    noisy = SeededDataset(data, Compose([Read()]), Noise())
    assert torch.equal(noisy[2]["image"], noisy[0, 2]["image"])
    plain = SeededDataset(data, Compose([Read()]))
    assert torch.equal(plain[7, 2]["image"], torch.full((1, 4, 4), 2.0, dtype=torch.float64))


def test_memory_cache_decodes_each_file_once_and_augmentation_leaves_it_alone(data):
    dataset = SeededDataset(data, Compose([Read()]), Noise(), cache="memory")
    assert reads(data) == [0] * 6  # nothing is read before the loader starts
    dataset.prepare()
    dataset.prepare()
    first = [dataset[1, i]["image"] for i in range(6)]
    assert all(torch.equal(dataset[1, i]["image"], first[i]) for i in range(6))
    assert reads(data) == [1] * 6


def test_without_a_cache_a_file_is_read_each_time(data):
    dataset = SeededDataset(data, Compose([Read()]), cache="none")
    dataset.prepare()
    dataset[0], dataset[0]
    assert reads(data)[0] == 2


def test_an_unknown_cache_is_refused(data):
    with pytest.raises(Exception, match="cache: 'ram' is unknown; use one of: none, memory, disk"):
        SeededDataset(data, Compose([Read()]), cache="ram")


@pytest.mark.parametrize("cache", ["none", "memory", "disk"])
def test_a_file_that_cannot_be_prepared_is_named(data, tmp_path, cache):
    (tmp_path / "3.npy").write_bytes(b"no array")
    dataset = SeededDataset(data, Compose([Read()]), cache=cache, cache_dir=str(tmp_path / "cache"))
    with pytest.raises(DataError, match=r"3\.npy: cannot be prepared"):
        dataset.prepare() if cache == "memory" else dataset[1, 3]


def test_a_data_error_of_a_transform_comes_through_with_the_ways_on(data):
    def fail(item):
        raise DataError("slice.png: the mask holds 7")

    with pytest.raises(DataError, match=r"^slice\.png: the mask holds 7\nMend or remove it.*--skip_bad_files True"):
        SeededDataset(data, Compose([fail]))[0]


@pytest.mark.parametrize("cache", ["none", "memory", "disk"])
def test_skip_bad_files_leaves_them_out_and_says_how_many(data, tmp_path, caplog, cache):
    (tmp_path / "3.npy").write_bytes(b"no array")
    with caplog.at_level(logging.WARNING, "medbundles"):
        dataset = SeededDataset(
            data, Compose([Read()]), cache=cache, cache_dir=str(tmp_path / "cache"), skip_bad_files=True
        )
    assert [item["name"] for item in dataset.data] == ["0", "1", "2", "4", "5"]
    assert len(dataset) == 5
    assert "3.npy" in caplog.text
    assert "1 of 6 items are left out" in caplog.text
    assert not (tmp_path / "cache").exists()  # building a dataset writes nothing
    dataset.prepare()
    assert dataset[1, 3]["name"] == "4"
    if cache == "memory":
        assert reads(data)[4] == 1  # what was read to check it is kept


def test_skip_bad_files_refuses_to_train_on_nothing(data, tmp_path):
    for i in range(6):
        (tmp_path / f"{i}.npy").write_bytes(b"no array")
    with pytest.raises(DataError, match="none of the 6 files can be read"):
        SeededDataset(data, Compose([Read()]), skip_bad_files=True)


def test_skip_bad_files_refuses_to_lose_a_whole_source(data, tmp_path):
    for i in range(2):
        (tmp_path / f"{i}.npy").write_bytes(b"no array")
    mixed = [{**item, "source": "slices" if i < 2 else "images"} for i, item in enumerate(data)]
    with pytest.raises(DataError, match="none of the 2 files of source 'slices' can be read"):
        SeededDataset(mixed, Compose([Read()]), skip_bad_files=True)


@pytest.fixture
def two_processes(monkeypatch):
    monkeypatch.setattr(parallel, "core_count", lambda: 2)
    monkeypatch.setattr(parallel, "ALONE", 0.0)


def test_no_process_goes_on_reading_when_the_filling_of_the_cache_is_broken_off(two_processes):
    def read(item):
        if item["name"] == "3":
            raise ValueError("broken")
        return item

    items = [{"name": str(number), "image": "x"} for number in range(50)]
    dataset = SeededDataset(items, read, cache="memory")
    with pytest.raises(DataError, match="x: cannot be prepared: ValueError: broken"):
        dataset.prepare()
    gc.collect()
    assert not multiprocessing.active_children()


@pytest.mark.parametrize("cache", ["memory", "disk"])
def test_two_processes_fill_the_cache_with_the_same_bits(data, tmp_path, two_processes, cache):
    def items(cache):
        dataset = SeededDataset(data, Compose([Read()]), Noise(), cache=cache, cache_dir=str(tmp_path / "cache"))
        dataset.prepare()
        return [dataset[1, i] for i in range(6)]

    filled, read = items(cache), items("none")
    assert all(torch.equal(a["image"], b["image"]) for a, b in zip(filled, read, strict=True))
    assert [item["name"] for item in filled] == [item["name"] for item in read]


@pytest.fixture
def free(monkeypatch):
    """free(memory, disk): so many bytes are left."""

    def leave(memory, disk=10**12):
        monkeypatch.setattr(module, "free_memory", lambda: memory)
        monkeypatch.setattr(module, "free_on_disk", lambda folder: disk)

    return leave


SIZE = 6 * 16 * 8  # bytes of the six items


def test_a_memory_cache_that_fits_is_announced(data, free, caplog):
    free(2 * SIZE)
    dataset = SeededDataset(data, Compose([Read()]), cache="memory")
    with caplog.at_level(logging.INFO, "medbundles"):
        dataset.prepare()
    assert caplog.messages == ["cache: 6 images take about 768 bytes of memory, 1.54 kB are free"]
    assert dataset.prepared is not None


@pytest.mark.parametrize("skip_bad_files", [False, True])
def test_one_that_does_not_fit_goes_to_the_disk_which_is_said(data, tmp_path, free, caplog, skip_bad_files):
    free(2 * SIZE - 300)
    folder = tmp_path / "cache"
    with caplog.at_level(logging.INFO, "medbundles"):
        dataset = SeededDataset(data, Compose([Read()]), Noise(), "memory", str(folder), skip_bad_files=skip_bad_files)
        assert not folder.exists()
        dataset.prepare()
    assert "6 images take about 768 bytes of memory, too much of the 1.24 kB that are free; they go to" in caplog.text
    assert (dataset.cache, dataset.prepared, len(list(folder.iterdir()))) == ("disk", None, 6)
    plain = SeededDataset(data, Compose([Read()]), Noise(), cache="none")
    assert all(torch.equal(dataset[1, i]["image"], plain[1, i]["image"]) for i in range(6))


def test_where_neither_has_room_each_image_is_read_anew(data, tmp_path, free, caplog):
    free(SIZE, disk=SIZE - 1)
    dataset = SeededDataset(data, Compose([Read()]), cache="memory", cache_dir=str(tmp_path / "cache"))
    with caplog.at_level(logging.INFO, "medbundles"):
        dataset.prepare()
    assert "has no room either" in " ".join(caplog.messages)
    assert dataset.cache == "none"
    assert not (tmp_path / "cache").exists()
    assert dataset[1, 3]["name"] == "3"


def test_processes_on_one_machine_share_its_memory(data, free, monkeypatch, tmp_path):
    free(2 * SIZE)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    dataset = SeededDataset(data, Compose([Read()]), cache="memory", cache_dir=str(tmp_path / "cache"))
    dataset.prepare()
    assert dataset.cache == "disk"
    assert len(list((tmp_path / "cache").iterdir())) == 3  # the other process stores the others


def test_memory_that_runs_out_on_the_way_is_noticed(tmp_path, free, caplog):
    """The first items may be small, and other programs take memory."""
    free(10**6)
    items = [{"image": str(i), "name": str(i), "side": 1 if i < 5 else 300} for i in range(20)]

    def read(item):
        return {"image": torch.zeros(item["side"], item["side"])}

    dataset = SeededDataset(items, read, cache="memory", cache_dir=str(tmp_path / "cache"))
    dataset.prepare()
    assert dataset.cache == "disk"


def test_each_draw_of_an_item_in_an_epoch_differs_and_comes_again(data):
    dataset = SeededDataset(data, Compose([Read()]), Noise(), seed=3)
    sums = [float(dataset[key]["image"].sum()) for key in ((1, 2, 0), (1, 2, 1), (1, 2, 2), (2, 2, 1))]
    assert len(set(sums)) == 4
    assert float(dataset[(1, 2, 1)]["image"].sum()) == sums[1]
    assert float(dataset[(1, 2)]["image"].sum()) == sums[0]


@pytest.mark.parametrize("cache", ["memory", "disk", "none"])
@pytest.mark.parametrize("augmentation", [None, Noise()])
def test_the_cache_stops_at_the_first_random_step(data, tmp_path, cache, augmentation):
    """Whatever is cached, a random step of the preprocessing and what follows it are done anew, seeded by the key."""

    def twice(item):
        return {**item, "image": item["image"] * 2}

    steps = Compose([Read(), RandScaleIntensityd("image", factors=0.5, prob=1.0), twice])
    dataset = SeededDataset(data, steps, augmentation, cache, str(tmp_path / "cache"), seed=3)
    dataset.prepare()
    keys = [(1, 5, 0), (1, 5, 1), (2, 5, 0), (1, 5, 0)]
    first, other, later, again = (dataset[key]["image"] for key in keys)
    assert torch.equal(first, again)
    assert len({float(image.sum()) for image in (first, other, later)}) == 3
    if augmentation is None:
        assert 5 * 2 * 0.5 <= float(first.mean()) <= 5 * 2 * 1.5
    assert reads(data)[5] == (4 if cache == "none" else 1)


def test_an_item_that_is_drawn_several_times_is_read_once_and_differs(data):
    dataset = SeededDataset(data, Compose([Read()]), Noise(), draws=3)
    dataset.prepare()
    assert len(dataset) == 18
    drawn = [dataset[(1, index)] for index in (2, 8, 14)]
    assert [item["name"] for item in drawn] == ["2"] * 3
    assert len({float(item["image"].sum()) for item in drawn}) == 3
    assert len([item for item in dataset]) == 18  # noqa: C416  # a loop ends
    assert reads(data) == [1] * 6
