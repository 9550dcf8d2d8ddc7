from __future__ import annotations

import logging
import shlex
from pathlib import Path

import pytest

from medbundles.lines import duration, in_lines, size_in_words, typed, wrapped


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.2, "0 s"), (99, "99 s"), (100, "2 min"), (5940, "99 min"), (6000, "1 h 40 min")]
)
def test_times(seconds, words):
    assert duration(seconds) == words


@pytest.mark.parametrize(
    ("size", "words"),
    [(7, "7 bytes"), (328_000, "328 kB"), (15.7e9, "15.7 GB"), (999_600, "1 MB")],
)
def test_sizes(size, words):
    assert size_in_words(size) == words


def test_lines_have_at_most_100_columns_and_paths_stay_whole():
    found = wrapped("word " * 40, "Train - ", " " * 8)
    assert len(found) == 3
    assert max(map(len, found)) <= 100
    assert found[1].startswith("        word")
    path = "/data/" + "x" * 120
    assert wrapped(f"run directory: {path}") == ["run directory:", f"  {path}"]


def test_what_is_logged_is_broken_into_lines():
    record = logging.LogRecord(
        "medbundles", logging.WARNING, "", 0, "100 %% of %s\n  a.png: bad", ("word " * 40,), None
    )
    assert in_lines(record)
    first, *_, last = lines = record.getMessage().splitlines()
    assert max(map(len, lines)) <= 100
    assert first.startswith("100 % of word word")
    assert last == "  a.png: bad"


@pytest.mark.parametrize(
    ("word", "shown"),
    [
        (Path("/data/a"), "/data/a"),
        ("/data/Läufe & Co (neu)", "'/data/Läufe & Co (neu)'"),
        ("['configs/a.json','b c.json']", "\"['configs/a.json','b c.json']\""),
        ("C:\\data\\x", "'C:\\data\\x'"),
    ],
)
def test_a_word_of_a_shown_command_is_what_a_shell_takes(word, shown):
    assert typed(word) == shown
    assert shlex.split(typed(word)) == [str(word)]


def test_a_command_stays_on_one_line():
    command = "    python -m monai.bundle run " + "--config_file configs/train.json " * 8
    assert wrapped(f"to test it:\n{command}") == ["to test it:", command]
