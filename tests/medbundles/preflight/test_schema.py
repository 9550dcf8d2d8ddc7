from __future__ import annotations

import json

import pytest

from medbundles.errors import ConfigError
from medbundles.preflight.schema import Setting, check_value, off_advice, read_settings

NUMBER = {"type": "number", "exclusiveMinimum": 0, "description": "a rate"}
SWITCH = {"anyOf": [{"type": "number", "minimum": 0}, {"const": False}], "description": "a limit"}
NAMES = {"enum": ["none", "memory"], "description": "a place"}
TEXT = {"type": "string", "description": "a text"}
PATH = {"anyOf": [{"type": "string"}, {"type": "null"}], "description": "a file"}
LIST = {"type": "array", "items": {"type": "number"}, "minItems": 2, "maxItems": 2, "description": "two"}
NAMES_LIST = {"type": "array", "items": {"type": "string"}, "minItems": 2, "uniqueItems": True, "description": "some"}
WHOLE = {"type": "integer", "minimum": 1, "description": "a count"}
BOOL = {"type": "boolean", "description": "a switch"}


def wrong(schema, value):
    return check_value(Setting("k", schema), value)


RIGHT = [
    (NUMBER, 0.5), (NUMBER, 3), (SWITCH, 0), (SWITCH, False), (NAMES, "none"), (TEXT, "no"), (PATH, None),
    (PATH, "a"), (LIST, [1, 2]), (LIST, (0.5, 2)), (WHOLE, 2), (BOOL, True),
]  # fmt: skip
WRONG = [
    (NUMBER, "abc", "k: 'abc' is not allowed; allowed: number above 0. (a rate)"),
    (NUMBER, "0.5", "not allowed"),
    (NUMBER, True, "not allowed"),
    (NUMBER, float("nan"), "k: nan is not allowed"),
    (NUMBER, float("inf"), "not allowed"),
    (NUMBER, 0, "not allowed"),
    (NUMBER, None, "not allowed"),
    (WHOLE, 2.0, "allowed: integer at least 1"),
    (WHOLE, True, "not allowed"),
    (NAMES, "disk", "allowed: one of 'none', 'memory'"),
    (NAMES, 5, "allowed: one of 'none', 'memory'"),  # not: write '5'
    (NAMES, "None", "is text. It cannot be switched off; allowed: one of 'none', 'memory'"),
    (LIST, [1], "allowed: list of number 2 entries"),
    (LIST, "1,2", "not allowed"),
    (NAMES_LIST, ["a"], "allowed: list of text at least 2 entries and none twice"),
    (NAMES_LIST, ["a", "a"], "allowed: list of text at least 2 entries and none twice"),
    (BOOL, "true", "k: 'true' is text. Write True with a capital: --k True."),
    (BOOL, "FALSE", "Write False with a capital: --k False."),
    (BOOL, 1, "allowed: True or False"),
    (SWITCH, "none", "k: 'none' is text. To switch it off write --k False."),
    (NUMBER, "null", "It cannot be switched off; allowed: number above 0."),
    (PATH, "None", "To leave it empty write --k '$None'."),
    (TEXT, 2024, "k: 2024 is a number, text is meant: write --k \"'2024'\"."),
    (TEXT, 1e3, "write --k \"'1000.0'\""),
    (PATH, 7, "write --k \"'7'\""),
    (TEXT, True, "not allowed"),
    (TEXT, "a::b", "is what MONAI makes of a text with '#'. A '#' cannot be passed: rename the file or folder."),
]


@pytest.mark.parametrize(("schema", "value"), RIGHT)
def test_allowed_values(schema, value):
    assert wrong(schema, value) is None


@pytest.mark.parametrize(("schema", "value", "message"), WRONG)
def test_each_wrong_value_says_what_would_be_right(schema, value, message):
    assert message in wrong(schema, value)


@pytest.mark.parametrize(
    ("schema", "advice"),
    [
        (BOOL, "To switch it off write --k False."),
        ({"type": "number", "minimum": 0}, "To switch it off write --k 0."),
        (PATH, "To leave it empty write --k '$None'."),
        (NUMBER, "It cannot be switched off; allowed: number above 0."),
    ],
)
def test_the_off_value_is_one_that_is_allowed(schema, advice):
    assert off_advice(Setting("k", schema)) == advice


