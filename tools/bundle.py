"""A bundle seen from outside: its folder, its settings, and its parts built in this process."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from medbundles.errors import ConfigError, MedbundlesError, nearest
from medbundles.preflight.schema import called, read_settings
from medbundles.preflight.workflow import meant_ids

BUNDLES = Path(__file__).resolve().parents[1] / "bundles"
PATHS = {"dataset_dir", "output_dir", "cache_dir", "checkpoint", "init_from", "resume_from"}


def bundle_folder(bundle: str | Path) -> Path:
    """The folder of a bundle, given by its name in bundles/ or by its path.

    Raises:
        ConfigError: there is no such bundle.
    """
    for folder in (Path(bundle), BUNDLES / bundle):
        if (folder / "configs" / "schema.json").is_file():
            return folder.resolve()
    names = sorted(path.parents[1].name for path in BUNDLES.glob("*/configs/schema.json"))
    near = nearest(bundle, names)
    hint = f"; did you mean {near!r}?" if near else ""
    raise ConfigError(f"{bundle}: is no bundle's folder or name{hint}; there are: {', '.join(names)}")


def check_settings(folder: Path, settings: Mapping[str, Any], reserved: Mapping[str, str] | None = None) -> None:
    """Refuse what is no setting of the bundle.

    Args:
        folder: the bundle.
        settings: id -> value.
        reserved: settings that the caller sets itself, with the reason.

    Raises:
        ConfigError: a line for each that is unknown or reserved.
    """
    every = read_settings(folder / "configs" / "schema.json")
    known, lines = [setting.id for setting in every], []
    for name in settings:
        if name in (reserved or {}):
            lines.append(f"--{name}: {(reserved or {})[name]}")
        elif name not in known:
            meant = " or ".join(f"--{k}" for k in meant_ids(name, known, called(every)))
            lines.append(f"unknown setting --{name}" + (f"; did you mean {meant}?" if meant else ""))
    if lines:
        raise ConfigError("\n".join([*lines, f"'python -m tools settings {folder.name}' shows all settings."]))


def absolute_paths(folder: Path, settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings with paths made absolute, because a bundle runs in its own folder."""
    paths = PATHS | {k.id for k in read_settings(folder / "configs" / "schema.json") if "path" in k.schema}
    return {name: _absolute(value) if name in paths else value for name, value in settings.items()}


def _absolute(value: Any) -> Any:
    if isinstance(value, list):
        return [_absolute(entry) for entry in value]
    is_path = isinstance(value, str) and not value.startswith(("$", "@", "%"))
    return str(Path(value).resolve()) if is_path else value


def read_config(folder: Path, name: str) -> dict[str, Any]:
    """A config file of a bundle, parsed and not evaluated.

    Raises:
        ConfigError: missing or broken.
    """
    path = folder / "configs" / f"{name}.json"
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from error


def build(folder: Path, files: Sequence[str], kind: str | None, settings: Mapping[str, Any]) -> Any:
    """The parser of a bundle's merged configs, checked by the preflight; nothing but its `initialize` was run.

    Args:
        folder: the bundle.
        files: names of its config files, merged in this order.
        kind: what the preflight checks for: "train", "evaluate", "inference" or "find_lr"; None: nothing is checked.
        settings: id -> value.

    Returns:
        A `monai.bundle.ConfigParser`: `get_parsed_content("train#trainer")` builds the trainer with all it needs.

    Raises:
        MedbundlesError: what the preflight refuses.
    """
    from monai.bundle import ConfigWorkflow

    for name in files:
        read_config(folder, name)
    paths = [str(folder / "configs" / f"{name}.json") for name in files]
    check = [{"_target_": "medbundles.preflight.Preflight", "workflow": kind}] if kind else []
    with plain_errors():
        workflow = ConfigWorkflow(paths, bundle_root=str(folder), run=check, **settings)
        workflow.initialize()
        workflow.run()
    return workflow.parser


@contextmanager
def plain_errors() -> Iterator[None]:
    """MONAI wraps whatever its components raise; what a user can mend comes out as its own message."""
    from medbundles.preflight.command_line import readable

    try:
        yield
    except MedbundlesError:
        raise
    except Exception as error:
        message = readable(error)
        if message is None:
            raise
        raise MedbundlesError(message) from error
