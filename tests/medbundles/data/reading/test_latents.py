"""Latents of an inference, read again."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from medbundles.data.reading.latents import Latent
from medbundles.errors import DataError


def test_what_is_no_latent_is_said_without_advice_to_run_it(tmp_path):
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(tmp_path / "a.png")
    with pytest.raises(DataError, match=r"a\.png: is no latent of an inference; one ends in \.npz"):
        Latent.read(tmp_path / "a.png")