def test_settings_are_read_in_their_order_with_their_groups(tmp_path):
    path = tmp_path / "schema.json"
    path.write_text(json.dumps({"properties": {"b": NUMBER, "g": {"properties": {"h": {"properties": {"a": BOOL}}}}}}))
    settings = read_settings(path)
    assert [(k.id, k.key) for k in settings] == [("b", "b"), ("g#h#a", "g::h::a")]
    assert [k.schema for k in settings] == [NUMBER, BOOL]


def test_a_row_of_sources_names_settings_by_their_own_or_another_parameter_and_groups_whole_or_in_part(tmp_path):
    group = {"properties": {"x": NUMBER, "y": {"properties": {"z": BOOL}}}}
    rows = [
        ["A", "1", "a", ["b", "--bee"]],
        ["A", "2", "g"],
        ["B", "1", {"h": ["x", {"y": [["z", "zed"]]}]}],
        ["B", "2", {"i": ["x"]}],
    ]
    properties = {"a": NUMBER, "b": NUMBER, "c": NUMBER, "g": {"properties": {"x": BOOL}}, "h": group, "i": group}
    (tmp_path / "schema.json").write_text(json.dumps({"properties": properties, "sources": rows}))
    assert {k.id: k.schema.get("source") for k in read_settings(tmp_path / "schema.json")} == {
        "a": ["A", "1", "a"],
        "b": ["A", "1", "--bee"],
        "c": None,
        "g#x": ["A", "2", "x"],
        "h#x": ["B", "1", "x"],
        "h#y#z": ["B", "1", "zed"],
        "i#x": ["B", "2", "x"],
        "i#y#z": None,
    }
    old = {"properties": properties, "sources": [["A", "1", {"b": "--bee"}]]}
    (tmp_path / "schema.json").write_text(json.dumps(old))
    with pytest.raises(ConfigError, match=r"a pair, \['b', '--bee'\]"):
        read_settings(tmp_path / "schema.json")


def test_of_a_shared_path_one_keyword_may_be_another(tmp_path):
    shared = {**TEXT, "path": {"workflows": ["train"], "made_by": "Make it."}}
    own = {"$ref": "#/$defs/folder", "path": {"workflows": ["evaluate"]}}
    (tmp_path / "schema.json").write_text(json.dumps({"properties": {"test": own}, "$defs": {"folder": shared}}))
    [setting] = read_settings(tmp_path / "schema.json")
    assert setting.schema == {**TEXT, "path": {"workflows": ["evaluate"], "made_by": "Make it."}}


@pytest.mark.parametrize("text", [None, "{", ""])
def test_a_broken_schema_is_named(tmp_path, text):
    if text is not None:
        (tmp_path / "schema.json").write_text(text)
    with pytest.raises(ConfigError, match=r"schema\.json: cannot be read as the bundle's schema"):
        read_settings(tmp_path / "schema.json")


@pytest.mark.parametrize(
    ("schema", "value", "meant"),
    [
        ({"enum": ["unet", "vnet", "swin_unetr"]}, "UNet2D", " Did you mean 'unet'?"),
        ({"enum": ["unet", "vnet", "swin_unetr"]}, "SwinUNETR", " Did you mean 'swin_unetr'?"),
        ({"enum": ["adam", "adamw", "sgd"]}, "Adam", " Did you mean 'adam'?"),
        ({"enum": ["adam", "adamw", "sgd"]}, "lion", ""),
        ({"type": "integer"}, "8", " Did you mean 8? Write it without quotes."),
        ({"type": "number"}, "0.0001", " Did you mean 0.0001? Write it without quotes."),
        ({"type": "integer"}, "many", ""),
    ],
)
def test_what_was_meant_is_guessed_where_it_can_be(schema, value, meant):
    line = check_value(Setting("k", {**schema, "description": "d"}), value)
    assert line is not None
    assert line.endswith(f"(d){meant}")
