from __future__ import annotations

from types import SimpleNamespace

import torch
from torch import nn

from medbundles.networks import bare_network


class WithPredictor(nn.Module):
    """A user's network one of whose parts has the name under which MONAI Deploy's model holds a network."""

    def __init__(self):
        super().__init__()
        self.encoder, self.predictor = nn.Linear(2, 2), nn.Linear(2, 2)


def test_what_is_around_a_network_is_taken_off_and_no_part_of_it_is_taken_for_it():
    network = WithPredictor()
    assert bare_network(network) is network
    assert bare_network(torch.compile(network)) is network
    assert bare_network(SimpleNamespace(predictor=network)) is network
    assert bare_network(SimpleNamespace(predictor=torch.compile(network))) is network
