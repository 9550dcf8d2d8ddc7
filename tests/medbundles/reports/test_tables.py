"""Numbers as text."""

from __future__ import annotations

import pytest

from medbundles.reports.tables import probability


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.25, "0.250"), (0.0, "0.000"), (1.0, "1.000"), (0.0004, "0.0004"), (3e-6, "3e-06"), (0.9994, "0.999"),
     (1 - 3e-6, "1 - 3e-06")],
)  # fmt: skip
def test_a_probability_looks_like_0_or_1_only_where_it_is(value, text):
    assert probability(value) == text
