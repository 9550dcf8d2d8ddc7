"""How a network is run on an image."""

from __future__ import annotations

from .autocast import AutocastInferer, resolve_amp

__all__ = ["AutocastInferer", "resolve_amp"]
