"""Datalist of 2D slices with masks: images/ and masks/ side by side."""

from collections.abc import Iterable
from pathlib import Path

from medbundles.data.lists.pairs import Pair, patient_of_given
from medbundles.data.problems import Problems
from medbundles.data.reading.files import IMAGE_ENDINGS, existing_folder, list_images, name_below
from medbundles.data.reading.images import check_header
from medbundles.errors import DataError

_HOW = "Make one with 'python -m tools sample-data --out DIR' (phantoms) or 'python -m tools prepare' (real data)"


def slice_datalist(folder: str | Path, *, skip_bad_files: bool = False) -> list[dict]:
    """Slices of `folder`/images paired with `folder`/masks; existence, headers and pairing are all checked at once.

    A mask has the name of its image, another ending is allowed. The first folder below images/ is the patient; an
    image directly in images/ is a patient of its own.

    Args:
        folder: one set of a prepared dataset, such as <dataset_dir>/train.
        skip_bad_files: leave out what is bad and log it, instead of an error.

    Returns:
        One dict per slice, sorted by name: image, mask (paths), label -1 (known once the mask is read), has_mask True,
        patient, source "slices", name "<patient>/<slice>".

    Raises:
        DataError: the folder is missing or empty, or bad files, all listed.
    """
    items, problems = find_slices(folder)
    return problems.good(items, folder, skip_bad_files)


def find_slices(folder: str | Path) -> tuple[list[dict], Problems]:
    """The good items of `slice_datalist`, and what is wrong with the others.

    Raises:
        DataError: the folder is missing or empty.
    """
    folder = Path(folder)
    for needed in (folder, folder / "images", folder / "masks"):
        existing_folder(needed, _HOW)
    problems = Problems()
    images, masks = _by_name(folder / "images", problems), _by_name(folder / "masks", problems)
    if not images:
        raise DataError(f"{folder / 'images'}: no images in it ({', '.join(IMAGE_ENDINGS)}). {_HOW}")
    for name in sorted(masks.keys() - images.keys()):
        problems.add(masks[name], "mask without an image")
    items = []
    for name, image in images.items():
        if name not in masks:
            problems.add(image, f"image without a mask (wanted: {folder / 'masks' / name}.*)")
        elif _same_size(image, masks[name], problems):
            items.append(slice_item(name, image, mask=masks[name], patient=name.split("/")[0]))
    return items, problems


def slices_of_pairs(pairs: Iterable[Pair], problems: Problems) -> list[dict]:
    """Items of the pairs of `given_pairs`, as `slice_datalist` gives them."""
    return [
        slice_item(pair.name, pair.images[0], mask=pair.mask, patient=patient_of_given(pair.name))
        for pair in pairs
        if _same_size(pair.images[0], pair.mask, problems)
    ]


def _by_name(folder: Path, problems: Problems) -> dict[str, Path]:
    """Path without ending, relative to `folder` -> file."""
    found: dict[str, Path] = {}
    for path in list_images(folder):
        name = name_below(path, folder)
        if name in found:
            problems.add(path, f"has the same name as {found[name]}")
        else:
            found[name] = path
    return found


def _same_size(image: Path, mask: Path, problems: Problems) -> bool:
    sizes = []
    for path in (image, mask):
        with problems.noted(path):
            sizes.append(check_header(path))
    if len(sizes) == 2 and sizes[0] != sizes[1]:
        (height, width), (mask_height, mask_width) = sizes
        problems.add(image, f"is {height}x{width} (HxW), its mask {mask} is {mask_height}x{mask_width}")
    return len(sizes) == 2 and sizes[0] == sizes[1]


def slice_item(
    name: str, image: Path, *, mask: Path | str = "", label: int = -1, patient: str, source: str = "slices"
) -> dict:
    """One entry of a 2D datalist; see `slice_datalist`."""
    return {
        "image": str(image),
        "mask": str(mask),
        "label": label,
        "has_mask": bool(mask),
        "patient": patient,
        "source": source,
        "name": name,
    }
