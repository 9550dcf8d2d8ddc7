"""A logging.conf, whose classes and arguments Python's logging evaluates."""

import ast
import configparser
import logging
import logging.handlers
import re
from collections.abc import Iterator

from .paths import is_address, leaves

SENDS = {"SocketHandler", "DatagramHandler", "HTTPHandler", "SMTPHandler", "SysLogHandler", "NTEventLogHandler"}
FREE = {"format", "datefmt"}  # whose % signs stay what they are
Problems = Iterator[tuple[str, str, str]]


def logging_problems(content: bytes) -> Problems:
    """The section, the rule and what is wrong, for all that is no plain value of a handler or formatter of Python's."""
    parser = configparser.RawConfigParser()
    try:
        parser.read_string(content.decode("utf-8"))
    except (configparser.Error, UnicodeDecodeError) as error:
        yield "", "unreadable", f"cannot be read: {' '.join(str(error).split())}"
        return
    if parser.defaults():
        yield "DEFAULT", "logging", "values for all sections, which are put into those that are evaluated"
    for section in parser.sections():
        for key, value in parser.items(section):
            if "%(" in value and key not in FREE:
                yield section, "logging", f"{key}={value} is put together when the file is read"
            elif key == "class" and not _is_plain_class(value):
                yield (
                    section,
                    "logging",
                    f"class={value} is no handler or formatter that writes here",
                )
            elif key in ("args", "kwargs", "defaults"):
                yield from ((section, rule, what) for rule, what in _arguments(key, value))


def _is_plain_class(value: str) -> bool:
    """Whether it is a handler or formatter of the standard library that sends nothing away."""
    name = value.strip().removeprefix("logging.").removeprefix("handlers.")
    found = {**vars(logging.handlers), **vars(logging)}.get(name)
    return name not in SENDS and isinstance(found, type) and issubclass(found, (logging.Handler, logging.Formatter))


def _arguments(key: str, value: str) -> Iterator[tuple[str, str]]:
    try:
        tree = ast.parse(re.sub(r"\bsys\.(stdout|stderr)\b", "None", value.strip()) or "()", mode="eval")
        ast.literal_eval(tree)
    except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError):
        yield "logging", f"{key}={value} is evaluated when the file is read; write plain values"
        return
    texts = [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)]
    for text in (each.decode("latin-1") if isinstance(each, bytes) else each for each in texts):
        if isinstance(text, str) and (leaves(text) or is_address(text)):
            yield "path", f"{key}={value} writes outside the bundle"
