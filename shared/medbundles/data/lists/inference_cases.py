"""What inference on whole volumes runs on: a file, a case or a folder of them, as one item per case."""

import logging
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from pathlib import Path

from medbundles.data.lists.brats import is_mask, modality_of, patient_of
from medbundles.data.lists.graded_cases import volume_item
from medbundles.data.lists.inference_inputs import check_existing, input_root, unfinished, unique_names
from medbundles.data.lists.modalities import wanted_modalities
from medbundles.data.problems import Problems
from medbundles.data.reading.case_files import check_case_files
from medbundles.data.reading.files import VOLUME_ENDINGS, is_volume, list_images, name_below, stem
from medbundles.errors import DataError, first_few

logger = logging.getLogger("medbundles")


@dataclass
class _Case:
    """The volumes of a case.

    Args:
        name: of the case's folder or files; not unique yet.
        place: folder that holds the case's folder, or its files where these lie side by side with others'.
        files: what each volume is by its name -> volumes.
    """

    name: str
    place: Path
    files: dict[str, list[Path]] = field(default_factory=lambda: defaultdict(list))


def inference_cases(
    inputs: str | Path,
    modality: str | Sequence[str] = "flair",
    *,
    output: str | Path | None = None,
    existing: str = "overwrite",
    skip_bad_files: bool = False,
) -> list[dict]:
    """Items of a volume, of a case, or of all cases below a folder; headers of all volumes are checked at once.

    Volumes named as in BraTS (any year, with or without HGG/ and LGG/; DeepMedic's and TCGA's names too) belong to
    the case of their name, in a folder of its own or side by side with others. With one modality every other volume
    is a case too, save what lies in or below a case's folder and what is a mask by its name; these are logged.

    Args:
        inputs: a volume, a case's folder, or a folder of either.
        modality: "flair", "t1", "t1ce", "t2", or a list of them (the channels, in this order).
        output: the folder that results go to.
        existing: cases whose results are in `output`: "overwrite" them, "skip" them, or refuse with an "error".
        skip_bad_files: leave out what cannot be read and log it.

    Returns:
        One dict per case, sorted by name: image (path; with several modalities a list of them), name (unique; that of
        the case, with the folders above it where two have the same), patient, source "volumes". Empty only when
        everything is skipped.

    Raises:
        ConfigError: no input, unknown modality or `existing`.
        DataError: nothing there, no cases, bad files (all listed), or results that are already there.
    """
    check_existing(existing)
    wanted = wanted_modalities(modality)
    root, problems, items = input_root(inputs), Problems(), []
    cases = [_from_file(root, wanted)] if root.is_file() else _below(root, wanted)
    complete = {case.files[wanted[0]][0]: case for case in cases if _is_complete(case, wanted, problems)}
    names = unfinished(_names(complete, root), output, existing, result="grad_cam")
    for first, name in sorted(names.items(), key=itemgetter(1)):
        paths = [complete[first].files[one][0] for one in wanted]
        if check_case_files(paths, problems):
            items.append(volume_item(name, paths, patient_of(complete[first].name)))
    if not names and complete:  # all have results
        problems.settle(inputs, skip_bad_files)
        return []
    return problems.good(items, inputs, skip_bad_files)


def _from_file(path: Path, wanted: tuple[str, ...]) -> _Case:
    if not is_volume(path):
        raise DataError(f"input: {path} is not a volume; the endings are: {', '.join(VOLUME_ENDINGS)}")
    if len(wanted) > 1:
        raise DataError(f"input: {path} is one volume, but {', '.join(wanted)} are wanted (modality); give a folder")
    case, role = _case_and_role(path)
    if role and role != wanted[0]:
        raise DataError(f"input: {path} is a {role} by its name, but {wanted[0]} is wanted (modality)")
    name = (case or path.resolve().parent.name) if role else stem(path)
    return _Case(name, path.parent, {wanted[0]: [path]})


def _below(root: Path, wanted: tuple[str, ...]) -> list[_Case]:
    """Every case below `root`, complete or not.

    Raises:
        DataError: there is none.
    """
    named: dict[Path, dict[str, _Case]] = defaultdict(dict)
    others, left = [], []
    for path in filter(is_volume, list_images(root)):
        case, role = _case_and_role(path)
        if role and role != "seg":
            named[path.parent].setdefault(case, _Case(case or path.parent.resolve().name, path.parent))
            named[path.parent][case].files[role].append(path)
        elif role or is_mask(name_below(path, root)):
            left.append(path)
        else:
            others.append(path)
    own = {place for place, cases in named.items() if _own_folder(place, cases)}
    found = [case for cases in named.values() for case in cases.values()]
    for path in others:
        if len(wanted) > 1 or own.intersection(path.parents):
            left.append(path)
        else:
            found.append(_Case(name_below(path, root), root, {wanted[0]: [path]}))
    shown = first_few(left, 5)
    if not found:
        raise DataError(
            f"input: no case of {', '.join(wanted)} in {root}; wanted: <case>/<case>_flair.nii.gz and the like"
            + (", or with one modality any volumes (.nii, .nii.gz)" if len(wanted) == 1 else "")
            + (f". There are volumes that are masks by name, or of no known modality: {shown}" if left else "")
        )
    if left:
        logger.info("%d volumes are left out, as masks by their names or as belonging to no case: %s", len(left), shown)
    return found


def _own_folder(place: Path, cases: dict[str, _Case]) -> bool:
    """Whether the folder belongs to one case, as in BraTS; then the case has the folder's name."""
    folder = place.resolve().name
    if len(cases) > 1 or not all(prefix.lower().startswith(folder.lower()) for prefix in cases if prefix):
        return False
    for case in cases.values():
        case.name, case.place = folder, place.parent
    return True


def _case_and_role(path: Path) -> tuple[str, str]:
    """The case that a file name says, and what it holds: ("a", "flair") of a_flair.nii.gz; ("", "") if nothing."""
    name = f"_{stem(path)}"  # so that flair.nii.gz, named by its folder only, ends in _flair
    for start in range(len(name), -1, -1):  # the shortest ending that says it
        role = modality_of(f"{name[start:]}.nii")
        if role:
            return name[1:start], role
    return "", ""


def _is_complete(case: _Case, wanted: tuple[str, ...], problems: Problems) -> bool:
    """Whether there is one volume of each wanted modality; `problems` hears what is wrong."""
    missing = [one for one in wanted if one not in case.files]
    double = [path.name for one in wanted for path in case.files.get(one, [])[1:]]
    where = next(iter(case.files.values()))[0]
    if missing:
        problems.add(where, f"case {case.name} has no {', '.join(missing)} (it has {', '.join(sorted(case.files))})")
    elif double:
        problems.add(where, f"case {case.name} has more than one volume of a modality: also {', '.join(double)}")
    return not missing and not double


def _names(cases: dict[Path, _Case], root: Path) -> dict[Path, str]:
    """A unique name of each case, by its first file."""
    count = Counter(case.name for case in cases.values())
    bare = {}
    for first, case in cases.items():
        above = case.place.relative_to(root) if case.place.is_relative_to(root) else Path()
        bare[first] = case.name if count[case.name] == 1 else (above / case.name).as_posix()
    return unique_names(bare)
