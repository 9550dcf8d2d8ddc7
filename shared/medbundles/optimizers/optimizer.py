"""The optimizer by its short name, with a learning rate of its own for a pretrained encoder."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from medbundles.errors import ConfigError, one_of
from medbundles.networks.loading import plain_name
from medbundles.ranks import rank_and_world
from medbundles.rules import Rule, has_rules, ignored

OPTIMIZERS = ("adam", "adamw", "sgd")
USED_BY = {"betas": ("adam", "adamw"), "eps": ("adam", "adamw"), "momentum": ("sgd",), "nesterov": ("sgd",)}


def _nesterov_has_momentum(name: str, momentum: float, nesterov: bool) -> str | None:
    if name == "sgd" and nesterov and not momentum:
        return "optimizer#nesterov: needs momentum; give --optimizer#nesterov False with momentum 0."
    return None


@has_rules(
    ignored("optimizer", USED_BY),
    Rule(("optimizer#name", "optimizer#momentum", "optimizer#nesterov"), _nesterov_has_momentum),
)
def build_optimizer(
    network: nn.Module,
    name: str,
    lr: float,
    encoder_lr: float | None = None,
    weight_decay: float = 1e-4,
    betas: Sequence[float] = (0.9, 0.999),
    eps: float = 1e-8,
    momentum: float = 0.9,
    nesterov: bool = True,
    scale_by_processes: bool = False,
) -> torch.optim.Optimizer:
    """torch's Adam, AdamW or SGD over the network's trainable parameters, in the named groups "encoder" and "rest".

    There is an "encoder" group when `encoder_lr` is given and the network has trainable parameters in a child named
    `encoder`; else all are in "rest". Frozen parameters are in no group, so weight decay does not touch them. On a CPU
    it is torch's fused form, which takes a quarter of the time.

    Args:
        network: may be wrapped in DistributedDataParallel or compiled.
        name: adam, adamw or sgd.
        lr: learning rate.
        encoder_lr: learning rate of the child `encoder`; None: the same.
        weight_decay: decoupled for adamw, L2 for the others.
        betas: adam, adamw.
        eps: adam, adamw.
        momentum: sgd.
        nesterov: sgd.
        scale_by_processes: multiply the learning rates by the number of processes, as their batches add up (Goyal et
            al. 2017, arXiv:1706.02677). The optimizer says it as its attribute `scaled_by`.

    Raises:
        ConfigError: for an unknown name, or when nothing is trainable.
    """
    one_of("optimizer#name", name, OPTIMIZERS)
    groups: dict[str, list[nn.Parameter]] = {"encoder": [], "rest": []}
    for parameter_name, parameter in network.named_parameters():
        if parameter.requires_grad:
            in_encoder = encoder_lr is not None and plain_name(parameter_name).startswith("encoder.")
            groups["encoder" if in_encoder else "rest"].append(parameter)
    scaled_by = rank_and_world()[1] if scale_by_processes else 1
    rates = {"encoder": lr if encoder_lr is None else encoder_lr, "rest": lr}
    params = [{"params": groups[key], "lr": scaled_by * rates[key], "name": key} for key in groups if groups[key]]
    if not params:
        raise ConfigError("the network has no trainable parameter: all of it is frozen")
    on_cpu = all(parameter.device.type == "cpu" for group in groups.values() for parameter in group)
    common: dict[str, Any] = {"lr": lr, "weight_decay": weight_decay, "fused": on_cpu or None}
    optimizer: Any
    if name == "sgd":
        optimizer = torch.optim.SGD(params, momentum=momentum, nesterov=nesterov, **common)
    else:
        adam = torch.optim.Adam if name == "adam" else torch.optim.AdamW
        optimizer = adam(params, betas=(betas[0], betas[1]), eps=eps, **common)
    optimizer.scaled_by = scaled_by
    return optimizer
