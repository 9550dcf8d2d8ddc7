from __future__ import annotations

import math
import pickle

import pytest
import torch
from torch.optim import lr_scheduler

from medbundles.errors import ConfigError
from medbundles.optimizers import build_scheduler

RATES = (3e-4, 1e-4)


def optimizer():
    parameters = [torch.nn.Parameter(torch.zeros(1)) for _ in RATES]
    return torch.optim.SGD([{"params": [p], "lr": lr} for p, lr in zip(parameters, RATES, strict=True)], lr=1.0)


def rates(build, epochs, metrics=None):
    """The rates in each epoch."""
    built = optimizer()
    scheduler = build(built)
    seen = []
    for epoch in range(epochs):
        seen.append([group["lr"] for group in built.param_groups])
        built.step()  # or torch warns that the scheduler was stepped first
        scheduler.step(*([metrics[epoch]] if metrics else []))
        assert list(scheduler.get_last_lr()) == [group["lr"] for group in built.param_groups]
    return seen


def close(one, other):
    assert len(one) == len(other)
    for a, b in zip(one, other, strict=True):
        assert a == pytest.approx(b, rel=1e-12, abs=1e-18)


def test_cosine_is_torchs_until_t_max_and_then_stays():
    ours = rates(lambda o: build_scheduler(o, "cosine", epochs=20, T_max=12, eta_min=1e-6), 20)
    torchs = rates(lambda o: lr_scheduler.CosineAnnealingLR(o, T_max=12, eta_min=1e-6), 13)
    for a, b in zip(ours[:13], torchs, strict=True):  # torch's recursion rounds
        assert a == pytest.approx(b, rel=1e-9)
    close(ours[12:], [[1e-6, 1e-6]] * 8)


def test_cosine_formula_and_default_t_max():
    expected = [[1e-7 + (lr - 1e-7) * (1 + math.cos(math.pi * t / 10)) / 2 for lr in RATES] for t in range(10)]
    close(rates(lambda o: build_scheduler(o, "cosine", epochs=10), 10), expected)


def test_step_is_torchs():
    close(
        rates(lambda o: build_scheduler(o, "step", epochs=9, step_size=2, gamma=0.3), 9),
        rates(lambda o: lr_scheduler.StepLR(o, step_size=2, gamma=0.3), 9),
    )


def test_polynomial_is_torchs():
    ours = rates(lambda o: build_scheduler(o, "polynomial", epochs=9, power=0.7), 11)
    torchs = rates(lambda o: lr_scheduler.PolynomialLR(o, total_iters=9, power=0.7), 11)
    for a, b in zip(ours, torchs, strict=True):
        assert a == pytest.approx(b, rel=1e-9, abs=1e-18)


def test_constant():
    close(rates(lambda o: build_scheduler(o, "constant", epochs=4), 4), [RATES] * 4)


@pytest.mark.parametrize("mode", ["max", "min"])
def test_plateau_is_torchs(mode):
    metrics = [0.5, 0.6, 0.6, 0.59, 0.6, 0.7, float("nan"), 0.7, 0.7, 0.1]
    ours = rates(lambda o: build_scheduler(o, "plateau", epochs=10, patience=1, factor=0.3, mode=mode), 10, metrics)
    torchs = rates(lambda o: lr_scheduler.ReduceLROnPlateau(o, mode=mode, patience=1, factor=0.3), 10, metrics)
    close(ours, torchs)
    assert ours[-1] != list(RATES)


def test_patience_of_plateau_counts_epochs_also_without_validation():
    metrics = [None, None, 0.5, None, None, 0.5, None, None]
    ours = rates(lambda o: build_scheduler(o, "plateau", epochs=8, patience=3, factor=0.5), 8, metrics)
    # improved in epoch 2; 3, 4 and 5 are tolerated; 6 is one too many
    close(ours, [RATES] * 7 + [[lr / 2 for lr in RATES]])


