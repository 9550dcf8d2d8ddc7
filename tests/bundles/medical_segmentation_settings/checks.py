"""All checks of the segmentation bundle's settings; a setting may have several, told apart by a word in brackets."""

from __future__ import annotations

from tests.bundles.medical_segmentation_settings.data import DATA
from tests.bundles.medical_segmentation_settings.model import MODEL
from tests.bundles.medical_segmentation_settings.run import RUN
from tests.bundles.setting_check import Check

CHECKS: dict[str, Check] = {**MODEL, **DATA, **RUN}
