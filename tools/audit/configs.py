"""The values of JSON and YAML configs, read without evaluating anything."""

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

from .expressions import Grammar
from .finding import Finding, shown
from .names import BY_NAME, by_name_problem, target_problem, text_problem
from .paths import is_address, leaves
from .syntax import RELATIVE, parsed

CONFIGS = (".json", ".yaml", ".yml")
MACRO_FILE = re.compile(r"(.*\.(?:json|yaml|yml)(?=(?:::.*)|$))", re.IGNORECASE)  # MONAI's own, found anywhere
OF_SCHEMA = {"$schema", "$ref", "$defs", "$id", "$comment"}
OF_MONAI = {"_target_", "_mode_", "_requires_", "_disabled_", "_desc_", "_meta_"}
OPENS_PICKLES = {"weights_only": False, "allow_pickle": True}
FETCHES = {"pretrained", "download", "progress_download", "enable_download"}  # switches of classes that fetch weights
SENDS = "medbundles.handlers.WandB"  # ours that sends something, when it is enabled
MAY_NAME_ADDRESSES = {  # which no config may refer to
    f"{folder}{name}" for folder in ("", "configs/") for name in ("metadata.json", "schema.json")
} | {f"{folder}large_files.{end}" for folder in ("", "configs/") for end in ("yml", "yaml", "json")}
DEEPEST, LONGEST_KEY = 60, 200

Problems = Iterator[tuple[str, str, str]]


class Pairs(list):
    """A dict as it is written: its keys may stand twice, of which MONAI takes the last."""


class Configs:
    """All configs of a bundle, judged together, because a value of one may be referred to in another.

    Args:
        contents: path inside the bundle -> the bytes of the file.
    """

    def __init__(self, contents: Mapping[str, bytes]):
        self.read: dict[str, Any] = {}
        self.broken: dict[str, str] = {}
        self.values: dict[str, list[object]] = {}
        modules: set[str] = set()
        for name, content in contents.items():
            try:
                self.read[name] = read_config(name, content)
            except ValueError as error:
                self.broken[name] = f"cannot be read: {error}"
                continue
            for keys, value in _scalars(self.read[name], ()):
                place = id_of(keys)
                self.values.setdefault(place, []).append(value)
                if isinstance(value, str) and value.startswith("$") and _is_import(value):
                    modules.add(place)
        self.grammar = Grammar(self.values, modules)

    def findings(self, most: int = 200) -> Iterator[Finding]:
        """What is found in each file; no more than `most` of one."""
        for name, what in self.broken.items():
            yield Finding(name, "", "unreadable", what)
        for name, value in self.read.items():
            inner = name.rpartition("!")[2]
            within = inner.partition("/")[2]  # of a zip, whose first folder is the bundle's
            addresses = inner in MAY_NAME_ADDRESSES or within in MAY_NAME_ADDRESSES
            for number, (where, rule, what) in enumerate(self._walk(value, (), addresses, False)):
                if number == most:
                    yield Finding(name, "", "unreadable", f"more than {most} findings; the others are not listed")
                    break
                yield Finding(name, where.replace("::", "#"), rule, what)

    def _walk(self, value: Any, keys: tuple[str, ...], addresses: bool, by_name: bool) -> Problems:
        """What is not plain in a value."""
        if len(keys) > DEEPEST:
            yield id_of(keys), "unreadable", "is nested too deeply"
        elif isinstance(value, list):
            yield from self._entries(value, keys, addresses, by_name)
        elif isinstance(value, str):
            for rule, what in self._text(value, keys, addresses, by_name):
                yield id_of(keys), rule, what

    def _entries(self, value: list[Any], keys: tuple[str, ...], addresses: bool, by_name: bool) -> Problems:
        seen: set[str] = set()
        target = dict(value).get("_target_") if isinstance(value, Pairs) else None
        is_component = target is not None
        if target == SENDS and dict(value).get("enabled") not in (False, "@wandb#enabled"):
            yield id_of(keys), "url", f"{SENDS} sends what a run shows"
        entries = value if isinstance(value, Pairs) else [(str(index), entry) for index, entry in enumerate(value)]
        for key, entry in entries:
            if len(key) > LONGEST_KEY:
                yield id_of(keys), "unreadable", f"holds a key of {len(key)} signs"
                return
            inner = (*keys, key)
            if isinstance(value, Pairs):
                for rule, what in self._key(key, seen):
                    yield id_of(inner), rule, what
                for rule, what in self._value_of(_parts(key)[-1], entry, inner):
                    yield id_of(inner), rule, what
            looked_up = not BY_NAME.isdisjoint(_parts(key)) or (by_name and not is_component)
            yield from self._walk(entry, inner, addresses, looked_up)

    def _key(self, key: str, seen: set[str]) -> Iterator[tuple[str, str]]:
        if key in seen:
            yield "unreadable", "stands twice, and MONAI takes the last"
        seen.add(key)
        if key.startswith(("$", "@", "%")) and key not in OF_SCHEMA:
            yield "expression", f"the key {shown(key)} looks like an expression"
        if re.fullmatch(r"_[a-z]+_", last := _parts(key)[-1]) and last not in OF_MONAI:
            yield "target", f"{last} is no key of MONAI's that is known to be harmless"
        if key == "()":
            yield "target", "the key () names what logging builds"

    def _value_of(self, key: str, value: Any, keys: tuple[str, ...]) -> Iterator[tuple[str, str]]:
        """What some keys ask of their value."""
        if key == "_target_":
            is_component = isinstance(value, Pairs) and any(inner == "_target_" for inner, _ in value)
            if is_component or (isinstance(value, str) and value.startswith(("$", "@", "%"))):
                yield "reference", "which component is built is not written out"
            elif isinstance(value, str) and (problem := target_problem(value)):
                yield "target", problem
        elif key == "_mode_" and value not in ("default", "callable"):
            yield "target", f"_mode_ {value!r} starts a debugger, or is unknown"
        elif key in OPENS_PICKLES and value != (not OPENS_PICKLES[key]):
            yield "pickle", f"{key} {value!r} lets files run code"
        elif (key in FETCHES or id_of(keys).endswith("wandb::enabled")) and value and not isinstance(value, list):
            yield "url", f"{key} {shown(str(value))} fetches or sends something"

    def _text(self, value: str, keys: tuple[str, ...], addresses: bool, by_name: bool) -> Iterator[tuple[str, str]]:
        if RELATIVE.search(value.replace("#", "::")) and not _are_plain(keys):
            yield "reference", f"{shown(value)} is relative to an id that is no plain name, which MONAI makes code of"
        if by_name and (problem := by_name_problem(value)):
            yield "reference" if value[:1] in ("@", "$", "%") else "target", f"{shown(value)}: {problem}"
        if value.startswith("%"):
            yield from self._macro(value)
        elif value.startswith("$"):
            yield from self.grammar.problems(value)
        elif value.startswith("@") and (problem := self.grammar.reference_problem(value[1:].replace("#", "::"))):
            yield "reference", problem
        elif keys and _parts(keys[-1])[-1] != "_target_":
            if problem := text_problem(value):
                yield "reference", problem
            if leaves(value):
                yield "path", f"{shown(value)} leaves the bundle"
            elif is_address(value) and not addresses:
                yield "url", f"{shown(value)} is an address"

    def _macro(self, value: str) -> Iterator[tuple[str, str]]:
        """A value from another place of a config, or from another file."""
        file = MACRO_FILE.search(value[1:].replace("#", "::"))
        if (
            not value.isprintable()
            or RELATIVE.search(value.replace("#", "::")[1:])
            or re.search(r"%[#:].*[/\\]", value)
        ):
            yield "path", f"{shown(value)} is no plain file and id"
        elif file and leaves(file[1]):
            yield "path", f"{shown(value)} takes values from outside the bundle"
        elif file and file[1].rpartition("/")[2] in ("metadata.json", "schema.json"):
            yield "reference", f"{shown(value)} takes values of a file that may name addresses"


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


