"""The bench of the dental bundle: small jaws, other jaws, volumes that cannot be read, copies, weights."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from PIL import Image

from medbundles.data import image_parts
from tests.bundles.setting_bench import Bench
from tools.phantoms.jaws import make_jaws

BUNDLE = "dental_vae_autoencoder"
JAWS = (10, 8)  # without and with teeth
VOLUMES: dict[str, Any] = {"spatial_dims": 3, "data_source": "volumes"}  # for the folder of volumes
SIDE = 8  # of a volume, in voxels


class DentalBench(Bench):
    """See `Bench`."""

    writer = "ReconstructionWriter"
    followed, mode, other_metric = "val_l1", "min", "val_psnr"

    def __init__(self, folder: Path):
        super().__init__(
            BUNDLE,
            folder,
            {
                "data_source": "both",
                "train_split": 0.7,
                "test_split": 0.2,
                "batch_size": 3,
                "patch_size": [16, 16],
                "perceptual_weight": 0.0,
                "picture_interval": 0,
                "network_def#channels": [2, 4],
                "network_def#attention_levels": [False, False],
                "network_def#num_res_blocks": 1,
                "network_def#norm_num_groups": 2,
            },
        )
        for seed, path in enumerate((self.data, self.other_data)):
            make_jaws(path, seed=seed, jaws=JAWS, size=32)
        self.image = str(self.data / "edente/jaw_001.png")
        self.other_image = str(self.data / "dente/jaw_018.png")
        self._spoil()
        self._files()

    def metrics(self, value: float) -> dict[str, float]:
        return {self.followed: 1 - value}  # smaller is better

    def _spoil(self) -> None:
        """Volumes: one without a header, which is seen at once; in each part one with NaN, seen when it is read."""
        rng, place = np.random.default_rng(0), self.bad_data / "volumes"
        place.mkdir(parents=True)
        for i in range(12):
            _save(rng.random((SIDE, SIDE, SIDE)), place / f"{i:02d}.nii.gz")
        (place / "00.nii.gz").write_text("no volume")
        split = {name: self.small[name] for name in ("train_split", "test_split")}
        parts = image_parts(self.bad_data, "volumes", 3, **split, skip_bad_files=True)
        self.readable = {part: len(items) - 1 for part, items in parts.items()}
        for items in parts.values():
            volume = rng.random((SIDE, SIDE, SIDE))
            volume[0] = np.nan
            _save(volume, Path(items[0]["image"]))

    def _files(self) -> None:
        self.weights = self.save_weights("weights.pt")
        self.save_result(reconstruction="reconstructions/a.png")
        self.latent = self.folder / "latent.npz"
        np.savez(self.latent, mean=np.zeros((4, 16, 32)))
        # a picture that is there twice, as PNG and as BMP
        self.copies = self.folder / "copies"
        shutil.copytree(self.data, self.copies)
        Image.open(self.image).save(self.copies / "edente/again.bmp")
        self.three_channels = self.folder / "three_channels"
        (self.three_channels / "colour").mkdir(parents=True)
        rng = np.random.default_rng(0)
        for i in range(4):
            np.save(self.three_channels / "colour" / f"{i}.npy", rng.random((3, 32, 48), dtype=np.float32))
        # what a training had, whose pictures are tested with another seed
        self.split = self.folder / "split.json"
        places = SimpleNamespace(folder=lambda name: self.folder)
        record = image_parts(self.data, "both", train_split=0.7, test_split=0.2, run_dir=places).record()
        assert record is not None
        self.split.write_text(json.dumps(record[1]))


def _save(volume: np.ndarray, path: Path) -> None:
    import nibabel

    nibabel.save(nibabel.Nifti1Image(volume.astype(np.float32), np.eye(4)), path)
