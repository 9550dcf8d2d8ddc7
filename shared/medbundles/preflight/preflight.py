"""The first item of every `run` list: refuses what cannot work before anything is built."""

import importlib.util
import os
import sys
from pathlib import Path
from typing import Any

import torch
from monai.bundle import ConfigParser

from medbundles.errors import causes, nearest, refuse
from medbundles.package import other_package
from medbundles.preflight.command_line import show_errors_plainly, take_memory
from medbundles.preflight.given import given_ids, on_the_line, set_beforehand, typed_ids
from medbundles.preflight.given_lists import GIVEN as LISTS
from medbundles.preflight.given_lists import take_lists
from medbundles.preflight.rules import broken_rules, unknown_targets
from medbundles.preflight.schema import WORDS, Setting, called, check_value, metric_names, off_advice, read_settings
from medbundles.preflight.workflow import (
    bundle_configs,
    dangling_references,
    foreign_components,
    idle_ids,
    ids,
    is_reference,
    known_ids,
    lost_ids,
    own_values,
    running_workflow,
    unknown_ids,
)
from medbundles.ranks import is_distributed
from medbundles.rules import GIVEN, TRAINING, TYPED

GIVE = "Give one that is there."


class Preflight:
    """Checks the merged config of the running workflow: ids, types, ranges, combinations, paths.

    On the command line an error is one message and exit code 1; from Python it is an exception. What it found is
    handed to the run directory, which writes it down when the trainer starts.

    Args:
        workflow: "train", "evaluate", "inference" or "find_lr": decides which paths must exist.

    Raises:
        ConfigError: with a line for everything that is wrong.

    Example::

        "run": [{"_target_": "medbundles.preflight.Preflight", "workflow": "train"}, "$@train#trainer.run()"]
    """

    def __init__(self, workflow: str):
        show_errors_plainly()
        refuse(_each_on_its_own(workflow))
        running = running_workflow()
        folder, parser = bundle_configs(running), running.parser
        refuse([other_package(folder.parent)])
        has_lists = workflow == "train" and take_lists(parser)
        config = {k: v for k, v in parser.get().items() if k != "_meta_"}
        every = read_settings(folder / "schema.json")
        settings = [k for k in every if k.key in parser]  # inference has fewer than training
        known = known_ids(folder)
        complete = [own_values(folder / name) for name in ("train.json", "inference.json")]
        defaults, others = reversed(complete) if workflow == "inference" else complete
        own, other = set(defaults), set(others)
        refuse([f"unknown id {LISTS!r}"] if LISTS in config and not has_lists else [])
        refuse(unknown_ids(config, known, called(settings)) + dropped_nones(settings, sys.argv))
        refuse(missing_extras(config))
        foreign = (k for k in every if k.id in other - own and workflow not in k.schema.get("workflows", ()))
        refuse(idle_ids(config, [k.id for k in foreign], own, known))
        refuse(_belong_elsewhere(settings, workflow))
        refuse(lost_ids(config, [k.id for k in every if k.id in own], known))
        refuse(dangling_references(config, known))
        refuse(_texts_that_mean_values(config, known, settings))
        values: dict[str, Any] = {}
        # what follows another setting ("@epochs") is wrong only because that one is: the setting itself is named first
        for literal in (True, False):
            chosen = [k for k in settings if is_reference(parser[k.key]) != literal]
            resolved, wrong = resolve(chosen, parser)
            refuse(wrong + [check_value(k, resolved[k.id]) for k in chosen if k.id in resolved])
            values |= resolved
            refuse(unknown_metrics(chosen, values, config) if workflow in TRAINING else [])
        refuse(unknown_targets(config))
        by_user = {GIVEN: given_ids(sys.argv), TYPED: typed_ids(sys.argv)}
        refuse(broken_rules(config, values | by_user, workflow))
        # where lists are given, nothing is read from the folders of the data
        needed = [k for k in settings if not (has_lists and k.id.endswith("_dir"))]
        refuse(missing_paths(needed, values, workflow))
        fixed = "trained" if workflow not in TRAINING else ""  # what weights were trained with stays
        free_now = (k for k in settings if k.schema.get("memory") and not k.schema.get(fixed))
        take_memory.clear()  # of an earlier run in this process
        take_memory.update({k.id: values[k.id] for k in free_now if k.id in values})
        if isinstance(values.get("seed"), int):
            # as `initialize` did; here again, for a host that has run something else between it and this
            torch.manual_seed(values["seed"] % 2**32)
        if "run_dir" in config:
            free = {k.id for k in settings if k.schema.get("resume") == "free"}
            earlier = {k.id: k.schema["before"] for k in settings if "before" in k.schema}
            given = dict(ids(config))
            if workflow == "evaluate":  # what its own file and the weights set, no user has given
                defaults = defaults | set_beforehand(sys.argv, folder / "evaluate.json")
            changed = {
                name: {"value": value, "default": defaults.get(name)}
                for name, value in values.items()
                if str(given.get(name)).replace("#", "::") != str(defaults.get(name)).replace("#", "::")  # as MONAI
            }
            about = {"bundle": folder.resolve().parent.name, "changed": changed}
            parser.get_parsed_content("run_dir").record(config, values, free, earlier, about)


