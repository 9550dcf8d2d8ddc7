"""A folder belongs to one process at a time, until that one ends or is killed."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from medbundles.errors import ConfigError
from medbundles.runs.directory import RunDirectory
from medbundles.runs.lock import LOCK, FolderLock, alone_in

HOLD = "import sys, time; from medbundles.runs.lock import *; folder = Path(sys.argv[2]); "
HOLD += "lock = FolderLock(folder); lock.take(); print('taken', flush=True); time.sleep(99)"
pytestmark = pytest.mark.skipif(os.name != "posix", reason="the lock needs fcntl")


@contextmanager
def another(folder: Path) -> Iterator[subprocess.Popen]:
    """Another process, "stages FOLDER" by its command line, that has the folder; killed at the end."""
    process = subprocess.Popen([sys.executable, "-c", HOLD, "stages", str(folder)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "taken\n"
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def test_the_other_one_is_named_and_a_killed_one_leaves_nothing_behind(tmp_path):
    with another(tmp_path) as process:
        with pytest.raises(ConfigError) as told, alone_in(tmp_path, "a training in stages"):
            pass
        for words in ("a training in stages runs there already", f"process {process.pid} on", f": stages {tmp_path}"):
            assert words in str(told.value)
        assert "taken" not in (tmp_path / LOCK).read_text()
    with alone_in(tmp_path, "a training in stages"):
        assert f"process {os.getpid()} on" in (tmp_path / LOCK).read_text()
    assert not list(tmp_path.iterdir())


def test_where_nothing_is_written_the_folders_go_again(tmp_path):
    with pytest.raises(ValueError, match="refused"), alone_in(tmp_path / "a/b", "a cross-validation"):
        raise ValueError("refused")
    assert not list(tmp_path.iterdir())


def test_what_is_written_stays(tmp_path):
    with alone_in(tmp_path / "a/b", "a cross-validation"):
        (tmp_path / "a/b/x.json").touch()
    assert [path.name for path in (tmp_path / "a/b").iterdir()] == ["x.json"]


def test_a_run_names_the_process_that_still_writes_to_it(tmp_path):
    run = tmp_path / "e/run_20260101_000000"
    (run / "checkpoints").mkdir(parents=True)
    (run / "checkpoints/last.pt").touch()
    with another(run) as process:
        directory = RunDirectory(str(tmp_path), "e", resume=True)
        with pytest.raises(ConfigError, match=rf"still writes to this run \(process {process.pid} on"):
            directory.start(run.name)
        directory.release()
        assert (run / LOCK).exists()  # it is not ours


def test_a_lock_whose_file_was_removed_meanwhile_is_taken_on_the_one_that_others_find(tmp_path, monkeypatch):
    """Another process had the folder when the file was opened here, and let it go before it was locked."""
    import fcntl

    lock, real, gone = FolderLock(tmp_path), fcntl.lockf, []

    def let_go_first(*args):
        if not gone:
            gone.append(lock.path.unlink())
        return real(*args)

    monkeypatch.setattr(fcntl, "lockf", let_go_first)
    assert lock.take() is None
    assert str(os.getpid()) in lock.path.read_text()
    lock.release()
