"""Looks through a bundle for what a stranger could have put in it. Nothing of it is imported, evaluated or unpacked."""

import json
import zipfile
from collections import Counter
from pathlib import Path

from medbundles.errors import MedbundlesError

from .contents import Auditor
from .finding import RULES, Finding
from .members import in_folder, in_zip

FORMATS = ("text", "json")


def findings_of(path: str | Path) -> list[Finding]:
    """What is found in a bundle, sorted by file.

    Args:
        path: its folder, or a zip of it.

    Raises:
        MedbundlesError: it is neither.
    """
    path = Path(path)
    if path.is_dir() and Path.cwd().resolve().is_relative_to(path.resolve()):
        raise MedbundlesError(f"{path}: this is the current folder, whose files Python imports; audit it from another")
    if path.is_dir():
        return sorted(set(Auditor().findings(in_folder(path))))
    if not path.exists():
        raise MedbundlesError(f"{path}: there is no such folder or zip")
    if not path.is_file():
        raise MedbundlesError(f"{path}: is no folder and no plain file")
    with path.open("rb") as stream:
        if not zipfile.is_zipfile(stream):
            raise MedbundlesError(f"{path}: is no folder and no zip")
        return sorted(set(Auditor().findings(in_zip(stream, path.stat().st_size))))


def audit(bundle: str, format: str = "text") -> None:
    """Look through a bundle, ours or a stranger's, for what would run code or leave its folder.

    Configs may name components of MONAI, torch, Ignite and medbundles, and hold a small grammar of $ expressions:
    references, paths, arithmetic and comparisons. Weights are judged by their opcodes. What is not known to be harmless
    is a finding, so that a bundle with code of its own has some; a finding is a place to read, not a verdict.

    Args:
        bundle: its folder, or a zip of it. Nothing of it is imported, evaluated or unpacked.
        format: text, or json.

    Raises:
        MedbundlesError: something was found.

    Example:
        python -m tools audit /downloads/some_bundle.zip
    """
    if format not in FORMATS:
        raise MedbundlesError(f"--format: {format!r} is none of {', '.join(FORMATS)}")
    found = findings_of(bundle)
    if format == "json":
        print(json.dumps({"bundle": str(bundle), "findings": [finding.as_dict() for finding in found]}, indent=1))
    else:
        for finding in found:
            print(finding)
    if found:
        counts = Counter(finding.rule for finding in found)
        lines = [f"{bundle}: {len(found)} finding(s)", *(f"  {counts[rule]:4}  {RULES[rule]}" for rule in counts)]
        raise MedbundlesError("\n".join(lines))
    if format == "text":
        print(f"{bundle}: nothing found")
