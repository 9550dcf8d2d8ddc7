from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from ignite.engine import Engine, Events
from monai.transforms import Compose

from medbundles.data import EpochBatches, SeededDataset, SeededLoader
from medbundles.handlers import Seeding, seeding


@pytest.fixture(autouse=True)
def _flags():
    kept = torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic
    yield
    torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic = kept


def drawn(epochs=3, start=0, seed=1, noisy=False):
    """The numbers that torch, NumPy and Python give in each epoch."""
    out = {}

    def step(engine, batch):
        if noisy:
            torch.rand(5), np.random.rand(5), random.random()
        out.setdefault(engine.state.epoch, (float(torch.rand(1)), float(np.random.rand()), random.random()))

    engine = Engine(step)
    engine.data_loader = [0]
    Seeding(seed).attach(engine)

    @engine.on(Events.STARTED)
    def resume():
        engine.state.epoch = start

    engine.run([0], max_epochs=epochs)
    return out


def test_an_epochs_numbers_depend_on_seed_and_epoch_alone():
    wanted = drawn()
    assert len(set(wanted.values())) == 3
    torch.manual_seed(99)
    assert drawn() == wanted
    assert drawn(start=2) == {3: wanted[3]}  # as after resuming
    assert drawn(seed=2)[1] != wanted[1]


def test_ranks_draw_other_numbers(monkeypatch):
    first = drawn(1)
    monkeypatch.setattr(seeding, "rank_and_world", lambda: (1, 2))
    assert drawn(1) != first


def test_the_loader_gets_each_epoch_before_it_gives_its_first_batch():
    data = [{"image": str(i)} for i in range(9)]
    batches = EpochBatches(9, 2, shuffle=True, seed=3)
    loader = SeededLoader(SeededDataset(data, Compose([dict]), cache="none"), batches, num_workers=0)
    seen = {}
    engine = Engine(lambda engine, batch: seen.setdefault(engine.state.epoch, []).append(batch["image"]))
    engine.data_loader = loader
    Seeding(3).attach(engine)
    engine.run(loader, max_epochs=3)
    for epoch in (1, 2, 3):
        batches.set_epoch(epoch)
        assert seen[epoch] == [[str(i) for _, i, _ in batch] for batch in batches]


def flags():
    return torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic


def test_flags_are_set_for_the_run_and_tf32_only_when_asked_for():
    engine = Engine(lambda *_: None)
    engine.data_loader = [0]
    before = torch.backends.cuda.matmul.allow_tf32
    Seeding(1, cudnn_benchmark=False, cudnn_deterministic=True).attach(engine)
    seen = []
    engine.add_event_handler(Events.EPOCH_COMPLETED, lambda: seen.append(flags()))
    kept = flags()
    engine.run([0])
    assert seen == [(False, True)] != [kept]
    assert flags() == kept  # for what else the process does
    assert torch.backends.cuda.matmul.allow_tf32 == before
    try:
        Seeding(1, tf32=not before).set_flags(engine)
        assert torch.backends.cuda.matmul.allow_tf32 != before
    finally:
        Seeding(1, tf32=before).set_flags(engine)


def test_a_process_with_torchs_newer_setting_of_precision_is_left_alone():
    before = torch.backends.cuda.matmul.fp32_precision
    torch.backends.cuda.matmul.fp32_precision = "tf32"
    try:
        assert len(drawn()) == 3
        assert torch.backends.cuda.matmul.fp32_precision == "tf32"
    finally:
        torch.backends.cuda.matmul.fp32_precision = before
