"""Whatever interrupts the writing, a file is the old one or the new one."""

from __future__ import annotations

import errno
import json
import os
import stat
from pathlib import Path

import numpy as np
import pytest
import torch

from medbundles.atomic_files import replace_atomic, write_json_atomic, write_text_atomic
from medbundles.errors import MedbundlesError


def test_the_file_appears_only_at_the_end_and_nothing_else_is_left(tmp_path):
    path = tmp_path / "new" / "mask.nii.gz"
    with replace_atomic(path) as temporary:
        assert temporary.name.endswith("mask.nii.gz")  # writers choose the format by the ending
        temporary.write_bytes(b"1")
        assert not path.exists()
    assert path.read_bytes() == b"1"
    assert [p.name for p in path.parent.iterdir()] == ["mask.nii.gz"]


def interrupted(path: Path, error: BaseException) -> None:
    with replace_atomic(path) as temporary:
        temporary.write_text("half")
        raise error


@pytest.mark.parametrize("error", [ValueError("x"), KeyboardInterrupt(), SystemExit(1)])
def test_an_interrupted_writing_leaves_the_old_file(tmp_path, error):
    path = tmp_path / "last.pt"
    path.write_text("old")
    with pytest.raises(type(error)):
        interrupted(path, error)
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["last.pt"]


def test_a_full_disk_is_one_clear_message(tmp_path):
    path = tmp_path / "last.pt"
    path.write_text("old")
    with pytest.raises(MedbundlesError, match=r"last.pt: cannot be written, the disk is full. The file that was there"):
        interrupted(path, OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))
    assert path.read_text() == "old"


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this system has no /dev/full")
def test_torch_on_a_full_disk_is_the_same_message(tmp_path):
    def save() -> None:
        with replace_atomic(tmp_path / "last.pt") as temporary:
            temporary.symlink_to("/dev/full")
            torch.save({"x": torch.zeros(100000)}, temporary)

    with pytest.raises(MedbundlesError, match=r"last.pt: cannot be written"):
        save()
    assert list(tmp_path.iterdir()) == []


def test_a_folder_in_the_way_is_named(tmp_path):
    (tmp_path / "report").mkdir()
    with pytest.raises(MedbundlesError, match="report: cannot be written: Is a directory"):
        write_text_atomic(tmp_path / "report", "x")
    (tmp_path / "file").write_text("")
    with pytest.raises(MedbundlesError, match="cannot be written: "):
        write_text_atomic(tmp_path / "file" / "below", "x")


def test_other_errors_pass_unchanged(tmp_path):
    with pytest.raises(RuntimeError, match=r"^size mismatch$"), replace_atomic(tmp_path / "x"):
        raise RuntimeError("size mismatch")


def test_json_holds_numpy_torch_and_no_nan(tmp_path):
    path = tmp_path / "m.json"
    write_json_atomic(
        path,
        {
            "a": np.float32(0.5),
            "b": torch.tensor([1, 2]),
            "c": float("nan"),
            "d": (np.inf, True),
            3: tmp_path,
            "e": "ä",
        },
    )
    assert json.loads(path.read_text(encoding="utf-8")) == {
        "a": 0.5, "b": [1, 2], "c": None, "d": [None, True], "3": str(tmp_path), "e": "ä",
    }  # fmt: skip


def test_a_file_that_is_flushed_is_open_for_writing_without_which_windows_refuses(tmp_path, monkeypatch):
    fcntl, modes = pytest.importorskip("fcntl"), []

    def flush(handle):
        if not stat.S_ISDIR(os.fstat(handle).st_mode):
            modes.append(fcntl.fcntl(handle, fcntl.F_GETFL) & os.O_ACCMODE)

    monkeypatch.setattr(os, "fsync", flush)
    write_text_atomic(tmp_path / "a.txt", "a")
    assert modes == [os.O_RDWR]
