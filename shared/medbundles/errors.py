"""Errors that a user can mend: one readable message that says what is wrong, where, and what would be right."""

import difflib
import operator
import re
from collections.abc import Iterable, Iterator
from numbers import Real
from typing import Any

SMALLEST_PART = 4  # signs of a name that is told from a longer one: shorter ones stand in any word


class MedbundlesError(Exception):
    """Base of all errors whose message alone is shown on the command line (exit code 1, no stack trace)."""


class ConfigError(MedbundlesError):
    """A setting, an id or a combination of them is wrong."""


class DataError(MedbundlesError):
    """A file or folder of images is missing, broken or contradicts itself."""


class CheckpointError(MedbundlesError):
    """A checkpoint is missing, broken, unsafe or belongs to something else."""


def first_few(names: Iterable[Any], most: int = 8) -> str:
    """The names for a message, separated by commas; where there are more than `most`, the others are counted.

    Example:
        >>> first_few(["a", "b", "c"], most=2)
        'a, b and 1 more'
    """
    texts = [str(name) for name in names]
    return ", ".join(texts[:most]) + (f" and {len(texts) - most} more" if len(texts) > most else "")


def causes(error: BaseException, contexts: bool = False) -> Iterator[BaseException]:
    """The error, then what it was raised from, back to the first; with `contexts` also what was being handled then."""
    seen: set[int] = set()
    following: BaseException | None = error
    while following is not None and id(following) not in seen:
        seen.add(id(following))
        yield following
        following = following.__cause__ or (following.__context__ if contexts else None)


def refuse(lines: Iterable[str | None]) -> None:
    """Raise a ConfigError of the lines that say what is wrong; None says that nothing is."""
    wrong = [line for line in lines if line]
    if wrong:
        raise ConfigError("\n".join(wrong))


def letters(name: object) -> str:
    """A name without what spellings differ in: `Swin-UNETR` and `swin_unetr` are "swinunetr"."""
    return re.sub("[^a-z0-9]", "", str(name).lower())


def nearest(value: object, names: Iterable[Any], alike: float = 0.6) -> Any:
    """Which of the names a value was meant to be: the one that is spelt most alike, or is a part of it; None: no one.

    Args:
        value: as it was given.
        names: that there are.
        alike: how much of both spellings must be the same, 0 to 1 (difflib's ratio).

    Example:
        >>> nearest("SwinUNETR", ["unet", "unetr", "swin_unetr"]), nearest("CosineAnnealingLR", ["cosine", "step"])
        ('swin_unetr', 'cosine')
    """
    spelt, wanted = {letters(name): name for name in names}, letters(value)
    parts = [name for name in spelt if len(name) >= SMALLEST_PART and name in wanted]
    near = difflib.get_close_matches(wanted, spelt, n=1, cutoff=alike) or sorted(parts, key=len)[-1:]
    return spelt[near[0]] if near else None


def one_of(setting: str, value: Any, names: Iterable[Any]) -> None:
    """Refuse a value that is none of the names, with the nearest that is.

    Args:
        setting: what the value was given for.
        value: as it was given.
        names: that are allowed.

    Raises:
        ConfigError: it is none of them.
    """
    allowed = list(names)
    if value not in allowed:
        near = nearest(value, allowed)
        hint = f"; did you mean {near!r}?" if near else "."
        raise ConfigError(f"{setting}: {value!r} is unknown; use one of: {', '.join(map(str, allowed))}{hint}")


COMPARISONS = {
    "minimum": ("at least", operator.ge),
    "above": ("above", operator.gt),
    "maximum": ("at most", operator.le),
    "below": ("below", operator.lt),
}


def in_range(setting: str, value: float, **limits: float) -> None:
    """Refuse what is no number in the range; NaN is outside of every range.

    Args:
        setting: what the value was given for.
        value: as it was given.
        limits: minimum and maximum, the smallest and the largest that are allowed; above and below, where all that are
            allowed are larger or smaller than the limit.

    Raises:
        ConfigError: it is outside, or no number.
    """
    is_number = isinstance(value, Real) and not isinstance(value, bool)
    if not is_number or not all(COMPARISONS[kind][1](value, limit) for kind, limit in limits.items()):
        range_in_words = " and ".join(f"{COMPARISONS[kind][0]} {limit:g}" for kind, limit in limits.items())
        kind = "" if is_number else "a number, "
        raise ConfigError(f"{setting}: {value!r} is not allowed; it must be {kind}{range_in_words}.")
