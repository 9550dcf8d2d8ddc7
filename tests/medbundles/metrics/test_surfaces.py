"""Surface metrics against MONAI's, and against all pairs of surface pixels in float64."""

from __future__ import annotations

import itertools
import math
import time

import numpy as np
import pytest
import torch
from monai.metrics import compute_hausdorff_distance, compute_surface_dice

from medbundles.errors import ConfigError
from medbundles.metrics import Surfaces
from medbundles.metrics.surfaces import surface_distances

SHAPES = [((9, 8), (1.0, 1.0)), ((7, 9), (0.5, 2.0)), ((5, 6, 4), (0.7, 1.0, 3.0))]


def masks(shape, seed=0, batch=4, channels=2):
    """Random blobs, which reach the border, predicted and true."""
    rng = np.random.default_rng(seed)
    found, truth = (torch.from_numpy(rng.random((batch, channels, *shape)) < share) for share in (0.25, 0.2))
    return found.float(), truth.float()


def output(found, truth, spacing=None):
    label = {"mask": truth}
    if spacing is not None:
        label["spacing"] = torch.tensor([spacing] * len(found), dtype=torch.float64)
    return {"pred": {"mask": found}, "label": label}


def surface_of(mask):
    """Places of a mask that have a neighbour outside of it, or lie at the border."""
    there = {place for place in itertools.product(*map(range, mask.shape)) if mask[place]}
    steps = [
        step
        for axis in range(mask.ndim)
        for step in (np.eye(mask.ndim, dtype=int)[axis], -np.eye(mask.ndim, dtype=int)[axis])
    ]
    return [p for p in there if any(tuple(int(v) for v in np.add(p, step)) not in there for step in steps)]


def by_hand(found, truth, spacing, tolerance):
    """hd95, surface Dice and volume difference of one mask."""
    surfaces = [surface_of(mask) for mask in (found, truth)]
    cells = math.prod(s / 10 for s in spacing)
    each = []
    for own, other in (surfaces, surfaces[::-1]):
        each.append(
            sorted(min(math.dist(np.multiply(a, spacing), np.multiply(b, spacing)) for b in other) for a in own)
        )
    percentiles = []
    for values in each:
        place = 0.95 * (len(values) - 1)
        low = math.floor(place)
        high = min(low + 1, len(values) - 1)
        percentiles.append(values[low] + (place - low) * (values[high] - values[low]))
    together = each[0] + each[1]
    return (
        max(percentiles),
        sum(d <= tolerance for d in together) / len(together),
        (int(found.sum()) - int(truth.sum())) * cells,
    )


@pytest.mark.parametrize(("shape", "spacing"), SHAPES)
def test_they_are_the_distances_of_all_pairs_of_surface_pixels(shape, spacing):
    found, truth = masks(shape)
    columns = Surfaces(tolerance=1.5)(output(found, truth, spacing))
    for i, c in np.ndindex(4, 2):
        wanted = by_hand(found[i, c].numpy(), truth[i, c].numpy(), spacing, 1.5)
        got = [columns[name][i, c].item() for name in ("hd95", "surface_dice", "volume_difference")]
        assert got == pytest.approx(wanted, rel=1e-12)


@pytest.mark.parametrize("sparse", [0, 1_000_000])
@pytest.mark.parametrize(("shape", "spacing"), [((40, 52), (0.8, 1.3)), ((20, 24, 18), (1.0, 0.9, 2.5))])
def test_they_are_monais_whichever_way_the_nearest_is_found(shape, spacing, sparse, monkeypatch):
    monkeypatch.setattr("medbundles.metrics.surfaces.SPARSE", sparse)
    found, truth = masks(shape, batch=2)
    truth[1, 0] = 0
    truth[1, 0][tuple(slice(3, 9) for _ in shape)] = 1
    columns = Surfaces(tolerance=1.0)(output(found, truth, spacing))
    distance = compute_hausdorff_distance(found, truth, include_background=True, percentile=95, spacing=list(spacing))
    dice = compute_surface_dice(found, truth, [1.0, 1.0], include_background=True, spacing=list(spacing))
    torch.testing.assert_close(columns["hd95"].float(), distance)
    torch.testing.assert_close(columns["surface_dice"].float(), dice)


