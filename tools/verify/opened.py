"""A bundle that is being verified: a folder, or a zip in a temporary folder."""

import shutil
import sys
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from monai.bundle import ConfigParser

from medbundles.data.reading.trained_file import TRAINED
from medbundles.errors import ConfigError, MedbundlesError, first_few
from medbundles.preflight.rules import targets
from medbundles.preflight.workflow import ids

from ..audit.contents import Auditor
from ..audit.finding import Finding
from ..audit.members import Member, Refused, in_folder, in_zip
from ..bundle import BUNDLES, bundle_folder, plain_errors
from .outcome import Skipped

NETWORK = "network_def"  # MONAI's id of the network
MADE_BY_USE = {"runs", "data"}  # in a bundle's folder; neither is a part of it
SUFFIXES = ("json", "yaml", "yml")


@dataclass
class Opened:
    """A bundle's folder, and what is known of it.

    Attributes:
        folder: of the bundle.
        findings: of the audit.
        trust: whether it is built although there are findings.
        zipped: whether it comes from a zip.
        damaged: files of the zip that do not have their checksum.
    """

    folder: Path
    findings: list[Finding]
    trust: bool
    zipped: bool = False
    damaged: list[str] = field(default_factory=list)
    has_weights: bool = False  # whether `network` holds the bundle's

    def file(self, name: str) -> Path | None:
        """A config's file (JSON or YAML), or None."""
        files = (self.folder / "configs" / f"{name}.{suffix}" for suffix in SUFFIXES)
        return next((file for file in files if file.is_file()), None)

    def config(self, name: str) -> dict[str, Any]:
        """The content of a config file; nothing of it is evaluated.

        Raises:
            Skipped: there is none.
            ConfigError: it cannot be read.
        """
        file = self.file(name)
        if file is None:
            raise Skipped(f"there is no configs/{name}.json")
        try:
            content = ConfigParser.load_config_file(file)
        except Exception as error:  # JSON's and YAML's readers have errors of their own
            raise ConfigError(f"configs/{file.name}: cannot be read: {error}") from error
        if not isinstance(content, dict):
            raise ConfigError(f"configs/{file.name}: must hold an object, not a {type(content).__name__}")
        return content

    @cached_property
    def metadata(self) -> dict[str, Any]:
        """The content of metadata.json."""
        return self.config("metadata")

    @property
    def names(self) -> list[str]:
        """Of the config files that are no metadata and no schema, sorted."""
        files = (path for path in (self.folder / "configs").glob("*.*") if path.suffix[1:] in SUFFIXES)
        return sorted({path.stem for path in files} - {"metadata", "schema"})

    @cached_property
    def is_ours(self) -> bool:
        """Whether it is built of medbundles, and so has a schema of its settings."""
        every = (target for name in self.names for target in targets(self.config(name)))
        return (self.folder / "configs/schema.json").is_file() or any(k.startswith("medbundles.") for k in every)

    def only_ours(self) -> None:
        """Raise Skipped where there is no schema of the settings to check against."""
        if not self.is_ours:
            raise Skipped("it is no bundle of medbundles, whose settings are described by configs/schema.json")

    def may_be_built(self) -> None:
        """Raise Skipped where the audit found something and the bundle is not trusted."""
        if self.findings and not self.trust:
            raise Skipped("nothing is built of a bundle in which the audit finds something; --trust True builds it")

    @property
    def inference_files(self) -> list[str]:
        """The files that the network is built of: inference.json, and the settings of the weights beside it."""
        trained = self.folder / "models" / TRAINED
        return [str(self.file("inference")), *([str(trained)] if trained.is_file() else [])]

    @cached_property
    def network(self) -> Any:
        """The network that inference builds, in evaluation mode, on the CPU."""
        self.may_be_built()
        if NETWORK not in self.config("inference"):
            raise ConfigError(f"configs/inference.json: lacks {NETWORK}, by which hosts find the network")
        parser = ConfigParser()
        parser.read_config(self.inference_files)
        parser["bundle_root"] = str(self.folder)
        with plain_errors():
            return parser.get_parsed_content(NETWORK).cpu().eval()


@contextmanager
def opened(bundle: str, trust: bool) -> Iterator[Opened]:
    """A bundle by its name in bundles/, its folder or its zip, which is unpacked for as long as it is needed.

    Raises:
        MedbundlesError: there is none, or a zip that cannot be unpacked safely or has no folder at its top.
    """
    path = next((path for path in (Path(bundle), BUNDLES / bundle) if path.exists()), None) or bundle_folder(bundle)
    if path.is_dir():
        left_out = set() if _reads_more(path) else MADE_BY_USE
        members = (m for m in in_folder(path) if m.name.partition("/")[0] not in left_out)
        with _importable(path, trust):
            yield Opened(path.resolve(), sorted(set(Auditor().findings(members))), trust)
        return
    with path.open("rb") as stream, TemporaryDirectory(prefix="verify_") as temporary:
        if not zipfile.is_zipfile(stream):
            raise MedbundlesError(f"{path}: is no folder and no zip")
        size = path.stat().st_size
        found = sorted(set(Auditor().findings(in_zip(stream, size))))
        root = Path(temporary).resolve()
        damaged = _unpack(path, list(in_zip(stream, size)), root)
        tops = sorted(entry.name for entry in root.iterdir())
        if len(tops) != 1 or not (root / tops[0]).is_dir():
            raise MedbundlesError(f"{path}: must have one folder, the bundle's, at its top; it has {first_few(tops)}")
        with _importable(root / tops[0], trust):
            yield Opened(root / tops[0], found, trust, True, damaged)


def _reads_more(folder: Path) -> bool:
    """Whether a config takes values from other files (`%file.json::id`), which then are looked through wherever they
    lie; or cannot be read, so that it is not known."""
    files = [*(folder / "configs").glob("*.*"), folder / "models" / TRAINED]
    try:
        contents = [
            ConfigParser.load_config_file(file) for file in files if file.is_file() and file.suffix[1:] in SUFFIXES
        ]
    except Exception:  # JSON's and YAML's readers have errors of their own
        return True
    return any(isinstance(value, str) and value.startswith("%") for part in contents for _, value in ids(part))


def _unpack(path: Path, members: list[Member | Refused], root: Path) -> list[str]:
    """Write the files of a zip below `root`; gives those that are damaged, which are left out."""
    refused = [f"{member.name or path.name}: {member.what}" for member in members if isinstance(member, Refused)]
    if refused:
        raise MedbundlesError(f"{path}: is not unpacked: {first_few(refused, 4)}")
    files = [member for member in members if isinstance(member, Member)]
    needed, free = sum(file.size for file in files), shutil.disk_usage(root).free
    if needed > free:
        raise MedbundlesError(f"{path}: unpacks to {needed:,} bytes, and {root} has only {free:,} free")
    damaged = []
    for file in files:
        target = root / file.name
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            with file.open() as source, target.open("xb") as made:
                shutil.copyfileobj(source, made)
        except (zipfile.BadZipFile, EOFError, ValueError):
            target.unlink(missing_ok=True)
            damaged.append(file.name)
    return damaged


@contextmanager
def _importable(folder: Path, trust: bool) -> Iterator[None]:
    """A trusted bundle's own code can be imported, as when MONAI runs it."""
    if trust:
        sys.path.insert(1, str(folder))
    try:
        yield
    finally:
        if trust:
            sys.path.remove(str(folder))
