from __future__ import annotations

import math

import pytest
import torch
from ignite.engine import Events
from monai.engines import SupervisedTrainer
from torch import nn

from medbundles.errors import ConfigError
from medbundles.handlers import GradientClip

# the network is w.x with the loss mean(w.x), so its gradient is the mean of the inputs: (3, -4) for all of these
INPUTS = [torch.tensor([[3.0, -4.0]])] * 5


class Dot(nn.Module):
    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.zeros(2))

    def forward(self, x):
        return x @ self.w


def train(clip, accumulation=1, scaler=None, inputs=INPUTS):
    """Gradients that SGD stepped with (as changes of w, lr 1) and the norms that were kept, per iteration."""
    network = Dot()
    trainer = SupervisedTrainer(
        device=torch.device("cpu"),
        max_epochs=1,
        train_data_loader=[{"image": x, "label": x} for x in inputs],
        network=network,
        optimizer=torch.optim.SGD(network.parameters(), lr=1.0),
        loss_function=lambda pred, label: pred.mean(),
        decollate=False,
        accumulation_steps=accumulation,
        train_handlers=[clip],
    )
    if scaler:

        @trainer.on(Events.STARTED)
        def use_scaler():
            trainer.amp, trainer.scaler = True, scaler

    steps, norms = [], []

    @trainer.on(Events.ITERATION_STARTED)
    def before():
        trainer.before = network.w.detach().clone()

    @trainer.on(Events.ITERATION_COMPLETED)
    def after():
        steps.append((trainer.before - network.w.detach()).tolist())
        norms.append(getattr(trainer.state, "grad_norm", None))
        trainer.state.grad_norm = None

    trainer.run()
    return steps, [None if n is None else float(n) for n in norms]


def test_the_norm_is_cut_to_the_limit_and_the_direction_kept():
    steps, norms = train(GradientClip(1.0))
    assert norms == [5.0] * 5  # before clipping
    for step in steps:  # torch divides by norm + 1e-6
        assert step == pytest.approx([3 / 5.000001, -4 / 5.000001], abs=1e-6)
    assert train(GradientClip(6.0))[0][0] == [3.0, -4.0]  # below the limit nothing changes


def test_values_are_cut_one_by_one():
    steps, norms = train(GradientClip(3.5, kind="value"))
    assert steps[0] == pytest.approx([3.0, -3.5], abs=1e-6)
    assert norms[0] == 5.0


@pytest.mark.parametrize("off", [None, 0, 0.0, False])
def test_off_still_measures(off):
    steps, norms = train(GradientClip(off))
    assert steps[0] == [3.0, -4.0]
    assert norms == [5.0] * 5


@pytest.mark.filterwarnings("ignore:User provided device_type:UserWarning")
@pytest.mark.filterwarnings("ignore:.*CUDA is not available.*:UserWarning")
@pytest.mark.parametrize("kind", ["norm", "value"])
def test_gradients_are_unscaled_first(kind):
    steps, norms = train(GradientClip(3.5, kind), scaler=torch.amp.GradScaler("cpu", init_scale=1024.0))
    assert norms == pytest.approx([5.0] * 5)
    wanted = [3.5 * 3 / 5, -3.5 * 4 / 5] if kind == "norm" else [3.0, -3.5]
    assert steps[0] == pytest.approx(wanted, abs=1e-5)


@pytest.mark.filterwarnings("ignore:User provided device_type:UserWarning")
@pytest.mark.filterwarnings("ignore:.*CUDA is not available.*:UserWarning")
@pytest.mark.parametrize("scaler", [None, torch.amp.GradScaler("cpu", init_scale=8.0)])
def test_accumulated_gradients_are_clipped_only_when_the_optimizer_steps(scaler):
    steps, norms = train(GradientClip(1.0), accumulation=2, scaler=scaler)
    assert [s != [0.0, 0.0] for s in steps] == [False, True, False, True, True]  # 5 batches: the last one steps alone
    assert norms == [None, pytest.approx(5.0), None, pytest.approx(5.0), pytest.approx(2.5)]
    for step in (steps[1], steps[3], steps[4]):
        assert math.hypot(*step) == pytest.approx(1.0, abs=1e-5)


def test_what_makes_no_sense_is_refused():
    with pytest.raises(ConfigError, match="grad_clip_type: 'max' is unknown; use one of: norm, value"):
        GradientClip(1.0, kind="max")
    with pytest.raises(ConfigError, match="grad_clip: -1 is not allowed; it must be at least 0"):
        GradientClip(-1)
