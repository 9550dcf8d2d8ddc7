"""What docs/errors.md says of errors that MONAI raises before anything of a bundle runs is what MONAI raises."""

from __future__ import annotations

import re

import monai.bundle
import pytest

from tests.bundles.setting_bench import BUNDLES

CONFIGS = BUNDLES / "medical_segmentation/configs"
TRAIN = str(CONFIGS / "train.json")
PAGE = (BUNDLES.parent / "docs/errors.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| `(\w[\w.]*: .*?)` \| ", PAGE, re.M)

GIVEN = {
    "KeyError: 'query key: trian'": {"trian#lr": 1},
    "KeyError: 'query key: split'": {"split#seed": 3},
    "KeyError: 'query key: x'": {"experiment#name": "%x"},
    "KeyError: 'query key: network_def'": {"config_file": str(CONFIGS / "quick_test.json")},
    "ValueError: invalid literal for int() with base 10: 'seed'": {"train_split#seed": 3},
    "ValueError: invalid literal for int() with base 10: 'x'": {"train#handlers#x": 3},
    "ValueError: config must be dict or list for key ": {"seed#x#y": 3},
    "IndexError: list index out of range": {"train#handlers#99#limit": 3},
    "FileNotFoundError: Cannot find the config file: models/trained.json.": {"config_file": "models/trained.json"},
    "FileNotFoundError: Cannot find the config file: ": {"config_file": "configs/trian.json"},
    "ValueError: unknown file input: ": {"config_file": [TRAIN, "text.txt"]},
    "json.decoder.JSONDecodeError: ": {"config_file": [TRAIN, "broken.json"]},
    "UnicodeDecodeError: ": {"config_file": [TRAIN, "latin.json"]},
    "AttributeError: 'list' object has no attribute 'items'": {"config_file": [TRAIN, "list.json"]},
    "TypeError: ConfigWorkflow.__init__() missing 1 required positional argument: 'config_file'": {"config_file": None},
    "ValueError: run ID 'trian' doesn't exist in the config file.": {"run_id": "trian"},
}  # fmt: skip


@pytest.mark.parametrize("last_line", GIVEN)
def test_a_mistake_ends_as_the_readme_says(last_line, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    texts = {"text.txt": b"{}", "broken.json": b'{"lr": 1,', "latin.json": b'{"notes": "\xfc"}', "list.json": b"[1]"}
    for name, text in texts.items():
        (tmp_path / name).write_bytes(text)
    with pytest.raises(Exception) as error:  # noqa: PT011  # the table says which
        monai.bundle.run(**{"config_file": TRAIN, "bundle_root": str(CONFIGS.parent)} | GIVEN[last_line])
    kind = type(error.value)
    module = "" if kind.__module__ == "builtins" else f"{kind.__module__}."
    assert f"{module}{kind.__qualname__}: {error.value}".startswith(last_line)


def test_each_row_of_the_readme_is_tried():
    starts = [row.partition("...")[0] for row in ROWS]
    assert len(starts) == 12
    assert [start for start in starts if not any(line.startswith(start) for line in GIVEN)] == []
