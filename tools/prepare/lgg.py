"""LGG MRI segmentation (kaggle_3m) to the prepared layout."""

from pathlib import Path

from medbundles.data import read_image, read_mask, split_by_patient
from medbundles.errors import DataError, one_of
from medbundles.progress import progress

from .lgg_files import CHANNELS, lgg_grades, lgg_slices
from .prepared import prepared, say_sequences


def prepare_lgg(
    input: str,
    out: str,
    channels: str = "flair",
    ratios: tuple[float, ...] = (0.7, 0.15, 0.15),
    seed: int = 42,
    overwrite: bool = False,
    skip_bad_files: bool = False,
) -> dict[str, dict[str, int]]:
    """Slices of the "LGG MRI segmentation" set, split by patient, stratified by grade where data.csv gives it.

    Args:
        input: the kaggle_3m folder with a folder per patient.
        out: dataset folder to write; pictures of 'prepare yesno' may be in it already.
        channels: flair, or all (pre-contrast, FLAIR, post-contrast; a missing one was replaced by FLAIR at the source).
        ratios: shares of train, val and test.
        seed: seed of the split.
        overwrite: replace slices that a prepare verb wrote there before.
        skip_bad_files: leave out bad files and list them, instead of an error.

    Returns:
        part -> counts.

    Example:
        python -m tools prepare lgg --input /data/kaggle_3m --out /data/brain2d
    """
    one_of("--channels", channels, ("flair", "all"))
    slices, problems = lgg_slices(input)
    grades = lgg_grades(input)
    split = split_by_patient({item.patient: grades[item.code] for item in slices}, ratios, seed)
    about = {"seed": seed, "ratios": ratios, "input": str(Path(input).resolve()), "channels": channels}
    with prepared(
        "lgg", out, split, problems=problems, overwrite=overwrite, skip_bad_files=skip_bad_files, about=about
    ) as dataset:
        empty = 0
        for item in progress(slices, "slices"):
            with problems.noted(item.image):
                image = read_image(item.image, 3, allow_constant=True).astype("uint8").transpose(1, 2, 0)
                mask = read_mask(item.mask, 1)[0]
                if image.shape[:2] != mask.shape:
                    raise DataError(f"{item.image}: is {image.shape[:2]}, its mask {item.mask} is {mask.shape}")
                image = image if channels == "all" else image[..., CHANNELS.index(channels)].copy()
                if image.min() == image.max() and not mask.any():  # first and last slices of some scans
                    empty += 1
                else:
                    dataset.add_slice(item.patient, item.image.stem, image, mask * 255)
        if empty:
            print(f"{empty} slice(s) of one value are left out: they show no head")
    if channels == "all":
        say_sequences(CHANNELS)
    else:
        number = CHANNELS.index(channels) + 1
        print(f"train with --colour_channel {number}: inference then takes {channels} of TIFFs, too")
    return dataset.counts
