"""A dataset is moved into its place at the end, or nothing of it stays."""

from __future__ import annotations

import pytest

from medbundles.errors import DataError
from tools.staging import staged


def test_of_a_dataset_that_is_refused_nothing_stays(tmp_path):
    with pytest.raises(DataError), staged(tmp_path / "new/set", ["train"], overwrite=False):
        raise DataError("a.png: is broken")
    assert not list(tmp_path.iterdir())
    with staged(tmp_path / "new/set", ["train"], overwrite=False) as folder:
        (folder / "train").mkdir()
    assert [path.name for path in (tmp_path / "new/set").iterdir()] == ["train"]
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["set"]
