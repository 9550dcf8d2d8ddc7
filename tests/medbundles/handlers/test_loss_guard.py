from __future__ import annotations

from typing import Any

import pytest
import torch
from ignite.engine import Events
from monai.engines import SupervisedTrainer
from torch import nn

from medbundles.errors import ConfigError, MedbundlesError
from medbundles.handlers import LossGuard
from medbundles.handlers.loss_guard import NoNumberError


def trained(network: nn.Module, batches: list[dict], loss: Any) -> None:
    SupervisedTrainer(
        device=torch.device("cpu"),
        max_epochs=2,
        train_data_loader=batches,
        network=network,
        optimizer=torch.optim.SGD(network.parameters(), lr=0.0),
        loss_function=loss,
        decollate=False,
        train_handlers=[LossGuard()],
    ).run()


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_it_stops_before_the_weights_change_and_names_the_batch(bad):
    network = nn.Linear(1, 1)
    with torch.no_grad():
        network.weight.fill_(1.0)
    batches = [{"image": torch.full((2, 1), v), "label": torch.ones(2, 1), "image_path": [f"{v}a", f"{v}b"]}
               for v in (0.0, bad, 0.0)]  # fmt: skip
    with pytest.raises(MedbundlesError) as caught:
        trained(network, batches, lambda pred, label: (pred - label).abs().mean())
    message = str(caught.value)
    assert message.startswith(f"the loss is {bad} in epoch 1, iteration 2. Its batch: {bad}a, {bad}b.")
    assert "Try other values of lr, grad_clip, amp" in message
    assert "checkpoints" not in message  # there are none yet
    assert torch.isfinite(network.weight).all()
    assert network.weight.grad is None or torch.isfinite(network.weight.grad).all()


def test_it_advises_with_the_values_of_the_run_and_says_which_checkpoints_stand(tiny_training):
    trainer = tiny_training(epochs=3, guard=[LossGuard()])
    trainer.run_dir.record({}, {"lr": 0.1, "grad_clip": None, "amp": "auto"}, set())

    @trainer.on(Events.EPOCH_STARTED(once=3))
    def spoil(engine):
        engine.loss_function.forward = lambda pred, target: pred["seg"].sum() * float("nan")

    with pytest.raises(NoNumberError) as caught:
        trainer.run()
    assert "the loss is nan in epoch 3, iteration 9. Its batch: unknown." in str(caught.value)
    assert "The checkpoints up to epoch 2 are kept. Try --lr 0.01, --grad_clip 1.0, --amp False, " in str(caught.value)


def test_weights_that_are_no_numbers_are_not_saved(tiny_training):
    trainer = tiny_training(epochs=3, guard=[LossGuard()])

    @trainer.on(Events.ITERATION_COMPLETED(once=8))  # the last step of epoch 2
    def overflow(engine):
        engine.network.cls.bias.data[0] = float("inf")

    with pytest.raises(NoNumberError, match=r"weights are no numbers after epoch 2, iteration 8: cls\.bias\. "):
        trainer.run()
    last = torch.load(trainer.run_dir.folder("checkpoints") / "last.pt", weights_only=True)
    assert last["epoch"] == 1


class Draws(nn.Module):
    def __init__(self):
        super().__init__()
        self.drawn: list[float] = []

    def forward(self, pred: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        if torch.is_grad_enabled():
            self.drawn.append(torch.rand(()).item())
        else:
            torch.rand(7)
        return (pred - label).abs().mean()


def test_trying_the_loss_takes_no_random_number_from_the_training():
    batch, loss = {"image": torch.zeros(2, 1), "label": torch.ones(2, 1)}, Draws()
    network = nn.Linear(1, 1)
    torch.manual_seed(5)
    trained(network, [batch, batch], loss)
    torch.manual_seed(5)
    assert loss.drawn == [torch.rand(()).item() for _ in range(4)]


def test_a_loss_that_does_not_take_what_the_network_gives_is_named_with_the_shapes_and_the_place():
    class TwoTasks(nn.Linear):
        def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
            return {"seg": super().forward(x), "cls": x}

    batch = {"image": torch.zeros(2, 1), "label": torch.ones(2, 1)}
    with pytest.raises(ConfigError) as caught:
        trained(TwoTasks(1, 3), [batch], nn.L1Loss())
    message = str(caught.value)
    assert message.startswith(
        "loss: L1Loss does not take what the network gives, {seg: (2, 3), cls: (2, 1)}, with the target (2, 1): "
        "AttributeError in "
    )
    assert "functional.py:" in message


@pytest.mark.parametrize(
    ("gives", "named"),
    [
        (lambda error: (error, error.detach()), r"gives a tuple of \(\) and \(\); a training needs one tensor"),
        (lambda error: {"loss": error}, r"gives {loss: \(\)}; a training needs one tensor"),
        (lambda error: error.item(), "gives float; a training needs one tensor"),
        (lambda error: None, "gives NoneType; a training needs one tensor"),
        (lambda error: error.round().detach(), "gives a number without a gradient"),
    ],
)
def test_a_loss_that_gives_no_tensor_to_learn_from_is_named_with_what_it_gives(gives, named):
    def of_someone(pred: torch.Tensor, label: torch.Tensor) -> Any:
        return gives((pred - label).abs().mean())

    batch = {"image": torch.zeros(2, 1), "label": torch.ones(2, 1)}
    with pytest.raises(ConfigError, match=f"^loss: of_someone {named}"):
        trained(nn.Linear(1, 1), [batch], of_someone)
