from __future__ import annotations

import pytest

from medbundles.data import channel_count, wanted_modalities
from medbundles.errors import ConfigError


def test_one_or_several_in_the_order_given():
    assert wanted_modalities("flair") == ("flair",)
    assert wanted_modalities(["t1ce", "flair"]) == ("t1ce", "flair")
    assert channel_count("t2") == 1
    assert channel_count(("flair", "t1", "t1ce", "t2")) == 4


@pytest.mark.parametrize(
    ("modality", "said"),
    [
        ("FLAIR", "'FLAIR' is unknown; use one of: flair, t1, t1ce, t2"),
        (["flair", "pet"], "'pet' is unknown"),
        (["t1", "t1"], "names one twice"),
        ([], "none is given"),
        ("", "'' is unknown"),
    ],
)
def test_refusals(modality, said):
    with pytest.raises(ConfigError, match=f"modality: .*{said}"):
        wanted_modalities(modality)
