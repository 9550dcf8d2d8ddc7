from __future__ import annotations

import pytest
import torch

from medbundles.errors import ConfigError
from medbundles.networks import MultitaskUNet
from medbundles.optimizers import build_optimizer


def small(**kwargs):
    return MultitaskUNet(**{"base_filters": 2, "depth": 3, "cls_hidden_dim": 4, **kwargs})


def summary(optimizer):
    return [(group["name"], group["lr"], len(group["params"])) for group in optimizer.param_groups]


def number(module):
    return len(list(module.parameters()))


@pytest.mark.parametrize(
    ("name", "kind", "expected"),
    [
        ("adam", torch.optim.Adam, {"betas": (0.8, 0.9), "eps": 1e-6}),
        ("adamw", torch.optim.AdamW, {"betas": (0.8, 0.9), "eps": 1e-6}),
        ("sgd", torch.optim.SGD, {"momentum": 0.7, "nesterov": False}),
    ],
)
def test_every_setting_arrives(name, kind, expected):
    optimizer = build_optimizer(
        small(), name, 1e-3, weight_decay=0.02, betas=[0.8, 0.9], eps=1e-6, momentum=0.7, nesterov=False
    )
    assert type(optimizer) is kind
    for key, value in {"lr": 1e-3, "weight_decay": 0.02, **expected}.items():
        assert optimizer.param_groups[0][key] == value


@pytest.mark.parametrize("wrapper", [None, "module", "_orig_mod"])
def test_the_encoder_has_its_own_rate(wrapper):
    network = small()
    encoder = {id(parameter) for parameter in network.encoder.parameters()}
    wrapped = network
    if wrapper:
        wrapped = torch.nn.Module()
        wrapped.add_module(wrapper, network)
    optimizer = build_optimizer(wrapped, "adamw", 3e-4, encoder_lr=1e-4)
    rest = number(network) - number(network.encoder)
    assert summary(optimizer) == [("encoder", 1e-4, number(network.encoder)), ("rest", 3e-4, rest)]
    assert {id(parameter) for parameter in optimizer.param_groups[0]["params"]} == encoder


def test_one_group_without_an_encoder_rate_or_an_encoder():
    network = small()
    assert summary(build_optimizer(network, "sgd", 0.1)) == [("rest", 0.1, number(network))]
    assert summary(build_optimizer(torch.nn.Linear(2, 2), "sgd", 0.1, encoder_lr=0.01)) == [("rest", 0.1, 2)]


def test_frozen_parameters_are_left_out():
    network = small(frozen=["encoder"])
    optimizer = build_optimizer(network, "adamw", 1e-3, encoder_lr=1e-4)
    assert summary(optimizer) == [("rest", 1e-3, number(network.decoder) + number(network.head))]


def test_nothing_trainable_is_an_error():
    with pytest.raises(ConfigError, match="no trainable parameter: all of it is frozen"):
        build_optimizer(small(frozen=["encoder", "decoder", "head"]), "adam", 1e-3)


def test_an_unknown_name_lists_the_names():
    with pytest.raises(ConfigError, match="optimizer#name: 'lion' is unknown; use one of: adam, adamw, sgd"):
        build_optimizer(small(), "lion", 1e-3)


def test_the_state_holds_only_tensors_and_plain_values(tmp_path):
    network = small()
    optimizer = build_optimizer(network, "adamw", 3e-4, encoder_lr=1e-4)
    sum(parameter.sum() for parameter in network.parameters()).backward()
    optimizer.step()
    torch.save(optimizer.state_dict(), tmp_path / "o.pt")
    loaded = torch.load(tmp_path / "o.pt", weights_only=True)
    again = build_optimizer(network, "adamw", 3e-4, encoder_lr=1e-4)
    again.load_state_dict(loaded)
    assert summary(again) == summary(optimizer)


@pytest.mark.parametrize(("scaled", "factor"), [(False, 1), (True, 4)])
def test_the_rates_may_be_multiplied_by_the_number_of_processes(monkeypatch, scaled, factor):
    monkeypatch.setattr("medbundles.optimizers.optimizer.rank_and_world", lambda: (1, 4))
    built = build_optimizer(small(), "adam", 3e-4, encoder_lr=1e-4, scale_by_processes=scaled)
    assert [group["lr"] for group in built.param_groups] == pytest.approx([factor * 1e-4, factor * 3e-4])
    assert built.scaled_by == factor


@pytest.mark.parametrize("name", ["adam", "adamw", "sgd"])
def test_the_fused_form_is_that_of_the_formula(name):
    """Of torch's plain loop, in float64 after ten steps."""
    torch.manual_seed(0)
    network = torch.nn.Linear(7, 5)
    plain = torch.nn.Linear(7, 5).double()
    plain.load_state_dict(network.state_dict())
    fused, loop = (build_optimizer(net, name, 1e-2, weight_decay=0.1) for net in (network, plain))
    assert all(group["fused"] for group in fused.param_groups)
    for group in loop.param_groups:
        group["fused"] = group["foreach"] = False
    for _ in range(10):
        for parameter, same in zip(network.parameters(), plain.parameters(), strict=True):
            same.grad = torch.randn_like(same)
            parameter.grad = same.grad.float()
        fused.step()
        loop.step()
    for parameter, same in zip(network.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(parameter.double(), same, atol=1e-6, rtol=1e-5)
