"""Fixtures for all tests."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of real images (variable MEDBUNDLES_DATA); tests that need it are skipped where there is none."""
    folder = Path(os.environ.get("MEDBUNDLES_DATA", Path(__file__).parents[2] / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no real images in {folder} (set MEDBUNDLES_DATA)")
    return folder


@pytest.fixture(autouse=True)
def no_handlers_of_others() -> Iterator[None]:
    """monai.fl logs to what stderr is when it is imported: perhaps that of a test, which is closed afterwards."""
    yield
    root = logging.getLogger()
    for handler in [handler for handler in root.handlers if type(handler) is logging.StreamHandler]:
        root.removeHandler(handler)


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist shares the tests out
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Processes side by side get whole files of tests, and the checks of settings a bundle at a time.

    The ladder stays whole: its tests start processes of their own, two of them beside each other are slow.
    """
    for item in items:
        case = item.callspec.params.get("case", "") if hasattr(item, "callspec") else ""
        item.add_marker(pytest.mark.xdist_group(f"{item.path} {case}"))
