"""How much pictures look like one picture: thumbnails are compared, then laid on each other and compared again.

What is compared is local contrast: the details between two blurs, divided by their strength nearby. Without it all
chest X-rays look alike, and a change of contrast or a text burnt in outweighs the rest.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from medbundles.data.lists.nearest import nearest
from medbundles.data.reading.thumbnails import unpacked

LEAST = 0.87  # likeness from which two pictures are one; what was measured stands at `alike`
NEIGHBOURS = 3  # so many of a picture's most similar ones are looked at closely
_CANDIDATE = 0.4  # correlation of coarse maps from which two pictures are laid on each other
_PROMISING = 0.6  # and from which, after that, they are compared in detail
_DIMENSIONS = 256  # principal components of coarse maps in which the most similar ones are looked for
_NEAREST = 8  # so many of those are then compared by their maps themselves
_OVERLAP = 0.6  # share of the picture that both must show
_CUT = 0.12  # part of a side that is left out where the search begins with a cut picture

# Where the search begins: scale and shift of the columns, scale and shift of the rows; whole, cut at one side, at two
# that meet, at two opposite ones or at all, and left and right exchanged. A side goes from -1 to 1.
_SHORT = 1 - _CUT
_STARTS = torch.tensor(
    [
        [1, 0, 1, 0],
        [_SHORT, _CUT, 1, 0],
        [_SHORT, -_CUT, 1, 0],
        [1, 0, _SHORT, _CUT],
        [1, 0, _SHORT, -_CUT],
        *([1 - cut, x * cut, 1 - cut, y * cut] for cut in (_CUT, _CUT / 2) for x in (-1, 1) for y in (-1, 1)),
        [_SHORT, 0, 1, 0],
        [1, 0, _SHORT, 0],
        [_SHORT, 0, _SHORT, 0],
        [-1, 0, 1, 0],
    ]
)


def alike(thumbnails: Sequence[str], owners: Sequence[int], least: float = LEAST) -> list[tuple[int, int, float]]:
    """Pairs of pictures that are one picture, re-encoded, re-sized, cut, flipped left-right or inverted.

    The correlation of coarse maps (32x32) names up to three candidates for each picture; these are laid on each other
    by scale and shift of rows and columns (Gauss-Newton), and the correlation of fine maps (64x64), where both show
    something, is their likeness. Of many copies of one picture not every pair is listed, but each with another.

    Measured on heads (yes/no pictures, LGG slices), panoramic and chest X-rays: known copies reach .94 to 1, different
    patients at most .65 (yes/no), .61 (panoramic), .74 (chest), .82 (LGG). Of 18 to 60 artificial copies in each set at
    least 90 % are found after JPEG at quality 30, half or double size, 2 to 10 % cut from one side or two opposite
    ones, a black or white frame, flip left-right, inversion, noise; of X-rays also after 5 to 15 % cut from two sides
    that meet, 5 % cut from all sides, text, contrast, gamma 0.5 and 2. Of heads on an empty background about half are
    found after text with an arrow or strong contrast, three quarters after gamma 2, and of the yes/no pictures 60 to
    90 % after cuts from two sides that meet or from all. A rotation by 2 degrees hides most of the pictures; one by 5
    degrees or a quarter, and upside down, all. Several changes at once, such as flipped and cut, were not tried.
    Of more than 2,000 pictures not each is compared with each, which misses one copy in 200 more (see `nearest`).

    Args:
        thumbnails: N of them, as `read_thumbnails` gives them.
        owners: whose each picture is (N numbers); pictures of one owner are not compared.
        least: likeness from which pictures are one.

    Returns:
        (index, larger index, likeness in least to 1), most alike first.
    """
    small = torch.from_numpy(np.stack([unpacked(text) for text in thumbnails]))
    coarse = torch.cat([_local_contrast(avg_pool2d(_real(some), 2), 1.2) for some in small.split(1024)])
    first, second, start = _candidates(coarse, torch.as_tensor(owners))
    found: dict[tuple[int, int], float] = {}
    for some in torch.arange(len(first)).split(128):
        a, b, where = first[some], second[some], _STARTS[start[some]]
        where, likeness = _laid_on(coarse[a], coarse[b], where, steps=4)
        good = likeness > _PROMISING
        fixed, moving = (_local_contrast(_real(small[some[good]]), 2) for some in (a, b))
        _, likeness = _laid_on(fixed, moving, where[good], steps=1)
        for i, j, value in zip(a[good].tolist(), b[good].tolist(), likeness.tolist(), strict=True):
            if value >= least:
                pair = (min(i, j), max(i, j))
                found[pair] = max(value, found.get(pair, 0))
    return sorted(((i, j, value) for (i, j), value in found.items()), key=lambda pair: (-pair[2], *pair[:2]))


def _real(pictures: Tensor) -> Tensor:
    """uint8 pictures from 0 to 1."""
    return pictures.float() / 255


def _local_contrast(pictures: Tensor, sigma: float) -> Tensor:
    """(N, S, S): pictures (N, S, S) without their blur, divided by the strength of that within about 4 pixels."""
    details = pictures - _blurred(pictures, sigma)
    energy = _blurred(details.square(), 4)
    # half of the mean, so that noise of an empty background stays small
    return details / (energy + 0.5 * energy.mean(dim=(1, 2), keepdim=True)).sqrt().clamp_min(1e-6)


def _blurred(maps: Tensor, sigma: float) -> Tensor:
    """Maps (N, S, S) under a Gaussian of sigma pixels, cut off at the sides."""
    line = torch.arange(maps.shape[-1])
    weights = torch.exp(-(line[:, None] - line).square() / (2 * sigma**2))
    weights = weights / weights.sum(dim=1, keepdim=True)
    return weights @ maps @ weights.T


def _candidates(maps: Tensor, owners: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Pairs to look at closely: index, index of the other, and with which of the starts the other is laid on it."""
    whole = _unit(maps)
    # Among fewer pictures than components this is exact, because the first of each pair lies within them.
    components = torch.linalg.eigh(whole.T @ whole).eigenvectors[:, -_DIMENSIONS:]
    views = torch.empty(len(_STARTS), len(maps), components.shape[1], dtype=torch.float16)
    for number, start in enumerate(_STARTS):
        for some in torch.arange(len(maps)).split(1024):
            views[number, some] = (_seen(maps[some], start) @ components).half()
    others = nearest(views, owners, _NEAREST)
    found: list[tuple[Tensor, Tensor, Tensor]] = []
    for rows, other in zip(torch.arange(len(maps)).split(64), others.split(64), strict=True):
        start = torch.einsum("rd,srnd->srn", views[0][rows].float(), views[:, other].float()).abs().argmax(0)
        seen = torch.stack([_seen(maps[other[:, n]], _STARTS[start[:, n]]) for n in range(_NEAREST)], dim=1)
        value = (whole[rows][:, None] * seen).sum(dim=2).abs()
        value[owners[rows, None] == owners[other]] = 0
        value, place = value.topk(NEIGHBOURS, dim=1)
        row, column = torch.nonzero(value > _CANDIDATE, as_tuple=True)
        place = place[row, column]
        found.append((rows[row], other[row, place], start[row, place]))
    # Two pictures that name each other are looked at twice: one laid on the other is not the other laid on the one,
    # and looking once, from the first of them, would let the order of the files decide.
    a, b, start = (torch.cat(column) for column in zip(*found, strict=True))
    return a, b, start


