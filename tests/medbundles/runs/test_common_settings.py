"""What the members of an ensemble must have in common, and what is averaged."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest

from medbundles.errors import CheckpointError
from medbundles.runs.common_settings import common_settings

A, B = Path("a/best.pt"), Path("b/best.pt")


def of(one, other):
    return common_settings({A: one, B: other})


def test_equal_settings_stay_as_they_are():
    settings = {"image_size": 8, "class_logit_threshold": 3.1234567, "spacing": [1.00001, 2.0], "modality": "auto"}
    assert common_settings({A: settings}) == of(settings, settings) == settings
    assert of(settings, {}) == settings  # weights alone say nothing
    assert of({"modality": "auto"}, {"modality": "mri"}) == {"modality": "mri"}


def test_what_the_trainings_have_measured_is_averaged_and_said(caplog):
    with caplog.at_level(logging.INFO, "medbundles"):
        found = of(
            {"spacing": [1.0, 5.0], "ct_values": [-100.0, 300.0, 50.0, 60.0]},
            {"spacing": [1.02, 5.0], "ct_values": [-110.0, 310.0, 54.0, 58.0]},
        )
    assert found == {"spacing": [1.01, 5.0], "ct_values": [-105.0, 305.0, 52.0, 59.0]}
    assert "spacing: the mean, [1.01, 5.0], of [1.0, 5.0] in a/best.pt, [1.02, 5.0] in b/best.pt" in caplog.text


@pytest.mark.parametrize(
    ("name", "one", "other"),
    [
        ("spacing", [1.0, 5.0], [1.1, 5.0]),
        ("ct_values", [-100.0, 300.0, 50.0, 60.0], [-100.0, 300.0, 80.0, 60.0]),
        ("image_size", 100, 101),
        ("network_def#name", "unet", "vnet"),
    ],
)
def test_other_settings_are_refused_with_their_files(name, one, other):
    with pytest.raises(CheckpointError) as caught:
        of({name: one, "depth": 2}, {name: other, "depth": 2})
    assert "no ensemble" in str(caught.value)
    assert str(A) in str(caught.value)
    assert str(B) in str(caught.value)
    assert "depth" not in str(caught.value)
    assert (f"give the trainings one --{name}" in str(caught.value)) == (name in ("spacing", "ct_values"))


def test_thresholds_are_those_of_a_case_on_the_threshold_of_each():
    found = of(
        {"mask_threshold": 0.3, "class_logit_threshold": 2.0, "volume_threshold": "auto"},
        {"mask_threshold": 0.5, "class_logit_threshold": -1.0, "volume_threshold": 0.7},
    )
    p = (1 / (1 + np.exp(-2.0)) + 1 / (1 + np.exp(1.0))) / 2
    assert found["mask_threshold"] == pytest.approx(0.4)
    assert found["class_logit_threshold"] == pytest.approx(np.log(p / (1 - p)))
    assert found["volume_threshold"] == 0.7


def test_the_training_images_are_those_of_all():
    found = of({"training_images": [["size", 8.0, 9.0]]}, {"training_images": [["size", 7.0, 8.5], ["spacing", 1, 2]]})
    assert found == {"training_images": [["size", 7.0, 9.0], ["spacing", 1, 2]]}
