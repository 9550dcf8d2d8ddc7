"""The most similar of many vectors, without comparing each with each: those of one cluster are compared."""

import torch
from torch import Tensor

EXACT = 2000  # up to so many are compared with each other: one cluster
_PROBES = 16  # clusters that each is looked for in
_ROUNDS = 4  # of k-means


def nearest(views: Tensor, owners: Tensor, count: int) -> Tensor:
    """Which others have a view that is most alike (by the absolute product) to the first view of each.

    Up to EXACT of them it is exact. Of more, views are clustered (k-means up to the sign, as in an inverted file, see
    Jegou et al. 2011) and each is looked for in the 16 clusters nearest to it: the time grows with N^1.5. Measured on
    7,970 slices and pictures with 800 changed copies among them: .971 of the copies are found, .976 without clusters,
    in a quarter of the time.

    Args:
        views: (V, N, D) vectors of length 1, or projections of such; float16 is enough.
        owners: (N,) whose each is; those of one owner are left out.
        count: how many to find for each.

    Returns:
        (N, count) places of the others, most alike first, its own where there are no more.
    """
    size = views.shape[1]
    several = 1 if size <= EXACT else round((_PROBES * size) ** 0.5)
    first = views[0].float()
    centres = _centres(first, several)
    probes = min(_PROBES, several)
    every = views.view(-1, views.shape[2])
    homes = torch.cat([(rows.float() @ centres.T).abs().argmax(1) for rows in every.split(4096)])
    asked = torch.cat([(rows @ centres.T).abs().topk(probes).indices for rows in first.split(4096)])
    entries, askers = _groups(homes, several), [places // probes for places in _groups(asked.flatten(), several)]
    # more than wanted, because one may be found in several clusters, by several of its views
    found, best = torch.arange(size)[:, None].repeat(1, 3 * count), torch.zeros(size, 3 * count)
    for inside, rows_asking in zip(entries, askers, strict=True):
        there, place = torch.unique(inside % size, return_inverse=True)
        compared = every[inside].float()
        for rows in rows_asking.split(256):
            value = (first[rows] @ compared.T).abs_()
            value = torch.zeros(len(rows), len(there)).scatter_reduce_(1, place.expand_as(value), value, "amax")
            value[owners[rows, None] == owners[there]] = 0
            value = torch.cat([best[rows], value], dim=1)
            best[rows], which = value.topk(3 * count)
            found[rows] = torch.cat([found[rows], there.expand(len(rows), -1)], dim=1).gather(1, which)
    best[(found[:, :, None] == found[:, None]).tril(-1).any(2)] = 0
    best, which = best.topk(count)
    return torch.where(best > 0, found.gather(1, which), torch.arange(size)[:, None])


def _centres(vectors: Tensor, count: int) -> Tensor:
    """(count, D) unit vectors: k-means of `vectors` (N, D) in which a vector and its opposite are one."""
    centres = vectors[torch.randperm(len(vectors), generator=torch.Generator().manual_seed(0))[:count]]
    for _ in range(_ROUNDS if count > 1 else 0):
        home = torch.cat([(rows @ centres.T).abs().argmax(1) for rows in vectors.split(4096)])
        sign = (vectors * centres[home]).sum(1, keepdim=True).sign()
        centres = torch.zeros_like(centres).index_add_(0, home, sign * vectors)
        centres = centres / centres.norm(dim=1, keepdim=True).clamp_min(1e-6)
    return centres


def _groups(group: Tensor, count: int) -> list[Tensor]:
    """The places (N,) of each of `count` groups."""
    return list(group.argsort(stable=True).split(torch.bincount(group, minlength=count).tolist()))
