"""A setting works when another value changes every place that uses it, into what is expected there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.bundles.setting_bench import Bench

OTHER = object()  # expected: anything else than with the default


@dataclass(frozen=True)
class Check:
    """How to see that a setting works.

    Args:
        see: builds or runs with the overrides it is given and tells what came of it: a value, or a dict with an entry
            for each place that uses the setting.
        turned: another value than the default, or a function of the bench that gives it.
        expected: what `see` tells then, or a function of the bench; OTHER: something else than with the default.
        given: overrides of both, the default and the turned setting.
        along: overrides that go with the turned setting alone.
    """

    see: Callable[..., Any]
    turned: Any
    expected: Any = OTHER
    given: dict[str, Any] = field(default_factory=dict)
    along: dict[str, Any] = field(default_factory=dict)


def verify(bench: Bench, setting: str, check: Check) -> None:
    """Turn the setting.

    Raises:
        AssertionError: it does nothing somewhere, or not what is expected.
    """
    turned = check.turned(bench) if callable(check.turned) else check.turned
    seen = check.see(bench, **{**check.given, **check.along, setting: turned})
    default = check.see(bench, **check.given)
    if check.expected is OTHER:
        # the bench's own value is not the default, so differing from it would prove nothing
        assert setting not in bench.small, f"{setting} is one of the bench's own settings: state what is expected"
    else:
        expected = check.expected(bench) if callable(check.expected) else check.expected
        assert seen == expected, f"{setting} = {turned!r}: {seen} instead of {expected}"
    places = {"": (seen, default)}
    if isinstance(seen, dict):
        assert isinstance(default, dict)
        assert default.keys() == seen.keys()
        places = {place: (seen[place], default[place]) for place in seen}
    dead = [f"{place} {value!r}" for place, (value, before) in places.items() if value == before]
    assert not dead, f"{setting} = {turned!r} changes nothing: {', '.join(dead)}"


def setting_of(name: str) -> str:
    """The id that a check is about; its name may have a word in brackets behind it."""
    return name.partition(" (")[0]
