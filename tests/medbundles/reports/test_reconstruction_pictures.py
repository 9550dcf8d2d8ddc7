from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from ignite.engine import Engine
from PIL import Image

from medbundles.reports import ReconstructionPictures
from tests.medbundles.handlers.sharing import share


class Folder:
    def __init__(self, path: Path):
        self.path = path

    def folder(self, name: str) -> Path:
        (self.path / name).mkdir(exist_ok=True)
        return self.path / name


def test_the_first_image_of_each_validation_is_written_where_it_is_wanted(tmp_path):
    bright = {"image": torch.ones(2, 1, 20, 30), "name": ["first", "second"]}
    bright["image"][0, :, :, :15] = 0
    later = {"image": torch.zeros(1, 1, 20, 30), "name": ["third"]}

    def step(engine: Engine, batch: Any) -> dict:
        return {"image": batch["image"], "label": None, "pred": {"reconstruction": batch["image"] * 0.5}}

    validator = Engine(step)
    trainer = Engine(lambda engine, batch: None)
    share(trainer, Folder(tmp_path), validator)
    handler = ReconstructionPictures(every=2)
    handler.attach(trainer)
    trainer.run([0])
    trainer.run([0])  # a host may run it again: still one picture
    for epoch in range(1, 5):
        validator.state.epoch = epoch - 1  # as MONAI's evaluator counts
        validator.state.max_epochs, validator.state.iteration = epoch, 0
        validator.run([bright, later], max_epochs=epoch)
    plots = tmp_path / "plots"
    assert {path.name for path in plots.iterdir()} == {f"reconstruction_epoch_{n}.png" for n in (2, 4)}
    pixels = np.asarray(Image.open(plots / "reconstruction_epoch_2.png").convert("RGB"))
    factor, gap = 13, 8  # 30 pixels to 390
    panels = [pixels[130, start + 300] for start in (0, 390 + gap, 2 * (390 + gap))]
    assert [panel.tolist() for panel in panels[:2]] == [[255] * 3, [127] * 3]
    assert panels[2].sum() > 400  # the difference is largest there
    assert pixels[130, 2 * (30 * factor + gap) + 60].sum() < 10  # and nothing on the left


def test_0_is_none(tmp_path):
    validator, trainer = Engine(lambda engine, batch: None), Engine(lambda engine, batch: None)
    share(trainer, Folder(tmp_path), validator)
    ReconstructionPictures(every=0).attach(trainer)
    trainer.run([0])
    validator.run([0])
    assert not list(tmp_path.iterdir())
