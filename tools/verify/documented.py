"""Every documented id exists, every setting is documented and used."""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from monai.bundle import ReferenceResolver
from monai.bundle.properties import InferProperties, TrainProperties
from monai.utils import BundlePropertyConfig

from medbundles.errors import MedbundlesError, first_few
from medbundles.preflight.rules import rules_of
from medbundles.preflight.schema import read_settings
from medbundles.preflight.workflow import HOST_IDS, ids, known_ids

from ..settings import BEGIN, END
from .opened import Opened

OF_MONAI = {"config_file", "meta_file", "logging_file", "args_file", "tracking"}  # flags of its command line
STEPS = {"imports", "initialize", "run", "finalize"}  # what MONAI does with a config
PROPERTIES = {str(about[BundlePropertyConfig.ID]) for about in [*TrainProperties.values(), *InferProperties.values()]}
TAKEN = HOST_IDS | STEPS | {"experiment", "trained"} | {name.partition("::")[0] for name in PROPERTIES}
COMMAND = re.compile(r"-m monai\.bundle run ((?:[^\n`\\]|\\\n)*)")
ROW = re.compile(r"^\| `([^`]+)` \|", re.MULTILINE)


def documented(bundle: Opened) -> str:
    """schema.json, the docs' table of settings and the docs' commands name what the configs have."""
    bundle.only_ours()
    folder = bundle.folder / "configs"
    settings = [setting.id for setting in read_settings(folder / "schema.json")]
    known = known_ids(folder)
    wrong = [f"schema.json: {name} is in no config" for name in settings if name not in known]
    pages = [bundle.folder / name for name in ("docs/README.md", "README.md")]
    texts = [page.read_text(encoding="utf-8") if page.is_file() else "" for page in pages]
    rows = ROW.findall(texts[0].partition(BEGIN)[2].partition(END)[0])
    wrong += [f"docs/README.md: {name} is no setting" for name in rows if name not in settings]
    wrong += [f"docs/README.md: its table lacks {name}" for name in settings if name not in rows]
    # of an exported bundle the README at its root tells how it is used, and docs/ how it was made
    text, page = (texts[1], "README.md") if texts[1] else (texts[0], "docs/README.md")
    for command in COMMAND.findall(text):
        flags = re.findall(r"(?:^|\s)--([\w#]+)", command)
        allowed = known.keys() | OF_MONAI | HOST_IDS
        wrong += [f"{page}: --{flag} is in no config" for flag in flags if flag not in allowed]
        files = re.findall(r"configs/[\w.]+\.json", command)
        wrong += [f"{page}: there is no {file}" for file in files if not Path(bundle.folder, file).is_file()]
    if wrong:
        raise MedbundlesError(first_few(dict.fromkeys(wrong), 4))
    return f"{len(settings)} settings, each in a config and in the docs' table; the commands in {page} name no others"


def used(bundle: Opened) -> str:
    """Whatever stands in train.json and inference.json is taken by something; so a misspelt id is found."""
    bundle.only_ours()
    bundle.may_be_built()  # the rules of components are found by importing these
    idle = []
    for name, others in (("train", ["evaluate"]), ("inference", [])):
        config = bundle.config(name)
        more = [bundle.config(other) for other in others if bundle.file(other)]
        # what a training only writes down is for the inference with its weights
        kept = [key for key in bundle.config(name).get("trained", {}) if name == "train"]
        idle += [f"{name}.json: nothing uses {key}" for key in unused(config, more) if key not in kept]
    if idle:
        raise MedbundlesError(first_few(idle, 4))
    return "every id of train.json and inference.json is an argument, referred to, or a property of MONAI's"


def unused(config: dict[str, Any], others: Iterable[dict[str, Any]] = ()) -> list[str]:
    """Ids of a config that nothing takes, the outermost alone.

    Args:
        config: a complete one.
        others: overlays of it, which may refer to its ids.
    """
    everything = [entry for part in (config, *others) for entry in ids(part)]
    taken = TAKEN | {name for part in (config, *others) for rule in rules_of(part) for name in rule.settings}
    for holder, value in everything:
        if not holder.startswith("trained#") and isinstance(value, str):  # what is only written down is not used
            taken |= {wanted.replace("::", "#") for wanted in ReferenceResolver.match_refs_pattern(value)}
    found: list[str] = []
    there = dict(ids(config))
    for name in there:
        above = [name[: match.start()] for match in re.finditer("#", name)]
        is_part = any(outer in taken or "_target_" in there[outer] or isinstance(there[outer], list) for outer in above)
        has_part = any(wanted.startswith(f"{name}#") for wanted in taken)
        if not (is_part or has_part or name in taken or any(outer in found for outer in above)):
            found.append(name)
    return found
