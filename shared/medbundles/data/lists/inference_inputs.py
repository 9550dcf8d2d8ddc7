"""What inference runs on: a file or a folder of pictures and volumes, as one item per picture or axial slice."""

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from medbundles.data.lists.dicom_inputs import found_inputs
from medbundles.data.lists.earlier_results import check_existing, unfinished
from medbundles.data.lists.failed_inputs import with_failed
from medbundles.data.lists.modalities import ONE_CHANNEL_EACH
from medbundles.data.lists.volume_cases import case_names, complete_cases, decided_modalities
from medbundles.data.problems import Problems
from medbundles.data.reading.case_files import check_same_grid
from medbundles.data.reading.files import is_volume, name_below, stem
from medbundles.data.reading.images import check_header
from medbundles.data.reading.nifti import read_header
from medbundles.data.reading.volumes import plane_axis
from medbundles.errors import DataError
from medbundles.rules import AUTO, has_rules


@has_rules(ONE_CHANNEL_EACH)
def inference_datalist(
    inputs: str | Path,
    channels: int = 1,
    *,
    modality: str | Sequence[str] = AUTO,
    output: str | Path | None = None,
    existing: str = "overwrite",
    dicom_mapping: str | Path | bool | None = None,
) -> list[dict]:
    """Items of a file, or of all images below a folder; existence and headers of all are checked at once.

    What is a case is said in `complete_cases`, what is no input in `input_files`; both log what is left out.

    Args:
        inputs: an image or a folder (.nii, .nii.gz, .png, .jpg, .jpeg, .tif, .tiff, .bmp, .npy, any case; or DICOM). A
            NIfTI volume gives one item per axial slice (per plane along its short axis if it has only one plane).
        channels: channels C of the network. A volume has one sequence: it fits C = 1, and C = 3 by repeating; of a case
            with C sequences each is a channel.
        modality: the sequences that the network gets, see `decided_modalities`.
        output: the folder that results go to; earlier results in it are not taken as inputs.
        existing: inputs whose results are in `output`: "overwrite" them, "skip" them, or refuse with an "error".
        dicom_mapping: of DICOM, a file that says which series each input is, see `found_inputs`.

    Returns:
        One dict per picture or slice, a volume's slices together and in order: image (path; of several sequences a
        list of them), slice (-1 for a picture), slices (of the same file; 1 for a picture), name (path below the folder
        without ending, or the case's; unique), patient, source "images". Empty only when everything is skipped.

    Raises:
        ConfigError: no input, unknown `existing` or modality.
        DataError: nothing there, no images, no usable one (all are listed), or results that are already there.
    """
    check_existing(existing)
    problems, items = Problems(), []
    root, paths = found_inputs(inputs, output, problems, existing=existing, mapping=dicom_mapping)
    files = {path: [path] for path in paths if not is_volume(path)}
    called = input_names(files, root)
    volumes = [path for path in paths if is_volume(path)]
    if volumes:
        wanted = decided_modalities(modality, volumes)
        cases = complete_cases(volumes, root, wanted, problems)
        of_cases = case_names(cases.values(), root) if root.is_dir() else [stem(root)]
        called |= dict(zip(cases, of_cases, strict=True))
        files |= {first: case.volumes(wanted) for first, case in cases.items()}
    names = unfinished(unique_names(dict(sorted(called.items()))), output, existing)
    for first, name in names.items():
        with problems.noted(first):
            slices = _check(files[first], channels, problems)
            image = [str(path) for path in files[first]]
            common = {"image": image if len(image) > 1 else image[0], "name": name, "patient": name, "source": "images"}
            items += [{**common, "slices": len(slices), "slice": z} for z in slices]
    return with_failed(items, problems, root, done=bool(called) and not names)


def input_names(paths: Iterable[Path], root: Path) -> dict[Path, str]:
    """The path below `root` without the ending; of `root` itself, where that is a file, its name."""
    return {path: stem(path) if path == root else name_below(path, root) for path in paths}


def unique_names(bare: dict[Path, str]) -> dict[Path, str]:
    """The same names, with the file's ending where two inputs have the same one."""
    count = Counter(bare.values())
    names: dict[Path, str] = {}
    taken: set[str] = set()
    for path, name in bare.items():
        if count[name] > 1:
            name += "_" + path.name[len(stem(path)) + 1 :].replace(".", "_")
        while name in taken or (name in count and name != bare[path]):  # a file may really be called that
            name += "_"
        taken.add(name)
        names[path] = name
    return names


def _check(paths: Sequence[Path], channels: int, problems: Problems) -> Sequence[int]:
    """Numbers of the slices of a volume, or of a case's volumes, -1 alone for a picture; `problems` hears doubts.

    Raises:
        DataError: what is wrong with it, as far as its header shows it.
    """
    path = paths[0]
    if not is_volume(path):
        check_header(path, channels)
        return [-1]
    first, *others = (read_header(one)[1] for one in paths)
    if len(paths) != channels and (len(paths), channels) != (1, 3):
        raise DataError(
            f"{path}: {len(paths)} NIfTI volume(s) give {len(paths)} channel(s), {channels} are wanted (in_channels); "
            f"name so many sequences of the case (modality), or give slices as .npy arrays of shape ({channels}, H, W)"
        )
    for other in (first, *others):
        check_same_grid(first, other)
        problems.doubt(other)
    return range(first.canonical_shape[plane_axis(first)])
