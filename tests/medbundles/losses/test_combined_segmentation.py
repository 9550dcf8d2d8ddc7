"""The segmentation losses pixel by pixel in float64, and against torch's and MONAI's where these say the same."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from ignite.engine import Engine
from monai.losses import DiceCELoss, FocalLoss

from medbundles.errors import ConfigError
from medbundles.losses import CombinedSegmentationLoss, needs_distances
from medbundles.losses.combined_segmentation import DEFAULTS
from medbundles.metrics import Cases, Losses, Score
from medbundles.preflight.rules import broken_rules
from medbundles.rules import GIVEN

IGNORED = 9
CASES = [(1, "classes"), (2, "classes"), (4, "classes"), (3, "regions"), (1, "regions")]
EXAMPLES = {
    "dice+ce": {"dice_weight": 0.5, "ce_weight": 0.5},
    "dice+focal": {"dice_weight": 0.5, "ce_weight": 0.0, "focal_weight": 0.5},
    "dice+ce+boundary": {"dice_weight": 0.4, "ce_weight": 0.4, "boundary_weight": 0.2},
}


def batch(channels, mask_rule, ignored=True, shape=(5, 7), dtype=torch.float64):
    """Logits, mask and distances; the second image has no foreground, the third is partly and the last not labelled."""
    generator = torch.Generator().manual_seed(channels)
    logits = 3 * torch.randn(4, channels, *shape, generator=generator, dtype=dtype)
    regions = channels if mask_rule == "regions" else 1
    classes = 2 if mask_rule == "regions" else max(channels, 2)
    mask = torch.randint(0, classes, (4, regions, *shape), generator=generator, dtype=torch.uint8)
    mask[1] = 0
    if ignored:
        mask[2, :, 1:3], mask[3] = IGNORED, IGNORED
    foreground = channels - 1 if mask_rule == "classes" and channels > 1 else channels
    distance = 2 * torch.rand(4, foreground, *shape, generator=generator, dtype=dtype) - 1
    return logits, {"mask": mask, "distance": distance}


def by_hand(term, logits, target, mask_rule, smooth, class_weights, alpha, gamma):
    """Values and weights of a term for each image, one pixel at a time in plain Python."""
    found = []
    for image, mask, distance in zip(
        logits.tolist(), target["mask"].tolist(), target["distance"].tolist(), strict=True
    ):
        channels, softmax = len(image), mask_rule == "classes" and len(image) > 1
        foreground = range(1, channels) if softmax else range(channels)
        values, weights = [], []
        dice = {c: [0.0, 0.0, 0.0, 0] for c in foreground}
        for i in range(len(image[0])):
            for j in range(len(image[0][0])):
                z = [image[c][i][j] for c in range(channels)]
                p = [math.exp(v) / sum(map(math.exp, z)) for v in z] if softmax else [1 / (1 + math.exp(-v)) for v in z]
                truth = [mask[c][i][j] for c in range(len(mask))]
                for place, c in enumerate(foreground):
                    own = truth[c] if mask_rule == "regions" else truth[0]
                    if own == IGNORED:
                        continue
                    t = float(own == c) if softmax else float(own)
                    for k, add in enumerate((p[c] * t, p[c], t, 1)):
                        dice[c][k] += add
                    if term == "boundary":
                        values.append(p[c] * distance[place][i][j])
                        weights.append(1.0)
                for c, own in enumerate(truth):
                    if own == IGNORED or term not in ("ce", "focal"):
                        continue
                    p_y = p[own] if softmax else (p[c] if own else 1 - p[c])
                    k = c if mask_rule == "regions" else own
                    is_ce = term == "ce"
                    values.append(-math.log(p_y) if is_ce else -alpha[k] * (1 - p_y) ** gamma * math.log(p_y))
                    weights.append(class_weights[k] if is_ce else 1.0)
        if term == "dice":
            there = [d for d in dice.values() if d[3]]
            values = [1 - (2 * pt + smooth) / (sum_p + sum_t + smooth) for pt, sum_p, sum_t, _ in there]
            weights = [1.0] * len(there)
        found.append((sum(v * w for v, w in zip(values, weights, strict=True)), sum(weights)))
    return found


def mean_by_hand(*arguments):
    sums = by_hand(*arguments)
    return sum(value for value, _ in sums) / sum(weight for _, weight in sums)


def settings_of(channels, mask_rule):
    each = channels if mask_rule == "regions" else max(channels, 2)
    return [0.3, 0.7, 0.5, 1.5][:each], [0.25, 0.75, 0.6, 0.1][:each]


@pytest.mark.parametrize("ignored", [False, True])
@pytest.mark.parametrize(("channels", "mask_rule"), CASES)
@pytest.mark.parametrize("name", ["dice", "cross_entropy", "focal"])
def test_each_is_its_formula(name, channels, mask_rule, ignored):
    logits, target = batch(channels, mask_rule, ignored)
    class_weights, alpha = settings_of(channels, mask_rule)
    given = {
        "dice": {"smooth": 0.01},
        "cross_entropy": {"class_weights": class_weights},
        "focal": {"alpha": alpha, "gamma": 1.5},
    }[name]
    loss = CombinedSegmentationLoss(
        channels, name, mask_rule=mask_rule, ignore_label=IGNORED if ignored else None, **given
    )
    wanted = mean_by_hand(
        {"cross_entropy": "ce"}.get(name, name), logits, target, mask_rule, 0.01, class_weights, alpha, 1.5
    )
    assert loss(logits, target["mask"]).item() == pytest.approx(wanted, rel=1e-9)
    assert list(loss.parts) == [{"cross_entropy": "ce"}.get(name, name)]


@pytest.mark.parametrize(("channels", "mask_rule"), CASES)
@pytest.mark.parametrize("example", EXAMPLES)
def test_the_combinations_of_the_guide_are_weighted_sums(example, channels, mask_rule):
    logits, target = batch(channels, mask_rule)
    weights = EXAMPLES[example]
    loss = CombinedSegmentationLoss(channels, mask_rule=mask_rule, ignore_label=IGNORED, **weights)
    total = loss({"seg": logits}, target)
    used = {term.removesuffix("_weight"): weight for term, weight in weights.items() if weight}
    ones, alpha = [1.0] * 4, [0.25] * 4
    parts = {term: mean_by_hand(term, logits, target, mask_rule, 1.0, ones, alpha, 2.0) for term in used}
    assert {term: value.item() for term, value in loss.parts.items()} == pytest.approx(parts, rel=1e-9)
    assert total.item() == pytest.approx(sum(used[term] * parts[term] for term in used), rel=1e-9)


def test_in_3d_and_in_bfloat16_it_is_computed_in_float32():
    logits, target = batch(3, "classes", shape=(3, 4, 5), dtype=torch.float32)
    loss = CombinedSegmentationLoss(3, boundary_weight=0.2, ignore_label=IGNORED)
    whole, half = loss(logits.bfloat16().float(), target), loss(logits.bfloat16(), target)
    assert half.dtype == torch.float32
    assert half.item() == whole.item()


@pytest.mark.parametrize("name", ["dice", "cross_entropy", "focal"])
def test_one_channel_says_what_two_say(name):
    logits, target = batch(2, "classes", ignored=False)
    difference = logits[:, 1:] - logits[:, :1]
    two, one = CombinedSegmentationLoss(2, name), CombinedSegmentationLoss(1, name)
    assert one(difference, target["mask"]).item() == pytest.approx(two(logits, target["mask"]).item(), rel=1e-9)


def test_cross_entropy_is_torchs_over_the_batch():
    logits, target = batch(4, "classes")
    weights = [0.1, 0.9, 0.5, 2.0]
    wanted = torch.nn.CrossEntropyLoss(torch.tensor(weights, dtype=torch.float64), ignore_index=IGNORED)
    loss = CombinedSegmentationLoss(4, "cross_entropy", class_weights=weights, ignore_label=IGNORED)
    torch.testing.assert_close(loss(logits, target["mask"]), wanted(logits, target["mask"][:, 0].long()))


def test_dice_and_cross_entropy_are_monais():
    logits, target = batch(4, "classes", ignored=False)
    monai = DiceCELoss(include_background=False, to_onehot_y=True, softmax=True, smooth_nr=1.0, smooth_dr=1.0)
    loss = CombinedSegmentationLoss(4)
    loss(logits, target["mask"])
    total = monai(logits[:, :], target["mask"])
    dice = monai.dice(logits, target["mask"])
    assert loss.parts["dice"].item() == pytest.approx(dice.item())
    # of the cross entropy MONAI leaves out the background's pixels too, so torch's stands for it
    wanted = torch.nn.functional.cross_entropy(logits, target["mask"][:, 0].long())
    assert loss.parts["ce"].item() == pytest.approx(wanted.item())
    assert total.isfinite()


def test_focal_without_alpha_is_monais_summed_over_the_channels():
    logits, target = batch(4, "classes", ignored=False)
    each = FocalLoss(to_onehot_y=True, use_softmax=True, gamma=2.0, reduction="none")(logits, target["mask"])
    loss = CombinedSegmentationLoss(4, "focal", alpha=1.0)
    assert loss(logits, target["mask"]).item() == pytest.approx(each.sum(1).mean().item(), rel=1e-5)
    logits, target = batch(1, "classes", ignored=False)
    wanted = FocalLoss(gamma=2.0)(logits, target["mask"].double())
    assert CombinedSegmentationLoss(1, "focal", alpha=1.0)(logits, target["mask"]).item() == pytest.approx(
        wanted.item(), rel=1e-5
    )


@pytest.mark.parametrize(("channels", "mask_rule"), CASES)
def test_what_is_not_labelled_has_no_gradient(channels, mask_rule):
    logits, target = batch(channels, mask_rule)
    weights = {"focal_weight": 0.3, "boundary_weight": 0.2}
    loss = CombinedSegmentationLoss(channels, mask_rule=mask_rule, ignore_label=IGNORED, **weights)
    loss(logits.requires_grad_(), target).backward()
    ignored = (target["mask"] == IGNORED).expand_as(logits)
    assert (logits.grad[ignored] == 0).all()
    assert (logits.grad[~ignored] != 0).all()


def test_a_batch_without_labels_is_0_and_so_is_its_gradient():
    logits, _ = batch(3, "classes")
    loss = CombinedSegmentationLoss(3, ignore_label=IGNORED)
    total = loss(logits.requires_grad_(), torch.full((4, 1, 5, 7), IGNORED))
    total.backward()
    assert total.item() == 0
    assert (logits.grad == 0).all()
    assert {term: count.item() for term, count in loss.counts.items()} == {"dice": 0, "ce": 0}


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
def test_focal_of_a_sure_pixel_has_a_finite_gradient(gamma):
    logits = torch.tensor([[[[80.0, 3.0]], [[-80.0, 0.0]]]], requires_grad=True)
    CombinedSegmentationLoss(2, "focal", gamma=gamma)(logits, torch.zeros(1, 1, 1, 2)).backward()
    assert logits.grad.isfinite().all()


@pytest.mark.parametrize(("channels", "mask_rule"), CASES)
def test_the_data_may_lie_on_another_device_than_it_was_built_on(channels, mask_rule):
    logits, target = batch(channels, mask_rule)
    class_weights, alpha = settings_of(channels, mask_rule)
    loss = CombinedSegmentationLoss(
        channels, class_weights=class_weights, alpha=alpha, focal_weight=0.5, boundary_weight=0.1,
        mask_rule=mask_rule, ignore_label=IGNORED,
    )  # fmt: skip
    assert loss(logits.to("meta"), {key: values.to("meta") for key, values in target.items()}).device.type == "meta"


def test_gradient():
    logits, target = batch(3, "classes")
    loss = CombinedSegmentationLoss(3, focal_weight=0.5, boundary_weight=0.2, ignore_label=IGNORED)
    assert torch.autograd.gradcheck(lambda values: loss(values, target), logits.requires_grad_())


@pytest.mark.parametrize("sizes", [[4], [1, 3], [2, 1, 1]])
def test_the_validation_loss_is_the_same_however_the_images_are_put_into_batches(sizes):
    logits, target = batch(3, "classes")
    loss = CombinedSegmentationLoss(
        3, class_weights=[0.2, 0.5, 0.3], focal_weight=0.1, boundary_weight=0.2, ignore_label=IGNORED
    )
    wanted, parts = loss(logits, target).item(), {f"val_{term}_loss": v.item() for term, v in loss.parts.items()}
    engine = Engine(
        lambda engine, rows: {
            "image": logits[rows],
            "pred": {"seg": logits[rows]},
            "label": {key: values[rows] for key, values in target.items()},
        }
    )
    Score("loss", Cases([Losses(loss)])).attach(engine, "val_loss")
    starts = [sum(sizes[:i]) for i in range(len(sizes))]
    engine.run([slice(start, start + size) for start, size in zip(starts, sizes, strict=True)])
    assert engine.state.metrics == pytest.approx({"val_loss": wanted} | parts, rel=1e-6)


def test_the_boundary_weight_rises_to_its_whole():
    logits, target = batch(1, "classes", ignored=False)
    loss = CombinedSegmentationLoss(1, dice_weight=0, ce_weight=1, boundary_weight=0.2, boundary_ramp=4)
    found, said = [], []
    for epoch in range(1, 6):
        said.append(loss.set_epoch(epoch))
        total = loss(logits, target)
        found.append(((total - loss.parts["ce"]) / loss.parts["boundary"]).item())
    assert found == pytest.approx([0.05, 0.1, 0.15, 0.2, 0.2])
    assert said == ["", "", "", *["the boundary loss has its whole weight, 0.2"] * 2]
    at_once = CombinedSegmentationLoss(1, boundary_weight=0.2)
    assert at_once.set_epoch(1) == ""
    assert at_once.lambda_boundary == 0.2


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"name": "dise"}, "loss#name: 'dise' is unknown; use one of: dice, cross_entropy, focal, combined; did you"),
        ({"mask_rule": "foreground"}, "mask_rule: 'foreground' is unknown; use one of: classes, regions"),
        ({"dice_weight": 0, "ce_weight": 0}, "loss#boundary_weight are all 0; nothing would be learnt"),
        ({"dice_weight": -0.5}, r"loss#dice_weight: -0.5 is not allowed; it must be at least 0"),
        ({"boundary_weight": math.nan}, "loss#boundary_weight: nan is not allowed"),
        ({"class_weights": [0.3, -0.7, 1]}, "loss#class_weights: -0.7 is not allowed"),
        ({"class_weights": [0.3, 0.7]}, r"\[0.3, 0.7\] are 2 numbers; with out_channels 3 it must be 3, one for"),
        ({"class_weights": [0, 0, 0]}, "loss#class_weights: .* are all 0"),
        ({"class_weights": [0.5], "out_channels": 1}, "are 1 numbers; with out_channels 1 it must be 2, .* background"),
        ({"class_weights": [1, 1], "mask_rule": "regions"}, "it must be 3, one for each of the regions"),
        ({"alpha": [0.5, 0.5], "focal_weight": 1}, r"loss#alpha: \[0.5, 0.5\] are 2 numbers; with out_channels 3"),
        ({"alpha": 0, "focal_weight": 1}, "loss#alpha: 0 is not allowed; it must be above 0"),
        ({"smooth": 0}, "loss#smooth: 0 is not allowed; it must be above 0"),
        ({"gamma": -1, "focal_weight": 1}, "loss#gamma: -1 is not allowed"),
        ({"alpha": 0.5}, "loss#alpha: 0.5 does nothing with loss#name combined and loss#focal_weight 0; leave it out"),
        ({"name": "dice", "gamma": 1.0}, "loss#gamma: 1.0 does nothing with loss#name dice; leave it out"),
        ({"name": "focal", "smooth": 0.1}, "loss#smooth: 0.1 does nothing with loss#name focal"),
        ({"name": "dice", "class_weights": [1, 1, 2]}, "loss#class_weights: .* does nothing with loss#name dice"),
        ({"name": "cross_entropy", "ce_weight": 1.0}, "loss#ce_weight: 1.0 does nothing with loss#name cross_entropy"),
        ({"boundary_ramp": 5}, "loss#boundary_ramp: 5 does nothing with loss#name combined and loss#boundary_weight 0"),
        ({"ignore_label": 2}, "ignore_label: 2 is the label of a class; with out_channels 3 take 3 to 255"),
        ({"ignore_label": 1, "out_channels": 1}, "ignore_label: 1 is the label of a class; .* take 2 to 255"),
    ],
)  # fmt: skip
def test_misuse(settings, message):
    with pytest.raises(ConfigError, match=message):
        CombinedSegmentationLoss(**{"out_channels": 3, **settings})


def test_what_is_off_is_not_given():
    CombinedSegmentationLoss(3, "dice", class_weights=False, boundary_ramp=False, ignore_label=False)


def test_a_loss_with_a_boundary_term_needs_distances():
    assert needs_distances(CombinedSegmentationLoss(2, boundary_weight=0.2))
    assert not needs_distances(CombinedSegmentationLoss(2))
    assert not needs_distances(torch.nn.CrossEntropyLoss())


def test_what_does_not_fit_is_refused_when_it_is_called():
    logits, target = batch(3, "classes", ignored=False)
    with pytest.raises(ConfigError, match="the network gives 3 channels, out_channels is 2"):
        CombinedSegmentationLoss(2)(logits, target)
    with pytest.raises(ConfigError, match=r"the data hold no distances; put medbundles\.transforms\.BoundaryDistance"):
        CombinedSegmentationLoss(3, boundary_weight=0.1)(logits, target["mask"])


def said(by_user: Sequence[str] = (), regions: Any = None, **settings: Any) -> str:
    """What the preflight says of these settings of a bundle."""
    config = {"loss": {"_target_": "medbundles.losses.CombinedSegmentationLoss"}}
    values = {f"loss#{name}": settings.get(name, default) for name, default in DEFAULTS.items()}
    more = {"loss#name": settings.get("name", "combined"), "ignore_label": settings.get("ignore_label")}
    values |= {**more, "out_channels": settings.get("out_channels", 3), "regions": regions, GIVEN: by_user}
    return "\n".join(broken_rules(config, values, "train"))


def test_the_preflight_counts_weights_before_any_data_is_read():
    assert not said(class_weights=[1, 2, 3])
    assert "are 2 numbers; with out_channels 3 it must be 3, one for each of the classes" in said(class_weights=[1, 2])
    assert "it must be 2, one for each of the classes, the background" in said(class_weights=[1], out_channels=1)
    assert "with out_channels 1 it must be 1, one for each of the regions" in said(
        class_weights=[1, 2], regions=[[1]], out_channels=1
    )
    assert not said(class_weights=[2], regions=[[1]], out_channels=1)
    focal = {"focal_weight": 0.5, "out_channels": 2}
    assert "loss#alpha: [1, 2, 3] are 3 numbers" in said(alpha=[1, 2, 3], **focal)
    assert "it must be 2, one for each of the regions" in said(alpha=[1, 2, 3], regions="auto", **focal)


def test_the_ignore_label_is_in_no_region():
    assert said(ignore_label=4, regions=[[1, 2, 4], [4]]) == "ignore_label: 4 is a label of a region; take 5."
    assert not said(ignore_label=3, regions=[[1, 2, 4], [4]])


def test_what_the_user_gave_counts_with_its_default_too():
    assert said(["loss#gamma"]) == (
        "loss#gamma: 2.0 does nothing with loss#name combined and loss#focal_weight 0; leave it out."
    )
    assert not said(["loss#smooth", "loss#boundary_weight", "loss#class_weights"])
