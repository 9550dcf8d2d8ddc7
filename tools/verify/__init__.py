"""Checks all that the MONAI model zoo checks before it accepts a bundle, and what it does not. Offline."""

import json
import logging
from collections.abc import Callable
from functools import partial

from medbundles.errors import MedbundlesError, first_few

from . import (
    directory,
    documented,
    metadata,
    overlays,
    packages,
    preprocessing,
    properties,
    shapes,
    torchscript,
    weights,
)
from .opened import Opened, opened
from .outcome import FAILED, SKIPPED, Outcome, outcome

FORMATS = ("text", "json")


def audited(bundle: Opened) -> str:
    """What the audit finds, which decides whether anything is built."""
    if bundle.findings:
        raise MedbundlesError(first_few(map(str, bundle.findings), 3))
    return "nothing found"


# in this order: what is read, what is built, and what needs the network with its weights
CHECKS: dict[str, Callable[[Opened], str]] = {
    "archive": directory.archive,
    "audit": audited,
    "directory": directory.directory,
    "large files": directory.large_files,
    "package": directory.package,
    "version": metadata.version,
    "metadata": metadata.format_of_metadata,
    "supported apps": metadata.supported_apps,
    "imports": packages.imported,
    "pins": packages.pinned,
    **{f"properties of {kind}": partial(properties.properties, kind=kind) for kind in properties.KINDS},
    "documented ids": documented.documented,
    "used ids": documented.used,
    "preprocessing": preprocessing.preprocessing,
    "overlays": overlays.overlays,
    "checksum": weights.checksum,
    "weights": weights.weights,
    "shapes": shapes.shapes,
    "torchscript": torchscript.torchscript,
}


def outcomes(bundle: str, trust: bool = False, tell: Callable[[Outcome], None] = lambda outcome: None) -> list[Outcome]:
    """All checks of a bundle, in their order.

    Args:
        bundle: its name in bundles/, its folder or a zip of it.
        trust: build it although the audit finds something.
        tell: is given each outcome as soon as it is there.

    Raises:
        MedbundlesError: there is no such bundle, or its zip cannot be unpacked safely.
    """
    found = []
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)  # what MONAI says of properties stands in the report
    try:
        with opened(bundle, trust) as it:
            for name, check in CHECKS.items():
                found.append(outcome(name, partial(check, it)))
                tell(found[-1])
    finally:
        logging.disable(before)
    return found


def verify(bundle: str, format: str = "text", trust: bool = False) -> None:
    """Check a bundle as the MONAI model zoo does before it accepts one, and more; nothing is downloaded.

    One line per check: "ok", "FAILED" or "skipped" with the reason. A bundle without weights has these checks skipped.
    Nothing is built of a bundle in which the audit finds something. A zip is unpacked into a temporary folder, once its
    paths and sizes are known to be harmless.

    Args:
        bundle: name of a bundle in bundles/, its folder, or a zip of it.
        format: text, or json.
        trust: build the bundle although the audit finds something, which runs its code.

    Raises:
        MedbundlesError: a check failed.

    Example:
        python -m tools verify brain_tumor_multitask_unet
    """
    if format not in FORMATS:
        raise MedbundlesError(f"--format: {format!r} is none of {', '.join(FORMATS)}")
    found = outcomes(bundle, trust, (lambda line: print(line, flush=True)) if format == "text" else lambda line: None)
    if format == "json":
        print(json.dumps({"bundle": bundle, "checks": [line.as_dict() for line in found]}, indent=1))
    failed = [line.name for line in found if line.status == FAILED]
    skipped = sum(line.status == SKIPPED for line in found)
    counts = f"{len(found) - len(failed) - skipped} checks passed, {skipped} skipped"
    if failed:
        raise MedbundlesError(f"{bundle}: {len(failed)} failed ({', '.join(failed)}); {counts}")
    if format == "text":
        print(f"{bundle}: {counts}")
