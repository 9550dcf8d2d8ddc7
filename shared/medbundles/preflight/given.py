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
    files = line.pop("config_file", "")
    try:
        several = ast.literal_eval(files) if isinstance(files, str) else files
    except (ValueError, SyntaxError):  # one file
        several = ()
    for overlay in map(Path, several[1:] if isinstance(several, (list, tuple)) else ()):
        if overlay.name != TRAINED and overlay.is_file():
            line |= dict(ids(ConfigParser.load_config_file(overlay)))
    return frozenset(line)


def _as_id(name: str) -> str:
    return name.replace("-", "_").replace("::", "#")
