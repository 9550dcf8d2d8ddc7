"""Every name that a setting may have, in another spelling, and the guides' own names get "did you mean"."""

from __future__ import annotations

import pytest

from medbundles.preflight.schema import called, check_value, read_settings
from medbundles.preflight.workflow import MOST_MEANT, known_ids, meant_ids
from tests.bundles.setting_bench import BUNDLES

CONFIGS = sorted(BUNDLES.glob("*/configs"))
SPELLINGS = (
    str.upper,
    str.title,
    lambda name: name.replace("_", "-") + " ",
    lambda name: name.title().replace("_", ""),
)
# document 001's values of medical_segmentation, and what they are here
GUIDE = {
    "network_def#name": {
        "UNet2D": "unet", "UNet3D": "unet", "U-Net": "unet", "V-Net": "vnet", "SegResNet": "segresnet",
        "DeepLabV3+": "deeplabv3plus", "TransUNet": "transunet", "UNETR": "unetr", "SwinUNETR": "swin_unetr",
    },
    "optimizer#name": {"Adam": "adam", "AdamW": "adamw", "SGD": "sgd"},
    "scheduler#name": {"CosineAnnealing": "cosine", "StepLR": "step", "ReduceLROnPlateau": "plateau"},
    "loss#name": {"DiceLoss": "dice", "CrossEntropy": "cross_entropy", "FocalLoss": "focal", "Combined": "combined"},
    "network_def#norm": {"BatchNorm": "batch", "GroupNorm": "group"},
}  # fmt: skip


@pytest.mark.parametrize("configs", CONFIGS, ids=lambda path: path.parent.name)
def test_every_name_of_every_setting_in_another_spelling(configs):
    named = [setting for setting in read_settings(configs / "schema.json") if setting.names]
    assert named
    for setting in named:
        texts = [name for name in setting.names if isinstance(name, str) and name != "none"]
        for name, spelt in ((name, spell(name)) for name in texts for spell in SPELLINGS):
            line = None if spelt in setting.names else check_value(setting, spelt)
            assert spelt in setting.names or line.endswith(f"Did you mean {name!r}?"), f"{spelt!r}: {line}"


@pytest.mark.parametrize("setting", GUIDE)
def test_the_guides_names(setting):
    every = {k.id: k for k in read_settings(BUNDLES / "medical_segmentation/configs/schema.json")}
    for value, name in GUIDE[setting].items():
        line = check_value(every[setting], value)
        assert line.startswith(f"{setting}: {value!r} is not allowed; allowed: one of")
        assert line.endswith(f" Did you mean {name!r}?")
        assert "\n" not in line


@pytest.mark.parametrize("configs", CONFIGS, ids=lambda path: path.parent.name)
def test_a_parameter_of_the_documents_leads_to_the_settings_of_that_name(configs):
    """learning_rate to lr, base_channels to network_def#base_channels; of one word alone, as it is typed."""
    every, known = read_settings(configs / "schema.json"), known_ids(configs)
    sources = {k.id: k.schema["source"][2] for k in every if "source" in k.schema}
    for setting, parameter in sources.items():
        if parameter.isidentifier() and parameter not in known:
            meant = meant_ids(parameter, known, called(every))
            assert setting in meant or len(meant) == MOST_MEANT, parameter  # `name` is one of many
