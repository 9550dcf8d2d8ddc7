from __future__ import annotations

import logging
import sys

import pytest

from medbundles import lines, progress


@pytest.fixture
def terminal(monkeypatch):
    return lambda there: monkeypatch.setattr(sys.stderr, "isatty", lambda: there)


def test_without_a_terminal_lines_come_from_time_to_time(terminal, monkeypatch, capsys):
    terminal(False)
    monkeypatch.setattr(progress, "EVERY", 0.0)
    monkeypatch.setattr(lines.logger, "isEnabledFor", lambda level: False)  # a tool: no log is kept
    assert list(progress.progress("abc", "reading")) == ["a", "b", "c"]
    assert capsys.readouterr().err.splitlines()[0] == "reading: 1 of 3, 0 s left"
    assert list(progress.progress(iter("ab"), "reading")) == ["a", "b"]
    assert capsys.readouterr().err.splitlines() == ["reading: 1", "reading: 2"]
    monkeypatch.setattr(progress, "EVERY", 10.0)
    list(progress.progress("abc", "reading"))
    assert capsys.readouterr().err == ""  # soon done


def test_of_a_run_they_go_through_its_log(terminal, monkeypatch, capsys, caplog):
    terminal(False)
    monkeypatch.setattr(progress, "EVERY", 0.0)
    with caplog.at_level(logging.INFO, "medbundles"):
        list(progress.progress("ab", "reading"))
    assert [r.getMessage() for r in caplog.records] == ["reading: 1 of 2, 0 s left", "reading: 2 of 2, 0 s left"]
    assert capsys.readouterr().err == ""


def test_on_a_terminal_there_is_a_bar(terminal, capsys):
    terminal(True)
    assert list(progress.progress("abc", "reading")) == ["a", "b", "c"]
    assert "reading" in capsys.readouterr().err


def test_other_ranks_say_nothing(terminal, monkeypatch, capsys):
    terminal(True)
    monkeypatch.setattr(progress, "is_rank_0", lambda: False)
    assert list(progress.progress("abc", "reading")) == ["a", "b", "c"]
    assert capsys.readouterr().err == ""
