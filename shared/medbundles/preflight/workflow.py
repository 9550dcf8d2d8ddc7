"""Finds the running MONAI workflow, and knows which ids a bundle's own config files have."""

import functools
import inspect
import json
import traceback
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from pydoc import locate
from typing import Any

from monai.bundle import ComponentLocator, ConfigComponent, ConfigWorkflow, ReferenceResolver

from medbundles.errors import SMALLEST_PART, ConfigError, first_few, letters, nearest

# ids that MONAI's tracking and federated client add, what it keeps in the parser itself, and `given_lists`
HOST_IDS = {"_meta_", "run_name", "experiment_name", "tracking_uri", "save_execute_config", "is_not_rank0"}
HOST_IDS |= {"given", "data#given"}
MONAIS = ConfigComponent.non_arg_keys - {"_target_"}  # what MONAI itself reads of a component
ALIKE = 0.77  # see `nearest`: less, and short names of other things are taken for each other
MOST_MEANT = 3  # ids that one unknown id may have been meant to be
Called = Mapping[str, list[str]]  # see medbundles.preflight.schema.called
NO_SETTINGS: Called = {}
NEVER_GIVEN = {"validate#dataset#augmentation"}  # what is measured are the images themselves


def running_workflow() -> ConfigWorkflow:
    """The workflow whose `run` list is being executed.

    An item of `run` is built from its own entry alone; the workflow that builds it is further up the call stack.

    Raises:
        RuntimeError: called from anywhere else.
    """
    for frame, _ in traceback.walk_stack(None):
        caller = frame.f_locals.get("self")
        if isinstance(caller, ConfigWorkflow):
            return caller
    raise RuntimeError("the preflight is an item of a bundle's `run` list and cannot be built outside it")


def bundle_configs(workflow: ConfigWorkflow) -> Path:
    """The configs folder of the bundle that runs.

    Raises:
        ConfigError: bundle_root is not a bundle's folder.
    """
    root = Path(str(workflow.parser.get_parsed_content("bundle_root")))
    folder = root / "configs"
    if not (folder / "schema.json").is_file():
        raise ConfigError(
            f"bundle_root: {root.resolve()} is not a bundle's folder (no configs/schema.json). "
            "Run from the bundle's folder, or pass --bundle_root FOLDER."
        )
    return folder


