"""The schema covers the source documents, and there is no setting beside it."""

from __future__ import annotations

import ast
import csv
import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from monai.bundle import ConfigParser

from medbundles.errors import ConfigError
from medbundles.preflight.preflight import resolve
from medbundles.preflight.schema import SHARED, Setting, check_value
from medbundles.preflight.workflow import HOST_IDS, ids, known_ids, unknown_ids
from medbundles.runs.checkpoints import by_id
from tests.bundles.setting_cases import CASES, Case
from tests.bundles.setting_check import setting_of


@pytest.fixture(scope="module", params=CASES, ids=str)
def case(request: pytest.FixtureRequest) -> Case:
    return request.param


@pytest.fixture(scope="module")
def defaults(case: Case) -> dict[str, Any]:
    """Every setting of train.json, resolved."""
    parser = ConfigParser(case.config("train"))
    there = dict(ids(case.config("train")))
    values, wrong = resolve([setting for setting in case.settings.values() if setting.id in there], parser)
    assert not wrong
    return values


@pytest.fixture
def contract(real_data: Path, case: Case) -> list[dict[str, str]]:
    """The rows of the bundle in spec/parameters.csv."""
    table = real_data.parent / "spec" / "parameters.csv"
    if not table.is_file():
        pytest.skip(f"no {table}")
    with table.open(newline="", encoding="utf-8") as file:
        return [row for row in csv.DictReader(file) if row["bundle"] == case.bundle]


def test_every_setting_has_a_check_and_every_check_a_setting(case):
    assert {setting_of(name) for name in case.checks} == case.settings.keys()


def test_a_source_is_a_document_a_section_and_a_parameter(case):
    for setting in case.settings.values():
        source = setting.schema.get("source")
        assert source is None or (len(source) == 3 and all(source)), setting.id


def test_every_setting_says_what_it_is(case):
    for setting in case.settings.values():
        assert setting.schema["description"], setting.id
        assert setting.schema.keys() & {"type", "anyOf", "enum"}, setting.id


def test_schema_covers_the_contract(case, contract):
    settings = case.settings
    sources: dict[str, list[tuple[str, str, str]]] = {}
    for row in contract:
        sources.setdefault(row["id"], []).append((row["seed"], row["section"], row["parameter"]))
    missing = sources.keys() - settings.keys() - case.not_ids.keys()
    assert not missing
    for name in sources.keys() & settings.keys():
        assert tuple(settings[name].schema["source"]) in sources[name], name
    rows = {source for several in sources.values() for source in several}
    for setting in settings.values():  # and nothing is said to come from a document that does not
        if source := setting.schema.get("source"):
            assert tuple(source) in rows, setting.id


def test_defaults_are_those_of_the_contract(case, contract, defaults):
    wrong = []
    for row in contract:
        name, said = row["id"], row["default"]
        if name in case.not_ids:
            continue
        expected = default_of(said, defaults)
        is_value = defaults[name]
        if name in ("checkpoint_dir", "log_dir"):
            is_value = f"<run_dir>/{is_value}"
        if name == "device":  # auto: the GPU where there is one
            expected = "cuda" if torch.cuda.is_available() else "cpu"
        if name == "network_def#_target_":
            expected, is_value = "MultitaskUNet", is_value.rpartition(".")[2]
        if is_value != expected or isinstance(is_value, bool) != isinstance(expected, bool):
            wrong.append(f"{name}: {is_value!r}, the contract says {said}")
    assert not wrong


def default_of(said: str, values: dict[str, Any]) -> Any:
    """What a default of the contract stands for."""
    named = {f"<experiment {name}>": values[f"experiment#{name}"] for name in ("name", "tags", "notes")}
    named |= {"<epochs>": values["epochs"], "$@lr / 3": values["lr"] / 3}
    if said in named:
        return named[said]
    if said.startswith("@"):
        return values[said[1:]]
    if said.startswith("<auto"):
        return "auto"
    for folder in ("dataset_dir", "bundle_root"):
        said = said.replace(f"<{folder}>", values[folder])
    return f"{values['bundle_root']}/{said}" if said.startswith("models/") else parsed(said)


def parsed(text: str) -> Any:
    """A value as it stands in the contract; text is text."""
    try:
        return json.loads(text)
    except ValueError:
        pass
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def test_examples_of_the_contract_are_allowed(case, contract):
    settings = case.settings
    given = [
        (settings[row["id"]], parsed(row["example"])) for row in contract if row["example"] and row["id"] in settings
    ]
    assert len(given) > 0.9 * len(contract)
    assert not [line for setting, value in given if (line := check_value(setting, value))]


def test_defaults_are_allowed(case, defaults):
    for file in ("train", "inference"):
        parser, there = ConfigParser(case.config(file)), dict(ids(case.config(file)))
        settings = [setting for setting in case.settings.values() if setting.id in there]
        values, wrong = resolve(settings, parser)
        assert not wrong + [line for setting in settings if (line := check_value(setting, values[setting.id]))]


def test_only_descriptions_and_notes_may_be_empty(case):
    """An empty path was taken for "not given": inference ran with random weights."""
    may = {name for name, setting in case.settings.items() if check_value(setting, "") is None}
    assert {name.rpartition("#")[2] for name in may} == {"description", "notes"}


