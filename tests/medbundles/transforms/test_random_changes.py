"""What the augmentations of slices and of volumes share; what they do is tested with each of them."""

from __future__ import annotations

import inspect

import pytest

from medbundles.errors import ConfigError
from medbundles.transforms import Augmentation, VolumeAugmentation


@pytest.mark.parametrize("augmentation", [Augmentation, VolumeAugmentation])
def test_every_setting_has_a_range_or_is_a_flag(augmentation):
    settings = set(inspect.signature(augmentation).parameters) - {"background", "black"}
    assert settings == {*augmentation.RANGES, *augmentation.FLAGS}
    for name, (low, high) in augmentation.RANGES.items():
        augmentation(**{name: low})
        augmentation(**{name: high})
        for outside in (low - 0.01, high + 0.01):
            with pytest.raises(ConfigError, match=f"augmentation: {name}: .* is not allowed"):
                augmentation(**{name: outside})


@pytest.mark.parametrize("value", [1.2, -0.1, float("nan"), "0.2", True, None])
def test_settings_outside_their_range_are_refused(value):
    with pytest.raises(
        ConfigError, match=r"augmentation: gamma: .* is not allowed; it must be .*at least 0 and at most 0.5"
    ):
        Augmentation(gamma=value)


@pytest.mark.parametrize("value", ["false", 1, None])
def test_flags_are_booleans(value):
    with pytest.raises(ConfigError, match=r"augmentation: enabled: .* is not allowed; use True or False"):
        VolumeAugmentation(enabled=value)
