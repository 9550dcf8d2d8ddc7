"""The schema covers the source documents, and there is no knob beside it."""

from __future__ import annotations

import ast
import csv
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from monai.bundle import ConfigParser

from medbundles.errors import ConfigError
from medbundles.runs.preflight import resolve
from medbundles.runs.schema import check_value, read_knobs
from medbundles.runs.workflow import HOST_IDS, ids, known_ids, unknown_ids
from tests.bundles.brain_tumor_bench import BUNDLE
from tests.bundles.brain_tumor_data import AMOUNTS
from tests.bundles.brain_tumor_knobs import CHECKS, knob_of
from tests.bundles.knob_bench import BUNDLES, handler

ROOT = BUNDLES / BUNDLE
CONFIGS = ROOT / "configs"
KNOBS = {knob.id: knob for knob in read_knobs(CONFIGS / "schema.json")}
# (document, section): how many of its parameters are knobs
SECTIONS = {
    ("000", "1 experiment"): 4,
    ("000", "2 paths"): 9,
    ("000", "3 model"): 9,
    ("000", "4 loss"): 8,
    ("000", "5 optimizer"): 5,
    ("000", "6 scheduler"): 7,
    ("000", "7 training"): 8,
    ("000", "8 early stopping"): 5,
    ("000", "9 checkpoint"): 6,
    ("000", "10 augmentation"): 13,
    ("000", "11 dataset"): 4,
    ("000", "12 wandb"): 9,
    ("000", "13 performance"): 4,
    ("003", "joint fine-tuning"): 5,
}
# parameters of the documents that are no id, and what they are instead
NOT_IDS = {
    "validation has no augmentation": CONFIGS / "train.json",
    "augmentation (stage overlays)": CONFIGS / "stage1_seg_warmup.json",
    "stage2_cls_head.json": CONFIGS / "stage2_cls_head.json",
    "evaluate.json": CONFIGS / "evaluate.json",
    "inference.json / report": CONFIGS / "inference.json",
    "python -m tools stages": Path(__file__).parents[2] / "tools" / "stages.py",
}


