"""Volumes of an input as cases: the sequences of one scan belong together, by their names."""

import logging
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from medbundles.data.lists.brats import modality_of
from medbundles.data.lists.modalities import wanted_modalities
from medbundles.data.problems import Problems
from medbundles.data.reading.files import name_below, stem
from medbundles.errors import ConfigError, DataError, first_few
from medbundles.rules import AUTO

logger = logging.getLogger("medbundles")


@dataclass
class VolumeCase:
    """The volumes of a case.

    Args:
        name: of the case's folder or files; see `case_names`.
        place: folder that holds the case's folder, or its files where these lie side by side with others'.
        files: what each volume is by its name -> volumes.
    """

    name: str
    place: Path
    files: dict[str, list[Path]] = field(default_factory=lambda: defaultdict(list))

    def volumes(self, wanted: Sequence[str]) -> list[Path]:
        """One volume of each wanted sequence, in this order."""
        return [self.files[one][0] for one in wanted]


def decided_modalities(modality: str | Sequence[str], volumes: Iterable[Path]) -> tuple[str, ...]:
    """The sequences that the network gets.

    Args:
        modality: see `wanted_modalities`; "auto": the only one that the volumes have by their names.
        volumes: of the input.

    Raises:
        ConfigError: "auto", and the volumes are of several sequences.
    """
    if modality != AUTO:
        return wanted_modalities(modality)
    there = dict.fromkeys(role for _, role in map(case_and_role, volumes) if role not in ("", "seg"))
    if len(there) > 1:
        raise ConfigError(
            f"modality: the input holds {', '.join(sorted(there))}, and neither the weights nor you say which of them "
            f"the network was trained with; give it, as in --modality {next(iter(sorted(there)))}."
        )
    return wanted_modalities(list(there) or "flair")


def complete_cases(
    volumes: Sequence[Path], root: Path, wanted: Sequence[str], problems: Problems
) -> dict[Path, VolumeCase]:
    """First wanted volume -> case, of every case that is complete; what is left out is logged.

    Volumes named as in BraTS (any year, with or without HGG/ and LGG/; DeepMedic's and TCGA's names too) belong to
    the case of their name, in a folder of its own or side by side with others. With one wanted sequence every other
    volume is a case too, save what lies in or below a case's folder.

    Args:
        volumes: of the input: those below the folder `root`, or this file alone.
        root: the input.
        wanted: the sequences that the network gets.
        problems: hears what the other cases lack.

    Raises:
        DataError: there is no case.
    """
    cases, left = ([_of_file(root, wanted)], {}) if root.is_file() else _cases(volumes, root, wanted)
    shown = {what: first_few((path.relative_to(root) for path in some), 3) for what, some in left.items()}
    said = "; ".join(f"{len(some)} {what} ({shown[what]})" for what, some in left.items() if some)
    if not cases:
        raise DataError(
            f"input: no case of {', '.join(wanted)} in {root}; wanted: <case>/<case>_flair.nii.gz and the like"
            + (f". There are volumes, but {said}" if said else "")
        )
    if said:
        logger.info("input: of the volumes, left out are %s", said)
    return {case.files[wanted[0]][0]: case for case in cases if _is_complete(case, wanted, problems)}


def _of_file(path: Path, wanted: Sequence[str]) -> VolumeCase:
    """A volume alone, as a case.

    Raises:
        DataError: several sequences are wanted, or another one.
    """
    if len(wanted) > 1:
        raise DataError(f"input: {path} is one volume, but {', '.join(wanted)} are wanted (modality); give a folder")
    case, role = case_and_role(path)
    if role and role != wanted[0]:
        raise DataError(f"input: {path} is a {role} by its name, but {wanted[0]} is wanted (modality)")
    name = (case or path.resolve().parent.name) if role else stem(path)
    return VolumeCase(name, path.parent, {wanted[0]: [path]})


def _cases(
    volumes: Iterable[Path], root: Path, wanted: Sequence[str]
) -> tuple[list[VolumeCase], dict[str, list[Path]]]:
    """Every case, complete or not, and what belongs to none: a reason -> volumes."""
    named: dict[Path, dict[str, VolumeCase]] = defaultdict(dict)
    others = []
    for path in volumes:
        case, role = case_and_role(path)
        if role:
            named[path.parent].setdefault(case, VolumeCase(case or path.parent.resolve().name, path.parent))
            named[path.parent][case].files[role].append(path)
        else:
            others.append(path)
    own = {place for place, cases in named.items() if _own_folder(place, cases)}
    found = [case for cases in named.values() for case in cases.values()]
    without = []
    for path in others:
        if len(wanted) > 1 or own.intersection(path.parents):
            without.append(path)
        else:
            found.append(VolumeCase(name_below(path, root), root, {wanted[0]: [path]}))
    more = [path for case in found for role in case.files.keys() - set(wanted) for path in case.files[role]]
    return found, {"of no case by their names": without, "of other sequences": sorted(more)}


def _own_folder(place: Path, cases: dict[str, VolumeCase]) -> bool:
    """Whether the folder belongs to one case, as in BraTS; then the case has the folder's name."""
    folder = place.resolve().name
    if len(cases) > 1 or not all(prefix.lower().startswith(folder.lower()) for prefix in cases if prefix):
        return False
    for case in cases.values():
        case.name, case.place = folder, place.parent
    return True


def case_and_role(path: Path) -> tuple[str, str]:
    """The case that a file name says, and what it holds: ("a", "flair") of a_flair.nii.gz; ("", "") if nothing."""
    name = f"_{stem(path)}"  # so that flair.nii.gz, named by its folder only, ends in _flair
    for start in range(len(name), -1, -1):  # the shortest ending that says it
        role = modality_of(f"{name[start:]}.nii")
        if role:
            return name[1:start], role
    return "", ""


def _is_complete(case: VolumeCase, wanted: Sequence[str], problems: Problems) -> bool:
    """Whether there is one volume of each wanted sequence; `problems` hears what is wrong."""
    missing = [one for one in wanted if one not in case.files]
    double = [path.name for one in wanted for path in case.files.get(one, [])[1:]]
    where = next(iter(case.files.values()))[0]
    if missing:
        problems.add(where, f"case {case.name} has no {', '.join(missing)} (it has {', '.join(sorted(case.files))})")
    elif double:
        problems.add(where, f"case {case.name} has more than one volume of a modality: also {', '.join(double)}")
    return not missing and not double


def case_names(cases: Iterable[VolumeCase], root: Path) -> list[str]:
    """The name of each case, below the folders above it where two have the same."""
    cases = list(cases)
    count = Counter(case.name for case in cases)
    above = [case.place.relative_to(root) if case.place.is_relative_to(root) else Path() for case in cases]
    return [
        case.name if count[case.name] == 1 else (folder / case.name).as_posix()
        for case, folder in zip(cases, above, strict=True)
    ]
