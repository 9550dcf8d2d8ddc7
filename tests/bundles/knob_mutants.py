"""Mutation of the configs: whoever writes a default where a knob is used makes that knob's test fail.

Takes minutes, so it is run by name: `python -m pytest -m slow tests/bundles/knob_mutants.py -k glioma`.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from tests.bundles.knob_cases import CASES, Case, every_check
from tests.bundles.knob_check import Check, knob_of, verify

pytestmark = pytest.mark.slow
FILES = ("train", "evaluate", "inference")


def value_at(content: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        if not isinstance(content, (dict, list)) or (isinstance(content, dict) and key not in content):
            return None
        content = content[key]
    return content


def texts(content: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], str]]:
    """All texts of a config with the way to them."""
    if isinstance(content, str):
        yield path, content
    elif isinstance(content, (dict, list)):
        for key, value in content.items() if isinstance(content, dict) else enumerate(content):
            yield from texts(value, (*path, key))


def mutants() -> Iterator[tuple[Case, str, str, tuple[Any, ...]]]:
    """(bundle, knob, file, place) of every use of every knob."""
    for case in CASES:
        for file in FILES:
            for path, text in texts(case.config(file)):
                for knob in sorted(case.knobs):
                    if re.search(rf"@{knob}(?![\w#])", text):
                        yield case, knob, file, path


def mutated(case: Case, knob: str, file: str, path: tuple[Any, ...]) -> dict[str, Any]:
    """The config with the knob's default in this place."""
    content, way_to_knob = case.config(file), tuple(knob.split("#"))
    default = value_at(case.config("inference" if file == "inference" else "train"), way_to_knob)
    if default is None:  # a knob that only the overlay has
        default = value_at(content, way_to_knob)
    *way, last = path
    parent = value_at(content, tuple(way))
    text = parent[last]
    if text == f"@{knob}":
        parent[last] = copy.deepcopy(default)
    else:
        is_expression = isinstance(default, str) and default.startswith("$")
        is_reference = isinstance(default, str) and default.startswith("@")
        literal = f"({default[1:]})" if is_expression else default if is_reference else repr(default)
        parent[last] = re.sub(rf"@{knob}(?![\w#])", lambda _: literal, text)
    return content


def fails(bench: Any, knob: str, check: Check) -> bool:
    try:
        verify(bench, knob, check)
    except Exception:  # a wrong result, or nothing can be built at all: either way the test is red
        return True
    return False


def named(mutant: tuple[Case, str, str, tuple[Any, ...]]) -> Any:
    case, knob, file, path = mutant
    return pytest.param(*mutant, id=f"{case} {knob} in {file} {path}")


@pytest.mark.parametrize(("case", "knob", "file", "path"), map(named, mutants()))
def test_default_in_place_of_the_knob_is_found(bench_of, case, knob, file, path):
    bench = bench_of(case)
    with bench.changed(file, mutated(case, knob, file, path)):
        assert any(fails(bench, knob, check) for check in case.checks_of(knob))


@pytest.mark.parametrize(("case", "name"), every_check(), ids=str)
def test_knob_that_is_not_heard_is_found(bench_of, case, name):
    check, knob = case.checks[name], knob_of(name)

    def deaf(bench: Any, **overrides: Any) -> Any:
        return check.see(bench, **{k: v for k, v in overrides.items() if k != knob})

    assert fails(bench_of(case), knob, replace(check, see=deaf))


@pytest.mark.parametrize("case", CASES, ids=str)
def test_unchanged_config_passes(bench_of, case):
    """Otherwise the mutants would all be found for the wrong reason."""
    bench = bench_of(case)
    for file in FILES:
        with bench.changed(file, case.config(file)):
            assert not fails(bench, "lr", case.checks["lr"])
