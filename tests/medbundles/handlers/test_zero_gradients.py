from __future__ import annotations

import pytest
import torch
from monai.engines import SupervisedTrainer
from torch import nn

from medbundles.handlers.zero_gradients import ZeroGradients

ONES = torch.ones(2, 2)


class Two(nn.Module):
    """Two layers; the second one sees the input only where it is above 0, the third is never used."""

    def __init__(self, freeze: bool):
        super().__init__()
        self.first, self.second, self.third = nn.Linear(2, 1), nn.Linear(2, 1, bias=False), nn.Linear(2, 1)
        self.third.requires_grad_(not freeze)

    def forward(self, x):
        return self.first(x) + self.second(x.clamp(min=0))


def found(inputs, freeze=True, accumulation=1, epochs=1):
    network, zero = Two(freeze), ZeroGradients()
    SupervisedTrainer(
        device=torch.device("cpu"),
        max_epochs=epochs,
        train_data_loader=[{"image": x, "label": x} for x in inputs],
        network=network,
        optimizer=torch.optim.SGD(network.parameters(), lr=0.1),
        loss_function=lambda pred, label: pred.mean(),
        decollate=False,
        accumulation_steps=accumulation,
        train_handlers=[zero],
    ).run()
    return sorted(zero.without), zero.found()


@pytest.mark.parametrize(
    ("inputs", "names"),
    [
        ([ONES, ONES], []),
        ([-ONES, -ONES], ["second"]),
        ([-ONES, ONES, -ONES], []),  # one step of the epoch is enough
        ([ONES, -ONES], []),
    ],
)
def test_layers_without_a_gradient_in_a_whole_epoch_are_found(inputs, names):
    assert found(inputs, epochs=2)[0] == names


def test_frozen_layers_do_not_count_and_unused_ones_do():
    assert found([ONES])[1] is None
    assert found([ONES], freeze=False) == (
        ["third"],
        "1 of 3 layers had no gradient in any step of an epoch, so they learn nothing: third",
    )


def test_with_accumulation_what_the_optimizer_steps_with_counts():
    assert found([-ONES, ONES], accumulation=2)[0] == []


def test_in_a_sound_network_only_the_first_step_of_an_epoch_is_looked_at(monkeypatch):
    looked = []
    monkeypatch.setattr("medbundles.handlers.zero_gradients.trained_layers", lambda network: looked.append(1) or {})
    found([ONES] * 5, epochs=3)
    assert len(looked) == 3
