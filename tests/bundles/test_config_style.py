"""All JSON of all bundles is written in one style, so that a change of a value shows as that and nothing else.

A dict or list stands on one line where it fits into 120 columns; a longer one has an entry per line, indented by 4.
Only the outermost dict of a file is always opened. Blank lines may part the sections at the top of a file.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from medbundles.preflight.schema import SHARED
from tests.bundles.setting_bench import BUNDLES

WIDTH = 120
TOY = Path(__file__).parent / "toy"
FILES = [*sorted(BUNDLES.glob("*/configs/*.json")), *sorted(TOY.glob("configs/*.json")), SHARED]


class Number(str):
    """A number as it is written: 1e-4 is not 0.0001 to a reader."""


def on_one_line(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(key)}: {on_one_line(entry)}" for key, entry in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(on_one_line, value)) + "]"
    return str(value) if isinstance(value, Number) else json.dumps(value, ensure_ascii=False)


def lines_of(value: Any, start: str = "", end: str = "", indent: int = 0) -> list[str]:
    """The lines of a value behind its key, `start`, and before a comma, `end`."""
    line = " " * indent + start + on_one_line(value) + end
    is_long = isinstance(value, (dict, list)) and len(line) > WIDTH
    if not is_long and (indent or start):
        return [line]
    is_dict = isinstance(value, dict)
    entries = [(json.dumps(k) + ": ", v) for k, v in value.items()] if is_dict else [("", v) for v in value]
    inner = [
        text
        for number, (key, entry) in enumerate(entries, 1)
        for text in lines_of(entry, key, "," * (number < len(entries)), indent + 4)
    ]
    return [" " * indent + start + "[{"[is_dict], *inner, " " * indent + "]}"[is_dict] + end]


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parents[1].name}/{path.name}")
def test_a_file_is_written_in_the_style_of_all(path):
    text = path.read_text(encoding="utf-8")
    content = json.loads(text, parse_float=Number, parse_int=Number)
    assert [line for line in text.splitlines() if line] == lines_of(content)
    assert text.endswith("\n")
