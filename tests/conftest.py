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


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist shares the tests out
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Processes side by side get whole files of tests; of those that each bundle goes through, a bundle at a time."""
    for item in items:
        params = item.callspec.params if hasattr(item, "callspec") else {}
        bundle = params.get("bundle", params.get("case"))
        item.add_marker(pytest.mark.xdist_group(f"{item.path} {getattr(bundle, 'name', '')}"))
