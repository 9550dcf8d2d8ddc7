from __future__ import annotations

import pytest
import torch

from medbundles.errors import ConfigError
from medbundles.losses import ClassificationLoss, MultitaskLoss, SegmentationLoss
from tests.two_processes import in_two_processes


def build(lambda_seg=1.0, lambda_cls=0.5):
    return MultitaskLoss(SegmentationLoss(), ClassificationLoss(), lambda_seg, lambda_cls)


def batch(has_mask, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    size = len(has_mask)
    pred = {
        "seg": torch.randn(size, 1, 6, 6, generator=generator, dtype=dtype).requires_grad_(),
        "cls": torch.randn(size, 2, generator=generator, dtype=dtype).requires_grad_(),
    }
    has_mask = torch.tensor(has_mask)
    mask = torch.randint(0, 2, (size, 1, 6, 6), generator=generator, dtype=torch.uint8) * has_mask[:, None, None, None]
    return pred, {"mask": mask, "cls": torch.arange(size) % 2, "has_mask": has_mask}


MIXES = [[True, True, True], [True, False, False, True], [False, True], [False, False]]


@pytest.mark.parametrize("has_mask", MIXES)
@pytest.mark.parametrize(("lambda_seg", "lambda_cls"), [(1.0, 0.5), (0.3, 2.0), (1.0, 0.0), (0.0, 1.0)])
def test_formula(has_mask, lambda_seg, lambda_cls):
    pred, target = batch(has_mask)
    loss = build(lambda_seg, lambda_cls)
    total = loss(pred, target)
    single = [
        SegmentationLoss()(pred["seg"][i : i + 1], target["mask"][i : i + 1]).item() for i in range(len(has_mask))
    ]
    seg = [value for value, masked in zip(single, has_mask, strict=True) if masked]
    seg_mean = sum(seg) / len(seg) if seg else 0.0
    cls_mean = ClassificationLoss()(pred["cls"], target["cls"]).mean().item()
    assert total.shape == ()
    assert total.item() == pytest.approx(lambda_seg * seg_mean + lambda_cls * cls_mean, abs=1e-12)
    assert loss.parts["seg"].item() == pytest.approx(seg_mean, abs=1e-12)
    assert loss.parts["cls"].item() == pytest.approx(cls_mean, abs=1e-12)
    assert [int(loss.counts["seg"]), int(loss.counts["cls"])] == [len(seg), len(has_mask)]
    assert not any(value.requires_grad for value in loss.parts.values())


@pytest.mark.parametrize("has_mask", MIXES)
@pytest.mark.parametrize(("lambda_seg", "lambda_cls"), [(1.0, 0.5), (1.0, 0.0), (0.0, 1.0)])
def test_every_output_takes_part_in_the_graph(has_mask, lambda_seg, lambda_cls):
    pred, target = batch(has_mask)
    build(lambda_seg, lambda_cls)(pred, target).backward()
    touched = pred["seg"].grad.flatten(1).ne(0).any(dim=1)
    assert touched.tolist() == [m and lambda_seg > 0 for m in has_mask]
    assert bool(pred["cls"].grad.ne(0).any()) == (lambda_cls > 0)


def test_gradient():
    pred, target = batch([True, False, True])
    loss = build()
    assert torch.autograd.gradcheck(lambda s, c: loss({"seg": s, "cls": c}, target), (pred["seg"], pred["cls"]))


def test_images_without_mask_do_not_change_the_segmentation():
    pred, target = batch([True, False, True, False, False])
    loss = build(1.0, 0.0)
    mixed = loss(pred, target)
    keep = torch.tensor([0, 2])
    alone = loss({k: v[keep] for k, v in pred.items()}, {k: v[keep] for k, v in target.items()})
    torch.testing.assert_close(mixed, alone)
    order = torch.tensor([4, 2, 0, 1, 3])
    torch.testing.assert_close(
        loss({k: v[order] for k, v in pred.items()}, {k: v[order] for k, v in target.items()}), mixed
    )


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_computed_in_float32(dtype):
    pred, target = batch([True, False], dtype=torch.float32)
    half = {key: value.detach().to(dtype) for key, value in pred.items()}
    half["seg"] += 100  # in float16 the sum over an image of such logits is too large only from 128 x 128 on
    half["seg"] = half["seg"].repeat(1, 1, 40, 40)
    target = {**target, "mask": target["mask"].repeat(1, 1, 40, 40)}
    full = {key: value.float() for key, value in half.items()}
    for loss in (build(), build(0.0, 1.0)):
        total = loss(half, target)
        assert total.dtype == torch.float32
        assert total.isfinite()
        assert torch.equal(total, loss(full, target))


@pytest.mark.parametrize("has_mask", MIXES)
def test_per_sample(has_mask):
    pred, target = batch(has_mask)
    loss = build()
    values = loss.per_sample(pred, target)
    assert values["seg"][0].isnan().tolist() == [not m for m in has_mask]
    assert values["seg"][1].tolist() == list(has_mask)
    assert not any(value.requires_grad for pair in values.values() for value in pair)
    loss(pred, target)
    torch.testing.assert_close(values["cls"][0].mean(), loss.parts["cls"])
    if any(has_mask):
        torch.testing.assert_close(values["seg"][0].nanmean(), loss.parts["seg"])


@pytest.mark.parametrize(("lambda_seg", "lambda_cls"), [(-1.0, 1.0), (1.0, -0.1), (0.0, 0.0), (float("nan"), 1.0)])
def test_misuse(lambda_seg, lambda_cls):
    with pytest.raises(ConfigError, match=r"must be at least 0|are both 0"):
        build(lambda_seg, lambda_cls)


SCRIPT = """
import torch
from medbundles.losses import ClassificationLoss, MultitaskLoss, SegmentationLoss
from medbundles.networks import MultitaskUNet
cases = ((), 1.0, 0.5), (("encoder",), 1.0, 0.5), (("encoder", "decoder"), 0.0, 1.0), ((), 1.0, 0.0)
for frozen, lambda_seg, lambda_cls in cases:
    torch.manual_seed(0)
    network = MultitaskUNet(base_filters=2, depth=3, cls_hidden_dim=4, frozen=frozen)
    network = torch.nn.parallel.DistributedDataParallel(network)
    loss = MultitaskLoss(SegmentationLoss(), ClassificationLoss(), lambda_seg, lambda_cls)
    optimizer = torch.optim.SGD([p for p in network.parameters() if p.requires_grad], lr=0.1)
    for step in range(2):
        torch.manual_seed(10 * step + rank)
        has_mask = torch.tensor([rank == 0, False])
        mask = has_mask[:, None, None, None] * torch.ones(2, 1, 16, 16)
        target = {"mask": mask, "cls": torch.tensor([0, 1]), "has_mask": has_mask}
        optimizer.zero_grad()
        loss(network(torch.randn(2, 1, 16, 16)), target).backward()  # raises on parameters without gradient
        optimizer.step()
    total = torch.stack([p.detach().double().sum() for p in network.parameters()])
    other = total.clone()
    dist.broadcast(other, 0)
    assert torch.equal(total, other) and total.isfinite().all()
print("done")
"""


def test_two_processes_of_which_one_has_no_masks(tmp_path):
    assert in_two_processes(tmp_path, SCRIPT) == ["done\n"] * 2


def test_a_has_mask_that_would_be_broadcast_is_refused():
    pred, target = batch([True, False])
    with pytest.raises(ConfigError, match=r"has_mask has the shape \(2, 1\); it must be \(B,\)"):
        build()(pred, target | {"has_mask": target["has_mask"][:, None]})
