"""Cross-validation folds: stratified by grade, whole by patient, the same for every fold's run."""

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from operator import itemgetter
from pathlib import Path
from typing import Any, cast

from medbundles.data.lists.checked_parts import check_untrained
from medbundles.data.lists.copies import copies
from medbundles.data.lists.fold_parts import FOLD_RULES, SELECTIONS, enough_folds, fold_exists, folds_of_parts
from medbundles.data.lists.graded_cases import graded_cases
from medbundles.data.lists.split_file import SplitFiles, named_splits, read_splits
from medbundles.data.problems import Problems
from medbundles.errors import ConfigError, DataError, first_few, in_range, one_of, refuse
from medbundles.rules import has_rules

logger = logging.getLogger("medbundles")
TEST_PARTS = ("test", "val", "train", "all")
_OTHER = "Give another --folds_file, or another --experiment#name, which has its own."


@has_rules(*FOLD_RULES)
@dataclass(eq=False)
class GradedFolds:
    """The training, validation and test set of one fold, as datalists of `graded_cases`.

    All cases of a patient, and patients with byte-identical files, are in one fold. The split depends on the cases,
    `folds` and `fold_seed` alone. Nothing is read before a set is asked for, and nothing is written: `RunRecord`
    does that.

    Args:
        dataset_dir: see `graded_cases`.
        modality: see `wanted_modalities`.
        class_names: see `graded_cases`.
        folds: number of folds.
        fold: the one that is held out, from 0.
        fold_seed: seed of the split.
        file: JSON file of the split: used where it exists, else written when a run starts; None: neither.
        selection: "held_out": the held-out fold also validates. "inner": the next fold validates and is left out of
            training, so that the held-out fold has no part in choosing the epoch.
        part: what ["test"] is: "test" (the held-out fold), "val", "train", or "all" cases, which needs no folds.
        earlier_split: split.json of the training whose weights are tested, or of several: they must not have been
            trained on ["test"], unless `part` asks for just that; what chose their epoch is said.
        skip_bad_files: leave out bad cases and log them, instead of an error.

    Raises:
        ConfigError: a value outside its range.

    Example:
        >>> data = GradedFolds("/data/brats2018", "flair", ["LGG", "HGG"], folds=5, fold=2)
        >>> sorted(data.parts)
        ['test', 'train', 'val']
    """

    parts = ("train", "val", "test")
    dataset_dir: str | Path
    modality: str | Sequence[str]
    class_names: Sequence[str]
    folds: int = 5
    fold: int = 0
    fold_seed: int = 42
    file: Any = None
    selection: str = "held_out"
    part: str = "test"
    earlier_split: SplitFiles | None = None
    skip_bad_files: bool = False

    def __post_init__(self) -> None:
        one_of("selection", self.selection, SELECTIONS)
        one_of("part", self.part, TEST_PARTS)
        in_range("folds", self.folds, minimum=2)
        in_range("fold", self.fold, minimum=0)
        refuse([fold_exists(self.fold, self.folds), enough_folds(self.selection, self.folds)])
        self.file = Path(self.file) if self.file else None
        if self.file and self.file.is_dir():
            raise ConfigError(f"folds_file: {self.file} is a folder; a .json file is wanted, which may not exist yet")

    def __getitem__(self, part: str) -> list[dict]:
        """Datalist of "train", "val" or "test", sorted by name.

        Raises:
            DataError: as `graded_cases`; too few cases for the folds; a split file that does not fit; cases that the
                tested weights were trained on.
        """
        if part not in self.parts:
            raise KeyError(part)
        wanted = self.part if part == "test" else part
        chosen = self._cases_of(wanted)
        if part == "test" and self.earlier_split and wanted != "train":
            self._against(read_splits(self.earlier_split)[0], {wanted: chosen})
        return chosen

    def _against(self, earlier: dict[str, list[dict]], parts: dict[str, list[dict]]) -> None:
        """Refuse to test cases of a training; that others have its names, as after another compression, is said."""
        check_untrained(parts, earlier, named_splits(cast(SplitFiles, self.earlier_split)))
        known = {item["name"] for item in earlier["train"]}
        same = [item["name"] for items in parts.values() for item in items if item["name"] in known]
        if same:
            logger.warning(
                "%d tested case(s) have the names of cases that these weights were trained on, with other files: %s. "
                "If they are the same patients, the figures flatter.", len(same), first_few(same),
            )  # fmt: skip

    def _cases_of(self, wanted: str) -> list[dict]:
        if wanted == "all":
            return list(self.cases)
        choice = folds_of_parts(self.folds, self.fold, self.selection)[wanted]
        return [item for item in self.cases if self.assignment[item["name"]] in choice]

    @cached_property
    def cases(self) -> list[dict]:
        """All cases, sorted by name."""
        return graded_cases(self.dataset_dir, self.modality, self.class_names, skip_bad_files=self.skip_bad_files)

    @cached_property
    def assignment(self) -> dict[str, int]:
        """Case name -> the fold it is tested in; from the split file where there is one."""
        if self.file is not None and self.file.is_file():
            return self._from_file(self.file)
        return split_cases(self.cases, self.class_names, self.folds, self.fold_seed)

    def record(self) -> tuple[Path, dict[str, Any]] | None:
        """The split file and what belongs in it, if it is to be written: asked by one process when a run starts.

        Raises:
            DataError: another run has written another split in the meantime.
        """
        if self.file is None or self.part == "all":
            return None
        chosen = self.assignment
        if not self.file.is_file():
            rows: dict[str, list[dict]] = {str(fold): [] for fold in range(self.folds)}
            for item in self.cases:
                rows[str(chosen[item["name"]])].append({key: item[key] for key in ("name", "patient", "grade")})
            return self.file, self._head() | {"cases": rows}
        if self._from_file(self.file) != chosen:
            raise DataError(f"{self.file}: holds another split now than when this run began. {_OTHER}")
        return None

    def _head(self) -> dict[str, Any]:
        """What a split file must agree with."""
        return {"folds": self.folds, "fold_seed": self.fold_seed, "class_names": list(self.class_names)}

    def _from_file(self, file: Path) -> dict[str, int]:
        try:
            content = json.loads(file.read_text(encoding="utf-8"))
            rows = [(row, int(fold)) for fold, rows in content["cases"].items() for row in rows]
            named = [(row["name"], row["grade"], fold) for row, fold in rows]
            made_with = {key: content[key] for key in self._head()}
        except (ValueError, KeyError, TypeError, AttributeError, OSError) as error:
            raise DataError(f"{file}: is no file of folds ({type(error).__name__}: {error}). {_OTHER}") from error
        for key, ours in self._head().items():
            if made_with[key] != ours:
                raise DataError(f"{file}: the split was made with {key} {made_with[key]}, now it is {ours}. {_OTHER}")
        problems = self._compare(named)
        if problems:
            raise DataError(f"{file}: does not fit the data in {self.dataset_dir}:\n{problems.text()}\n{_OTHER}")
        return {name: fold for name, _, fold in named}

    def _compare(self, named: list[tuple[str, str, int]]) -> Problems:
        """What is wrong with the rows (name, grade, fold) of a split file."""
        problems, there = Problems(), {item["name"]: item for item in self.cases}
        chosen: dict[str, int] = {}
        for name, grade, fold in named:
            if not 0 <= fold < self.folds:
                problems.add(name, f"is in fold {fold}, there are {self.folds}")
            elif name in chosen:
                problems.add(name, f"is in fold {chosen[name]} and in fold {fold}")
            elif name in there and there[name]["grade"] != grade:
                problems.add(name, f"is {grade} in the file and {there[name]['grade']} in the data")
            elif name not in there and not self.skip_bad_files:
                problems.add(name, "stands in the file but not in the data")
            chosen.setdefault(name, fold)
        for name in there.keys() - chosen.keys():
            problems.add(name, "is in the data but in no fold of the file")
        if not problems:
            for members in _groups(self.cases).values():
                homes = sorted({chosen[item["name"]] for item in members})
                if len(homes) > 1:
                    names = ", ".join(item["name"] for item in members)
                    problems.add(names, f"one patient, or identical files, in the folds {', '.join(map(str, homes))}")
        problems.found.sort()
        return problems