@pytest.mark.parametrize("file", ["train", "evaluate", "inference"])
def test_no_setting_is_undocumented(case, file):
    """A plain value at the top, or in a group with a setting, that stands for itself and not for another id."""
    groups = {setting.rpartition("#")[0] for setting in case.settings} - {""}
    found = set()
    for name, value in ids(case.config(file)):
        group, _, leaf = name.rpartition("#")
        is_reference = isinstance(value, str) and value.startswith(("@", "$"))
        # which component stands where is for whoever writes a config
        is_component = leaf == "_target_" or (isinstance(value, list) and "_target_" in json.dumps(value))
        is_made = isinstance(value, str) and re.fullmatch(r"\$@[\w#]+\.\w+", value)  # by another component
        if is_component or is_made or isinstance(value, dict) or name in ("initialize", "run", "finalize"):
            continue
        if name not in HOST_IDS and (not group or (group in groups and not is_reference)):
            found.add(name)
    assert found <= case.settings.keys()
    assert found or file == "evaluate"  # an overlay that only rewires


def test_every_setting_is_in_a_config(case):
    there = {name for file in ("train", "evaluate", "inference") for name, _ in ids(case.config(file))}
    assert case.settings.keys() <= there


@pytest.mark.parametrize(("case", "name"), [(case, name) for case in CASES for name in case.settings], ids=str)
def test_misspelt_setting_is_unknown(case, name):
    group, _, leaf = name.rpartition("#")
    wrong = f"{group}#{leaf}_x".removeprefix("#")
    assert wrong not in case.settings
    merged = case.config("inference" if name not in dict(ids(case.config("train"))) else "train")
    inner = merged
    for part in filter(None, group.split("#")):
        inner = inner[part]
    inner[f"{leaf}_x"] = 1
    [line] = unknown_ids(merged, known_ids(case.configs))
    assert repr(wrong) in line


def test_preflight_refuses_unknown_ids(case, bench_of):
    workflow = bench_of(case).workflow(**dict.fromkeys(case.misspelt, 1))
    with pytest.raises(RuntimeError) as error:
        workflow.run()
    cause = error.value.__cause__
    while not isinstance(cause, ConfigError):
        cause = cause.__cause__
    assert sorted(str(cause).splitlines()) == sorted(case.misspelt.values())


def test_validation_is_never_augmented_and_cannot_be(case, bench_of):
    dataset = bench_of(case).get("validate#dataset")
    assert dataset.augmentation is None
    first, second = dataset[(1, 0)]["image"], dataset[(2, 0)]["image"]
    assert (first == second).all()
    augmented = case.config("train")
    augmented["validate"]["dataset"]["augmentation"] = "@augmentation"
    lines = unknown_ids(augmented, known_ids(case.configs))
    assert [line for line in lines if "validate#dataset#augmentation" in line]


def references(schema: Any) -> Iterator[dict[str, Any]]:
    """All that point to a definition."""
    if isinstance(schema, dict):
        if "$ref" in schema:
            yield schema
        for entry in schema.values():
            yield from references(entry)
    elif isinstance(schema, list):
        for entry in schema:
            yield from references(entry)


def test_beside_a_reference_stand_only_remarks(case):
    """What may be set is the definition's alone; a bundle cannot narrow or widen it."""
    remarks = {"$ref", "description", "resume", "trained", "workflows", "path", "metric", "before"}
    shared = json.loads(SHARED.read_text(encoding="utf-8"))
    found = [*references(case.config("schema")), *references(shared)]
    assert found
    assert [reference for reference in found if reference.keys() - remarks] == []


def test_no_setting_is_defined_in_a_bundle_and_in_the_shared_settings():
    """Nor in two bundles, unless they mean something else by it."""
    shared = {json.dumps(limits(s)) + s.id for s in shared_settings()}
    own = [json.dumps(limits(setting)) + setting.id for case in CASES for setting in own_settings(case)]
    assert [name for name, count in Counter(own).items() if count > 1 or name in shared] == []


def limits(setting: Setting) -> dict[str, Any]:
    """What a setting may be, without remarks."""
    return {key: value for key, value in setting.schema.items() if key not in ("source", "description", "path")}


def shared_settings() -> list[Setting]:
    definitions = json.loads(SHARED.read_text(encoding="utf-8"))["$defs"]
    return [
        Setting(f"{group}#{name}".replace(".", "#"), schema)
        for group, content in definitions.items()
        for name, schema in content.get("properties", {"": content}).items()
    ]


def own_settings(case: Case) -> list[Setting]:
    """Those that the bundle's own file defines."""
    content = case.config("schema")
    own = {
        name.replace("#properties", "").removeprefix("properties#")
        for name, value in ids(content)
        if isinstance(value, dict) and value.keys() & {"type", "enum", "anyOf"} and "properties" not in value
    }
    return [setting for setting in case.settings.values() if setting.id in own]


def test_the_weights_depend_on_what_the_configs_store_with_them(case):
    flagged = {setting.id for setting in case.settings.values() if setting.schema.get("trained")}
    for file in ("train", "inference"):
        assert by_id(case.config(file)["trained"]) == {name: f"@{name}" for name in flagged}


def test_what_is_no_id_is_there(case):
    folder = case.configs.parent
    assert [path for path in case.not_ids.values() if not (folder / path).is_file()] == []