@pytest.mark.parametrize("name", ["cosine", "step", "polynomial", "constant", "plateau"])
@pytest.mark.parametrize(("kind", "factors"), [("linear", [0.25, 0.5, 0.75]), ("constant", [0.1] * 3)])
def test_warm_up_then_the_schedule_from_its_start(name, kind, factors):
    metrics = [0.5] * 10 if name == "plateau" else None
    settings = {"step_size": 2, "patience": 1}
    ours = rates(
        lambda o: build_scheduler(o, name, epochs=10, warmup_epochs=3, warmup_type=kind, **settings), 10, metrics
    )
    proper = rates(lambda o: build_scheduler(o, name, epochs=7, **settings), 7, metrics)
    close(ours[:3], [[lr * factor for lr in RATES] for factor in factors])
    close(ours[3:], proper)


@pytest.mark.parametrize("name", ["cosine", "step", "polynomial", "constant", "plateau"])
@pytest.mark.parametrize("stopped", [1, 2, 6])
def test_resuming_is_exact_also_with_more_epochs(name, stopped, tmp_path):
    metrics = [0.5, 0.6, 0.6, 0.6, 0.6, 0.6, 0.6, 0.7, 0.7, 0.7, 0.7, 0.7]
    settings = {"step_size": 2, "patience": 1, "warmup_epochs": 2}
    long = rates(lambda o: build_scheduler(o, name, epochs=12, **settings), 12, metrics)

    first = optimizer()
    scheduler = build_scheduler(first, name, epochs=8, **settings)
    for epoch in range(stopped):
        first.step()
        scheduler.step(metrics[epoch])
    torch.save({"optimizer": first.state_dict(), "scheduler": scheduler.state_dict()}, tmp_path / "last.pt")
    state = torch.load(tmp_path / "last.pt", weights_only=True)

    second = optimizer()
    scheduler = build_scheduler(second, name, epochs=12, **settings)
    second.load_state_dict(state["optimizer"])
    scheduler.load_state_dict(state["scheduler"])
    for epoch in range(stopped, 12):
        assert [group["lr"] for group in second.param_groups] == long[epoch]  # bit by bit
        second.step()
        scheduler.step(metrics[epoch])


def test_schedulers_can_be_pickled():
    scheduler = build_scheduler(optimizer(), "cosine", epochs=5, warmup_epochs=1)
    assert pickle.loads(pickle.dumps(scheduler.lr_lambdas))[0](3) == scheduler.lr_lambdas[0](3)


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"name": "exp"}, "scheduler#name: 'exp' is unknown; use one of: cosine, step, plateau, polynomial, constant"),
        ({"warmup_type": "cubic"}, "scheduler#warmup_type: 'cubic' is unknown; use one of: linear, constant"),
        ({"mode": "best"}, "scheduler#mode: 'best' is unknown; use one of: max, min"),
        (
            {"warmup_epochs": 10},
            "warmup_epochs: 10 leaves nothing of 10 epochs; the cosine schedule ends there, so 0 to 9 can warm up",
        ),
        ({"warmup_epochs": 6, "T_max": 5}, "leaves nothing of 5 epochs; the cosine schedule ends there, so 0 to 4"),
    ],
)
def test_misuse(kwargs, message):
    with pytest.raises(ConfigError, match=message):
        build_scheduler(optimizer(), **{"name": "cosine", "epochs": 10, **kwargs})


@pytest.mark.parametrize(("name", "monitor"), [("plateau", "val_loss"), ("cosine", None), ("constant", None)])
def test_only_a_schedule_that_follows_a_metric_names_one(name, monitor):
    assert build_scheduler(optimizer(), name, epochs=10, monitor="val_loss").monitor == monitor


@pytest.mark.parametrize("mode", ["min", "max"])
@pytest.mark.parametrize("metric", [-10.0, 10.0, 0.0])
def test_an_epoch_without_validation_is_one_without_improvement_whatever_the_metrics_sign(mode, metric):
    options = {"mode": mode, "patience": 3, "factor": 0.5}
    found = rates(lambda o: build_scheduler(o, "plateau", epochs=12, **options), 12, [metric, *[None] * 11])
    assert [round(RATES[0] / rate[0]) for rate in found] == [1] * 5 + [2] * 4 + [4] * 3


def test_cosine_of_a_group_without_a_rate():
    group = torch.optim.SGD([{"params": [torch.nn.Parameter(torch.zeros(1))], "lr": 0.0}], lr=1.0)
    assert build_scheduler(group, "cosine", epochs=10).get_last_lr() == [0.0]
