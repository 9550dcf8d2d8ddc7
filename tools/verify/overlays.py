"""Overlays merge with the config that they change, and the preflight has nothing against the result."""

from pathlib import Path
from tempfile import TemporaryDirectory

from medbundles.data.reading.trained_file import TRAINED
from medbundles.errors import MedbundlesError
from medbundles.preflight.schema import read_settings
from medbundles.preflight.workflow import ids

from ..bundle import build
from .documented import STEPS, unused
from .opened import Opened

COMPLETE = ("train", "inference")
INSTALL = "pip install"  # stands in every message about a missing extra
OF_HOSTS = {"deploy": "inference"}  # overlay -> complete config


def overlays(bundle: Opened) -> str:
    """Each complete config alone, and with each overlay: merged, resolved and checked; no part of it is built."""
    bundle.only_ours()
    bundle.may_be_built()
    wrong: list[str] = []
    merged: list[str] = []
    without: list[str] = []
    for files, kind in combinations(bundle):
        title = " + ".join(Path(name).name for name in files)
        try:
            _check(bundle, files, kind)
            merged.append(title)
        except MedbundlesError as error:
            needs_more = all(INSTALL in line for line in str(error).splitlines())  # says of this machine, not of it
            (without if needs_more else wrong).append(f"{title}: {error}")
    if wrong:
        raise MedbundlesError("\n".join(wrong))
    return "\n".join([", ".join(merged), *(f"not looked at, as an extra is not installed: {line}" for line in without)])


def combinations(bundle: Opened) -> list[tuple[list[str], str]]:
    """Names of config files that are merged, and the kind of workflow that they are.

    An overlay belongs to the complete config that has more of its ids; one that a host merges, to that which it reads.
    """
    has = {name: dict(ids(bundle.config(name))).keys() for name in COMPLETE}
    found = [([name], name) for name in COMPLETE]
    for name in bundle.names:
        if name in COMPLETE:
            continue
        own = {key for key, _ in ids(bundle.config(name)) if key.partition("#")[0] not in STEPS}
        base = OF_HOSTS.get(name) or max(COMPLETE, key=lambda complete: len(own & has[complete]))
        found.append(([base, name], "evaluate" if name == "evaluate" else base))
    if (bundle.folder / "models" / TRAINED).is_file():
        found.append((["inference", f"../models/{Path(TRAINED).stem}"], "inference"))
    return found


def _check(bundle: Opened, files: list[str], kind: str) -> None:
    """What is missing here, such as data, is an empty folder; nothing is initialised, for which others are waited."""
    for name in files[1:]:
        base = bundle.config(files[0])
        if not name.startswith("../"):
            overlay = bundle.config(name)
            added = {key: value for key, value in overlay.items() if key not in base and key.isidentifier()}
            idle = [key for key in unused({**base, **added}, [overlay]) if key.partition("#")[0] in added]
            if idle:
                raise MedbundlesError(f"nothing uses {', '.join(idle)}")
    with TemporaryDirectory() as empty:
        places = {s.id: empty for s in read_settings(bundle.folder / "configs/schema.json") if "path" in s.schema}
        known = {k for name in files if not name.startswith("../") for k, _ in ids(bundle.config(name))}
        given = {name: value for name, value in places.items() if name in known}
        build(bundle.folder, files, kind, {**given, "initialize": []})