def ids(config: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """All ids of a config with their values, parents first, groups separated by '#'; list items by number."""
    groups = dict(enumerate(config)) if isinstance(config, list) else config
    for key, value in groups.items() if isinstance(groups, dict) else ():
        name = prefix + str(key).removeprefix("+").replace("::", "#")
        yield name, value
        yield from ids(value, name + "#")


def is_reference(value: Any) -> bool:
    """Whether a value of a config is a reference or an expression, which MONAI works out."""
    return isinstance(value, str) and value.startswith(("@", "$"))


def known_ids(folder: Path) -> dict[str, list[Any]]:
    """Every id in the bundle's own config files, with the values it has there."""
    known: dict[str, list[Any]] = {}
    for path in sorted(folder.glob("*.json")):
        if path.name in ("metadata.json", "schema.json"):
            continue
        for name, value in ids(json.loads(path.read_text(encoding="utf-8"))):
            parts = name.split("#")
            for end in range(1, len(parts)):  # a key "a#b" in an overlay names its parents too
                known.setdefault("#".join(parts[:end]), [])
            known.setdefault(name, []).append(value)
    return known


def unknown_ids(config: dict[str, Any], known: dict[str, list[Any]], settings: Called = NO_SETTINGS) -> list[str]:
    """One line for each id of the merged config that no file of the bundle has, with the nearest that it has.

    What settings are called (see `meant_ids`) tells it, too.

    Below the components that the bundle does not know any id may stand (see `foreign_components`), and a component may
    be given any argument that it has, and MONAI's own keys (`_disabled_`, `_mode_` ...). A plain value in the place of
    a group (`--wandb False`) gets a line, too.
    """
    lines, there, foreign = [], dict(ids(config)), foreign_components(config, known)
    free = foreign
    for name, value in there.items():
        group, _, argument = name.rpartition("#")
        is_foreign = f"{group}#" in foreign
        takes = _arguments(there.get(group)) if is_foreign or name not in known else frozenset()
        if is_foreign and takes and argument not in takes and not argument.startswith("_"):
            near = nearest(argument, takes)
            hint = f"; did you mean {near!r}?" if near else f"; it has: {', '.join(sorted(takes))}."
            lines.append(f"{group}: {there[group]['_target_']} has no argument {argument!r}{hint}")
        is_monais = argument in MONAIS and "_target_" in there[group]
        if is_monais or f"{name}#".startswith(free) or {name, name.split("#")[0]} & HOST_IDS:
            continue
        if name not in known and (name in NEVER_GIVEN or argument not in takes):
            lines.append(f"unknown id {name!r}{_nearest(name, [*known, *(f'{group}#{a}' for a in takes)], settings)}")
            free += (name + "#",)
        elif _replaces_group(value, known.get(name, [])):
            meant = next((k for k in known if k.startswith(f"{name}_") and "#" not in k), _member(name, known))
            lines.append(f"{name}: is a group of ids, not a value; give one of them, such as {meant}.")
    return lines


def foreign_components(config: dict[str, Any], known: dict[str, list[Any]]) -> tuple[str, ...]:
    """Prefixes of the ids of components that the bundle does not know: any id may stand below them.

    Their `_target_` was exchanged, or an overlay added them to a list, or to a group that has nothing but components
    (`validate#metrics#my_metric`).
    """
    free = tuple[str, ...]()
    for name, value in ids(config):
        if name.startswith(free):
            continue
        is_component = isinstance(value, dict) and _exchanged(name, value, known)
        group, _, leaf = name.rpartition("#")
        is_added = name not in known and (leaf.isdigit() or (is_component and _only_components(group, known)))
        if is_added or (is_component and name in known):
            free += (name + "#",)
    return free


def _arguments(component: Any) -> frozenset[str]:
    """The arguments that a component takes; empty of what is none, and where nothing can be said."""
    target = component.get("_target_") if isinstance(component, dict) else None
    return _parameters(target) if isinstance(target, str) else frozenset()


@functools.cache
def _parameters(target: str) -> frozenset[str]:
    made = ConfigComponent({"_target_": target}, locator=ComponentLocator()).resolve_module_name()
    built = made if callable(made) else locate(str(made))
    found: set[str] = set()
    # a class whose __init__ has **options takes the arguments of the one that it extends
    makers: tuple[Any, ...] = inspect.getmro(built)[:-1] if inspect.isclass(built) else (built,)
    for maker in makers if callable(built) else ():
        try:
            parameters = inspect.signature(maker).parameters
        except ValueError:  # of some that are written in C nothing is known
            break
        found |= set(parameters)
        if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
            return frozenset(found)
    return frozenset()


def _only_components(group: str, known: dict[str, list[Any]]) -> bool:
    members = [values for name, values in known.items() if group and name.rpartition("#")[0] == group]
    return bool(members) and all(isinstance(v, dict) and "_target_" in v for values in members for v in values)


def own_values(complete: Path) -> dict[str, Any]:
    """Every id in a complete config file, train.json or inference.json, with its value."""
    return dict(ids(json.loads(complete.read_text(encoding="utf-8"))))


def lost_ids(config: dict[str, Any], settings: Iterable[str], known: dict[str, list[Any]]) -> list[str]:
    """One line for each group that was replaced as a whole (`--wandb "{'project': 'p'}"`) and so has lost settings.

    A component whose `_target_` was exchanged needs none of them.
    """
    lost: dict[str, list[str]] = {}
    for setting in settings:
        value, name = config, ""
        for part in setting.split("#"):
            if not isinstance(value, dict) or (name and _exchanged(name, value, known)):
                break
            if part not in value:
                lost.setdefault(name, []).append(setting)
                break
            value, name = value[part], f"{name}#{part}".lstrip("#")
    return [
        f"{name}: was replaced as a whole and now lacks {first_few(missing, 4)}. "
        f"Give its ids one by one, as in --{missing[0]} VALUE."
        for name, missing in lost.items()
    ]


def dangling_references(config: dict[str, Any], known: dict[str, list[Any]]) -> list[str]:
    """One line for each id that is referred to and not there, such as an argument that another component lacks.

    The arguments of an exchanged component that `trained` alone refers to are told in one line, with the way out.
    """
    there = dict(ids(config))
    missing: dict[str, list[str]] = {}
    for name, value in there.items():
        for reference in ReferenceResolver.match_refs_pattern(value) if isinstance(value, str) else ():
            wanted = reference.replace("::", "#")
            if wanted not in there and not wanted.startswith("_meta_"):
                missing.setdefault(wanted, []).append(name)
    kept: dict[str, list[str]] = {}
    for wanted, names in list(missing.items()):
        group, _, argument = wanted.rpartition("#")
        component = there.get(group)
        if isinstance(component, dict) and _exchanged(group, component, known) and names == [f"trained#{wanted}"]:
            kept.setdefault(group, []).append(argument)
            del missing[wanted]
    return [
        f"{group}: {there[group]['_target_']} lacks arguments that are kept with the weights ({first_few(lacks, 3)}); "
        f'keep none of it: --trained#{group} "{{}}"'
        for group, lacks in kept.items()
    ] + [
        f"unknown id {wanted!r}, referred to by {first_few(names, 3)}; give it, or correct the name."
        for wanted, names in missing.items()
    ]


def idle_ids(config: dict[str, Any], foreign: Iterable[str], own: set[str], known: dict[str, list[Any]]) -> list[str]:
    """One line for each given setting that belongs to the bundle's other complete config: `--output` in a training.

    Nothing would use it. Values that a file of the bundle has may stand: an overlay may serve both.
    """
    given = dict(ids(config))
    tracked = {"output_dir"} if "is_not_rank0" in given else set()  # MONAI's tracking adds it
    return [
        f"{setting}: nothing would use it here{_nearest(setting, own)}"
        for setting in foreign
        if setting in given and setting not in tracked and given[setting] not in known[setting]
    ]


def _replaces_group(value: Any, there: list[Any]) -> bool:
    """Whether a plain value, as in `--wandb False`, stands for what is a group in all files; a reference may."""
    is_plain = not isinstance(value, dict) and not is_reference(value)
    return is_plain and bool(there) and all(isinstance(t, dict) for t in there)


def _member(name: str, known: Iterable[str]) -> str:
    members = [k for k in known if k.rpartition("#")[0] == name and not k.endswith("_target_")]
    return next((k for k in members if k.endswith("#enabled")), members[0] if members else name + "#_target_")


def _exchanged(name: str, value: dict[str, Any], known: dict[str, list[Any]]) -> bool:
    return "_target_" in value and value["_target_"] not in known.get(f"{name}#_target_", [])


def _nearest(name: str, known: Iterable[str], settings: Called = NO_SETTINGS) -> str:
    meant = " or ".join(map(repr, meant_ids(name, known, settings)))
    return f"; did you mean {meant}?" if meant else ""


def meant_ids(name: str, known: Iterable[str], settings: Called = NO_SETTINGS) -> list[str]:
    """Which known ids an unknown one was meant to be, the likeliest alone or a few that are equally so.

    First what is spelt with other signs (BatchSize), then settings that are called so (learning_rate, or patience
    without its group), then what is spelt almost so, in the same group before others; of what is in no group that the
    name gives, settings and their groups alone.

    Args:
        name: as it was given.
        known: ids that there are.
        settings: see `medbundles.preflight.schema.called`.
    """
    every = list(known)
    names = [k for k in every if not any(part.isdigit() or part.startswith("_") for part in k.split("#"))]
    parent, _, leaf = name.rpartition("#")
    alike = [k for k in names if letters(k) == letters(name)] or settings.get(letters(leaf), [])
    if alike:
        return alike[:MOST_MEANT]
    beside = {k.rpartition("#")[2]: k for k in every if parent and k.rpartition("#")[0] == parent}
    if settings:
        meant = {id_ for several in settings.values() for id_ in several}
        names = [k for k in names if k in meant or any(id_.startswith(f"{k}#") for id_ in meant)]
    leaves = {end: k for k in names if len(end := k.rpartition("#")[2]) > SMALLEST_PART}
    near = beside.get(nearest(leaf, beside)) or nearest(name, names, ALIKE) or leaves.get(nearest(leaf, leaves, ALIKE))
    return [near] if near else []
