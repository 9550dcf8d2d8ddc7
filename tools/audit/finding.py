"""What the audit says."""

from dataclasses import asdict, dataclass

LONGEST = 120


def shown(text: str) -> str:
    """A text of a stranger for a message: on one line, cut where it is long, with nothing that moves a cursor."""
    return repr(_plain(text if len(text) <= LONGEST else text[: LONGEST - 3] + "..."))


def _plain(text: str) -> str:
    return "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in text)


@dataclass(frozen=True, order=True)
class Finding:
    """One thing that a careful person would look at before they run a bundle.

    Attributes:
        file: the path inside the bundle; a file inside an archive stands behind the archive's name and a '!'.
        id: the id in a config, the section of a logging.conf, or empty.
        rule: which kind of thing it is, a key of RULES.
        what: what was found, and what would be right.
    """

    file: str
    id: str
    rule: str
    what: str

    def __str__(self) -> str:
        return _plain(f"{self.file}: {self.id + ': ' if self.id else ''}{self.what} [{self.rule}]")

    def as_dict(self) -> dict[str, str]:
        """For JSON."""
        return {key: _plain(value) for key, value in asdict(self).items()}


RULES = {
    "expression": "a $ expression outside the small grammar",
    "import": "a $ import of a module that is not known to be harmless",
    "target": "a component outside the allow-list, or an argument of one that runs code",
    "reference": "a name of code, or a value, that comes by a way that cannot be judged",
    "path": "a path that leaves the bundle",
    "url": "an address on the network, or what fetches or sends something",
    "pickle": "a file that runs code when it is loaded",
    "program": "code, or a program",
    "unknown": "a kind of file that the audit knows nothing of",
    "link": "a link, or something that is no plain file",
    "archive": "an archive that cannot be unpacked safely",
    "logging": "a logging.conf that runs code",
    "unreadable": "what cannot be read cannot be judged",
}
