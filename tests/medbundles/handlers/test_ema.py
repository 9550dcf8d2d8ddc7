from __future__ import annotations

import pytest
import torch
from ignite.engine import Events

from medbundles.errors import ConfigError
from medbundles.handlers import Ema, Publish
from medbundles.runs.checkpoints import load_checkpoint


def average(weights, decay):
    """By hand, in float64: of the weights at the start and after each step."""
    value = weights[0].double()
    for n, weight in enumerate(weights[1:], start=1):
        d = min(decay, (1 + n) / (10 + n))
        value = d * value + (1 - d) * weight.double()
    return value


def close(tensor, wanted):
    torch.testing.assert_close(tensor.double(), wanted, rtol=0, atol=1e-6)


@pytest.fixture
def training(tiny_training):
    """A training with the handler, which notes one of its weights after each step and in each validation."""

    def build(decay, **options):
        trainer = tiny_training(guard=[Ema(decay)], **options)
        weight = trainer.network.seg.weight
        trainer.steps, trainer.validated = [weight.detach().clone()], []
        trainer.optimizer.register_step_post_hook(lambda *_: trainer.steps.append(weight.detach().clone()))
        trainer.validator.on(Events.STARTED)(lambda: trainer.validated.append(weight.detach().clone()))
        return trainer

    return build


def saved(trainer, name="last.pt"):
    return load_checkpoint(trainer.run_dir.folder("checkpoints") / name)


@pytest.mark.parametrize("accumulation", [1, 2])
@pytest.mark.parametrize("decay", [0.25, 0.999])
def test_what_is_validated_and_saved_is_the_average_after_each_step(training, decay, accumulation):
    trainer = training(decay, accumulation=accumulation)
    trainer.run()
    per_epoch = 4 // accumulation
    assert len(trainer.steps) == 1 + 2 * per_epoch
    for epoch in (1, 2):
        close(trainer.validated[epoch - 1], average(trainer.steps[: 1 + epoch * per_epoch], decay))
    assert torch.equal(saved(trainer)["network"]["seg.weight"], trainer.validated[-1])
    assert not torch.equal(trainer.validated[-1], trainer.steps[-1])
    assert torch.equal(trainer.network.seg.weight, trainer.steps[-1])  # the training's own are back


def test_the_training_itself_is_that_without_it(training, tiny_training):
    trainer, without = training(0.9), tiny_training()
    trainer.run()
    without.run()
    assert torch.equal(trainer.network.seg.weight, without.network.seg.weight)


def test_the_average_is_published(training, tmp_path):
    trainer = training(0.9, after_history=lambda *_: [Publish(str(tmp_path / "models"))])
    trainer.run()
    published = torch.load(tmp_path / "models/model.pt", weights_only=True)["seg.weight"]
    best = saved(trainer, "best.pt")["epoch"]
    close(published, average(trainer.steps[: 1 + 4 * best], 0.9))


def test_a_step_that_the_optimizer_does_not_make_does_not_count(training):
    """As with a gradient scaler, which leaves out the step where fp16 overflows."""
    trainer = training(0.5, epochs=1)
    step = trainer.optimizer.step
    trainer.optimizer.step = lambda *_: trainer.state.iteration == 2 or step()
    trainer.run()
    assert len(trainer.steps) == 1 + 3
    close(trainer.validated[0], average(trainer.steps, 0.5))


@pytest.mark.parametrize("iteration", [1, 4])
def test_a_resumed_run_ends_with_the_same_bits(training, iteration):
    whole = training(0.9, epochs=4)
    whole.run()
    stopped = training(0.9, epochs=4)

    @stopped.on(Events.ITERATION_COMPLETED)
    def stop():
        if stopped.state.iteration == 8 + iteration:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stopped.run()
    assert torch.equal(stopped.network.seg.weight, stopped.steps[-1])
    resumed = training(0.9, epochs=4, resume=True)
    resumed.run()
    assert resumed.run_dir.path == stopped.run_dir.path
    for part in ("network", "parts", "optimizer"):
        left, right = saved(resumed)[part], saved(whole)[part]
        if part == "parts":
            left, right = left["ema"], right["ema"]
        torch.testing.assert_close(left, right, rtol=0, atol=0)
    assert saved(resumed)["parts"]["ema"]["steps"] == 16


def test_an_error_in_the_validation_gives_the_trainings_weights_back(training):
    trainer = training(0.9)

    @trainer.validator.on(Events.STARTED)
    def fail():
        raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        trainer.run()
    assert torch.equal(trainer.network.seg.weight, trainer.steps[-1])


def test_a_host_that_runs_the_trainer_again_with_other_weights_starts_a_new_average(training):
    trainer = training(0.9, epochs=1)
    trainer.run()
    with torch.no_grad():
        trainer.network.seg.weight.fill_(3.0)
    sent = trainer.network.seg.weight.detach().clone()
    trainer.state.max_epochs = 2
    trainer.run()
    close(trainer.validated[1], average([sent, *trainer.steps[5:]], 0.9))


def test_with_decay_0_nothing_happens_and_nothing_is_written(training):
    trainer = training(0)
    trainer.run()
    assert torch.equal(trainer.validated[-1], trainer.steps[-1])
    assert "ema" not in saved(trainer)["parts"]


def test_a_decay_of_1_is_refused():
    with pytest.raises(ConfigError, match=r"ema_decay: 1 is not allowed; it must be at least 0 and below 1"):
        Ema(1)


def test_a_run_that_is_stopped_between_resuming_and_its_start_ends_well():
    ema = Ema(0.9)
    ema.load_state_dict({"steps": 3, "raw": [torch.zeros(2)]})
    ema.close(KeyboardInterrupt())
