"""What an exported metadata.json says of a network's outputs."""

from __future__ import annotations

import json
from pathlib import Path

import torch

from tools.export.metadata import exported_metadata
from tools.export.model import Model

BUNDLES = Path(__file__).parents[3] / "bundles"


def test_every_output_is_described_as_the_model_gives_it():
    metadata = json.loads((BUNDLES / "brain_tumor_multitask_unet/configs/metadata.json").read_text(encoding="utf-8"))
    outputs = {"seg": torch.zeros(1, 4, 32, 32), "cls": torch.zeros(1, 3)}
    model = Model({}, {"class_names": ["no", "benign", "malignant"]}, {}, "a run")
    described = exported_metadata(metadata, model, torch.zeros(1, 2, 32, 32), outputs)["network_data_format"]
    about = {name: (entry["num_channels"], entry["spatial_shape"]) for name, entry in described["outputs"].items()}
    assert about == {"pred": (4, [32, 32]), "cls": (3, [1])}
    assert list(described["outputs"]["cls"]["channel_def"].values()) == ["no", "benign", "malignant"]
    assert described["inputs"]["image"]["num_channels"] == 2


def test_the_modality_is_that_of_the_training():
    metadata = json.loads((BUNDLES / "medical_segmentation/configs/metadata.json").read_text(encoding="utf-8"))

    def said(**trained) -> str:
        image = torch.zeros(1, 1, 32, 32)
        found = exported_metadata(metadata, Model({}, trained, {}, "a run"), image, {"pred": image})
        return found["network_data_format"]["inputs"]["image"]["modality"]

    assert [said(modality=name) for name in ("ct", "mri", "xray", "rgb")] == ["CT", "MR", "XR", "n/a"]
    assert said() == said(modality="auto") == metadata["network_data_format"]["inputs"]["image"]["modality"]
