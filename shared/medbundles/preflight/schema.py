"""A bundle's configs/schema.json: what may be set, per id its type, range, help and source.

What several bundles share stands in settings.json beside this file; a bundle's schema points to it with `$ref`.
"""

import json
import math
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from medbundles.errors import ConfigError, letters, nearest
from medbundles.preflight.other_names import OTHER_NAMES

SHARED = Path(__file__).with_name("settings.json")
WORDS = {"true", "false", "null", "none"}


@dataclass(frozen=True)
class Setting:
    """One id that may be set.

    Args:
        id: the config id, groups separated by '#'.
        schema: its JSON Schema, references followed, and its `source` ([document, section, parameter]) if it has one.
            Beside the standard keywords it may hold `trained` (weights depend on it), `resume: "free"` (may change when
            a run is resumed), `workflows` (the only ones that use it), `path` (workflows that need the path, and the
            command that makes it), `metric` (a text is the name of a metric in the config's `validate#metrics`) and
            `memory` (a run's memory grows with it).
            A text may be empty only where there is a `minLength`.
    """

    id: str
    schema: dict[str, Any] = field(repr=False)

    @property
    def key(self) -> str:
        """The id as MONAI's parser takes it."""
        return self.id.replace("#", "::")

    @property
    def names(self) -> list[Any]:
        """The texts that are allowed, when only some are ("none" is one for `cache`)."""
        return [name for option in self.schema.get("anyOf", [self.schema]) for name in option.get("enum", [])]

    def allowed(self) -> str:
        """What is allowed, in words."""
        return " or ".join(_in_words(option) for option in self.schema.get("anyOf", [self.schema]))


LIMITS = {"minimum": "at least", "exclusiveMinimum": "above", "maximum": "at most", "exclusiveMaximum": "below"}
KINDS = {"boolean": "True or False", "null": "'$None'", "string": "text", "array": "list"}


def _in_words(schema: dict[str, Any]) -> str:
    if "enum" in schema:
        return "one of " + ", ".join(map(repr, schema["enum"]))
    if "const" in schema:
        return repr(schema["const"])
    kind = schema.get("type", "anything")
    if isinstance(kind, list):
        kind = " or ".join(kind)
    kind = KINDS.get(kind, kind)
    limits = [f"{word} {schema[key]}" for key, word in LIMITS.items() if key in schema]
    if kind == "list" and "items" in schema:
        kind += f" of {_in_words(schema['items'])}"
    if "minItems" in schema and schema.get("minItems") == schema.get("maxItems"):
        limits.append(f"{schema['minItems']} entries")
    elif "minItems" in schema:
        limits.append(f"at least {schema['minItems']} entries" if schema["minItems"] > 1 else "not empty")
    if schema.get("uniqueItems"):
        limits.append("none twice")
    return " ".join([kind, " and ".join(limits)]).strip()


def read_settings(path: str | Path) -> list[Setting]:
    """All settings of a schema file, in its order, with what it refers to in settings.json.

    The file's `sources` say which parameters of a specification its settings are. Each row is [document, section,
    settings ...]; a setting is the parameter of its own name, unless the row has [setting, parameter]. A group stands
    for all of its settings, {group: [settings ...]} for some of them.

    Raises:
        ConfigError: the file is missing or broken, or refers to what does not exist.
    """
    from referencing import Registry
    from referencing.exceptions import Unresolvable
    from referencing.jsonschema import DRAFT202012

    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
        files = {"": content, SHARED.name: json.loads(SHARED.read_text(encoding="utf-8"))}
        registry = Registry().with_resources((name, DRAFT202012.create_resource(file)) for name, file in files.items())
        sources = {
            name: (*place, parameter)
            for *place, entries in ((*row[:2], row[2:]) for row in content.get("sources", []))
            for name, parameter in _parameters(entries)
        }
        return list(_walk(_resolved(content, registry.resolver())["properties"], sources))
    except (OSError, ValueError, Unresolvable) as error:
        raise ConfigError(f"{path}: cannot be read as the bundle's schema: {error}.") from error


def called(settings: Sequence[Setting]) -> dict[str, list[str]]:
    """What people call settings, by its letters -> their ids: the last part of the id, the source's parameter, and what
    others call it.

    So "minepochs" -> ["early_stopping#min_epochs"], and "learningrate" -> ["lr"].
    """
    found: dict[str, list[str]] = {}
    for setting in settings:
        others = OTHER_NAMES.get(setting.id, "").split()
        names = (setting.id.rpartition("#")[2], *setting.schema.get("source", ())[2:], *others)
        for name in {letters(name) for name in names}:
            found.setdefault(name, []).append(setting.id)
    return found


