"""Every name that a setting may have, in another spelling, and the guides' own names get "did you mean"."""

from __future__ import annotations

import pytest

from medbundles.preflight.other_names import OTHER_NAMES
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


# what people type who come from other programs: of brain_tumor, dental, glioma and medical_segmentation
OTHERS = {
    "num_classes": ("seg_out_channels", "", "class_names", "out_channels"),
    "learning_rate": ("lr", "lr", "lr", "lr"),
    "max_epochs": ("epochs", "epochs", "epochs", "epochs"),
    "crop_size": ("image_size", "patch_size", "spatial_size", "image_size"),
    "roi_size": ("image_size", "patch_size", "spatial_size", "image_size"),
    "n_workers": ("num_workers", "num_workers", "num_workers", "num_workers"),
    "optimiser": ("optimizer#name", "optimizer#name", "optimizer#name", "optimizer#name"),
    "gpu": ("device", "device", "device", "device"),
    "warmup": (*["scheduler#warmup_epochs"] * 4,),
    "data_path": ("dataset_dir", "dataset_dir", "dataset_dir", "dataset_dir"),
    "model": ("", "", "", "network_def#name"),
    "val_ratio": ("", "train_split", "", "train_split"),
    "verbose": ("", "", "", ""),
}


@pytest.mark.parametrize("typed", OTHERS)
def test_what_people_type_who_come_from_other_programs(typed):
    for configs, wanted in zip(CONFIGS, OTHERS[typed], strict=True):
        meant = meant_ids(typed, known_ids(configs), called(read_settings(configs / "schema.json")))
        assert meant[:1] == [wanted] * bool(wanted), configs.parent.name


def test_every_other_name_is_one_of_a_setting_and_leads_to_it():
    every = {configs: read_settings(configs / "schema.json") for configs in CONFIGS}
    for configs, settings in every.items():
        known, names = known_ids(configs), called(settings)
        for setting in {k.id for k in settings} & OTHER_NAMES.keys():
            typed = [name for name in OTHER_NAMES[setting].split() if name not in known]
            assert [name for name in typed if setting not in meant_ids(name, known, names)] == [], setting
    assert OTHER_NAMES.keys() <= {k.id for settings in every.values() for k in settings}
