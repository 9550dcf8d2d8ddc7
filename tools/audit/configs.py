"""The values of a JSON or YAML config, read without evaluating anything."""

import json
import re
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from ..audit.expressions import RELATIVE, problems, shown
from ..audit.names import BY_NAME, by_name_problem, target_problem, text_problem
from ..audit.paths import is_address, leaves

CONFIGS = (".json", ".yaml", ".yml")
MACRO_FILE = re.compile(r"(.*\.(?:json|yaml|yml))(?=::|#|$)", re.IGNORECASE | re.DOTALL)
OPENS_PICKLES = {"weights_only": False, "allow_pickle": True}
FREE_TEXT = {"_desc_", "description", "help", "notes"}
LISTED_ELSEWHERE = {"metadata.json", "large_files.yml", "large_files.yaml", "schema.json"}  # may name addresses
DEEPEST = 60

Findings = Iterator[tuple[str, str, str]]


class Pairs(list):
    """A dict as it is written: its keys may stand twice, of which MONAI takes the last."""


def read_config(name: str, content: bytes) -> Any:
    """The content of a file, with Pairs for dicts.

    Raises:
        ValueError: it cannot be read.
    """
    try:
        text = content.decode("utf-8")
        return json.loads(text, object_pairs_hook=Pairs) if name.lower().endswith(".json") else _yaml(text)
    except RecursionError as error:
        raise ValueError("is nested too deeply") from error


def config_problems(name: str, content: bytes) -> Findings:
    """The id, the rule and what was found, for everything in a config that is not plain.

    Args:
        name: the path inside the bundle.
        content: of the file.
    """
    try:
        value = read_config(name, content)
    except ValueError as error:
        yield "", "unreadable", f"cannot be read: {error}"
        return
    file = name.replace("\\", "/").rpartition("/")[2]
    yield from _walk(value, [], file in LISTED_ELSEWHERE, set())


def _walk(value: Any, keys: list[str], may_name_addresses: bool, read: set[int]) -> Findings:
    """What is not plain in a value; lists and dicts that YAML's aliases repeat are read once."""
    where = "#".join(keys)
    if len(keys) > DEEPEST:
        yield where, "unreadable", "is nested too deeply"
    elif isinstance(value, list) and id(value) not in read:
        entries = value if isinstance(value, Pairs) else [(str(index), entry) for index, entry in enumerate(value)]
        read.add(id(value))
        seen: set[str] = set()
        for key, entry in entries:
            inner = [*keys, key]
            if isinstance(value, Pairs):
                yield from _key(key, "#".join(inner), seen)
                yield from _value_of(re.split("#|::", key)[-1].lstrip("+~"), entry, "#".join(inner))
            yield from _walk(entry, inner, may_name_addresses, read)
    elif isinstance(value, str):
        yield from _text(value, where, keys, may_name_addresses)


def _key(key: str, where: str, seen: set[str]) -> Findings:
    if key in seen:
        yield where, "unreadable", "stands twice, and MONAI takes the last"
    seen.add(key)
    if key.startswith(("$", "@", "%")) and key not in ("$schema", "$ref", "$defs", "$id", "$comment"):
        yield where, "expression", f"the key {shown(key)} looks like an expression"


def _value_of(key: str, value: Any, where: str) -> Findings:
    """What some keys ask of their value."""
    if key == "_target_":
        is_component = isinstance(value, Pairs) and any(inner == "_target_" for inner, _ in value)
        if is_component or (isinstance(value, str) and value.startswith(("$", "@", "%"))):
            yield where, "reference", "which component is built is not written out"
        elif isinstance(value, str) and (problem := target_problem(value)):
            yield where, "target", problem
    elif key == "_mode_" and value not in ("default", "callable"):
        yield where, "target", f"_mode_ {value!r} starts a debugger, or is unknown"
    elif key in BY_NAME and isinstance(value, str) and (problem := by_name_problem(value)):
        yield where, "reference" if value[:1] in ("@", "$", "%") else "target", f"{key}: {problem}"
    elif key in OPENS_PICKLES and value != (not OPENS_PICKLES[key]):
        yield where, "pickle", f"{key} {value!r} lets files run code"


def _text(value: str, where: str, keys: list[str], may_name_addresses: bool) -> Findings:
    if value.startswith("$"):
        for rule, what in problems(value):
            yield where, rule, what
    if value.startswith("%"):
        file = MACRO_FILE.match(value[1:])
        if file and leaves(file[1]):
            yield where, "path", f"{shown(value)} takes values from outside the bundle"
        return
    if RELATIVE.search(value.replace("#", "::")) and not all(re.fullmatch(r"[\w.\-]*", key) for key in keys):
        yield (
            where,
            "reference",
            f"{shown(value)} is relative to an id that is no plain name, which MONAI makes code of",
        )
    if value.startswith("$") or keys[-1:] == ["_target_"]:
        return
    if problem := text_problem(value):
        yield where, "reference", problem
    if may_name_addresses or (keys and keys[-1] in FREE_TEXT):
        return
    if is_address(value):
        yield where, "url", f"{shown(value)} is an address"
    elif leaves(value):
        yield where, "path", f"{shown(value)} leaves the bundle"


def _yaml(text: str) -> Any:
    try:
        import yaml
    except ImportError as error:
        with suppress(ValueError):
            return json.loads(text, object_pairs_hook=Pairs)  # any JSON is YAML
        raise ValueError("it needs PyYAML: pip install pyyaml") from error
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except (yaml.YAMLError, RecursionError) as error:
        raise ValueError(" ".join(str(error).split())) from error
    return _plain(node, {}, yaml) if node is not None else None


def _plain(node: Any, known: dict[int, Any], yaml: Any) -> Any:
    """Lists, Pairs and scalars of a YAML tree; an alias gives the object that it stands for."""
    if id(node) in known:
        return known[id(node)]
    if not node.tag.startswith("tag:yaml.org,2002:") or "python" in node.tag:
        raise ValueError(f"the tag {node.tag} makes an object")
    if isinstance(node, yaml.MappingNode):
        made: Any = known.setdefault(id(node), Pairs())
        made += [(str(key.value), _plain(entry, known, yaml)) for key, entry in node.value]
    elif isinstance(node, yaml.SequenceNode):
        made = known.setdefault(id(node), [])
        made += [_plain(entry, known, yaml) for entry in node.value]
    elif node.tag == "tag:yaml.org,2002:bool":
        made = node.value.lower() in ("true", "yes", "on")
    else:
        made = str(node.value)
    return made
