from __future__ import annotations

import pytest

from medbundles.handlers.advice import TRY, advice
from medbundles.preflight.schema import check_value, read_settings
from tests.bundles.setting_bench import BUNDLES

SCHEMAS = sorted(BUNDLES.glob("*/configs/schema.json"))


def test_it_names_what_the_run_has_with_values_that_it_does_not_have_yet():
    assert advice("oscillates", {"lr": 0.5, "grad_clip": None}).startswith("Try --lr 0.05, --grad_clip 1.0, a warm-up")
    assert advice("oscillates", {"lr": 1e-3, "grad_clip": 2.0}).startswith("Try --lr 0.0001, a warm-up")
    assert "augmentation" not in advice("overfits", {"lr": 1, "augmentation": True, "augmentation_strength": "strong"})
    assert "--augmentation True" in advice("overfits", {"augmentation": False})
    assert advice("underfits", {"epochs": 30}).startswith("Try --epochs 60, ")


def test_without_settings_it_names_what_could_be_changed():
    assert advice("is no number", {}).startswith("Try other values of lr, grad_clip, amp, ")


@pytest.mark.parametrize("schema", SCHEMAS, ids=lambda path: path.parents[1].name)
def test_what_is_advised_is_allowed_in_every_bundle(schema):
    """Of any value that a setting may have; its names, switches, and numbers that all take."""
    for setting in read_settings(schema):
        for changes, _ in TRY.values():
            change = changes.get(setting.id)
            values = [v for v in (*setting.names, True, False, None, 0.0, 1e-5, 2) if change and valid(setting, v)]
            for value in values:
                wanted = change(value)
                number = float(wanted) if isinstance(wanted, str) and wanted[0].isdigit() else wanted
                assert wanted is None or valid(setting, number), f"{setting.id}: {value} -> {wanted}"


def valid(setting, value):
    return check_value(setting, value) is None


def test_every_setting_is_one_of_a_bundle():
    known = {setting.id for schema in SCHEMAS for setting in read_settings(schema)}
    assert {name for changes, _ in TRY.values() for name in changes} <= known
