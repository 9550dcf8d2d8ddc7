from __future__ import annotations

import json
import subprocess
import sys

import torch

from medbundles.runs import environment


def test_all_that_one_needs_to_run_the_same_again(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["monai.bundle", "run", "--lr", "1"])
    monkeypatch.setenv("WORLD_SIZE", "3")
    found = environment.environment(torch.device("cpu"), 7)
    assert json.loads(json.dumps(found)) == found
    assert found["command"] == ["monai.bundle", "run", "--lr", "1"]
    assert (found["seed"], found["device"], found["processes"]) == (7, "cpu", 3)
    assert found["versions"]["torch"] == torch.__version__
    assert found["versions"]["monai"]


def test_a_package_that_is_missing_has_no_version(monkeypatch):
    monkeypatch.setattr(environment, "PACKAGES", ("no-such-package",))
    assert environment.environment("cpu", 0)["versions"] == {"no-such-package": None}


def test_without_git_there_is_no_commit(monkeypatch):
    def missing(*_, **__):
        raise FileNotFoundError("git")

    monkeypatch.setattr(environment.subprocess, "run", missing)
    assert environment.git_commit() is None


def test_the_commit_is_that_of_the_package_and_tells_of_changes(tmp_path, monkeypatch):
    for command in (
        ["init", "-q"],
        ["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "x", "--allow-empty"],
    ):
        subprocess.run(["git", "-C", tmp_path, *command], check=True)
    monkeypatch.setattr(environment, "__file__", str(tmp_path / "environment.py"))
    head = subprocess.run(["git", "-C", tmp_path, "rev-parse", "HEAD"], capture_output=True, text=True).stdout.strip()
    assert environment.git_commit() == head
    (tmp_path / "a").write_text("")
    subprocess.run(["git", "-C", tmp_path, "add", "a"], check=True)
    assert environment.git_commit() == head + "-dirty"
