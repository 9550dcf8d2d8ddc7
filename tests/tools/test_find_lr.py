"""The learning-rate range test: its arithmetic by hand, and on the real bundle."""

from __future__ import annotations

import json
import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from medbundles.errors import MedbundlesError
from tools.bundle import BUNDLES
from tools.cli import main
from tools.find_lr import SMOOTHING, RangeTest, find_lr, smooth, suggest
from tools.phantoms.slices import make_phantoms

TINY = {"image_size": 32, "base_filters": 4, "depth": 3, "batch_size": 4}


def test_smoothing_is_the_mean_with_weights_that_add_up_to_1():
    losses = [3.0, 1.0, 2.0]
    weights = np.array([SMOOTHING**2, SMOOTHING, 1.0])
    assert smooth(losses)[0] == 3.0
    assert smooth(losses)[2] == pytest.approx(float(weights @ losses / weights.sum()))


def test_suggestions_on_a_curve_with_a_known_shape():
    rates = list(np.geomspace(1e-6, 1, 61))
    losses = [1 - 0.8 / (1 + math.exp(-3 * (math.log10(r) + 3))) + max(0.0, math.log10(r) + 1) * 5 for r in rates]
    result = suggest(rates, losses)
    # steepest at 1e-3, lowest at 1e-1; the running mean lags by about five of the ten iterations per decade
    assert 1e-3 <= result["steepest"] <= 5e-3
    assert 0.05 <= result["minimum"] <= 0.3
    assert result["tenth_of_minimum"] == pytest.approx(result["minimum"] / 10)


def test_a_loss_that_never_falls_or_is_no_number_is_told():
    with pytest.raises(MedbundlesError, match="the loss never falls"):
        suggest(list(np.geomspace(1e-6, 1, 20)), [1 + 0.1 * i for i in range(20)])
    with pytest.raises(MedbundlesError, match="no number within 5 iterations"):
        suggest([1e-6, 1e-5], [1.0, 2.0])


class Engine:
    """Takes the handlers of a range test and runs them on given losses."""

    def __init__(self, losses: list[float]):
        weights = [torch.nn.Parameter(torch.zeros(1)) for _ in range(2)]
        groups = [{"params": weights[:1], "lr": 1e-4}, {"params": weights[1:], "lr": 3e-4}]
        self.optimizer, self.losses, self.handlers, self.over = torch.optim.SGD(groups, lr=1), losses, {}, False

    def add_event_handler(self, event, handler):
        self.handlers[event.name] = handler

    def terminate(self):
        self.over = True

    def run(self):
        rates = []
        for loss in self.losses:
            if self.over:
                break
            self.state = SimpleNamespace(output={"loss": torch.tensor(loss)})
            self.handlers["ITERATION_STARTED"](self)
            rates.append([group["lr"] for group in self.optimizer.param_groups])
            self.handlers["ITERATION_COMPLETED"](self)
        return rates


def test_rates_rise_by_a_factor_and_the_parts_keep_their_ratio():
    engine = Engine([1.0] * 9)
    test = RangeTest(3e-4, 1e-4, 1.0, 5)
    test.attach(engine)
    rates = np.array(engine.run())
    np.testing.assert_allclose(rates[:, 1], [1e-4, 1e-3, 1e-2, 1e-1, 1.0])
    np.testing.assert_allclose(rates[:, 0], rates[:, 1] / 3)


@pytest.mark.parametrize(("losses", "kept"), [([1.0, 1.0, math.nan, 1.0], 2), ([1.0, 0.5, 50.0, 1.0], 3)])
def test_it_ends_when_the_loss_is_no_number_or_diverges(losses, kept):
    engine = Engine(losses)
    test = RangeTest(1e-3, 1e-6, 1.0, 20)
    test.attach(engine)
    engine.run()
    assert len(test.losses) == len(test.rates) == kept


def test_on_the_bundle_it_leaves_only_its_two_files(tmp_path):
    data, bundle = tmp_path / "data", BUNDLES / "brain_tumor_multitask_unet"
    make_phantoms(data, patients=(4, 1, 1), slices=4, size=48, pictures=(8, 2, 2))
    before = set(bundle.rglob("*"))
    result = find_lr(
        "brain_tumor_multitask_unet", str(data), start=1e-5, end=3.0, iterations=40, overlays=("quick_test",),
        out=str(tmp_path / "out/lr"), seed=1, **TINY,
    )  # fmt: skip
    assert set(bundle.rglob("*")) == before
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["lr.json", "lr.png"]
    assert json.loads((tmp_path / "out/lr.json").read_text())["steepest"] == result["steepest"]
    assert 1e-5 < result["steepest"] < 3.0
    assert len(result["rates"]) == len(result["losses"]) > 10  # more than an epoch: it starts over


def test_a_loss_that_is_no_number_ends_the_test_on_a_bundle_too(tmp_path):
    data = tmp_path / "data"
    make_phantoms(data, patients=(4, 1, 1), slices=4, size=48, pictures=(8, 2, 2))
    result = find_lr(
        "brain_tumor_multitask_unet", str(data), start=1e-4, end=1e38, iterations=43, overlays=("quick_test",),
        out=str(tmp_path / "lr"), **{**TINY, "optimizer#name": "sgd", "grad_clip": 0},
    )  # fmt: skip
    assert 5 <= len(result["rates"]) < 43


def test_a_wrong_setting_starts_nothing(tmp_path):
    with pytest.raises(MedbundlesError, match="did you mean --image_size"):
        find_lr("brain_tumor_multitask_unet", str(tmp_path), out=str(tmp_path / "lr"), imagesize=32)
    with pytest.raises(MedbundlesError, match="--start must be above 0"):
        find_lr("brain_tumor_multitask_unet", str(tmp_path), start=0)
    assert list(tmp_path.iterdir()) == []


def test_the_place_of_the_result_is_out(capsys):
    assert main(["find-lr", "brain_tumor_multitask_unet", "--dataset_dir", "data", "--output_dir", "x"]) == 1
    assert "--output_dir: --out says where the result goes" in capsys.readouterr().err
