"""How masks and probabilities are written: pictures as PNG and .npy, volumes as NIfTI with the input's geometry."""

from pathlib import Path

import numpy as np
from PIL import Image

from medbundles.atomic_files import replace_atomic
from medbundles.data.reading.image_form import note_of_picture, with_note
from medbundles.data.reading.nifti import VolumeInfo
from medbundles.data.reading.volumes import write_volume


def write_mask(path: Path, values: np.ndarray, info: VolumeInfo | None, note: str) -> None:
    """Write the mask of an input, or the map of its classes.

    Args:
        path: .png of a picture, .nii.gz of a volume.
        values: uint8 (H, W), or of a volume as `write_volume` takes it.
        info: of the volume that the input is; None: it is a picture.
        note: kept in the file.
    """
    with replace_atomic(path) as temporary:
        if info:
            write_volume(temporary, values, with_note(info, note))
        else:
            Image.fromarray(values).save(temporary, format="PNG", **note_of_picture(".png", note))


def write_probabilities(folder: Path, name: str, prob: np.ndarray, info: VolumeInfo | None, note: str) -> None:
    """Write the probabilities of K classes: of a picture <name>.npy, of a volume <name>_<k>.nii.gz for each class k.

    Args:
        folder: where they go.
        name: of the input.
        prob: float32 (K, H, W), or of a volume (K, X, Y, Z) with canonical axes.
        info: as in `write_mask`.
        note: kept in the files of volumes.
    """
    if info is None:
        with replace_atomic(folder / f"{name}.npy") as temporary, open(temporary, "wb") as file:
            np.save(file, prob)
        return
    for number, volume in enumerate(prob, start=1):  # the name of a class may hold what a file's must not
        write_mask(folder / f"{name}_{number}.nii.gz", volume, info, note)
