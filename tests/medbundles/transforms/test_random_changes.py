"""What the augmentations of slices and of volumes share; what they do is tested with each of them."""

from __future__ import annotations

import inspect

import pytest

from medbundles.errors import ConfigError
from medbundles.transforms import Augmentation, VolumeAugmentation
from medbundles.transforms.random_changes import check_settings


@pytest.mark.parametrize("augmentation", [Augmentation, VolumeAugmentation])
def test_every_setting_has_a_range_or_is_a_flag(augmentation):
    settings = set(inspect.signature(augmentation).parameters) - {"background", "black"}
    assert settings == {*augmentation.RANGES, *augmentation.FLAGS}
    for name, (low, high) in augmentation.RANGES.items():
        augmentation(**{name: low})
        augmentation(**{name: high})
        for outside in (low - 0.01, high + 0.01):
            with pytest.raises(ConfigError, match=f"augmentation: {name} is "):
                augmentation(**{name: outside})


@pytest.mark.parametrize("value", [1.2, -0.1, float("nan"), "0.2", True, None])
def test_settings_outside_their_range_are_refused(value):
    check_settings({"gamma": 0.5, "on": True}, {"gamma": (0, 0.5)}, ("on",))
    with pytest.raises(ConfigError, match=r"augmentation: gamma is .*; allowed are numbers from 0 to 0.5"):
        check_settings({"gamma": value}, {"gamma": (0, 0.5)}, ())


@pytest.mark.parametrize("value", ["false", 1, None])
def test_flags_are_booleans(value):
    with pytest.raises(ConfigError, match=r"augmentation: on is .*; allowed are True and False"):
        check_settings({"on": value}, {}, ("on",))
