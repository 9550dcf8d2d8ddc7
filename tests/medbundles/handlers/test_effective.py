from __future__ import annotations

import logging

import pytest

from medbundles.handlers import effective


@pytest.mark.parametrize(
    ("accumulation", "world", "scaled_by", "lines"),
    [
        (1, 1, 1, []),
        (2, 1, 1, ["effective batch 4 = 2 x 2 accumulated"]),
        (1, 4, 1, ["effective batch 8 = 2 x 4 processes"]),
        (
            2,
            4,
            4,
            [
                "effective batch 16 = 2 x 2 accumulated x 4 processes",
                "effective learning rate 0.1 = 0.025 x 4 processes",
            ],
        ),
    ],
)
def test_a_runs_log_says_what_a_step_is(tiny_training, monkeypatch, caplog, accumulation, world, scaled_by, lines):
    monkeypatch.setattr(effective, "rank_and_world", lambda: (0, world))
    trainer = tiny_training(epochs=1, accumulation=accumulation)
    trainer.optimizer.scaled_by = scaled_by
    with caplog.at_level(logging.INFO, "medbundles"):
        trainer.run()
    log = (trainer.run_dir.path / "logs/train.log").read_text()
    assert [line.split(" INFO ")[1] for line in log.splitlines() if "effective" in line] == lines
