"""The files that a bundle must have, and how large they may be."""

import hashlib
import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import medbundles
from medbundles.errors import MedbundlesError, first_few
from medbundles.package import PACKAGE, package_files

from ..settings import MISSING
from .opened import MADE_BY_USE, Opened
from .outcome import Skipped

NEEDED = ("LICENSE", "configs/metadata.json", "configs/inference.json", "docs/README.md")
OF_MEDBUNDLES = (
    "configs/train.json", "configs/evaluate.json", "configs/multi_gpu_train.json", "configs/schema.json",
    "configs/logging.conf", "docs/data_license.txt",
)  # fmt: skip
LARGEST = 25_000_000  # bytes of a file in the zoo's repository; larger ones are downloaded


def archive(bundle: Opened) -> str:
    """A zip's files have their checksums."""
    if not bundle.zipped:
        raise Skipped("it is a folder")
    if bundle.damaged:
        raise MedbundlesError(f"damaged, or changed after it was packed: {first_few(bundle.damaged)}; copy it again")
    return "every file has its checksum"


def directory(bundle: Opened) -> str:
    """Necessary and preferred files; the weights have a check of their own."""
    needed = [*NEEDED, *(OF_MEDBUNDLES if bundle.is_ours else ())]
    missing = [name for name in needed if not _is_there(bundle, name)]
    if missing:
        raise MedbundlesError(f"lacks {', '.join(missing)}")
    empty = [name for name in needed if (bundle.folder / name).is_file() and not (bundle.folder / name).stat().st_size]
    if empty:
        raise MedbundlesError(f"empty: {', '.join(empty)}")
    return f"has {', '.join(needed)}"


def _is_there(bundle: Opened, name: str) -> bool:
    folder, _, file = name.rpartition("/")
    of_config = folder == "configs" and file.endswith(".json") and bundle.file(file.removesuffix(".json"))
    return bool(of_config) or (bundle.folder / name).is_file()


def listed_files(bundle: Opened) -> dict[str, dict[str, Any]]:
    """Path -> entry of large_files.yml (.yaml, .json), which names files that are downloaded.

    Raises:
        MedbundlesError: it cannot be read.
        Skipped: PyYAML is not installed.
    """
    places = (bundle.folder / f"large_files.{suffix}" for suffix in ("yml", "yaml", "json"))
    file = next((place for place in places if place.is_file()), None)
    if file is None:
        return {}
    try:
        return {str(entry["path"]): entry for entry in _parsed(file)["large_files"]}
    except (ValueError, LookupError, TypeError) as error:
        what = "must be a list `large_files` of path and url"
        raise MedbundlesError(f"{file.name}: {what}: {' '.join(str(error).split())}") from error


def _parsed(file: Path) -> Any:
    """JSON, which is YAML too, or YAML."""
    text = file.read_text(encoding="utf-8")
    with suppress(ValueError):
        return json.loads(text)
    try:
        import yaml
    except ImportError as error:
        raise Skipped(f"{file.name} is read by PyYAML: pip install pyyaml") from error
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from error


def large_files(bundle: Opened) -> str:
    """The zoo takes no file above 25 MB: large_files.yml names where it is, and its checksum."""
    listed = listed_files(bundle)
    for name, entry in listed.items():
        file, digest = bundle.folder / name, str(entry.get("hash_val") or "")
        if file.is_file() and digest:
            with file.open("rb") as stream:
                is_same = hashlib.file_digest(stream, str(entry.get("hash_type") or "md5")).hexdigest() == digest
            if not is_same:
                raise MedbundlesError(f"{name}: does not have the checksum that large_files.yml names")
    files = (path for path in bundle.folder.rglob("*") if path.relative_to(bundle.folder).parts[0] not in MADE_BY_USE)
    large = [path for path in files if path.is_file() and path.stat().st_size > LARGEST]
    names = [path.relative_to(bundle.folder).as_posix() for path in large]
    missing = [name for name in names if name not in listed]
    if missing and bundle.zipped:
        raise MedbundlesError(f"above 25 MB and not in large_files.yml: {', '.join(missing)}")
    if missing:
        raise Skipped(f"above 25 MB: {', '.join(missing)}; python -m tools export lists them in large_files.yml")
    nowhere = [name for name, entry in listed.items() if not entry.get("url")]
    hint = f"; the zoo needs an url for {', '.join(nowhere)}" if nowhere else ""
    return (f"large_files.yml lists {', '.join(listed)}" if listed else "no file is above 25 MB") + hint


def package(bundle: Opened) -> str:
    """A copy of medbundles in the bundle is complete, and the one that is installed here."""
    copy = bundle.folder / PACKAGE.name
    if not copy.is_dir():
        raise Skipped("it has no copy of medbundles")
    own, there = package_files(), package_files(copy)
    missing = sorted(own.keys() - there.keys())
    changed = sorted(name for name, content in there.items() if own.get(name, MISSING) != content)
    if changed:
        raise MedbundlesError(
            f"its copy of medbundles is not version {medbundles.__version__}, which is installed here and builds the "
            f"bundle: other or more: {first_few(changed, 4)}"
        )
    if missing:
        raise MedbundlesError(f"its copy of medbundles lacks {first_few(missing, 4)}")
    return f"medbundles {medbundles.__version__}, as installed ({len(there)} files)"
