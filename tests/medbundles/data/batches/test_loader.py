from __future__ import annotations

import os

import numpy as np
import pytest
import torch
from monai.transforms import Compose, Randomizable

from medbundles.data import EpochBatches, SeededDataset, SeededLoader
from medbundles.data.batches import loader
from medbundles.errors import DataError
from medbundles.preflight.command_line import readable


class Read:
    def __call__(self, item):
        if item["value"] < 0:
            raise ValueError("negative")
        return {"image": torch.full((1, 4, 4), item["value"]), "name": item["image"]}


class Noise(Randomizable):
    def __call__(self, item):
        return {**item, "image": item["image"] + torch.from_numpy(self.R.normal(size=(1, 4, 4)))}


def build(workers, cache="memory", values=range(10), **options):
    data = [{"image": f"{v}.png", "value": float(v)} for v in values]
    dataset = SeededDataset(data, Compose([Read()]), Noise(), cache=cache, seed=2)
    batches = EpochBatches(len(data), 4, shuffle=True, seed=2)
    return SeededLoader(dataset, batches, num_workers=workers, pin_memory=True, **options)


def epochs(loading, numbers):
    out = []
    for epoch in numbers:
        loading.set_epoch(epoch)
        out.append([(batch["image"], batch["name"]) for batch in loading])
    return out


def same(first, second):
    return all(
        torch.equal(a[0], b[0]) and a[1] == b[1] for e, f in zip(first, second, strict=True)
        for a, b in zip(e, f, strict=True)
    )  # fmt: skip


def test_no_workers_and_two_persistent_ones_give_the_same_bits_in_every_epoch():
    alone, two = build(0), build(2, prefetch_factor=2)
    wanted = epochs(alone, (1, 2, 3))
    got = epochs(two, (1, 2))
    assert two._iterator is not None  # they are persistent
    assert same(got + epochs(two, (3,)), wanted)
    assert not same(wanted[:1], wanted[1:2])
    assert same(epochs(build(0), (3,)), wanted[2:])  # and a resumed run starts with epoch 3


@pytest.mark.parametrize("workers", [0, 1])
def test_iterating_takes_nothing_from_the_global_random_numbers(workers):
    loading = build(workers)
    torch.manual_seed(4)
    wanted = torch.rand(3)
    torch.manual_seed(4)
    np.random.seed(4)
    before = np.random.get_state()[1].copy()
    epochs(loading, (1, 2))
    assert torch.equal(torch.rand(3), wanted)
    assert np.array_equal(np.random.get_state()[1], before)


@pytest.mark.parametrize("workers", [0, 1])
def test_an_error_names_the_file_also_out_of_a_worker(workers):
    loading = build(workers, cache="none", values=[0, 1, -2, 3])
    loading.set_epoch(1)
    with pytest.raises(DataError) as caught:
        list(loading)
    assert (readable(caught.value) or "").splitlines()[0] == "-2.png: cannot be prepared: ValueError: negative"


def test_options_of_workers_mean_nothing_without_them(recwarn):
    loading = build(0, persistent_workers=True, prefetch_factor=7)
    assert (loading.num_workers, loading.persistent_workers, loading.prefetch_factor) == (0, False, None)
    with_one = build(1, persistent_workers=False, prefetch_factor=7)
    assert (with_one.num_workers, with_one.persistent_workers, with_one.prefetch_factor) == (1, False, 7)
    assert loading.pin_memory == torch.cuda.is_available()
    assert not recwarn.list


@pytest.mark.parametrize(("cores", "wanted"), [(1, 0), (2, 0), (3, 3), (16, 8)])
def test_auto_is_one_worker_per_core_but_none_on_a_small_machine(monkeypatch, cores, wanted):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(cores)), raising=False)
    assert loader.worker_count("auto") == wanted
    assert loader.worker_count(5) == 5
