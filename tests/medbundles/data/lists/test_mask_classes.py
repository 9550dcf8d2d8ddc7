from __future__ import annotations

import pytest

from medbundles.data import mask_classes
from medbundles.errors import ConfigError


@pytest.mark.parametrize("channels", [1, 2])
def test_up_to_two_channels_are_one_mask(channels):
    made = mask_classes(channels)
    assert made == {"mask_rule": "foreground", "label_names": [], "regions": {}, "channel_names": []}


def test_names_are_numbers_those_given_or_those_of_brats():
    assert mask_classes(4)["label_names"] == ["0", "1", "2", "3"]
    assert mask_classes(4)["regions"] == {}
    own = mask_classes(3, ["none", "a", "b"])
    assert own["channel_names"] == ["a", "b"]
    assert own["mask_rule"] == "classes"
    prepared = mask_classes(4, "brats")
    assert prepared["label_names"] == ["background", "necrotic_core", "oedema", "enhancing"]
    assert prepared["regions"] == {"whole_tumour": [1, 2, 3], "tumour_core": [1, 3], "enhancing_tumour": [3]}
    files = mask_classes(5, "brats")
    assert files["regions"] == {"whole_tumour": [1, 2, 3, 4], "tumour_core": [1, 3, 4], "enhancing_tumour": [4]}
    assert files["channel_names"] == [*files["label_names"][1:], *files["regions"]]


@pytest.mark.parametrize(
    ("channels", "names", "said"),
    [
        (3, "brats", "use 4 for the labels 0 to 3"),
        (1, "brats", "label_names: 'brats' does not fit seg_out_channels 1"),
        (4, ["none", "a", "b"], "must be 4 names"),
        (2, ["none", "a", "b"], "there is one mask"),
    ],
)
def test_names_that_do_not_fit_are_refused(channels, names, said):
    with pytest.raises(ConfigError, match=said):
        mask_classes(channels, names)