def _seen(maps: Tensor, start: Tensor) -> Tensor:
    """(N, S * S) as `_unit` gives it of maps (N, S, S) that are seen from a start (4,), or from N of them."""
    return _unit(_warped(maps, start.expand(len(maps), 4))[0])


def _unit(maps: Tensor) -> Tensor:
    """(N, S * S) with mean 0 and length 1, so that products are correlations."""
    flat = maps.flatten(1)
    flat = flat - flat.mean(dim=1, keepdim=True)
    return flat / flat.norm(dim=1, keepdim=True).clamp_min(1e-6)


def _laid_on(fixed: Tensor, moving: Tensor, where: Tensor, steps: int) -> tuple[Tensor, Tensor]:
    """Moves maps until they agree best, by Gauss-Newton on the squared difference (inverted ones are turned).

    Args:
        fixed: (N, S, S).
        moving: (N, S, S).
        where: (N, 4), scale and shift of columns, scale and shift of rows, to begin with.
        steps: number of steps.

    Returns:
        `where` (N, 4) and the absolute correlation (N,) where both show something; 0 where that is too little.
    """
    side = fixed.shape[-1]
    line = _line(side)
    x, y = line[None, None, :], line[None, :, None]
    for _ in range(steps):
        moved, inside = _warped(moving, where)
        down, along = torch.gradient(moved, spacing=2 / side, dim=(1, 2))
        along, down = along * inside / where[:, 0, None, None], down * inside / where[:, 2, None, None]
        slopes = torch.stack([along * x, along, down * y, down], dim=1).flatten(2)
        sign = _correlation(fixed, moved, inside).sign()
        rest = ((sign[:, None, None] * fixed - moved) * inside).flatten(1)
        square = slopes @ slopes.mT
        damping = 1e-3 * square.diagonal(dim1=1, dim2=2).mean(dim=1) + 1e-6
        square = square + damping[:, None, None] * torch.eye(4)
        where = where + torch.linalg.solve(square, slopes @ rest[:, :, None])[:, :, 0].clamp(-0.1, 0.1)
    moved, inside = _warped(moving, where)
    enough = inside.mean(dim=(1, 2)) > _OVERLAP
    return where, _correlation(fixed, moved, inside).abs() * enough


def _line(side: int) -> Tensor:
    """The middles of `side` pixels between -1 and 1."""
    return (2 * torch.arange(side) + 1) / side - 1


def _warped(maps: Tensor, where: Tensor) -> tuple[Tensor, Tensor]:
    """Maps (N, S, S) scaled and shifted (bilinear), and 1.0 where they show something, else 0.0."""
    side = maps.shape[-1]
    columns, rows = (where[:, k, None] * _line(side) + where[:, k + 1, None] for k in (0, 2))
    inside = (rows.abs() <= 1).float()[:, :, None] * (columns.abs() <= 1).float()[:, None]
    return _weights(rows) @ maps @ _weights(columns).mT, inside


def _weights(places: Tensor) -> Tensor:
    """(N, S, S) by how much each pixel (last) counts at each of the places (N, S) along a side."""
    side = places.shape[-1]
    pixel = (((places + 1) * side - 1) / 2).clamp(0, side - 1)
    return (1 - (pixel[:, :, None] - torch.arange(side)).abs()).clamp_min(0)


def _correlation(a: Tensor, b: Tensor, inside: Tensor) -> Tensor:
    """(N,) Pearson's correlation of maps (N, S, S) where `inside` is 1."""
    count = inside.sum(dim=(1, 2), keepdim=True).clamp_min(1)
    a, b = ((x - (x * inside).sum(dim=(1, 2), keepdim=True) / count) * inside for x in (a, b))
    lengths = (a.square().sum(dim=(1, 2)) * b.square().sum(dim=(1, 2))).sqrt()
    return (a * b).sum(dim=(1, 2)) / lengths.clamp_min(1e-6)
