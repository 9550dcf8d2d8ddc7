"""Reads the volumes of one case."""

import numpy as np
import torch
from monai.data import MetaTensor
from monai.transforms import Transform

from medbundles.data.reading.case_files import check_same_grid, check_size
from medbundles.data.reading.files import paths_of
from medbundles.data.reading.volumes import read_volume


class LoadVolume(Transform):
    """Voxels of a case, its files as channels.

    Reads "image": a path, or a list of paths in the order of the channels. Writes "image", a float32 MetaTensor
    (C, X, Y, Z) in canonical RAS with its affine (so that MONAI's Spacingd knows the voxels), and "image_path" (the
    first file). Used as it is for training and for inference.

    Raises:
        DataError: a file cannot be read or is constant, is of no plausible size, or the files have different grids.
    """

    def __call__(self, data: dict) -> dict:
        item = dict(data)
        paths = paths_of(item["image"])
        volumes, infos = zip(*(read_volume(path) for path in paths), strict=True)
        for info in infos:
            check_size(info)
            check_same_grid(infos[0], info)
        affine = torch.from_numpy(infos[0].canonical_affine)
        item["image"] = MetaTensor(torch.from_numpy(np.stack(volumes)), affine=affine)
        item["image_path"] = str(paths[0])
        return item
