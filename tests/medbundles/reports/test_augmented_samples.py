from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from PIL import Image

from medbundles.reports import AugmentedSamples
from medbundles.reports import augmented_samples as module


@pytest.mark.parametrize("dims", [2, 3])
def test_eight_samples_of_the_first_epoch_are_shown(tmp_path, monkeypatch, dims):
    keys = []

    class Data:
        def __len__(self) -> int:
            return 20

        def __getitem__(self, key: tuple[int, int, int]) -> dict:
            keys.append(key)
            mask = torch.zeros(1, *(16,) * dims, dtype=torch.uint8)
            mask[(0, *(slice(4, 9),) * dims)] = 1
            return {"image": torch.rand(3, *(16,) * dims), "mask": mask, "name": f"scan {key[1]}"}

    run = SimpleNamespace(directory=SimpleNamespace(folder=lambda name: tmp_path / name))
    monkeypatch.setattr(module, "run_of", lambda engine: run)
    engine = SimpleNamespace(state=SimpleNamespace(epoch=0), data_loader=SimpleNamespace(dataset=Data()))
    AugmentedSamples()(engine)
    assert [key[0] for key in keys] == [1] * 8
    assert keys[0] == (1, 0, 0)
    assert keys[-1] == (1, 19, 0)
    with Image.open(tmp_path / "plots/augmented_samples.png") as picture:
        assert picture.width > 4 * 200
    keys.clear()
    AugmentedSamples()(SimpleNamespace(state=SimpleNamespace(epoch=3), data_loader=engine.data_loader))
    assert keys == []  # a resumed run keeps what is there
