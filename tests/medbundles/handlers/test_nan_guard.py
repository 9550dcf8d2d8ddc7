from __future__ import annotations

import pytest
import torch
from monai.engines import SupervisedTrainer
from torch import nn

from medbundles.errors import MedbundlesError
from medbundles.handlers import NanGuard


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_it_stops_before_the_weights_change_and_names_the_batch(bad):
    network = nn.Linear(1, 1)
    with torch.no_grad():
        network.weight.fill_(1.0)
    batches = [{"image": torch.full((2, 1), v), "label": torch.ones(2, 1), "image_path": [f"{v}a", f"{v}b"]}
               for v in (0.0, bad, 0.0)]  # fmt: skip
    trainer = SupervisedTrainer(
        device=torch.device("cpu"),
        max_epochs=2,
        train_data_loader=batches,
        network=network,
        optimizer=torch.optim.SGD(network.parameters(), lr=0.0),
        loss_function=lambda pred, label: (pred - label).abs().mean(),
        decollate=False,
        train_handlers=[NanGuard()],
    )
    with pytest.raises(MedbundlesError) as caught:
        trainer.run()
    message = str(caught.value)
    assert message.startswith(f"the loss is {bad} in epoch 1, iteration 2. Its batch: {bad}a, {bad}b.")
    assert "Try a lower lr" in message
    assert torch.isfinite(network.weight).all()
    assert network.weight.grad is None or torch.isfinite(network.weight.grad).all()