def id_of(keys: tuple[str, ...]) -> str:
    """The id as MONAI writes it."""
    return "::".join(key.replace("#", "::").lstrip("+~") for key in keys)


def _parts(key: str) -> list[str]:
    """The names in a key, which may be an id."""
    return [part.lstrip("+~") for part in re.split("#|::", key)]


def _are_plain(keys: tuple[str, ...]) -> bool:
    return all(re.fullmatch(r"[+~]?\w*((#|::)\w+)*", key, re.ASCII) for key in keys)


def _is_import(value: str) -> bool:
    node, _ = parsed(value)
    return type(node).__name__ in ("Import", "ImportFrom")


def _scalars(value: Any, keys: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every value that is no list or dict, with its keys; what is nested too deeply is left out, and told elsewhere."""
    if not isinstance(value, list):
        yield keys, value
    elif len(keys) <= DEEPEST:
        for key, entry in value if isinstance(value, Pairs) else enumerate(value):
            yield from _scalars(entry, (*keys, str(key)[: LONGEST_KEY + 1]))


def _yaml(text: str) -> Any:
    try:
        import yaml
    except ImportError as error:
        with suppress(ValueError):
            return json.loads(text, object_pairs_hook=Pairs)  # any JSON is YAML
        raise ValueError('it needs PyYAML: pip install "medbundles[yaml]"') from error
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except (yaml.YAMLError, RecursionError) as error:
        raise ValueError(" ".join(str(error).split())) from error
    return _plain(node, set(), yaml) if node is not None else None


def _plain(node: Any, known: set[int], yaml: Any) -> Any:
    """Lists, Pairs and scalars of a YAML tree.

    Raises:
        ValueError: it holds an alias, with which a small file means a large one, or a tag that makes an object.
    """
    if id(node) in known:
        raise ValueError(f"line {node.start_mark.line + 1} is repeated by an alias; write it out")
    known.add(id(node))
    if not node.tag.startswith("tag:yaml.org,2002:") or "python" in node.tag:
        raise ValueError(f"the tag {node.tag} makes an object")
    if isinstance(node, yaml.MappingNode):
        return Pairs((str(key.value), _plain(entry, known, yaml)) for key, entry in node.value)
    if isinstance(node, yaml.SequenceNode):
        return [_plain(entry, known, yaml) for entry in node.value]
    if node.tag == "tag:yaml.org,2002:bool":
        return node.value.lower() in ("true", "yes", "on")
    return None if node.tag == "tag:yaml.org,2002:null" else str(node.value)
