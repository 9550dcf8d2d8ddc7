"""Paths and addresses in texts."""

import re

SCHEME = re.compile(r"\b(https?|ftps?|s3|gs|az|ssh|git|file|data|smb|nfs|hdfs|jar)(\+\w+)?:/?/?[^\s]", re.IGNORECASE)
DRIVE = re.compile(r"^[a-zA-Z]:([\\/]|$)")


def leaves(path: str) -> bool:
    """Whether a path is absolute, goes up, or starts at a home folder or a variable of the environment."""
    parts = re.split(r"[\\/]", path)
    return ".." in [part.strip() for part in parts] or path.startswith(("/", "\\", "~", "$")) or bool(DRIVE.match(path))


def is_address(text: str) -> bool:
    """Whether a text names something on the network, or a file by an address."""
    return bool(SCHEME.search(text)) and "://" in text
