from __future__ import annotations

import pytest

from tests.bundles.brain_tumor_knobs import CHECKS, knob_of
from tests.bundles.knob_check import verify


@pytest.mark.parametrize("name", CHECKS)
def test_turning_it_changes_what_is_built_or_done(brain_tumor, name):
    verify(brain_tumor, knob_of(name), CHECKS[name])
