"""Training and inference prepare images alike."""

from typing import Any

from monai.bundle import ConfigParser, ReferenceResolver

from medbundles.errors import MedbundlesError, first_few
from medbundles.preflight.workflow import ids, is_reference
from medbundles.rules import AUTO

from ..bundle import plain_errors
from .opened import Opened
from .outcome import Skipped

OF_LABELS = ("keys", "mode", "allow_missing_keys")  # training has labels beside the images
COMPLETE = ("train", "inference")


def preprocessing(bundle: Opened) -> str:
    """The steps after reading, and the settings that the weights depend on, are the same in both configs.

    Reading differs, as training has labels and inference notes where an image comes from; random steps are training's.
    """
    configs = {name: bundle.config(name) for name in COMPLETE}
    steps = {
        "train": _steps(configs["train"], "@train#preprocessing"),
        "inference": _steps(configs["inference"], "@preprocessing"),
    }
    if steps["train"] != steps["inference"]:
        lines = [f"{name}: {', '.join(map(_name, found)) or 'nothing'}" for name, found in steps.items()]
        both = zip(steps["train"], steps["inference"], strict=False)
        differing = next((f"first {one} against {other}" for one, other in both if one != other), "one more step")
        raise MedbundlesError(f"prepared otherwise: {'; '.join(lines)}; {differing}")
    there = {name: dict(ids(config)) for name, config in configs.items()}
    kept = [*configs["train"].get("trained", {}).values()]
    wanted = _referred(steps["train"], there["train"]) | _referred(kept, {})
    other = []
    for name in sorted(wanted & there["train"].keys() & there["inference"].keys()):
        one, two = (_value(bundle, file, there[file][name], name) for file in COMPLETE)
        if one != two and AUTO not in (one, two):
            other.append(f"{name}: {one!r} in train.json, {two!r} in inference.json")
    if other:
        raise MedbundlesError(first_few(other, 4))
    return ", ".join(map(_name, steps["train"])) or "nothing but reading"


def _steps(config: dict[str, Any], reference: str) -> list[dict[str, Any]]:
    """The transforms behind a reference, without reading and what is random."""
    value = _follow(config, reference)
    entries = value.get("transforms", [value]) if isinstance(value, dict) else value if isinstance(value, list) else []
    steps = [_follow(config, entry) for entry in (_follow(config, entries) or [])]
    kept = [step for step in steps if isinstance(step, dict) and not _reads(step) and not _is_random(step)]
    return [{key: entry for key, entry in step.items() if key not in OF_LABELS} for step in kept]


def _follow(config: dict[str, Any], value: Any) -> Any:
    """What a plain reference stands for; None: there is nothing."""
    for _ in range(8):  # references to references; a circle is MONAI's to refuse
        if not (isinstance(value, str) and value.startswith("@")):
            break
        value = dict(ids(config)).get(value[1:].replace("::", "#"))
    return value


def _value(bundle: Opened, file: str, value: Any, name: str) -> Any:
    """What a setting is; of groups, and of what may not be worked out, nothing is known."""
    if isinstance(value, dict):
        return AUTO
    if not is_reference(value):
        return value
    try:
        bundle.may_be_built()
    except Skipped:
        return AUTO
    parser = ConfigParser(bundle.config(file))
    parser["bundle_root"] = str(bundle.folder)
    with plain_errors():
        return parser.get_parsed_content(name)


def _name(step: dict[str, Any]) -> str:
    return str(step.get("_target_", "?")).rpartition(".")[2]


def _reads(step: dict[str, Any]) -> bool:
    return _name(step).startswith("Load") or "load" in step


def _is_random(step: dict[str, Any]) -> bool:
    return _name(step).startswith("Rand")


def _referred(values: Any, config: dict[str, Any]) -> set[str]:
    """Ids that values refer to, and in turn those that these refer to where `config` (id -> value) has them."""
    found: set[str] = set()
    rest = [value for _, value in ids(values)]
    while rest:
        value = rest.pop()
        names = ReferenceResolver.match_refs_pattern(value) if isinstance(value, str) else ()
        new = {name.replace("::", "#") for name in names} - found
        found |= new
        rest += [config[name] for name in new if name in config]
    return found
