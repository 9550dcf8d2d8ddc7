from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

DEFAULT = Path(__file__).resolve().parents[4] / "shared" / "data"


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of real images, which are not part of the project."""
    folder = Path(os.environ.get("MEDBUNDLES_DATA", DEFAULT))
    if not folder.is_dir():
        pytest.skip(f"no real images: {folder} does not exist (set MEDBUNDLES_DATA)")
    return folder


@pytest.fixture
def head() -> np.ndarray:
    """(1, 200, 160) a head on a black background: scalp, dark skull, textured brain, a bright lesion."""
    y, x = np.mgrid[:200, :160]
    radius = np.hypot((y - 105) / 80, (x - 78) / 62)
    rng = np.random.default_rng(0)
    image = np.where(radius < 1, 180.0, 0.0)
    image[radius < 0.92] = 8
    brain = radius < 0.86
    image[brain] = rng.normal(90, 15, brain.sum())
    image[np.hypot(y - 80, x - 95) < 12] = 170
    return image[None].astype(np.float32)


@pytest.fixture
def outline() -> np.ndarray:
    """(200, 160) the pixels of `head`."""
    y, x = np.mgrid[:200, :160]
    return np.hypot((y - 105) / 80, (x - 78) / 62) < 1


@pytest.fixture
def ball() -> np.ndarray:
    """(80, 76, 64) the voxels of `volume` that are head."""
    x, y, z = np.mgrid[:80, :76, :64]
    return ((x - 38) / 30) ** 2 + ((y - 40) / 34) ** 2 + ((z - 33) / 26) ** 2 < 1


@pytest.fixture
def volume(ball) -> np.ndarray:
    """(1, 80, 76, 64) a head on a black background: scalp, dark skull, textured brain, a bright lesion."""
    x, y, z = np.mgrid[:80, :76, :64]
    radius = np.sqrt(((x - 38) / 30) ** 2 + ((y - 40) / 34) ** 2 + ((z - 33) / 26) ** 2)
    image = np.where(ball, 180.0, 0.0)
    image[radius < 0.92] = 8
    brain = radius < 0.86
    image[brain] = np.random.default_rng(0).normal(90, 15, brain.sum())
    image[(x - 50) ** 2 + (y - 45) ** 2 + (z - 35) ** 2 < 36] = 170
    return image[None].astype(np.float32)