def test_where_one_is_empty_the_distance_is_the_diagonal_and_where_both_are_there_is_none():
    found, truth = torch.zeros(4, 1, 6, 8, 10), torch.zeros(4, 1, 6, 8, 10)
    found[0, 0, 2:4, 2:4, 2:4] = found[3, 0, 1, 1, 1] = 1  # a false alarm, a hit
    truth[1, 0, 2:4, 2:4, 2:4] = truth[3, 0, 1, 1, 1] = 1  # missed, a hit
    columns = Surfaces()(output(found, truth, (2.0, 1.0, 0.5)))
    diagonal = math.hypot(12, 8, 5)
    cm3 = 8 * 0.2 * 0.1 * 0.05
    wanted = {
        "hd95": [diagonal, diagonal, math.nan, 0],
        "surface_dice": [0, 0, math.nan, 1],
        "volume_difference": [cm3, -cm3, math.nan, 0],
        "diagonal": [diagonal] * 4,
    }
    for name, values in wanted.items():
        assert columns[name].tolist() == pytest.approx(values, nan_ok=True)


def test_an_image_without_a_mask_does_not_count():
    data = output(*masks((6, 7)))
    data["label"]["has_mask"] = torch.tensor([True, False, True, False])
    columns = Surfaces()(data)
    for name in ("hd95", "surface_dice", "volume_difference"):
        assert columns[name].isnan().all(1).tolist() == [False, True, False, True]


def test_without_a_spacing_pixels_count_as_millimetres():
    found, truth = torch.zeros(1, 1, 9, 9), torch.zeros(1, 1, 9, 9)
    found[0, 0, 1, 1] = truth[0, 0, 4, 5] = 1
    for label in (truth, {"mask": truth}):
        columns = Surfaces(tolerance=5)({"pred": {"mask": found}, "label": label})
        assert [columns[name].item() for name in columns] == pytest.approx([5, 1, 0, math.hypot(9, 9)])


@pytest.mark.parametrize(("spacing", "tolerance"), [(1.0000001, 1.0), (0.1, 0.3)])
def test_a_distance_that_is_rounded_up_is_within_the_tolerance(spacing, tolerance):
    found, truth = torch.zeros(1, 1, 9, 9), torch.zeros(1, 1, 9, 9)
    found[..., 2, 4] = truth[..., 2 + round(tolerance / spacing), 4] = 1
    columns = Surfaces(tolerance)(output(found, truth, (spacing, spacing)))
    assert columns["surface_dice"].item() == 1
    assert Surfaces(0.99 * tolerance)(output(found, truth, (spacing, spacing)))["surface_dice"].item() == 0


def test_class_indices_and_pixels_that_are_not_labelled():
    generator = torch.Generator().manual_seed(0)
    indices = torch.randint(0, 3, (2, 1, 12, 10), generator=generator)
    found = torch.stack([torch.randint(0, 3, (2, 12, 10), generator=generator) == c for c in (1, 2)], 1).float()
    truth = torch.cat([indices == 1, indices == 2], 1).float()
    plain = Surfaces()(output(found, truth))
    for name, values in Surfaces()(output(found, indices)).items():
        torch.testing.assert_close(values, plain[name])
    truth[:, :, 4:7], found[:, :, 4:7], indices[:, :, 4:7] = 0, 0, 255
    cut = Surfaces()(output(found, truth))
    found[:, 0, 4:7] = 1  # what is predicted there does not count
    for name, values in Surfaces(ignore_label=255)(output(found, indices)).items():
        torch.testing.assert_close(values, cut[name])


def test_a_decoder_that_is_not_trained_has_none():
    assert Surfaces()(output(*masks((4, 4))) | {"untrained": ["seg"]}) == {}


def test_misuse():
    with pytest.raises(ConfigError, match="tolerance of the surface Dice: -1 is not allowed"):
        Surfaces(tolerance=-1)
    with pytest.raises(ConfigError, match=r"spacing has the shape \(4, 3\); for these masks it must be \(4, 2\)"):
        Surfaces()(output(*masks((4, 4)), spacing=(1.0, 1.0, 1.0)))


def test_noise_in_a_volume_takes_no_time():
    """What an untrained network gives, of a tenth of a BraTS volume."""
    shape = (110, 110, 74)
    grid = np.indices(shape)
    truth = sum((axis - side / 2) ** 2 for axis, side in zip(grid, shape, strict=True)) < 15**2
    found = np.random.default_rng(0).random(shape) < 0.5
    started = time.perf_counter()
    one, other = surface_distances(found, truth, np.ones(3))
    assert time.perf_counter() - started < 10
    assert len(one) > 100 * len(other)
