"""The bench of the segmentation bundle: small scans of organs, other ones, volumes that cannot be read, weights."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import nibabel
import numpy as np
from monai.bundle import ConfigWorkflow
from PIL import Image

from medbundles.data import segmentation_parts
from tests.bundles.setting_bench import Bench
from tools.phantoms.organs import make_organs

BUNDLE = "medical_segmentation"
SHARES = {"train_split": 0.7, "test_split": 0.25}
VOLUMES: dict[str, Any] = {"spatial_dims": 3, "image_size": 16}


class MedicalSegmentationBench(Bench):
    """See `Bench`."""

    writer = "LabelMapWriter"
    followed, other_metric = "val_dice", "val_iou"

    def __init__(self, folder: Path):
        super().__init__(
            BUNDLE,
            folder,
            {
                **SHARES,
                "batch_size": 3,
                "image_size": 32,
                "out_channels": 3,
                "network_def#base_channels": 2,
                "network_def#depth": 2,
            },
        )
        for seed, path in enumerate((self.data, self.other_data)):
            make_organs(path, seed, scans=20, size=32)
        self.image = str(self.data / "images/scan_001.png")
        self.label = str(self.data / "labels/scan_001.png")
        self.volumes = folder / "volumes"
        make_organs(self.volumes, scans=12, size=16, dims=3)
        self.no_split = folder / "no_split.json"
        self.no_split.write_text(json.dumps({"parts": {"train": [], "val": []}}))
        self._spoil()
        self._files()

    def workflow(self, *files: str, **overrides: Any) -> ConfigWorkflow:
        """An evaluation is held against no training, unless a check names one: others publish on the same data."""
        own = {"earlier_split": str(self.no_split)} if "evaluate" in files else {}
        return super().workflow(*files, **{**own, **overrides})

    def _spoil(self) -> None:
        """Volumes: one without a header, which is seen at once; in each part one with NaN, seen when it is read."""
        make_organs(self.bad_data, scans=16, size=16, dims=3)
        (self.bad_data / "images/scan_001.nii.gz").write_text("no volume")
        parts = segmentation_parts(self.bad_data, 3, out_channels=3, **SHARES, skip_bad_files=True)
        self.readable = {part: len(items) - 1 for part, items in parts.items()}
        for items in parts.values():
            volume = nibabel.load(items[0]["image"])
            voxels = np.asarray(volume.dataobj, dtype=np.float32)
            voxels[0] = np.nan
            nibabel.save(nibabel.Nifti1Image(voxels, volume.affine), items[0]["image"])

    def _files(self) -> None:
        self.weights = self.save_weights("weights.pt")
        self.save_result(mask="masks/a_mask.png")
        # a picture that is there twice, as PNG and as BMP
        self.copies = self.folder / "copies"
        shutil.copytree(self.data, self.copies)
        Image.open(self.image).save(self.copies / "images/again.bmp")
        Image.open(self.label).save(self.copies / "labels/again.bmp")
        # what a training had, whose pictures are tested with another seed
        self.split = self.folder / "split.json"
        places = SimpleNamespace(folder=lambda name: self.folder)
        record = segmentation_parts(self.data, out_channels=3, **SHARES, run_dir=places).record()
        assert record is not None
        self.split.write_text(json.dumps(record[1]))
        # a gray mask, and one in which a part is not labelled
        self.gray, self.partly = self.folder / "gray", self.folder / "partly"
        for place, of in ((self.gray, lambda x: np.linspace(0, 255, x.size).reshape(x.shape)), (self.partly, _partly)):
            shutil.copytree(self.data, place)
            (place / "dataset.json").unlink()
            for path in (place / "labels").iterdir():
                Image.fromarray(of(np.asarray(Image.open(path))).astype(np.uint8)).save(path)
        # of most scans the mask is empty
        self.few = self.folder / "few"
        shutil.copytree(self.data, self.few)
        for path in sorted((self.few / "labels").iterdir())[::2]:
            Image.fromarray(np.zeros((32, 32), np.uint8)).save(path)
        # one channel and three, as arrays
        self.one_channel, self.three_channels = (self.folder / f"{count}_channels" for count in (1, 3))
        for place, count in ((self.one_channel, 1), (self.three_channels, 3)):
            shutil.copytree(self.data, place)
            (place / "dataset.json").unlink()
            for path in (place / "images").iterdir():
                gray = np.asarray(Image.open(path))
                np.save(path.with_suffix(".npy"), np.stack([gray, gray[::-1], gray.T][:count]))
                path.unlink()
        # weights of a training with that split, and what its images were like
        self.earlier = self.folder / "earlier/checkpoints/best.pt"
        (self.folder / "earlier/config").mkdir(parents=True)
        self.earlier.parent.mkdir()
        shutil.copy(self.weights, self.earlier)
        shutil.copy(self.split, self.folder / "earlier/config/split.json")
        ranges = {"training_images": [["size", 1.0, 2.0]]}
        self.earlier.with_name("trained.json").write_text(json.dumps(ranges))


def _partly(labels: np.ndarray) -> np.ndarray:
    """Without labels in its first rows."""
    return np.where(np.arange(len(labels))[:, None] < 4, 3, labels)
