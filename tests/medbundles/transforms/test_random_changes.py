"""What the augmentations of slices and of volumes share; what they do is tested with each of them."""

from __future__ import annotations

import inspect

import pytest

from medbundles.preflight.schema import check_value, read_settings
from medbundles.transforms import Augmentation, VolumeAugmentation
from tests.bundles.setting_cases import BRAIN, GLIOMA


@pytest.mark.parametrize(("augmentation", "bundle"), [(Augmentation, BRAIN), (VolumeAugmentation, GLIOMA)])
def test_every_argument_is_a_setting_whose_range_the_schema_says(augmentation, bundle):
    every = {setting.id: setting for setting in read_settings(bundle.configs / "schema.json")}
    for name in set(inspect.signature(augmentation).parameters) - {"background", "black"}:
        setting = every[f"augmentation#{name}"]
        for outside in (-0.01, 1001, float("nan"), "0.2", "false", None):
            assert "allowed" in check_value(setting, outside) or "is text" in check_value(setting, outside)
