"""The search for similar vectors: against comparing each with each."""

from __future__ import annotations

import torch

from medbundles.data.lists import nearest as module
from medbundles.data.lists.nearest import nearest


def views_of(groups: int, dimensions: int, seed: int = 0) -> torch.Tensor:
    """Two views (2, 3 * groups, D) of vectors in groups of three that are alike; of the last one the second view is.

    One in each group is turned to its opposite.
    """
    chance = torch.Generator().manual_seed(seed)
    heads = torch.randn(groups, 1, dimensions, generator=chance)
    first = heads + 0.5 * torch.randn(groups, 3, dimensions, generator=chance)
    second = torch.randn(groups, 3, dimensions, generator=chance)
    second[:, 2] = -first[:, 2]
    first[:, 2] = torch.randn(groups, dimensions, generator=chance)
    views = torch.stack([first.flatten(0, 1), second.flatten(0, 1)])
    return views / views.norm(dim=2, keepdim=True)


def of_all(views: torch.Tensor, owners: torch.Tensor, count: int) -> torch.Tensor:
    """What `nearest` says, each compared with each in float64."""
    value = (views[0].double() @ views.double().mT).abs().amax(0)
    value[owners[:, None] == owners] = 0
    return value.topk(count).indices


def test_few_are_compared_with_each_other():
    views, owners = views_of(30, 20), torch.arange(90) // 2
    assert torch.equal(nearest(views, owners, 4), of_all(views, owners, 4))


def test_where_there_are_fewer_than_wanted_the_place_is_ones_own():
    views = views_of(1, 8)
    assert nearest(views, torch.arange(3), 4)[:, 2:].tolist() == [[0, 0], [1, 1], [2, 2]]
    assert nearest(views, torch.zeros(3), 4).tolist() == [[row] * 4 for row in range(3)]


def test_of_many_hardly_any_is_missed(monkeypatch):
    """Directions of no order at all are the worst case."""
    views, owners = views_of(600, 32), torch.arange(1800)
    wanted = nearest(views, owners, 8)
    monkeypatch.setattr(module, "EXACT", 1799)
    found = nearest(views, owners, 8)
    close = (views[0] * views[:, wanted[:, 0]]).sum(2).abs().amax(0) > 0.7
    assert close.float().mean() > 0.5
    assert (found == wanted[:, :1]).any(1)[close].float().mean() > 0.95
    assert not torch.equal(found, wanted)  # it was not compared with all
    rows = found.sort(1).values
    assert (rows[:, 1:] != rows[:, :-1]).all()  # none is named twice
