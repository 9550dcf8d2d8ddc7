"""Mutation of the configs: whoever writes a default where a knob is used makes that knob's test fail.

Takes minutes, so it is run by name: `python -m pytest tests/bundles/knob_mutants.py`.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from tests.bundles.brain_tumor_bench import BUNDLE
from tests.bundles.brain_tumor_knobs import CHECKS, knob_of
from tests.bundles.knob_bench import BUNDLES
from tests.bundles.knob_check import Check, verify

pytestmark = pytest.mark.slow
FILES = ("train", "evaluate", "inference")
KNOBS = sorted({knob_of(name) for name in CHECKS})


def config(name: str) -> dict[str, Any]:
    return json.loads((BUNDLES / BUNDLE / "configs" / f"{name}.json").read_text(encoding="utf-8"))


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


def mutants() -> Iterator[tuple[str, str, tuple[Any, ...]]]:
    """(knob, file, place) of every use of every knob."""
    for file in FILES:
        for path, text in texts(config(file)):
            for knob in KNOBS:
                if re.search(rf"@{knob}(?![\w#])", text):
                    yield knob, file, path


def mutated(knob: str, file: str, path: tuple[Any, ...]) -> dict[str, Any]:
    """The config with the knob's default in this place."""
    content = config(file)
    default = value_at(content if file == "inference" else config("train"), tuple(knob.split("#")))
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


def checks(knob: str) -> list[Check]:
    return [check for name, check in CHECKS.items() if knob_of(name) == knob]


def fails(bench: Any, knob: str, check: Check) -> bool:
    try:
        verify(bench, knob, check)
    except Exception:  # a wrong result, or nothing can be built at all: either way the test is red
        return True
    return False


@pytest.mark.parametrize(("knob", "file", "path"), [pytest.param(*m, id=f"{m[0]} in {m[1]} {m[2]}") for m in mutants()])
def test_default_in_place_of_the_knob_is_found(brain_tumor, knob, file, path):
    with brain_tumor.changed(file, mutated(knob, file, path)):
        assert any(fails(brain_tumor, knob, check) for check in checks(knob))


@pytest.mark.parametrize("name", CHECKS)
def test_knob_that_is_not_heard_is_found(brain_tumor, name):
    check, knob = CHECKS[name], knob_of(name)

    def deaf(bench: Any, **overrides: Any) -> Any:
        return check.see(bench, **{k: v for k, v in overrides.items() if k != knob})

    assert fails(brain_tumor, knob, replace(check, see=deaf))


def test_unchanged_config_passes(brain_tumor):
    """Otherwise the mutants would all be found for the wrong reason."""
    for file in FILES:
        with brain_tumor.changed(file, config(file)):
            assert not fails(brain_tumor, "lr", CHECKS["lr"])