def split_cases(cases: Sequence[dict], class_names: Sequence[str], folds: int, fold_seed: int) -> dict[str, int]:
    """Share cases among folds, stratified by label, patients whole.

    Args:
        cases: datalist of `graded_cases`; its order does not matter.
        class_names: for the messages.
        folds: number of folds.
        fold_seed: seed of the shuffling.

    Returns:
        case name -> fold.

    Raises:
        DataError: fewer patients of a class than folds, or a fold that is left without a class.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    groups = _groups(cases)
    ordered = [(item, group) for group, members in sorted(groups.items()) for item in members]
    labels = [item["label"] for item, _ in ordered]
    for label, name in enumerate(class_names):
        count = len({group for item, group in ordered if item["label"] == label})
        if count < folds:
            fewer = f"Use --folds {count} or less, or more data." if count > 1 else "More data of this class is needed."
            raise DataError(
                f"class {name}: {count} patient(s) cannot fill {folds} folds; every fold needs one to be tested on. "
                f"{fewer}"
            )
    splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=fold_seed)
    chosen: dict[str, int] = {}
    for fold, (_, tested) in enumerate(splitter.split(labels, labels, [group for _, group in ordered])):
        missing = [name for label, name in enumerate(class_names) if all(labels[i] != label for i in tested)]
        if missing:
            raise DataError(
                f"folds: fold {fold} is left without a case of {', '.join(missing)}, because patients with several "
                "cases stay whole. Use another --fold_seed, or fewer --folds."
            )
        chosen |= {ordered[i][0]["name"]: fold for i in tested}
    return chosen


def _groups(cases: Sequence[dict]) -> dict[str, list[dict]]:
    """Cases that must stay together: of one patient, or with byte-identical files; named by their first patient."""
    joint = {item["patient"]: {item["patient"]} for item in cases}  # patient -> all that are one with it
    for group in copies(cases):
        every = set[str]().union(*(joint[item["patient"]] for item in group.values()))
        joint |= dict.fromkeys(every, every)
    groups: dict[str, list[dict]] = {}
    for item in sorted(cases, key=itemgetter("name")):
        groups.setdefault(min(joint[item["patient"]]), []).append(item)
    return groups