def _resolved(schema: Any, resolver: Any) -> Any:
    """A schema with what its references mean in their place; what stands beside a `$ref` is added to that."""
    if isinstance(schema, list):
        return [_resolved(entry, resolver) for entry in schema]
    if not isinstance(schema, dict):
        return schema
    here = {key: _resolved(value, resolver) for key, value in schema.items() if key not in ("$ref", "$defs")}
    if "$ref" not in schema:
        return here
    found = resolver.lookup(schema["$ref"])
    there = _resolved(found.contents, found.resolver)
    path = {"path": {**there["path"], **here["path"]}} if "path" in there and "path" in here else {}
    return {**there, **here, **path}


def _parameters(entries: Sequence[Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """(setting or group, its parameter) of a row's entries."""
    for entry in entries:
        if isinstance(entry, dict):
            for group, inner in entry.items():
                if isinstance(inner, str):
                    raise ValueError(f"sources: a setting and its parameter are a pair, [{group!r}, {inner!r}]")
                yield from _parameters(inner, f"{prefix}{group}#")
        else:
            setting, parameter = (entry, entry) if isinstance(entry, str) else entry
            yield prefix + setting, parameter


def _walk(properties: dict[str, Any], sources: dict[str, tuple[str, ...]], prefix: str = "") -> Iterator[Setting]:
    for name, schema in properties.items():
        id_ = prefix + name
        if "properties" in schema:
            yield from _walk(schema["properties"], sources, f"{id_}#")
        elif id_ in sources:
            yield Setting(id_, {**schema, "source": [*sources[id_]]})
        elif prefix[:-1] in sources:
            yield Setting(id_, {**schema, "source": [*sources[prefix[:-1]][:2], name]})
        else:
            yield Setting(id_, schema)


def metric_names(config: dict[str, Any]) -> list[str]:
    """What the validation of a config measures that may be followed: all metrics but the chosen thresholds."""
    return [name for name in config.get("validate", {}).get("metrics", {}) if not name.endswith("_threshold")]


def check_value(setting: Setting, value: Any) -> str | None:
    """What is wrong with a resolved value, in one line, or None."""
    if isinstance(value, str) and value.lower() in WORDS and value not in setting.names:
        is_flag = value.lower() in ("true", "false")
        capital = f"Write {value.capitalize()} with a capital: --{setting.id} {value.capitalize()}."
        return f"{setting.id}: {value!r} is text. {capital if is_flag else off_advice(setting)}"
    if isinstance(value, str) and "::" in value:
        return (
            f"{setting.id}: {value!r} is what MONAI makes of a text with '#'. "
            "A '#' cannot be passed: rename the file or folder."
        )
    if _is_empty(value) and "minLength" not in setting.schema:
        return f"{setting.id}: a text is empty; allowed: {setting.allowed()}. ({setting.schema['description']})"
    if not _validator(setting.schema).is_valid(value):
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if is_number and _validator(setting.schema).is_valid(str(value)):
            return f"{setting.id}: {value!r} is a number, text is meant: write --{setting.id} \"'{value}'\"."
        allowed = f"allowed: {setting.allowed()}. ({setting.schema['description']})"
        return f"{setting.id}: {value!r} is not allowed; {allowed}{_meant(setting, value)}"
    return None


def _meant(setting: Setting, value: Any) -> str:
    """What a text was meant to be, where that can be guessed: a number in quotes, or a name in another spelling."""
    if not isinstance(value, str):
        return ""
    with suppress(ValueError):
        number = json.loads(value)
        if _validator(setting.schema).is_valid(number):
            return f" Did you mean {number}? Write it without quotes."
    near = nearest(value, setting.names)
    return f" Did you mean {near!r}?" if near else ""


def _is_empty(value: Any) -> bool:
    """Whether it is a text without a sign, or a list with one: taken for "not given", it would be silently ignored."""
    if isinstance(value, str):
        return not value.strip()
    return isinstance(value, (list, tuple)) and any(map(_is_empty, value))


def off_advice(setting: Setting) -> str:
    """How this setting is switched off on the command line."""
    offs = ((False, "To switch it off write", "False"), (0, "To switch it off write", "0"))
    for value, what, text in (*offs, (None, "To leave it empty write", "'$None'")):
        if _validator(setting.schema).is_valid(value):
            return f"{what} --{setting.id} {text}."
    return f"It cannot be switched off; allowed: {setting.allowed()}."


def _is_number(checker: Any, value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _validator(schema: dict[str, Any]) -> Any:
    return _validator_class()(schema)


@cache
def _validator_class() -> Any:
    """A validator for Python values: tuples are lists, NaN is no number, 2.0 is no integer."""
    from jsonschema import Draft202012Validator, validators

    checker = Draft202012Validator.TYPE_CHECKER.redefine_many(
        {
            "number": _is_number,
            "integer": lambda checker, value: isinstance(value, int) and not isinstance(value, bool),
            "array": lambda checker, value: isinstance(value, (list, tuple)),
        }
    )
    return validators.extend(Draft202012Validator, type_checker=checker)
