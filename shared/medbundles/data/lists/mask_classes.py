"""What the channels of a mask are: classes with their names, and the regions of BraTS that unite them."""

from collections.abc import Sequence
from typing import Any

from medbundles.errors import refuse
from medbundles.rules import AUTO, EVERYWHERE, Rule, has_rules

BRATS = "brats"
# number of channels -> names of the labels: as `prepare brats2d --labels classes` writes them and files of 2023 hold
# them; and those of files until 2021, of which 3 is empty since 2017, when what it was became part of 1
NAMES = {
    4: ("background", "necrotic_core", "oedema", "enhancing"),
    5: ("background", "necrotic_core", "oedema", "non_enhancing", "enhancing"),
}
BEYOND_CORE = "oedema"


def _fit(label_names: Sequence[str] | str, channels: int) -> str | None:
    if label_names == AUTO or (label_names == BRATS and channels in NAMES):
        return None
    if label_names == BRATS:
        return (
            f"label_names: 'brats' does not fit seg_out_channels {channels}; use 4 for the labels 0 to 3 of `prepare "
            "brats2d --labels classes` (and of BraTS 2023), or 5 for the labels 0 to 4 of BraTS until 2021."
        )
    if channels <= 2:
        return f"label_names: {list(label_names)} name nothing: with seg_out_channels {channels} there is one mask."
    if len(label_names) != channels:
        return f"label_names: {list(label_names)} must be {channels} names (seg_out_channels), the background first."
    return None


@has_rules(Rule(("label_names", "seg_out_channels"), _fit, EVERYWHERE))
def mask_classes(channels: int, label_names: Sequence[str] | str = AUTO) -> dict[str, Any]:
    """What a network that gives so many channels says of a pixel.

    BraTS's three regions (Menze et al. 2015) are the whole tumour, all of its classes; the tumour core, all but the
    oedema; and the enhancing tumour.

    Args:
        channels: C of the network; with more than two each class but the background, channel 0, has a mask.
        label_names: of the C classes, the background first; "brats": those of BraTS, for C = 4 (labels 1 necrotic and
            non-enhancing, 2 oedema, 3 enhancing) or C = 5 (1 necrotic, 2 oedema, 3 non-enhancing, 4 enhancing); "auto":
            their numbers.

    Returns:
        mask_rule for `medbundles.transforms.Predictions`; label_names of the C classes, [] with one mask; regions, name
        -> classes, for `medbundles.metrics.Masks`, {} of other names than BraTS's; channel_names of the masks, the
        regions last.

    Raises:
        ConfigError: names that do not fit the number of channels.
    """
    refuse([_fit(label_names, channels)])
    if channels <= 2:
        return {"mask_rule": "foreground", "label_names": [], "regions": {}, "channel_names": []}
    given = NAMES[channels] if label_names == BRATS else label_names
    names = [str(number) for number in range(channels)] if given == AUTO else list(given)
    regions: dict[str, list[int]] = {}
    if label_names == BRATS:
        whole = list(range(1, channels))
        core = [number for number in whole if names[number] != BEYOND_CORE]
        regions = {"whole_tumour": whole, "tumour_core": core, "enhancing_tumour": [channels - 1]}
    return {
        "mask_rule": "classes",
        "label_names": names,
        "regions": regions,
        "channel_names": [*names[1:], *regions],
    }
