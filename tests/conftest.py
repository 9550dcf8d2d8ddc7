"""Fixtures for all tests."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of real images (variable MEDBUNDLES_DATA); tests that need it are skipped where there is none."""
    folder = Path(os.environ.get("MEDBUNDLES_DATA", Path(__file__).parents[2] / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no real images in {folder} (set MEDBUNDLES_DATA)")
    return folder
