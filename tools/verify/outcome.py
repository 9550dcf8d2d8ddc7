"""What a check says."""

from collections.abc import Callable
from dataclasses import asdict, dataclass

from medbundles.errors import MedbundlesError, causes

OK, FAILED, SKIPPED = "ok", "FAILED", "skipped"


class Skipped(Exception):  # noqa: N818 - it is no error
    """What cannot be checked here, with the reason: it neither passes nor fails."""


@dataclass(frozen=True)
class Outcome:
    """One line of the report.

    Attributes:
        name: of the check.
        status: "ok", "FAILED" or "skipped".
        what: what was seen, what is wrong and what would be right, or why it was not checked.
    """

    name: str
    status: str
    what: str

    def __str__(self) -> str:
        return f"{self.status:<7}  {self.name}: {self.what}"

    def as_dict(self) -> dict[str, str]:
        """For JSON."""
        return asdict(self)


def outcome(name: str, check: Callable[[], str]) -> Outcome:
    """Do a check: it gives what it saw, or raises Skipped, or what is wrong."""
    try:
        return Outcome(name, OK, _in_one_line(check()))
    except Skipped as reason:
        return Outcome(name, SKIPPED, _in_one_line(str(reason)))
    except MedbundlesError as error:
        return Outcome(name, FAILED, _in_one_line(str(error)))
    except Exception as error:  # a stranger's config and network may raise anything
        *_, cause = causes(error)
        return Outcome(name, FAILED, _in_one_line(f"{type(cause).__name__}: {cause}"))


def _in_one_line(text: str) -> str:
    return " ".join("; ".join(line for line in text.splitlines() if line.strip()).split())
