"""Text from the command line to values of a wanted type; a wrong type is refused."""

from __future__ import annotations

import ast
import math
import types
from typing import Any, Union, get_args, get_origin


def convert(text: str, wanted: Any) -> Any:
    """The value that `text` stands for.

    Args:
        text: as typed.
        wanted: bool, int, float, str, a tuple or list of them, `X | None`, or Any (what Python would read).

    Raises:
        ValueError: the text is no such value; the message says what is wanted.

    Example:
        >>> convert("0.7,0.3", tuple[float, ...]), convert("2024", str), convert("none", int | None)
        ((0.7, 0.3), '2024', None)
    """
    if get_origin(wanted) in (Union, types.UnionType):
        return _convert_union(text, wanted)
    if wanted is str:
        return text
    value = _literal(text)
    if wanted is bool:
        value = {"true": True, "false": False}.get(text.lower(), value)
    elif wanted is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    elif get_origin(wanted) in (tuple, list):
        return _convert_list(value, text, wanted)
    if wanted is Any or (type(value) is wanted and not (wanted is float and not math.isfinite(value))):
        return value
    raise ValueError(f"{text!r} is not {describe(wanted)}")


def describe(wanted: Any) -> str:
    """A type in words."""
    if get_origin(wanted) in (Union, types.UnionType):
        return " or ".join(describe(part) for part in get_args(wanted))
    if get_origin(wanted) in (tuple, list):
        return f"a list of {describe(get_args(wanted)[0])} (a,b,c)"
    names = {bool: "True or False", int: "a whole number", float: "a number", str: "text", type(None): "None"}
    return names.get(wanted, "a value")


def _literal(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError):
        return text


def _convert_union(text: str, wanted: Any) -> Any:
    parts = get_args(wanted)
    if type(None) in parts and text.lower() in ("none", "null"):
        return None
    # text takes anything, so it comes last
    for part in [part for part in parts if part not in (type(None), str)] + [part for part in parts if part is str]:
        try:
            return convert(text, part)
        except ValueError:
            continue
    raise ValueError(f"{text!r} is not {describe(wanted)}")


def _convert_list(value: Any, text: str, wanted: Any) -> Any:
    if isinstance(value, str):
        value = [part.strip() for part in text.strip("()[]").split(",")]
    elif not isinstance(value, (tuple, list)):
        value = [value]
    part = get_args(wanted)[0]
    try:
        return get_origin(wanted)(convert(str(item), part) for item in value)
    except ValueError as error:
        raise ValueError(f"{text!r} is not {describe(wanted)}: {error}") from None
