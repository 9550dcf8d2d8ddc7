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
    """Processes side by side get whole files of tests, and the checks of settings a bundle at a time.

    The ladder stays whole: its tests start processes of their own, two of them beside each other are slow.
    """
    for item in items:
        case = item.callspec.params.get("case", "") if hasattr(item, "callspec") else ""
        item.add_marker(pytest.mark.xdist_group(f"{item.path} {case}"))
