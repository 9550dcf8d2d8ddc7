"""Phantoms of organs in the folders that the segmentation bundle reads."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools.phantoms.organs import make_organs


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    """Twelve pictures with organs and lesions, and nnU-Net's dataset.json."""
    make_organs(tmp_path / "scans", scans=12, size=32)
    return tmp_path / "scans"


@pytest.fixture
def volumes(tmp_path: Path) -> Path:
    """Eight volumes of them."""
    make_organs(tmp_path / "volumes", scans=8, size=16, dims=3)
    return tmp_path / "volumes"
