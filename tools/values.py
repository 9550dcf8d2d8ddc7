"""Text from the command line to values of a wanted type; a wrong type is refused."""

import ast
import math
import types
from contextlib import suppress
from inspect import Parameter
from typing import Any, Union, get_args, get_origin

_IN_WORDS = {bool: "True or False", int: "a whole number", float: "a number", str: "text", types.NoneType: "None"}
# Further ways to write a value, in any case.
_SPELLINGS: dict[Any, dict[str, Any]] = {
    bool: {"true": True, "false": False},
    types.NoneType: dict.fromkeys(("none", "null")),
}


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
    kind, inner, why = get_origin(wanted), get_args(wanted), ""
    if wanted is str:
        return text
    if kind in (Union, types.UnionType):
        # None is also a text, and text takes anything
        for one in sorted(inner, key=lambda one: (one is not types.NoneType, one is str)):
            with suppress(ValueError):
                return convert(text, one)
    elif kind in (tuple, list):
        try:
            return kind(convert(item, inner[0]) for item in _items(text))
        except ValueError as error:
            why = f": {error}"
    else:
        value = _SPELLINGS.get(wanted, {}).get(text.lower(), _literal(text))
        value = float(value) if wanted is float and type(value) is int else value
        finite = not isinstance(value, float) or math.isfinite(value)
        if wanted in (Any, Parameter.empty) or (type(value) is wanted and finite):
            return value
    raise ValueError(f"{text!r} is not {describe(wanted)}{why}")


def describe(wanted: Any) -> str:
    """A type in words."""
    inner = [describe(one) for one in get_args(wanted)]
    if get_origin(wanted) is list:
        return f"one or more: {inner[0]}"
    if get_origin(wanted) is tuple:
        return f"a list of {inner[0]} (a,b,c)"
    return " or ".join(inner) or _IN_WORDS.get(wanted, "a value")


def _literal(text: str) -> Any:
    with suppress(ValueError, SyntaxError, MemoryError):
        return ast.literal_eval(text)
    return text


def _items(text: str) -> list[str]:
    """The texts of a list's items; brackets and quotes may be left out."""
    value = _literal(text)
    if isinstance(value, str):
        return [item.strip() for item in text.strip("()[]").split(",")]
    return [str(item) for item in value] if isinstance(value, (tuple, list)) else [str(value)]
