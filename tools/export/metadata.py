"""metadata.json of an exported bundle: what its model takes and gives, and how good it was on the validation data."""

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from .model import Model

WITHOUT_WEIGHTS = "; no weights are shipped"  # what a bundle without a model says of itself
MODALITIES = {"ct": "CT", "mri": "MR", "xray": "XR", "rgb": "n/a"}  # the setting, as DICOM calls it
NAMES = ("label_names", "class_names")  # settings that name the channels of an output


def exported_metadata(
    metadata: Mapping[str, Any], model: Model, image: torch.Tensor, outputs: Mapping[str, torch.Tensor]
) -> dict[str, Any]:
    """The metadata of a bundle with those of a model in it.

    Args:
        metadata: of the bundle.
        model: what is exported.
        image: an input of the network (B, C, ...).
        outputs: of the network for it, by name; "pred" describes the one that has no entry of its own.
    """
    made = copy.deepcopy(dict(metadata))
    made["eval_metrics"] = model.metrics
    synthetic = "SYNTHETIC phantoms, in the layout of: " if model.synthetic else ""
    made["data_source"] = synthetic + made["data_source"].replace(WITHOUT_WEIGHTS, "")
    formats = made["network_data_format"]
    taken = formats["inputs"]["image"]
    _describe(taken, image, [])
    taken["modality"] = MODALITIES.get(str(model.trained.get("modality")), taken["modality"])
    named = [model.trained[name] for name in NAMES if isinstance(model.trained.get(name), (list, tuple))]
    for output, value in outputs.items():
        entry = formats["outputs"].get(output, formats["outputs"]["pred"])
        _describe(entry, value, next((names for names in named if len(names) == value.shape[1]), []))
    return made


def _describe(entry: dict[str, Any], value: torch.Tensor, names: Sequence[str]) -> None:
    """Number of channels and shape of a tensor (B, C, ...); a "*" stays where any size will do."""
    channels, shape = value.shape[1], list(value.shape[2:]) or [1]
    if channels != entry["num_channels"]:
        entry["num_channels"] = channels
        old = entry["channel_def"].get("0", "channel")
        entry["channel_def"] = {str(i): str(names[i]) if names else f"{old} {i}" for i in range(channels)}
    is_free = all(isinstance(side, str) for side in entry["spatial_shape"])
    entry["spatial_shape"] = ["*"] * len(shape) if is_free else shape
