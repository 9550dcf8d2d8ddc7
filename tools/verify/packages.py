"""The packages in metadata.json are those that the code imports, and their versions fit each other."""

import ast
import re
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from importlib import metadata as installed
from pathlib import Path

import medbundles
from medbundles.errors import MedbundlesError, first_few
from medbundles.preflight.rules import targets
from medbundles.preflight.workflow import ids

from .opened import MADE_BY_USE, Opened

OF_MONAI = {"monai": "monai_version", "torch": "pytorch_version", "numpy": "numpy_version"}


def plain(name: str) -> str:
    """The name of a distribution as pip compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def pins(bundle: Opened) -> dict[str, str]:
    """Distribution -> version in metadata.json, as the zoo installs them."""
    found = {name: bundle.metadata[key] for name, key in OF_MONAI.items() if key in bundle.metadata}
    for key in ("required_packages_version", "optional_packages_version"):
        found |= bundle.metadata.get(key, {})
    return {plain(name): str(version) for name, version in found.items()}


def imported(bundle: Opened) -> str:
    """What is imported is listed, and what is listed is imported, by the bundle's code or by MONAI for it."""
    listed = pins(bundle)
    found = _imports(bundle)
    own = dict(_requirements("medbundles"))
    brought = {name for package in listed for name, extra in _requirements(package) if not extra}
    allowed = listed.keys() | {name for name, extra in own.items() if extra} | (brought - own.keys())
    lacks = [f"{name} ({place})" for name, place in found.items() if name not in allowed]
    if lacks:
        raise MedbundlesError(f"imported and not in metadata.json: {first_few(lacks, 4)}")
    of_monai = {name for name, extra in _requirements("monai")}
    idle = [name for name in listed if name not in found.keys() | of_monai | OF_MONAI.keys()]
    if idle:
        raise MedbundlesError(f"in metadata.json, and neither the code nor MONAI imports it: {', '.join(idle)}")
    return f"{len(found)} packages are imported, {len(listed)} listed; extras of medbundles are optional"


def _imports(bundle: Opened) -> dict[str, str]:
    """Distribution -> where it is imported, by the code in the bundle, by medbundles where it builds on it, and by
    the configs."""
    own = {path.name for path in bundle.folder.iterdir() if path.is_dir()} | {"medbundles"}
    places = [(path, path.relative_to(bundle.folder)) for path in sorted(bundle.folder.rglob("*.py"))]
    if bundle.is_ours and not (bundle.folder / "medbundles").is_dir():
        package = Path(medbundles.__file__).parent
        places += [(path, path.relative_to(package.parent)) for path in sorted(package.rglob("*.py"))]
    found: dict[str, str] = {}
    for path, shown in places:
        if shown.parts[0] in MADE_BY_USE:
            continue
        for module in _modules(path.read_text(encoding="utf-8")):
            found.setdefault(module, shown.as_posix())
    for name in bundle.names:
        config = bundle.config(name)
        used = [target.partition(".")[0] for target in targets(config) if "." in target]
        texts = (value[1:].strip() for _, value in ids(config) if isinstance(value, str) and value.startswith("$"))
        used += [module for text in texts if text.startswith(("import ", "from ")) for module in _modules(text)]
        for module in used:
            found.setdefault(module, f"configs/{name}.json")
    others = {module: place for module, place in found.items() if module not in own | sys.stdlib_module_names}
    return {_distribution(module): place for module, place in others.items()}


def _modules(code: str) -> Iterator[str]:
    """Top-level modules that a file imports, anywhere in it."""
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0]


@cache
def _providers() -> Mapping[str, list[str]]:
    return installed.packages_distributions()


def _distribution(module: str) -> str:
    """Which distribution a module comes from; of one that is not installed here its own name."""
    return plain(_providers().get(module, [module])[0])


def _requirements(name: str) -> list[tuple[str, bool]]:
    """What an installed distribution asks for, each with whether it belongs to an extra; of another nothing."""
    from packaging.requirements import Requirement

    try:
        lines = installed.requires(name) or []
    except installed.PackageNotFoundError:
        return []
    return [(plain(Requirement(line).name), "extra ==" in line) for line in lines]


def pinned(bundle: Opened) -> str:
    """The versions are versions, fit what each installed package asks of the others, and are those that ran here."""
    from packaging.requirements import InvalidRequirement, Requirement
    from packaging.version import InvalidVersion, Version

    listed, wrong, other, absent = pins(bundle), [], [], []
    asked = [("medbundles", line) for line in installed.requires("medbundles") or []] if bundle.is_ours else []
    for name, version in listed.items():
        try:
            Requirement(f"{name}{version if version[:1] in ('<', '>', '=') else f'=={version}'}")
            here = installed.version(name)
        except InvalidRequirement:
            wrong.append(f"{name}: {version!r} is no version")
        except installed.PackageNotFoundError:
            absent.append(name)
        else:
            if here.partition("+")[0] != version:
                other.append(f"{name} {here} for {version}")
            else:
                asked += [(f"{name} {version}", line) for line in installed.requires(name) or []]
    for who, line in asked:
        requirement = Requirement(line)
        version = listed.get(plain(requirement.name), "")
        if not version or "extra ==" in line or (requirement.marker and not requirement.marker.evaluate()):
            continue
        try:
            fits = requirement.specifier.contains(Version(version), prereleases=True)
        except InvalidVersion:  # a range, or named above
            continue
        if not fits:
            wrong.append(f"{who} needs {requirement.name}{requirement.specifier}, metadata.json has {version}")
    if wrong:
        raise MedbundlesError(f"configs/metadata.json: {first_few(wrong, 4)}")
    notes = [f"other versions are here: {first_few(other, 4)}"] if other else []
    notes += [f"not here, so not looked at: {first_few(absent, 4)}"] if absent else []
    return "; ".join([f"{len(listed)} versions fit each other", *notes])
