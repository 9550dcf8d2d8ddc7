"""JSON files that users may have touched."""

import json
from os import PathLike
from pathlib import Path
from typing import Any

from medbundles.errors import MedbundlesError


def read_json(path: str | PathLike, error: type[MedbundlesError], keys: tuple[str, ...], advice: str) -> dict[str, Any]:
    """The object in a JSON file.

    Args:
        path: the file.
        error: what is raised.
        keys: that it must have.
        advice: what would be right, for the error.

    Raises:
        MedbundlesError: of the kind `error`: the file cannot be read, holds no object, or lacks a key.
    """
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as cause:  # ValueError: no JSON, or no UTF-8
        raise error(f"{path}: cannot be read as JSON ({cause}). {advice}") from cause
    missing = [key for key in keys if key not in content] if isinstance(content, dict) else ["an object"]
    if missing:
        raise error(f"{path}: lacks {', '.join(missing)}. {advice}")
    return content
