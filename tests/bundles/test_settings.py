from __future__ import annotations

import pytest

from tests.bundles.setting_cases import every_check
from tests.bundles.setting_check import setting_of, verify


@pytest.mark.parametrize(("case", "name"), every_check(), ids=str)
def test_turning_it_changes_what_is_built_or_done(bench_of, case, name):
    verify(bench_of(case), setting_of(name), case.checks[name])
