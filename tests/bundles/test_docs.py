"""What docs/ says is so: overlays train, commands and names exist, links lead somewhere."""

from __future__ import annotations

import ast
import inspect
import itertools
import json
import math
import pydoc
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from medbundles.preflight.schema import Setting, check_value, read_settings
from tests.bundles.setting_bench import quick
from tests.bundles.setting_cases import CASES
from tests.bundles.test_swaps import started
from tests.bundles.test_toy_bundle import TOY
from tests.test_rooms import ROOMS
from tools.cli import VERBS, _find_verb, _load

ROOT = Path(__file__).parents[2]
PAGES = sorted((ROOT / "docs").glob("*.md"))
OF_BUNDLES = sorted((ROOT / "bundles").glob("*/docs/README.md"))
TEXTS = [*PAGES, *OF_BUNDLES, *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md"))]
BLOCK = re.compile(r"^( *)```json ?(\w*)\n(.*?)^ *```", re.M | re.S)
BLOCKS = [(page.name, name, text) for page in PAGES for _, name, text in BLOCK.findall(page.read_text())]
OVERLAYS = [(page, name, text) for page, name, text in BLOCKS if name]
LARGE_ENOUGH = {"spatial_size": [32, 32, 32], "head": "linear"}  # for DenseNet121
SETTINGS = {setting.id for case in CASES for setting in read_settings(case.configs / "schema.json")}
MADE = ("models/", "config/", "demo/")  # files that a run or the demo makes
MISSPELT = {"batchsize"}  # on purpose, where the README shows what is said then
OTHER_FLAGS = {"config_file", "bundle_root", "tracking", "tracking_uri"}  # of MONAI's command line


def named(page: Path) -> str:
    return page.parents[1].name if page in OF_BUNDLES else page.name


@pytest.mark.parametrize(("page", "name", "text"), OVERLAYS, ids=lambda text: text[:40])
def test_an_overlay_trains_and_validates(bench_of, tmp_path, page, name, text):
    overlay = json.loads(text)
    bench = bench_of(next(case for case in CASES if case.bundle == name))
    size = {k: v for k, v in LARGE_ENOUGH.items() if k in bench.config("train")} if "network_def" in overlay else {}
    workflow = started(bench, overlay, tmp_path, **size)
    workflow.parser.get_parsed_content("train::trainer").state.epoch_length = 2
    with quick():
        workflow.run()
    folder = workflow.parser.get_parsed_content("run_dir").path
    [epoch] = json.loads((folder / "metrics/metrics.json").read_text())["epochs"]
    assert math.isfinite(epoch["val_loss"])
    added = [key.rpartition("#")[2] for key in overlay if key.startswith("+validate#metrics#")]
    assert set(added) <= epoch.keys()


def test_each_kind_of_change_has_an_overlay():
    changed = {key.lstrip("+").split("#")[0] for _, _, text in OVERLAYS for key in json.loads(text)}
    assert {"network_def", "loss", "optimizer", "scheduler", "augmentation", "validate"} <= changed


@pytest.mark.parametrize("text", [text for _, name, text in BLOCKS if not name])
def test_other_json_is_what_it_shows(text):
    content = json.loads(text)
    if "data" in content:  # what the toy bundle has
        train = json.loads((TOY / "configs/train.json").read_text())["data"]
        for part in ("train", "val"):
            train[part].pop("skip_bad_files")
        assert content["data"] == train
    else:
        for schema in content.values():
            Draft202012Validator.check_schema(schema)
            assert schema.keys() - {"type", "minimum", "maximum"} == {"description", "trained"}


@pytest.mark.parametrize("page", TEXTS, ids=named)
def test_commands_of_the_tools_exist(page):
    for command in re.findall(r"python -m tools ([\w-].*?)(?:`|$)", page.read_text(), re.M):
        if command.startswith(("VERB", "knobs")):  # a placeholder, and the name in 0.1.0
            continue
        name, words = _find_verb(command.split())
        parameters = inspect.signature(_load(name)).parameters
        free = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
        unknown = {w[2:].split("=")[0] for w in words if w.startswith("--")} - parameters.keys()
        assert unknown <= (SETTINGS if free else set()), command


@pytest.mark.parametrize("page", TEXTS, ids=named)
def test_commands_of_monai_name_files_and_settings(page):
    configs = [page.parents[1] / "configs"] if page in OF_BUNDLES else [case.configs for case in CASES]
    known: dict[str, list[Setting]] = {}
    for setting in (setting for folder in configs for setting in read_settings(folder / "schema.json")):
        known.setdefault(setting.id, []).append(setting)
    for command in re.findall(r"-m monai\.bundle run ([^`#\n]*(?:#\w[^`#\n]*)*)", page.read_text()):
        for file in re.findall(r"configs/\w+\.json", command):
            assert any((folder.parent / file).is_file() for folder in configs), file
        words = shlex.split(command)
        for flag, value in itertools.pairwise([*words, ""]):
            name = flag.removeprefix("--")
            if not flag.startswith("--") or name in OTHER_FLAGS or name in MISSPELT:
                continue
            assert name in known, command
            wrong = [check_value(setting, typed(value)) for setting in known[name]]
            assert value.isupper() or not all(wrong), (command, wrong)  # DIR and RUN stand for what a user has


def typed(text: str) -> Any:
    """A value as MONAI's command line takes it."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


@pytest.mark.parametrize("page", [page for page in TEXTS if page.name != "CHANGELOG.md"], ids=named)
def test_names_of_the_package_exist(page):
    for name in set(re.findall(r"\bmedbundles(?:\.\w+)+", page.read_text())):
        assert pydoc.locate(name) is not None, name


def anchors(page: Path) -> set[str]:
    """What a link may name in a page: its headings, as GitHub writes them."""
    heads = re.findall(r"^#+ (.+)$", page.read_text(), re.M)
    return {re.sub(r"[^\w -]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("page", TEXTS, ids=named)
def test_links_and_files_exist(page):
    text = page.read_text()
    for link, anchor in re.findall(r"\]\((?!http)([^)#]*)(?:#([^)]+))?\)", text):
        target = page.parent / link if link else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), (link, anchor)
    for file in re.findall(r"`((?:[\w-]+/)+[\w.-]+\.(?:py|json|md))`", text):
        places = (ROOT, ROOT / "shared", ROOT / "shared/medbundles", *(ROOT / "bundles").iterdir(), TOY)
        if "<" not in file and not file.startswith(MADE) and page.name != "outputs.md":
            assert any((place / file).is_file() for place in places), file


def test_the_readme_names_every_verb():
    text = (ROOT / "README.md").read_text()
    assert [verb for verb in VERBS if f"`{verb}`" not in text] == []


@pytest.mark.parametrize("verb", VERBS)
def test_the_help_of_a_verb_has_an_example(verb):
    assert f"python -m tools {verb} " in (inspect.getdoc(_load(verb)) or "").partition("Example:\n")[2]


def test_the_rooms_are_those_of_their_test():
    rows = re.findall(r"^\| ((?:`[\w.]+`(?:, )?)+) \|", (ROOT / "docs/how-it-fits.md").read_text(), re.M)
    rows = [set(re.findall(r"`([\w.]+)`", row)) for row in rows]
    assert rows == [rooms - {"__init__", "data.__init__"} for rooms in ROOMS]
