"""What inference runs on: a file or a folder of pictures and volumes, as one item per picture or axial slice."""

import logging
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from medbundles.data.problems import Problems
from medbundles.data.reading.files import IMAGE_ENDINGS, is_volume, list_images, name_below, stem
from medbundles.data.reading.images import check_header
from medbundles.data.reading.inference_record import InferenceRecord
from medbundles.data.reading.nifti import read_header
from medbundles.data.reading.volumes import plane_axis
from medbundles.errors import ConfigError, DataError, first_few, one_of

logger = logging.getLogger("medbundles")

EXISTING = ("overwrite", "skip", "error")
OUTPUT_FOLDERS = ("masks", "overlays", "gradcam")


def inference_datalist(
    inputs: str | Path,
    channels: int = 1,
    *,
    output: str | Path | None = None,
    existing: str = "overwrite",
    skip_bad_files: bool = False,
) -> list[dict]:
    """Items of a file, or of all images below a folder; existence and headers of all are checked at once.

    Args:
        inputs: an image or a folder (.nii, .nii.gz, .png, .jpg, .jpeg, .tif, .tiff, .bmp, .npy, any case). A NIfTI
            volume gives one item per axial slice (per plane along its short axis if it has only one plane).
        channels: channels C of the network. A volume has one sequence: it fits C = 1, and C = 3 by repeating.
        output: the folder that results go to; earlier results in it are not taken as inputs.
        existing: inputs whose results are in `output`: "overwrite" them, "skip" them, or refuse with an "error".
        skip_bad_files: leave out what cannot be read and log it.

    Returns:
        One dict per picture or slice, a volume's slices together and in order: image (path), slice (-1 for a picture),
        slices (of the same file; 1 for a picture), name (path below the folder without ending; unique), patient,
        source "images". Empty only when everything is skipped.

    Raises:
        ConfigError: no input, or unknown `existing`.
        DataError: nothing there, no images, bad files (all listed), or results that are already there.
    """
    check_existing(existing)
    names = unfinished(named_inputs(inputs, output, OUTPUT_FOLDERS), output, existing)
    problems, items = Problems(), []
    for path, name in names.items():
        with problems.noted(path):
            slices = _check(path, channels)
            common = {"image": str(path), "name": name, "patient": name, "source": "images", "slices": len(slices)}
            items += [{**common, "slice": z} for z in slices]
    return problems.good(items, inputs, skip_bad_files) if names else []


def check_existing(existing: str) -> None:
    """Refuse an unknown `existing` (ConfigError)."""
    one_of("existing", existing, EXISTING)


def unfinished(
    names: dict[Path, str], output: str | Path | None, existing: str, result: str = "mask"
) -> dict[Path, str]:
    """The inputs (path -> name) that are to be run: all of them, or those without results in `output`.

    Args:
        names: all inputs.
        output: folder of the results, with the predictions.json of an earlier run; None: there are none.
        existing: "overwrite", "skip" or "error".
        result: key under which a row of predictions.json names the file that is written last.

    Raises:
        DataError: there are results and `existing` is "error", or they are another input's of the same name and it is
            "skip"; or predictions.json is something else.
    """
    done = _done(names, output, result)
    if existing == "skip":
        _check_names(names, output)
    if done and existing == "error":
        raise DataError(
            f"{output}: already has results of {len(done)} of the {len(names)} inputs, {min(done.values())} for one. "
            "Give another output folder, or existing: 'skip' or 'overwrite'."
        )
    if done and existing == "skip":
        names = {path: name for path, name in names.items() if path not in done}
        logger.info("%d inputs have results in %s and are skipped, %d are left", len(done), output, len(names))
    return names


def input_root(inputs: str | Path) -> Path:
    """The input file or folder.

    Raises:
        ConfigError: none is given.
        DataError: it does not exist.
    """
    if not str(inputs or "").strip():
        raise ConfigError("input: no input is given; give an image or a folder, as in --input /data/new_scans")
    root = Path(inputs)
    if not root.exists():
        raise DataError(f"input: {root} does not exist")
    return root


def named_inputs(
    inputs: str | Path, output: str | Path | None, folders: Sequence[str], endings: Sequence[str] = IMAGE_ENDINGS
) -> dict[Path, str]:
    """Every input (a file, or all below a folder) and its name, which no other has.

    Args:
        inputs: see `inference_datalist`.
        output: folder of the results, which are no inputs; None: there are none.
        folders: the folders in it that hold them.
        endings: of the files that count.

    Raises:
        ConfigError: none is given.
        DataError: it does not exist, or there is no such file.
    """
    root = input_root(inputs)
    own = [Path(output).resolve() / folder for folder in folders] if output else []
    paths = [root] if root.is_file() else list_images(root)
    found = [p for p in paths if p.name.lower().endswith(tuple(endings)) and not set(own) & set(p.resolve().parents)]
    if not found:
        kind = "image" if endings == IMAGE_ENDINGS else "volume"
        what = f"{root} is not {'an' if kind == 'image' else 'a'} {kind}" if root.is_file() else f"no {kind}s in {root}"
        raise DataError(f"input: {what}; the endings are: {', '.join(endings)}")
    return unique_names({path: stem(path) if path == root else name_below(path, root) for path in found})


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


def _check_names(names: dict[Path, str], output: str | Path | None) -> None:
    """Refuse inputs (DataError) that would take the place of other inputs' results."""
    owners = {row.get("name"): row["file"] for row in _rows(output)}
    taken = [f"{name} of {owners[name]}" for path, name in names.items() if owners.get(name, str(path)) != str(path)]
    if taken:
        raise DataError(
            f"{output}: has results of other inputs under the same names: {first_few(taken)}. Give another output "
            "folder, or existing: 'overwrite'."
        )


def _done(names: dict[Path, str], output: str | Path | None, result: str) -> dict[Path, str]:
    """The inputs that have a row in the record, and the files that it names under `result`, where it names any."""
    known = {
        row["file"] for row in _rows(output) if all(Path(str(output), file).is_file() for file in _of(row, result))
    }
    return {path: name for path, name in names.items() if str(path) in known}


def _of(row: dict, result: str) -> list[str]:
    """The files that a row names under a key: none, one, or several."""
    files = row.get(result) or []
    return [files] if isinstance(files, str) else files


def _rows(output: str | Path | None) -> list[dict]:
    return InferenceRecord(output).read()[1] if output else []


def _check(path: Path, channels: int) -> Sequence[int]:
    """Numbers of the slices of a volume, -1 alone for a picture.

    Raises:
        DataError: what is wrong with it, as far as its header shows it.
    """
    if not is_volume(path):
        check_header(path, channels)
        return [-1]
    _, info = read_header(path)
    if channels not in (1, 3):
        raise DataError(
            f"{path}: a NIfTI volume holds 1 channel, {channels} are wanted (in_channels); "
            f"give slices as .npy arrays of shape ({channels}, H, W)"
        )
    return range(info.canonical_shape[plane_axis(info)])