def config(name: str) -> dict[str, Any]:
    return json.loads((CONFIGS / f"{name}.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def defaults() -> dict[str, Any]:
    """Every knob of train.json, resolved."""
    parser = ConfigParser(config("train"))
    there = dict(ids(config("train")))
    values, wrong = resolve([knob for knob in KNOBS.values() if knob.id in there], parser)
    assert not wrong
    return values


@pytest.fixture
def contract(real_data: Path) -> list[dict[str, str]]:
    """The rows of this bundle in spec/parameters.csv."""
    table = real_data.parent / "spec" / "parameters.csv"
    if not table.is_file():
        pytest.skip(f"no {table}")
    with table.open(newline="", encoding="utf-8") as file:
        return [row for row in csv.DictReader(file) if row["bundle"] == BUNDLE]


def test_every_knob_has_a_check_and_every_check_a_knob():
    assert {knob_of(name) for name in CHECKS} == KNOBS.keys()


def test_schema_has_every_parameter_of_the_documents():
    found = Counter()
    for knob in KNOBS.values():
        if source := knob.schema.get("source"):
            assert set(source) == {"document", "section", "parameter"}
            assert all(source.values())
            found[source["document"], source["section"]] += 1
    assert found == SECTIONS


def test_every_knob_says_what_it_is():
    for knob in KNOBS.values():
        assert knob.schema["description"], knob.id
        assert knob.schema.keys() & {"type", "anyOf", "enum"}, knob.id


def test_schema_covers_the_contract(contract):
    sources: dict[str, list[tuple[str, str, str]]] = {}
    for row in contract:
        sources.setdefault(row["id"], []).append((row["seed"], row["section"], row["parameter"]))
    missing = sources.keys() - KNOBS.keys() - NOT_IDS.keys()
    assert not missing
    for name in sources.keys() & KNOBS.keys():
        source = KNOBS[name].schema["source"]
        assert (source["document"], source["section"], source["parameter"]) in sources[name], name
    rows = {source for several in sources.values() for source in several}
    for knob in KNOBS.values():  # and nothing is said to come from a document that does not
        if source := knob.schema.get("source"):
            assert (source["document"], source["section"], source["parameter"]) in rows, knob.id


def test_defaults_are_those_of_the_contract(contract, defaults):
    wrong = []
    for row in contract:
        name, said = row["id"], row["default"]
        if name in NOT_IDS:
            continue
        expected = default_of(said, defaults)
        is_value = defaults[name]
        if name in ("checkpoint_dir", "log_dir"):
            is_value = f"<run_dir>/{is_value}"
        if name == "network_def#_target_":
            expected, is_value = "MultitaskUNet", is_value.rpartition(".")[2]
        if is_value != expected or isinstance(is_value, bool) != isinstance(expected, bool):
            wrong.append(f"{name}: {is_value!r}, the contract says {said}")
    assert not wrong


def default_of(said: str, values: dict[str, Any]) -> Any:
    """What a default of the contract stands for."""
    named = {f"<experiment {name}>": values[f"experiment#{name}"] for name in ("name", "tags", "notes")}
    named |= {"<auto>": "auto", "<epochs>": values["epochs"], "$@lr / 3": values["lr"] / 3, "@lr": values["lr"]}
    if said in named:
        return named[said]
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


def test_examples_of_the_contract_are_allowed(contract):
    given = [(KNOBS[row["id"]], parsed(row["example"])) for row in contract if row["example"] and row["id"] in KNOBS]
    assert len(given) > 90
    assert not [line for knob, value in given if (line := check_value(knob, value))]


def test_defaults_are_allowed(defaults):
    for file in ("train", "inference"):
        parser, there = ConfigParser(config(file)), dict(ids(config(file)))
        knobs = [knob for knob in KNOBS.values() if knob.id in there]
        values, wrong = resolve(knobs, parser)
        assert not wrong + [line for knob in knobs if (line := check_value(knob, values[knob.id]))]


@pytest.mark.parametrize("file", ["train", "evaluate", "inference"])
def test_no_knob_is_undocumented(file):
    """A plain value at the top, or in a group with a knob, that stands for itself and not for another id."""
    groups = {knob.rpartition("#")[0] for knob in KNOBS} - {""}
    found = set()
    for name, value in ids(config(file)):
        group, _, leaf = name.rpartition("#")
        is_reference = isinstance(value, str) and value.startswith(("@", "$"))
        # which component stands where is for whoever writes a config
        is_component = leaf == "_target_" or (isinstance(value, list) and "_target_" in json.dumps(value))
        if is_component or isinstance(value, dict) or name in ("initialize", "run", "finalize"):
            continue
        if name not in HOST_IDS and (not group or (group in groups and not is_reference)):
            found.add(name)
    assert found <= KNOBS.keys()
    assert found or file == "evaluate"  # an overlay that only rewires


def test_every_knob_is_in_a_config():
    there = {name for file in ("train", "evaluate", "inference") for name, _ in ids(config(file))}
    assert KNOBS.keys() <= there


@pytest.mark.parametrize("name", KNOBS)
def test_misspelt_knob_is_unknown(name):
    group, _, leaf = name.rpartition("#")
    wrong = f"{group}#{leaf}_x".removeprefix("#")
    assert wrong not in KNOBS
    merged = config("inference" if name not in dict(ids(config("train"))) else "train")
    inner = merged
    for part in filter(None, group.split("#")):
        inner = inner[part]
    inner[f"{leaf}_x"] = 1
    [line] = unknown_ids(merged, known_ids(CONFIGS))
    assert repr(wrong) in line


def test_preflight_refuses_unknown_ids(brain_tumor):
    unknown = {"batchsize": 2, "loss#lamda_seg": 1.0, "augmentation#flip_h": 0.1}
    workflow = brain_tumor.workflow(**unknown)
    with pytest.raises(RuntimeError) as error:
        workflow.run()
    cause = error.value.__cause__
    while not isinstance(cause, ConfigError):
        cause = cause.__cause__
    lines = str(cause).splitlines()
    assert len(lines) == 3
    assert "unknown id 'batchsize'; did you mean 'batch_size'?" in lines
    assert "unknown id 'loss#lamda_seg'; did you mean 'loss#lambda_seg'?" in lines


def test_validation_is_never_augmented_and_cannot_be(brain_tumor):
    workflow = brain_tumor.workflow()
    dataset = workflow.parser.get_parsed_content("validate::dataset")
    assert dataset.augmentation is None
    first, second = dataset[(1, 0)]["image"], dataset[(2, 0)]["image"]
    assert (first == second).all()
    augmented = {**config("train")}
    augmented["validate"]["dataset"]["augmentation"] = "@augmentation"
    assert [line for line in unknown_ids(augmented, known_ids(CONFIGS)) if "validate#dataset#augmentation" in line]


def test_stage_1_augments_more(brain_tumor):
    usual = brain_tumor.get("augmentation")
    for stage in ("stage2_cls_head", "stage3_joint"):
        assert_same(brain_tumor.get("augmentation", stage), usual)
    aggressive = brain_tumor.get("augmentation", "stage1_seg_warmup")
    amounts = [name for name in (*AMOUNTS.split(), "elastic_alpha") if "flip" not in name]
    assert all(getattr(aggressive, name) > getattr(usual, name) for name in amounts)


def assert_same(one: Any, other: Any) -> None:
    """The settings, without the state of the generator."""
    assert {k: v for k, v in vars(one).items() if k != "R"} == {k: v for k, v in vars(other).items() if k != "R"}


def test_stage_2_trains_the_head_alone(brain_tumor):
    workflow = brain_tumor.workflow("stage2_cls_head")
    network = workflow.parser.get_parsed_content("network_def").train()
    assert {n.partition(".")[0] for n, p in network.named_parameters() if p.requires_grad} == {"head"}
    assert not network.encoder.training


def test_stages_follow_the_knobs_that_they_name(brain_tumor):
    folder = str(brain_tumor.folder / "mine")
    rates = brain_tumor.get("optimizer", "stage1_seg_warmup", lr=0.02).param_groups
    assert {group["lr"] for group in rates} == {0.02}
    for stage, before in (("stage2_cls_head", "stage1_seg_warmup"), ("stage3_joint", "stage2_cls_head")):
        weights = handler(brain_tumor.workflow(stage, output_dir=folder), "InitialWeights")
        assert weights.path == f"{folder}/{before}"


def test_what_is_no_id_is_there():
    assert [path for path in NOT_IDS.values() if not path.is_file()] == []
