"""The bench of the brain tumour bundle: phantoms, other phantoms, files that cannot be read, weights."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import torch

from medbundles.data import make_phantoms
from tests.bundles.knob_bench import Bench

BUNDLE = "brain_tumor_multitask_unet"
PATIENTS, PICTURES = (4, 3, 3), (8, 6, 6)  # in train, val and test


class BrainTumorBench(Bench):
    """See `Bench`."""

    def __init__(self, folder: Path):
        data = folder / "phantoms"
        super().__init__(
            BUNDLE,
            folder,
            {
                "dataset_dir": str(data),
                "base_filters": 4,
                "depth": 3,
                "image_size": 32,
                "batch_size": 4,
                "num_workers": 0,
                "device": "cpu",
                "tensorboard": False,
                "cache": "disk",
                "cache_dir": str(folder / "cache"),
            },
        )
        self.data, self.other_data = data, folder / "other_phantoms"
        for seed, path in enumerate((self.data, self.other_data)):
            make_phantoms(path, seed=seed, patients=PATIENTS, slices=2, size=64, pictures=PICTURES)
            for part in ("train", "val", "test"):  # a third class, for --cls_num_classes 3
                picture = next((path / "kaggle" / part / "no").iterdir())
                (path / "kaggle" / part / "maybe").mkdir()
                _darkened(picture, path / "kaggle" / part / "maybe" / f"{seed}.npy")
        self.bad_data = folder / "bad_phantoms"
        self._spoil()
        self.other_bundle, self.other_cache = folder / "other", folder / "other_cache"
        shutil.copytree(self.bundle, self.other_bundle)
        for bundle in (self.bundle, self.other_bundle):
            (bundle / "data").symlink_to(self.data)
        self._files()

    def _spoil(self) -> None:
        """In each part a slice without a header and one that breaks off."""
        shutil.copytree(self.data, self.bad_data)
        for part in ("train", "val", "test"):
            first, second, *_ = sorted((self.bad_data / part / "images").rglob("*.png"))
            first.write_text("no picture")
            second.write_bytes(second.read_bytes()[:600])

    def _files(self) -> None:
        self.picture = str(next((self.data / "train/images").rglob("*.png")))
        rng = np.random.default_rng(0)
        self.three_channels = str(self.folder / "three_channels.npy")
        np.save(self.three_channels, rng.random((3, 64, 64), dtype=np.float32))
        self.three_valued_mask = str(self.folder / "mask.npy")
        values = np.zeros((64, 64), dtype=np.uint8)
        values[20:32, 20:44], values[32:44, 20:44] = 1, 2
        np.save(self.three_valued_mask, values)
        weights = self.get("network_def").state_dict()
        self.weights = str(self.folder / "weights.pt")
        torch.save({name: torch.full_like(tensor, 0.25) for name, tensor in weights.items()}, self.weights)
        # two inputs, of which one has a result
        self.inputs, self.results = self.folder / "inputs", self.folder / "results"
        (self.results / "masks").mkdir(parents=True)
        self.inputs.mkdir()
        for name in ("a", "b"):
            shutil.copy(self.picture, self.inputs / f"{name}.png")
        shutil.copy(self.picture, self.results / "masks/a_mask.png")
        row = {"file": str(self.inputs / "a.png"), "mask": "masks/a_mask.png"}
        (self.results / "predictions.json").write_text(json.dumps({"results": [row]}))


def _darkened(picture: Path, target: Path) -> None:
    from PIL import Image

    np.save(target, np.asarray(Image.open(picture).convert("L")) // 2)
