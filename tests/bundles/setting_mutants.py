"""Mutation of the configs: whoever writes a default where a setting is used makes that setting's test fail.

Takes minutes, so it is run by name: `python -m pytest -m slow tests/bundles/setting_mutants.py -k glioma`.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from tests.bundles.setting_cases import CASES, Case, every_check
from tests.bundles.setting_check import Check, setting_of, verify

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
    """(bundle, setting, file, place) of every use of every setting."""
    for case in CASES:
        for file in FILES:
            for path, text in texts(case.config(file)):
                for setting in sorted(case.settings):
                    if re.search(rf"@{setting}(?![\w#])", text):
                        yield case, setting, file, path


def mutated(case: Case, setting: str, file: str, path: tuple[Any, ...]) -> dict[str, Any]:
    """The config with the setting's default in this place."""
    content, way_to_setting = case.config(file), tuple(setting.split("#"))
    default = value_at(case.config("inference" if file == "inference" else "train"), way_to_setting)
    if default is None:  # a setting that only the overlay has
        default = value_at(content, way_to_setting)
    *way, last = path
    parent = value_at(content, tuple(way))
    text = parent[last]
    if text == f"@{setting}":
        parent[last] = copy.deepcopy(default)
    else:
        is_expression = isinstance(default, str) and default.startswith("$")
        is_reference = isinstance(default, str) and default.startswith("@")
        literal = f"({default[1:]})" if is_expression else default if is_reference else repr(default)
        parent[last] = re.sub(rf"@{setting}(?![\w#])", lambda _: literal, text)
    return content


def fails(bench: Any, setting: str, check: Check) -> bool:
    try:
        verify(bench, setting, check)
    except Exception:  # a wrong result, or nothing can be built at all: either way the test is red
        return True
    return False


def named(mutant: tuple[Case, str, str, tuple[Any, ...]]) -> Any:
    case, setting, file, path = mutant
    return pytest.param(*mutant, id=f"{case} {setting} in {file} {path}")


@pytest.mark.parametrize(("case", "setting", "file", "path"), map(named, mutants()))
def test_default_in_place_of_the_setting_is_found(bench_of, case, setting, file, path):
    bench = bench_of(case)
    with bench.changed(file, mutated(case, setting, file, path)):
        assert any(fails(bench, setting, check) for check in case.checks_of(setting))


@pytest.mark.parametrize(("case", "name"), every_check(), ids=str)
def test_setting_that_is_not_heard_is_found(bench_of, case, name):
    check, setting = case.checks[name], setting_of(name)

    def deaf(bench: Any, **overrides: Any) -> Any:
        return check.see(bench, **{k: v for k, v in overrides.items() if k != setting})

    assert fails(bench_of(case), setting, replace(check, see=deaf))


@pytest.mark.parametrize("case", CASES, ids=str)
def test_unchanged_config_passes(bench_of, case):
    """Otherwise the mutants would all be found for the wrong reason."""
    bench = bench_of(case)
    for file in FILES:
        with bench.changed(file, case.config(file)):
            assert not fails(bench, "lr", case.checks["lr"])
