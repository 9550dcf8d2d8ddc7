"""A handler that stands elsewhere in the config."""

from typing import Any


def configured(handler: Any) -> Any:
    """The handler itself, for a handler whose arguments are all settings and so stand in a group of their own.

    A plain reference cannot stand in a list of handlers: MONAI's check of a bundle's properties wants a dict for each.

    Example::

        "train": {"handlers": [{"_target_": "medbundles.handlers.configured", "handler": "@early_stopping"}]}
    """
    return handler
