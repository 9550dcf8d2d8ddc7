"""What a segmentation runs on: pictures or volumes, of one file or of one per channel."""

from collections.abc import Sequence
from pathlib import Path

from medbundles.data.lists.dicom_inputs import found_inputs
from medbundles.data.lists.earlier_results import check_existing, unfinished
from medbundles.data.lists.failed_inputs import with_failed
from medbundles.data.lists.inference_inputs import input_names, unique_names
from medbundles.data.lists.pairs import CHANNEL
from medbundles.data.problems import Problems
from medbundles.data.reading.case_files import check_channel_files
from medbundles.data.reading.files import IMAGE_ENDINGS, VOLUME_ENDINGS, is_volume, stem


def segmentation_inputs(
    inputs: str | Path,
    spatial_dims: int = 2,
    channels: int = 1,
    *,
    output: str | Path | None = None,
    existing: str = "overwrite",
    dicom_mapping: str | Path | bool | None = None,
) -> list[dict]:
    """Items of a file, or of all images below a folder; existence and headers of all are checked at once.

    What is no input is said in `input_files`. With several channels the files x_0000, x_0001 and so on of nnU-Net are
    one input, x.

    Args:
        inputs: an image or a folder; of DICOM series each slice is an image where `spatial_dims` is 2.
        spatial_dims: 2 (pictures) or 3 (NIfTI volumes).
        channels: C of the network.
        output: folder of the results.
        existing: inputs whose results are in `output`: "overwrite" them, "skip" them, or refuse with an "error".
        dicom_mapping: of DICOM, a file that says which series each input is, see `found_inputs`.

    Returns:
        One dict per input, sorted by name: image (path, or a list of one per channel), name (path below the folder
        without ending; unique), patient, source "images". Empty only when everything is skipped.

    Raises:
        ConfigError: no input, or unknown `existing`.
        DataError: nothing there, no usable one (all are listed), or results that are already there.
    """
    check_existing(existing)
    problems, items = Problems(), []
    endings, planes = (IMAGE_ENDINGS, True) if spatial_dims == 2 else (VOLUME_ENDINGS, False)
    root, found = found_inputs(
        inputs, output, problems, endings, planes=planes, existing=existing, mapping=dicom_mapping
    )
    files = _with_channels(found, channels)
    called = {path: _of_all_channels(name, files[path]) for path, name in input_names(files, root).items()}
    names = unfinished(unique_names(called), output, existing)
    for first, name in names.items():
        if check_channel_files(files[first], spatial_dims, channels, problems):
            image = [str(path) for path in files[first]]
            common = {"name": name, "patient": name, "source": "images"}
            items.append({"image": image if len(image) > 1 else image[0], **common})
    is_wrong = spatial_dims == 2 and all(map(is_volume, names))
    advice = "Volumes need --spatial_dims 3." if is_wrong else ""
    return with_failed(items, problems, root, instead=advice, done=not names)


def _with_channels(paths: Sequence[Path], channels: int) -> dict[Path, list[Path]]:
    """First file of an input -> its files."""
    found: dict[Path, list[Path]] = {}
    for path in paths:
        several = CHANNEL.fullmatch(stem(path)) if channels > 1 else None
        ending = path.name[len(stem(path)) :]
        every = (
            [path.with_name(f"{several[1]}_{number:04d}{ending}") for number in range(channels)] if several else [path]
        )
        found.setdefault(every[0], every)
    return found


def _of_all_channels(name: str, files: Sequence[Path]) -> str:
    return name.rpartition("_")[0] if len(files) > 1 else name