def _each_on_its_own(workflow: str) -> list[str]:
    """A line when torchrun started several processes and the config has not joined them: all would do the same."""
    started = int(os.environ.get("WORLD_SIZE", 1)) if "RANK" in os.environ else 1
    if started == 1 or is_distributed():
        return []
    advice = "train with ['configs/train.json','configs/multi_gpu_train.json']."
    if workflow != "train":
        advice = f"the workflow {workflow!r} runs in one process: start it without torchrun."
    return [f"torchrun: {started} processes were started, and each would do the whole work on its own; {advice}"]


def _belong_elsewhere(settings: list[Setting], workflow: str) -> list[str]:
    """A line for each setting that was given to a workflow that does not use it, such as `part` to a training."""
    return [
        f"{setting.id}: nothing would use it here; it is a setting of: {', '.join(setting.schema['workflows'])}."
        for setting in settings
        if workflow not in setting.schema.get("workflows", [workflow])
    ]


def _texts_that_mean_values(config: dict[str, Any], known: dict[str, list[Any]], settings: list[Setting]) -> list[str]:
    """'false' as text is true for MONAI; a value was meant, unless the bundle has that text. Settings come later.

    A component that the bundle does not know may take such a text: torch's losses have a reduction "none".
    """
    later, free = {setting.id for setting in settings}, foreign_components(config, known)
    return [
        f"{name}: {value!r} is text; write {value.capitalize()} (or '$None' for no value)."
        for name, value in ids(config)
        if isinstance(value, str) and value.lower() in WORDS and name not in later and value not in known.get(name, [])
        if not name.startswith(free)
    ]


def resolve(settings: list[Setting], parser: ConfigParser) -> tuple[dict[str, Any], list[str]]:
    """The value of every setting, references and expressions worked out, and a line for each that cannot be."""
    values: dict[str, Any] = {}
    wrong = []
    for setting in settings:
        raw = parser.get(setting.key)
        if isinstance(raw, dict):
            wrong.append(f"{setting.id}: is a value, not a group; allowed: {setting.allowed()}.")
            continue
        try:
            value = raw if setting.id.endswith("_target_") else parser.get_parsed_content(setting.key)
        except Exception as error:  # whatever a user's expression raises
            *_, cause = causes(error)
            line = f"{str(raw)!r} cannot be worked out: {type(cause).__name__}: {cause}"
            wrong.append(f"{setting.id}: {line.replace('::', '#')}")  # as one writes it, not as MONAI does
            continue
        values[setting.id] = str(value) if type(value).__module__ == "torch" else value  # torch.device
    return values, wrong


def missing_paths(settings: list[Setting], values: dict[str, Any], workflow: str) -> list[str]:
    """A line for each path that this workflow needs and that is not there, with the command that makes it."""
    return [
        f"{setting.id}: {value} does not exist. {need.get('made_by', GIVE).replace('{id}', setting.id)}"
        for setting in settings
        if (need := setting.schema.get("path")) and workflow in need["workflows"]
        if (value := values[setting.id]) and not Path(str(value)).exists()
    ]


def unknown_metrics(settings: list[Setting], values: dict[str, Any], config: dict[str, Any]) -> list[str]:
    """A line for each setting that names a metric which the validation does not measure."""
    names = metric_names(config)
    return [
        f"{setting.id}: {values[setting.id]!r} is no metric; validate#metrics has: {', '.join(names)}"
        + (f"; did you mean {near!r}?" if (near := nearest(values[setting.id], names)) else ".")
        for setting in settings
        if setting.schema.get("metric") and isinstance(values[setting.id], str) and values[setting.id] not in names
    ]


def missing_extras(config: dict[str, Any]) -> list[str]:
    """A line when `--tracking mlflow` was given and MLflow is not installed; MONAI's own error hides what to do."""
    tracked = any(value == "MLFlowHandler" for _, value in ids(config))
    if tracked and importlib.util.find_spec("mlflow") is None:
        return ["tracking: mlflow is not installed: pip install -e '.[mlflow]' in the repository's root."]
    return []


def dropped_nones(settings: list[Setting], argv: list[str]) -> list[str]:
    """MONAI leaves out `--x None` without a word; a line for each, with the value that switches x off."""
    by_id = {setting.id: setting for setting in settings}
    given = [name for name, value in on_the_line(argv) if value in ("None", "'None'", None)]
    return [
        f"{name}: MONAI ignores None, the old value would stay. "
        + (off_advice(by_id[name]) if name in by_id else "Write '$None'.")
        for name in given
    ]
