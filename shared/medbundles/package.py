"""The files that the package consists of, and the copy of it that an exported bundle carries."""

import re
from collections.abc import Mapping
from pathlib import Path

PACKAGE = Path(__file__).parent
DATA = "settings.json"  # what the package has beside Python


def package_files(folder: Path = PACKAGE) -> dict[str, bytes]:
    """The files of the package in a folder, by their paths in it."""
    files = (path for path in folder.rglob("*") if (path.suffix == ".py" or path.name == DATA) and path.is_file())
    names = {path.relative_to(folder).as_posix(): path for path in files}
    return {name: path.read_bytes() for name, path in names.items() if not f"/{name}".count("/.")}  # nothing hidden


def other_package(bundle: Path) -> str | None:
    """A line where a bundle carries a copy of the package and another one is imported here.

    Python imports a package once in a process. So the second of two bundles would run with the copy of the first, or
    with one that is installed, which may know other settings or compute otherwise.
    """
    copy = bundle / PACKAGE.name
    if not copy.is_dir() or copy.resolve() == PACKAGE.resolve():
        return None
    here, there = package_files(), package_files(copy)
    if here == there:
        return None
    return (
        f"medbundles: version {_version(here)} from {PACKAGE} is imported here, and this bundle carries another one, "
        f"version {_version(there)}, in {copy.resolve()}. Run the bundle in a process of its own, in which "
        f"{bundle.resolve()} comes first: PYTHONPATH={bundle.resolve()}"
    )


def _version(files: Mapping[str, bytes]) -> str:
    found = re.search(rb'__version__ = "(.+?)"', files.get("__init__.py", b""))
    return found[1].decode() if found else "unknown"
