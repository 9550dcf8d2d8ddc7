from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.engines.utils import engine_apply_transform

from medbundles.errors import ConfigError
from medbundles.transforms import Predictions


def logits(channels: int, classes: int = 2, dtype: torch.dtype = torch.float32) -> dict[str, torch.Tensor]:
    torch.manual_seed(channels)
    return {"seg": torch.randn(3, channels, 8, 9).to(dtype), "cls": torch.randn(3, classes).to(dtype)}


def test_one_channel_is_a_sigmoid():
    pred = logits(1)
    out = Predictions(mask_threshold=0.3, class_threshold=0.4)({"pred": pred})["pred"]
    expected = 1 / (1 + np.exp(-pred["seg"].double().numpy()))
    np.testing.assert_allclose(out["mask_prob"], expected, atol=1e-6)
    np.testing.assert_array_equal(out["mask"], expected >= 0.3)
    exp = np.exp(pred["cls"].double().numpy())
    prob = exp / exp.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(out["prob"], prob, atol=1e-6)
    np.testing.assert_array_equal(out["class"], prob[:, 1] >= 0.4)
    assert out["class"].dtype == torch.int64


@pytest.mark.parametrize("channels", [2, 4])
def test_several_channels_follow_the_argmax(channels):
    pred = logits(channels)
    out = Predictions()({"pred": pred})["pred"]
    assert out["mask"].shape == out["mask_prob"].shape == (3, 1, 8, 9)
    np.testing.assert_array_equal(out["mask"][:, 0], pred["seg"].argmax(dim=1) != 0)
    strict = Predictions(mask_threshold=0.9)({"pred": pred})["pred"]["mask"]
    assert 0 < strict.sum() < out["mask"].sum()


def test_more_than_two_classes_take_the_most_probable():
    pred = logits(1, classes=4)
    out = Predictions(class_threshold=0.99)({"pred": pred})["pred"]
    assert torch.equal(out["class"], pred["cls"].argmax(dim=1))


def test_thresholds_can_be_set_later():
    step, pred = Predictions(), logits(1)
    assert step.class_threshold == "auto"
    auto = step({"pred": pred})["pred"]
    np.testing.assert_array_equal(auto["class"], auto["prob"][:, 1] >= 0.5)
    step.class_threshold, step.mask_threshold = 1.0, 0.0
    out = step({"pred": pred})["pred"]
    assert out["class"].sum() == 0
    assert out["mask"].all()


@pytest.mark.parametrize("channels", [1, 3])
def test_bf16_logits_give_float32(channels):
    out = Predictions()({"pred": logits(channels, dtype=torch.bfloat16)})["pred"]
    assert {out[key].dtype for key in ("mask_prob", "mask")} == {torch.float32}
    assert out["prob"].dtype == torch.float64


def test_fits_the_engine_and_keeps_gradients_out():
    pred = logits(1)
    pred["seg"].requires_grad_()
    output = {"image": torch.zeros(3, 1, 8, 9), "label": {}, "pred": pred}
    batch, output = engine_apply_transform({"image": 0, "name": ["a", "b", "c"]}, output, Predictions())
    assert batch["name"] == ["a", "b", "c"]
    assert set(output["pred"]) == {"seg", "cls", "mask_prob", "mask", "prob", "class"}
    assert not output["pred"]["mask_prob"].requires_grad
    assert set(pred) == {"seg", "cls"}


def test_plain_tensors_are_class_logits_and_labels():
    """A network with one output, and the labels that MONAI's own batch preparation gives."""
    pred, label = torch.randn(3, 2), torch.tensor([0, 1, 1])
    out = Predictions(class_threshold=0.4)({"pred": pred, "label": label, "image": torch.zeros(3, 1)})
    expected = Predictions(class_threshold=0.4)({"pred": {"cls": pred}})["pred"]
    assert out["pred"].keys() == {"cls", "prob", "class"}
    assert all(torch.equal(out["pred"][name], expected[name]) for name in expected)
    assert torch.equal(out["label"]["cls"], label)


