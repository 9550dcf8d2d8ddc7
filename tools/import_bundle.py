"""Unpacks a bundle that someone has shared, once it has been looked through."""

import shutil
import zipfile
from pathlib import Path

from medbundles.errors import MedbundlesError
from medbundles.lines import typed
from medbundles.runs.trained import trained_with

from .audit import findings_of
from .audit.finding import Finding
from .staging import whole_folder

CANNOT_BE_UNPACKED = ("path", "link", "archive")  # rules of the audit; of a file itself, not of an id in it
NEEDED = "configs/metadata.json"  # what makes a folder a bundle
SHOWN = 20  # findings that are shown; `audit` shows all


def import_bundle(zip: str, to: str = ".", trust: bool = False) -> Path:
    """Unpack a shared bundle, whole or not at all.

    Before anything is written, the names, links and sizes in the zip are checked and the audit looks through it.

    Args:
        zip: the zip of a bundle, with one folder in it.
        to: folder in which the bundle's own is made.
        trust: unpack it in spite of what the audit found, because you know where it is from. Names that leave the
            folder, links, and archives that cannot be unpacked safely are refused all the same.

    Returns:
        The bundle's folder.

    Raises:
        MedbundlesError: it is no bundle's zip, something was found, a folder of its name is there, the disk is full, or
            the weights are not those that the bundle describes.

    Example:
        python -m tools import /downloads/medical_segmentation.zip --to /bundles
    """
    path = Path(zip)
    if path.is_dir():
        raise MedbundlesError(f"{zip}: is a folder; only a zip can be imported")
    found = findings_of(path)
    _judge(zip, found, trust)
    with zipfile.ZipFile(path) as archive:
        entries = [entry for entry in archive.infolist() if not entry.is_dir()]
        target = Path(to) / _top_folder(zip, [entry.filename for entry in entries])
        _has_room(zip, Path(to), sum(entry.file_size for entry in entries))
        with whole_folder(target) as partial:
            for entry in entries:
                file = partial / entry.filename.partition("/")[2]
                file.parent.mkdir(parents=True, exist_ok=True)
                with archive.open(entry) as source, file.open("wb") as written:
                    shutil.copyfileobj(source, written)
            weights = partial / "models/model.pt"
            if weights.is_file() and weights.with_name("model.json").is_file():
                trained_with(weights)  # compares the checksum
    print(f"{target}: {len(entries)} files. In that folder: python -m monai.bundle run --config_file configs/...")
    return target


def _judge(zip: str, found: list[Finding], trust: bool) -> None:
    unsafe = [finding for finding in found if finding.rule in CANNOT_BE_UNPACKED and not finding.id]
    if not found or (trust and not unsafe):
        if found:
            print(f"{zip}: unpacked in spite of {len(found)} finding(s), because of --trust True")
        return
    shown = unsafe or found
    lines = [f"{zip}: nothing was unpacked; found in it:", *map(str, shown[:SHOWN])]
    lines += [f"... and {len(shown) - SHOWN} more"] if len(shown) > SHOWN else []
    advice = f"'python -m tools audit {typed(zip)}' shows all. If you know where it is from: --trust True."
    raise MedbundlesError("\n".join([*lines, "Such an archive is never unpacked." if unsafe else advice]))


def _top_folder(zip: str, names: list[str]) -> str:
    tops = {name.partition("/")[0] if "/" in name else "" for name in names}
    if len(tops) != 1 or "" in tops:
        raise MedbundlesError(f"{zip}: is no bundle's zip, which has one folder and nothing beside it")
    top = tops.pop()
    if f"{top}/{NEEDED}" not in names:
        raise MedbundlesError(f"{zip}: is no bundle's zip: {top}/{NEEDED} is not in it")
    return top


def _has_room(zip: str, to: Path, size: int) -> None:
    there = next(folder for folder in (to.absolute(), *to.absolute().parents) if folder.exists())
    free = shutil.disk_usage(there).free
    if size > free:
        raise MedbundlesError(f"{zip}: unpacks to {size:,} bytes, but {there} has {free:,} left; nothing was written")
