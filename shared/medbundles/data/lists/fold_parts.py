"""Which folds of a cross-validation train, validate and test."""

from medbundles.rules import TRAINING, Rule, idle_without

SELECTIONS = ("held_out", "inner")


def fold_exists(fold: int, folds: int) -> str | None:
    """What is wrong with a fold; where there are none only the default, 0, may stand."""
    if fold and not folds:
        return f"fold: {fold}, but there are no folds; say how many with --folds, or leave it out."
    if fold >= folds > 0:
        return f"fold: {fold} is beyond the last one; with folds {folds} use 0 to {folds - 1}."
    return None


def enough_folds(selection: str, folds: int) -> str | None:
    """What is wrong with a number of folds; nothing where there are none."""
    if selection == "inner" and 0 < folds < 3:
        return (
            "selection: inner takes one fold to test, one to choose and trains on the rest; "
            f"folds is {folds}. Use 3 folds or more, or the selection held_out."
        )
    return None


FOLD_RULES = (
    Rule(("fold", "folds"), fold_exists, (*TRAINING, "evaluate")),
    Rule(("selection", "folds"), enough_folds, (*TRAINING, "evaluate")),
    idle_without("folds", "fold_seed", "selection", workflows=(*TRAINING, "evaluate")),
)


def folds_of_parts(folds: int, fold: int, selection: str) -> dict[str, set[int]]:
    """Which folds train, validate and test, when `fold` is held out; see `GradedFolds`."""
    held_out = {fold}
    validating = {(fold + 1) % folds} if selection == "inner" else held_out
    return {"train": set(range(folds)) - held_out - validating, "val": validating, "test": held_out}