def test_plain_tensors_of_pixels_are_mask_logits_and_masks():
    pred, label = torch.randn(3, 1, 4, 5), torch.ones(3, 1, 4, 5, dtype=torch.uint8)
    out = Predictions(mask_threshold=0.4)({"pred": pred, "label": label, "image": torch.zeros(3, 1, 4, 5)})
    assert out["pred"].keys() == {"seg", "mask_prob", "mask"}
    assert torch.equal(out["pred"]["seg"], pred)
    assert torch.equal(out["pred"]["mask"], (pred.sigmoid() >= 0.4).float())
    assert torch.equal(out["label"]["mask"], label)
    assert Predictions()({"pred": pred, "label": None})["label"] is None  # inference


def test_classes_give_a_mask_each_of_the_most_probable():
    pred = logits(4)
    out = Predictions(mask_rule="classes")({"pred": pred})["pred"]
    seg = pred["seg"].double().numpy()
    prob = np.exp(seg) / np.exp(seg).sum(1, keepdims=True)
    np.testing.assert_allclose(out["mask_prob"], prob[:, 1:], atol=1e-6)
    np.testing.assert_array_equal(out["mask"], seg.argmax(1)[:, None] == np.arange(1, 4)[:, None, None])
    assert Predictions(mask_rule="classes").thresholds() == {
        "mask_threshold": None, "class_threshold": 0.5, "class_logit_threshold": 0.0, "volume_threshold": None
    }  # fmt: skip


def test_regions_may_overlap():
    pred = logits(3)
    out = Predictions(0.3, mask_rule="regions")({"pred": pred})["pred"]
    prob = 1 / (1 + np.exp(-pred["seg"].double().numpy()))
    np.testing.assert_array_equal(out["mask"], prob >= 0.3)
    assert out["mask"].sum(1).max() > 1


@pytest.mark.parametrize("rule", ["foreground", "classes", "regions"])
def test_of_one_channel_all_rules_say_the_same(rule):
    pred = logits(1)
    out = Predictions(mask_rule=rule)({"pred": pred})["pred"]
    np.testing.assert_array_equal(out["mask"], pred["seg"] >= 0)


def test_a_rule_that_is_none_or_has_no_threshold_is_refused():
    with pytest.raises(ConfigError, match=r"mask_rule: 'class' is unknown.*did you mean 'classes'"):
        Predictions(mask_rule="class")
    with pytest.raises(ConfigError, match=r"mask_threshold: 0.4 does nothing with the mask_rule 'classes'"):
        Predictions(0.4, mask_rule="classes")


def test_of_equal_classes_the_first_is_taken():
    out = Predictions(mask_rule="classes")({"pred": torch.zeros(1, 3, 2, 2)})["pred"]
    assert not out["mask"].any()  # background


def test_a_single_class_logit_is_refused():
    with pytest.raises(ConfigError, match="one class logit; it must give one for each class"):
        Predictions()({"pred": torch.zeros(2, 1)})


def test_nothing_is_made_of_an_untrained_output_and_the_data_say_it():
    for untrained, made in ((["cls"], {"mask", "mask_prob"}), (["seg"], {"prob", "class"})):
        predictions = Predictions()
        predictions.untrained = untrained
        data = predictions({"pred": logits(1)})
        assert set(data["pred"]) == {"seg", "cls", *made}
        assert data["untrained"] == untrained
    assert "untrained" not in Predictions()({"pred": logits(1)})


def test_masks_that_are_there_are_not_made_again():
    first = Predictions(mask_rule="classes")({"pred": torch.randn(1, 3, 4, 4)})["pred"]
    again = Predictions(mask_rule="classes")({"pred": first})["pred"]
    assert all(again[name] is first[name] for name in ("mask", "mask_prob"))
