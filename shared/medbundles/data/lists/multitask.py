"""Datalists of the brain tumour bundle: slices with masks, and pictures that have only a class."""

from collections.abc import Sequence
from pathlib import Path

from medbundles.data.lists.class_folders import class_folder_datalist
from medbundles.data.lists.slices import slice_datalist
from medbundles.errors import DataError


def multitask_datalist(
    slices: str | None,
    images: str | None,
    class_names: Sequence[str],
    skip_bad_files: bool = False,
    optional: bool = False,
) -> list[dict]:
    """One set of the data from both sources; either may be switched off with None or False.

    Args:
        slices: folder with images/ and masks/ (see `slice_datalist`).
        images: class folders or a CSV (see `class_folder_datalist`).
        class_names: names of the class folders in the order of the labels.
        skip_bad_files: leave out what is bad instead of stopping.
        optional: what is not there is switched off, and there may be no data: the test part, which a training only
            compares with its own.

    Raises:
        DataError: bad or missing files, all listed; both sources switched off.
    """
    if optional:
        slices, images = (folder if folder and Path(folder).exists() else None for folder in (slices, images))
        if not slices and not images:
            return []
    if not slices and not images:
        raise DataError("there is no data: the folders of both sources, slices and pictures, are switched off.")
    items = slice_datalist(slices, skip_bad_files=skip_bad_files) if slices else []
    return items + class_folder_datalist(images or None, class_names, skip_bad_files=skip_bad_files)
