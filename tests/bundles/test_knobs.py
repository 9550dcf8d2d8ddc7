from __future__ import annotations

import pytest

from tests.bundles.knob_cases import every_check
from tests.bundles.knob_check import knob_of, verify


@pytest.mark.parametrize(("case", "name"), every_check(), ids=str)
def test_turning_it_changes_what_is_built_or_done(bench_of, case, name):
    verify(bench_of(case), knob_of(name), case.checks[name])
