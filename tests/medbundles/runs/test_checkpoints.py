from __future__ import annotations

import errno
import multiprocessing
import os
import resource
import signal
import subprocess
import time

import numpy as np
import pytest
import torch

from medbundles.errors import CheckpointError, MedbundlesError
from medbundles.runs.checkpoints import by_id, load_checkpoint, plain, save_checkpoint

BIG = 500_000


def content(value, size=4):
    # NumPy fills it: torch would take several threads, which a forked process does not have
    return {"epoch": value, "network": {"w": torch.from_numpy(np.full(size, value, np.float32))}}


def in_a_child(function, *args):
    """A forked process that runs the function."""
    process = multiprocessing.get_context("fork").Process(target=function, args=args, daemon=True)
    process.start()
    return process


def test_what_is_saved_is_loaded_onto_the_cpu(tmp_path):
    save_checkpoint(tmp_path / "new" / "last.pt", content(3))
    loaded = load_checkpoint(tmp_path / "new" / "last.pt")
    assert loaded["epoch"] == 3
    assert loaded["network"]["w"].tolist() == [3.0] * 4
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["last.pt"]


def keep_saving(path):
    for value in range(10**6):
        save_checkpoint(path, content(value, BIG))


def test_killed_at_any_moment_the_file_is_whole(tmp_path):
    path = tmp_path / "last.pt"
    save_checkpoint(path, content(-1, BIG))
    for wait in (0.02, 0.05, 0.09, 0.14):
        process = in_a_child(keep_saving, path)
        time.sleep(wait)
        os.kill(process.pid, signal.SIGKILL)
        process.join(10)
        loaded = load_checkpoint(path)
        assert (loaded["network"]["w"] == loaded["epoch"]).all()
    save_checkpoint(path, content(0))  # what a kill left beside it does not matter
    assert load_checkpoint(path)["epoch"] == 0


def save_beyond_a_limit(path):
    resource.setrlimit(resource.RLIMIT_FSIZE, (BIG, BIG))  # writing more fails in the middle of the file
    with pytest.raises(MedbundlesError, match=r"cannot be written.* The file that was there is unchanged"):
        save_checkpoint(path, content(2, BIG))
    os._exit(7)


def test_a_write_that_fails_half_way_leaves_the_old_file(tmp_path):
    save_checkpoint(tmp_path / "last.pt", content(1))
    process = in_a_child(save_beyond_a_limit, tmp_path / "last.pt")
    process.join(20)
    assert process.exitcode == 7
    assert load_checkpoint(tmp_path / "last.pt")["epoch"] == 1
    assert [p.name for p in tmp_path.iterdir()] == ["last.pt"]


def test_a_disk_that_is_really_full_leaves_the_old_file(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", disk], capture_output=True, text=True)
    if mounted.returncode:
        pytest.skip(f"no small file system can be mounted here: {mounted.stderr.strip()}")
    try:
        save_checkpoint(disk / "last.pt", content(1))
        with pytest.raises(MedbundlesError, match=r"the disk is full|is the disk full"):
            save_checkpoint(disk / "last.pt", content(2, BIG))
        assert load_checkpoint(disk / "last.pt")["epoch"] == 1
        assert [p.name for p in disk.iterdir()] == ["last.pt"]
    finally:
        # Lazy: torch's writer, which the caught error's frames may hold, keeps its file open for a while.
        subprocess.run(["umount", "--lazy", disk], check=True)


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), r"last\.pt: cannot be written, the disk is full\. The file"),
        (OSError(errno.EACCES, "Permission denied"), r"last\.pt: cannot be written: Permission denied\. The file"),
        (RuntimeError("PytorchStreamWriter failed writing file"), r"cannot be written; is the disk full\? The file"),
    ],
)
def test_errors_of_writing_are_readable(tmp_path, monkeypatch, error, message):
    save_checkpoint(tmp_path / "last.pt", content(1))

    def fail(content, path):
        path.write_bytes(b"half")
        raise error

    monkeypatch.setattr(torch, "save", fail)
    with pytest.raises(MedbundlesError, match=message + " that was there is unchanged"):
        save_checkpoint(tmp_path / "last.pt", content(2))
    assert load_checkpoint(tmp_path / "last.pt")["epoch"] == 1
    assert [p.name for p in tmp_path.iterdir()] == ["last.pt"]


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(CheckpointError, match=r"none\.pt: there is no such file"):
        load_checkpoint(tmp_path / "none.pt")


@pytest.mark.parametrize("keep", [0.0, 0.01, 0.3, 0.7, 0.99])
def test_a_file_cut_short_is_refused(tmp_path, keep):
    path = tmp_path / "last.pt"
    save_checkpoint(path, content(1, 5000))
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * keep)])
    with pytest.raises(CheckpointError, match=r"last\.pt: is cut off or broken"):
        load_checkpoint(path)


@pytest.mark.parametrize("what", [b"GIF89a", bytes(3000), b"version https://git-lfs.github.com/spec/v1\n"])
def test_something_else_is_refused(tmp_path, what):
    (tmp_path / "x.pt").write_bytes(what)
    with pytest.raises(CheckpointError, match=r"x\.pt: "):
        load_checkpoint(tmp_path / "x.pt")


class Bomb:
    def __reduce__(self):
        return os.system, ("touch exploded",)


def test_code_in_a_file_is_not_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"format": 1, "network": Bomb()}, "x.pt")
    with pytest.raises(CheckpointError, match=r"x\.pt: holds pickled code"):
        load_checkpoint("x.pt")
    assert not (tmp_path / "exploded").exists()


def test_weights_alone_are_not_the_state_of_a_run(tmp_path):
    torch.save({"w": torch.zeros(1)}, tmp_path / "model.pt")
    with pytest.raises(CheckpointError, match=r"not the state of a run\. .* use --init_from .*model\.pt"):
        load_checkpoint(tmp_path / "model.pt")


def test_plain_values_keep_their_shape_and_lose_numpy(tmp_path):
    value = {"a": np.float64(0.5), "b": [np.int64(2), (np.bool_(True), "x", None)], "t": torch.ones(2)}
    out = plain(value)
    assert out["a"] == 0.5
    assert type(out["a"]) is float
    assert out["b"] == [2, (True, "x", None)]
    assert torch.is_tensor(out["t"])
    torch.save(out, tmp_path / "x.pt")
    torch.load(tmp_path / "x.pt", weights_only=True)


def test_settings_of_groups_get_their_ids():
    nested = {"size": 8, "network_def": {"channels": [1, 2], "norm": {"groups": 4}}}
    assert by_id(nested) == {"size": 8, "network_def#channels": [1, 2], "network_def#norm#groups": 4}
    assert by_id(by_id(nested)) == by_id(nested)
