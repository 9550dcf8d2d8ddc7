"""What a user has given: on the command line, in a file of arguments, in overlays."""

import ast
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from monai.bundle import ConfigParser

from medbundles.data.reading.trained_file import TRAINED
from medbundles.preflight.workflow import ids


def on_the_line(argv: Sequence[str]) -> Iterator[tuple[str, Any]]:
    """Name and value of all that a command line gives, as text; those in its --args_file as they are there."""
    for here, following in zip(argv, [*argv[1:], ""], strict=True):
        name, equals, text = here.partition("=")
        value = text if equals else following
        if name.startswith("--"):
            yield _as_id(name.removeprefix("--")), value
        if name == "--args_file" and Path(value).is_file():
            content = json.loads(Path(value).read_text(encoding="utf-8"))
            yield from ((_as_id(key), entry) for key, entry in content.items())


def typed_ids(argv: Sequence[str]) -> frozenset[str]:
    """Ids that a command line itself gives, or its file of arguments."""
    return frozenset(name for name, _ in on_the_line(argv))


def given_ids(argv: Sequence[str]) -> frozenset[str]:
    """Ids that a command line gives, also by its overlays: its config files but the first one, which is complete,
    and the one that comes with weights, which holds whatever their training had."""
    line = dict(on_the_line(argv))
    line.pop("config_file", None)
    for overlay in _overlays(argv):
        if overlay.name != TRAINED:
            line |= dict(ids(ConfigParser.load_config_file(overlay)))
    return frozenset(line)


def set_beforehand(argv: Sequence[str], evaluate: Path) -> dict[str, Any]:
    """What an evaluation has before a user gives anything: the ids of its own config file, and of the one that comes
    with weights, with their values."""
    files = [evaluate, *(overlay for overlay in _overlays(argv) if overlay.name == TRAINED)]
    return {name: value for file in files for name, value in ids(ConfigParser.load_config_file(file))}


def _overlays(argv: Sequence[str]) -> list[Path]:
    """Config files of a command line that are there, but for the first one."""
    files = dict(on_the_line(argv)).get("config_file", "")
    try:
        several = ast.literal_eval(files) if isinstance(files, str) else files
    except (ValueError, SyntaxError):  # one file
        several = ()
    return [file for file in map(Path, several[1:] if isinstance(several, (list, tuple)) else ()) if file.is_file()]


def _as_id(name: str) -> str:
    return name.replace("-", "_").replace("::", "#")
