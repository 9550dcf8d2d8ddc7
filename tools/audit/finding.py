"""What the audit says."""

from dataclasses import asdict, dataclass


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
        return f"{self.file}: {self.id + ': ' if self.id else ''}{self.what} [{self.rule}]"

    def as_dict(self) -> dict[str, str]:
        """For JSON."""
        return asdict(self)


RULES = {
    "expression": "a $ expression outside the small grammar",
    "import": "a $ import of a module that is not known to be harmless",
    "target": "a component outside the allow-list",
    "reference": "a name of code that comes from a reference or an expression",
    "path": "a path that leaves the bundle",
    "url": "an address on the network",
    "pickle": "a file that runs code when it is loaded",
    "program": "code, or a program",
    "link": "a link, or something that is no plain file",
    "archive": "an archive that cannot be unpacked safely",
    "logging": "a logging.conf that runs code",
    "unreadable": "what cannot be read cannot be judged",
}
