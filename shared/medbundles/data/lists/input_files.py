"""The files below an input folder that are inputs: no masks, and no results of earlier runs."""

import logging
from collections.abc import Iterable, Sequence
from pathlib import Path

from medbundles.data.lists.mask_names import masks_among
from medbundles.data.reading.files import IMAGE_ENDINGS, list_images, name_below
from medbundles.data.reading.inference_record import has_record
from medbundles.errors import ConfigError, DataError, first_few

logger = logging.getLogger("medbundles")

RECONSTRUCTIONS, LATENTS, DECODED, SAMPLES, BETWEEN = (
    "reconstructions",
    "latents",
    "decoded",
    "samples",
    "interpolation",
)
OF_INPUTS = (
    "masks",
    "overlays",
    "gradcam",
    "probabilities",
    RECONSTRUCTIONS,
    LATENTS,
)  # folders whose files are named like inputs
CONVERTED = "converted"  # what inputs of DICOM become, see `found_inputs`
RESULT_FOLDERS = (*OF_INPUTS, DECODED, SAMPLES, BETWEEN, CONVERTED)
RUN = "config/environment.json"  # lies in the folder of a training or an evaluation


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


def input_files(
    inputs: str | Path, output: str | Path | None = None, endings: tuple[str, ...] = IMAGE_ENDINGS
) -> list[Path]:
    """The input file itself, or those below the folder, sorted; what is left out of a folder is counted in the log.

    Left out are masks, by their name or that of a folder (`masks_among`; those that could be the mask of no image there
    are warned of), and results: what lies in a result folder of `output`, in one beside the record of any other
    inference, or in the folder of a training or an evaluation.

    Args:
        inputs: a file, of whose name only the ending counts here (a case's sequence or mask is looked at later, see
            `volume_cases`), or a folder.
        output: the folder that results go to.
        endings: of the files that count.

    Raises:
        ConfigError: no input is given.
        DataError: it does not exist, or there is no such file; what was left out is named.
    """
    root = input_root(inputs)
    kind = "image" if endings == IMAGE_ENDINGS else "volume"
    known = f"the endings are: {', '.join(endings)}; DICOM is known by its content"
    if root.is_file():
        if not root.name.lower().endswith(endings):
            raise DataError(f"input: {root} is not {'an' if kind == 'image' else 'a'} {kind}; {known}")
        return [root]
    own = {Path(output).resolve() / folder for folder in RESULT_FOLDERS} if output else set[Path]()
    every = list_images(root)
    found = [path for path in every if path.name.lower().endswith(endings)]
    results = dict.fromkeys(results_of_runs(found, root, own))  # in their order
    named = {path: name_below(path, root) for path in found if path not in results}
    masks = masks_among(named.values())
    alone = [path for path, name in named.items() if masks.get(name) is False]
    groups = {
        "results of earlier runs": list(results),
        "masks by their names": [path for path, name in named.items() if name in masks],
        f"no {kind}s": sorted(set(every).difference(found)),
    }
    said = "; ".join(
        f"{len(group)} {what} ({first_few((path.relative_to(root) for path in group), 3)})"
        for what, group in groups.items()
        if group
    )
    left = {path for group in groups.values() for path in group}
    if left.issuperset(found):
        but = (
            f" that could be an input, but {said}. Give the folder that holds the images, or one of the files"
            if left
            else ""
        )
        raise DataError(f"input: no {kind}s in {root}{but}; {known}")
    if said:
        logger.info("input: of what is in %s, left out are %s", root, said)
    if alone:
        logger.warning(
            "input: %d files in %s are left out, as they are named like masks; but there is no image that they could "
            "be the masks of: %s. If they are images, give them other names, or one by one.",
            len(alone), root, first_few(path.relative_to(root) for path in alone),
        )  # fmt: skip
    return [path for path in found if path not in left]


def results_of_runs(paths: Sequence[Path], root: Path, own: Iterable[Path] = ()) -> list[Path]:
    """Those of the files below `root` that earlier runs wrote, beside their record or in `own` folders."""
    folders = {folder for folder in {path.parent for path in paths} if _holds_results(folder, root, set(own))}
    return [path for path in paths if path.parent in folders]


def _holds_results(folder: Path, root: Path, own: set[Path]) -> bool:
    """Whether files in a folder, at or below `root`, were written by an earlier run."""
    real = folder.resolve()
    if not own.isdisjoint((real, *real.parents)):
        return True
    places = [place for place in (folder, *folder.parents) if place.is_relative_to(root)]
    return any((place / RUN).is_file() for place in places) or any(
        place.name in RESULT_FOLDERS and has_record(place.parent) for place in places if place != root
    )
