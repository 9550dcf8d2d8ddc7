"""The bench of the brain tumour bundle: phantoms, other phantoms, files that cannot be read, weights."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import nibabel
import numpy as np
from PIL import Image

from medbundles.data import checked_parts, multitask_datalist
from tests.bundles.setting_bench import Bench
from tools.phantoms.slices import make_phantoms

BUNDLE = "brain_tumor_multitask_unet"
PATIENTS, PICTURES = (4, 3, 3), (8, 6, 6)  # in train, val and test


class BrainTumorBench(Bench):
    """See `Bench`."""

    writer = "InferenceWriter"
    followed, other_metric = "val_combined", "val_dice"
    rate = "lr_rest"

    def __init__(self, folder: Path):
        super().__init__(BUNDLE, folder, {"base_filters": 4, "depth": 3, "image_size": 32, "batch_size": 4})
        for seed, path in enumerate((self.data, self.other_data)):
            make_phantoms(path, seed=seed, patients=PATIENTS, slices=2, size=64, pictures=PICTURES)
            for part in ("train", "val", "test"):  # a third class, for --cls_num_classes 3
                picture = next((path / "kaggle" / part / "no").iterdir())
                (path / "kaggle" / part / "maybe").mkdir()
                _turned(picture, path / "kaggle" / part / "maybe" / f"{seed}.npy")
        self._spoil()
        self._files()

    def _spoil(self) -> None:
        """In each part a slice without a header and one that breaks off."""
        shutil.copytree(self.data, self.bad_data)
        for part in ("train", "val", "test"):
            first, second, *_ = sorted((self.bad_data / part / "images").rglob("*.png"))
            first.write_text("no picture")
            second.write_bytes(second.read_bytes()[:600])

    def _files(self) -> None:
        self.image = str(next((self.data / "train/images").rglob("*.png")))
        rng = np.random.default_rng(0)
        self.three_channels = str(self.folder / "three_channels.npy")
        np.save(self.three_channels, rng.random((3, 64, 64), dtype=np.float32))
        self.three_valued_mask = str(self.folder / "mask.npy")
        values = np.zeros((64, 64), dtype=np.uint8)
        values[20:32, 20:44], values[32:44, 20:44] = 1, 2
        np.save(self.three_valued_mask, values)
        self.case = self.folder / "case"
        self.case.mkdir()
        for sequence in ("flair", "t1ce"):
            volume = nibabel.Nifti1Image(rng.random((8, 9, 4), dtype=np.float32), np.eye(4))
            nibabel.save(volume, self.case / f"{sequence}.nii")
        self.weights = self.save_weights("weights.pt")
        self.save_result(mask="masks/a_mask.png")
        # a picture that is there twice, as PNG and as BMP
        self.copies = self.folder / "copies"
        shutil.copytree(self.data, self.copies)
        picture = sorted((self.copies / "kaggle/train/no").iterdir())[0]
        Image.open(picture).save(picture.with_name("again.bmp"))
        self.pair = [f"no/{picture.name}", "no/again.bmp"]
        # what a training had that saw the test part
        self.split = self.folder / "split.json"
        places = SimpleNamespace(folder=lambda name: self.folder)
        seen = multitask_datalist(str(self.data / "test"), False, ["no", "yes"])
        record = checked_parts(train=seen, val=[], run_dir=places).record()
        assert record is not None
        self.split.write_text(json.dumps(record[1]))


def _turned(picture: Path, target: Path) -> None:
    np.save(target, np.rot90(np.asarray(Image.open(picture).convert("L"))))
