"""configs/metadata.json: MONAI's schema of it, its version and what it says of hosts."""

import json
from pathlib import Path
from typing import Any

from medbundles.errors import MedbundlesError, first_few

from .opened import Opened
from .outcome import Skipped

SCHEMA = Path(__file__).with_name("meta_schema.json")


def version(bundle: Opened) -> str:
    """The version stands in the changelog."""
    metadata = bundle.metadata
    missing = [key for key in ("version", "changelog") if not metadata.get(key)]
    if missing:
        raise MedbundlesError(f"configs/metadata.json: lacks {' and '.join(missing)}")
    here, changes = metadata["version"], metadata["changelog"]
    if not isinstance(changes, dict) or here not in changes:
        there = ", ".join(changes) if isinstance(changes, dict) else "no versions with what changed"
        raise MedbundlesError(f"configs/metadata.json: version {here} is missing in its changelog, which has {there}")
    return f"{here}, {changes[here]!r}; the zoo also refuses a version that it has already"


def format_of_metadata(bundle: Opened) -> str:
    """Whether it is as MONAI's schema asks."""
    from jsonschema import Draft201909Validator

    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    url = str(bundle.metadata.get("schema", ""))
    if not url:
        raise MedbundlesError("configs/metadata.json: lacks schema, the address of the schema that it follows")
    name = url.rpartition("/")[2]
    if name != schema["title"]:
        raise Skipped(f"it follows {name}; known here is {schema['title']}")
    found = Draft201909Validator(schema).iter_errors(bundle.metadata)
    errors = sorted(found, key=lambda error: [*map(str, error.path)])
    if errors:
        lines = [": ".join(["#".join(map(str, error.path)) or "(top)", _reason(error)]) for error in errors]
        raise MedbundlesError(f"configs/metadata.json: {first_few(lines, 4)}")
    return f"as {name} asks"


def _reason(error: Any) -> str:
    """Of alternatives the one that a tensor was meant to be says most."""
    inner = [part for part in error.context or () if error.instance is not None and isinstance(error.instance, dict)]
    meant = [part.message for part in inner if part.validator != "type" or part.path]
    return ", ".join(meant) or error.message


def supported_apps(bundle: Opened) -> str:
    """The applications that it names: what each asks for is known to the zoo alone."""
    apps = bundle.metadata.get("supported_apps")
    if apps is None:
        raise Skipped("metadata.json has no supported_apps; the zoo then checks none")
    if not isinstance(apps, dict) or not all(isinstance(number, str) and number for number in apps.values()):
        raise MedbundlesError(f"supported_apps: must be names with the versions as text, not {apps!r}")
    if apps:
        names = ", ".join(f"{name} {number}" for name, number in apps.items())
        raise Skipped(f"what {names} asks for lies with the zoo; MONAI's own properties are checked below")
    return "names none"
