"""The table of settings: what it says, and that stale docs are noticed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from medbundles.errors import MedbundlesError
from medbundles.preflight.schema import read_settings
from tools.bundle import BUNDLES
from tools.cli import main
from tools.settings import in_words, settings, settings_table


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """A bundle of four settings, with a README that has a place for the table."""
    properties = {
        "lr": {"type": "number", "exclusiveMinimum": 0, "description": "learning rate"},
        "encoder_lr": {"type": "number", "description": "a | b"},
        "loss": {"properties": {"name": {"enum": ["dice", "bce"], "description": "which loss"}}},
        "input": {"type": "string", "description": "only inference has it"},
    }
    sources = [["000", "5 optimizer", "lr"]]
    (tmp_path / "configs").mkdir()
    (tmp_path / "docs").mkdir()
    (tmp_path / "configs/schema.json").write_text(json.dumps({"properties": properties, "sources": sources}))
    train = {"lr": 3e-4, "encoder_lr": "$@lr / 3", "loss": {"name": "dice"}}
    (tmp_path / "configs/train.json").write_text(json.dumps(train))
    (tmp_path / "configs/inference.json").write_text(json.dumps({"input": "@dataset_dir"}))
    (tmp_path / "docs/README.md").write_text("before\n<!-- settings -->\nold\n<!-- /settings -->\nafter\n")
    return tmp_path


def test_a_row_has_id_default_range_help_and_source(bundle):
    rows = settings_table(bundle).splitlines()
    assert rows[2] == "| `lr` | `3e-4` | number above 0 | learning rate | 000, 5 optimizer: lr |"
    assert rows[3] == "| `encoder_lr` | `lr / 3` | number | a \\| b |  |"
    assert rows[4].startswith("| `loss#name` | `dice` | one of 'dice', 'bce' |")
    assert rows[5].startswith("| `input` | `dataset_dir` |")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("$@bundle_root + '/runs'", "bundle_root/runs"), ("@epochs", "epochs"), (None, "None"), (False, "False"),
        (1e-7, "1e-7"), (0.0005, "5e-4"), (0.25, "0.25"), (0.0, "0"), ("", "''"), ("auto", "auto"), ([], "[]"),
    ],
)  # fmt: skip
def test_defaults_read_like_what_one_types(value, text):
    assert in_words(value) == text


def test_check_finds_a_stale_table_and_write_mends_it(bundle):
    with pytest.raises(MedbundlesError, match="stale; write it anew with"):
        settings(str(bundle), check=True)
    settings(str(bundle), write=True)
    text = (bundle / "docs/README.md").read_text()
    assert text == f"before\n<!-- settings -->\n\n{settings_table(bundle)}\n\n<!-- /settings -->\nafter\n"
    settings(str(bundle), check=True)


def test_check_ends_with_exit_code_1(bundle, capsys):
    assert main(["settings", str(bundle), "--check", "True"]) == 1
    assert "stale" in capsys.readouterr().err


def test_a_setting_that_no_config_has_is_an_error(bundle):
    (bundle / "configs/inference.json").write_text("{}")
    with pytest.raises(MedbundlesError, match="input stands in none of train, evaluate, inference"):
        settings_table(bundle)


def test_docs_without_a_place_for_the_table_are_an_error(bundle):
    (bundle / "docs/README.md").write_text("nothing\n")
    with pytest.raises(MedbundlesError, match="has no place for the table; put the lines <!-- settings --> and"):
        settings(str(bundle), write=True)
    assert (bundle / "docs/README.md").read_text() == "nothing\n"


def test_every_setting_of_the_real_bundles_has_a_default():
    for folder in [path.parents[1] for path in BUNDLES.glob("*/configs/schema.json")]:
        rows = settings_table(folder).splitlines()[2:]
        assert len(rows) == len(read_settings(folder / "configs/schema.json"))
        assert [row for row in rows if row.split(" | ")[1] == "-"] == []
