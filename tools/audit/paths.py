"""Paths and addresses in texts."""

import re

ADDRESS = re.compile(r"[\w.+-]+:/|[\w.-]+@[\w.-]+:|file:", re.ASCII)  # any scheme, and host:path as scp has it
HARMLESS = re.compile(r"env://|sqlite:///(?![/\\]|\w:)(?!.*\.\.)", re.DOTALL)
DRIVE = re.compile(r"[a-zA-Z]:([\\/]|$)")


def leaves(path: str) -> bool:
    """Whether a path is absolute, goes up, or starts at a home folder or a variable of the environment."""
    parts = re.split(r"[\\/]", path)
    return ".." in [part.strip() for part in parts] or path.startswith(("/", "\\", "~", "$")) or bool(DRIVE.match(path))


def is_address(text: str) -> bool:
    """Whether a text, as a whole, names something on the network, or a file by an address; prose may name one."""
    if " " in text.strip() and not ADDRESS.match(text.strip()):
        return False
    return bool(ADDRESS.search(text)) and not HARMLESS.match(text) and not DRIVE.match(text)
