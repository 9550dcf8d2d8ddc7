"""Errors that a user can mend: one readable message that says what is wrong, where, and what would be right."""

from __future__ import annotations


class MedbundlesError(Exception):
    """Base of all errors whose message alone is shown on the command line (exit code 1, no stack trace)."""


class ConfigError(MedbundlesError):
    """A setting, an id or a combination of them is wrong."""


class DataError(MedbundlesError):
    """A file or folder of images is missing, broken or contradicts itself."""


class CheckpointError(MedbundlesError):
    """A checkpoint is missing, broken, unsafe or belongs to something else."""
