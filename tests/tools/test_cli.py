"""What was typed is checked before anything starts."""

import sys
from types import ModuleType

import pytest

from medbundles.errors import DataError
from tools import cli
from tools.values import convert


def job(
    out: str,
    times: int = 1,
    rate: float = 0.5,
    deep: bool = False,
    shares: tuple[float, ...] = (1.0,),
    name: str | None = None,
) -> str:
    """Do a thing.

    More about it.

    Args:
        out: where it goes,
            told on two lines.
        times: how often.

    Example:
        python -m tools job --out x
    """
    calls.append((out, times, rate, deep, shares, name))
    if out == "fail":
        raise DataError("x.png: broken")
    if out == "stop":
        raise KeyboardInterrupt
    return "not printed"


def more(out: str, **overrides):
    """Passes the rest on."""
    calls.append((out, overrides))


calls: list = []


@pytest.fixture(autouse=True)
def verbs(monkeypatch):
    calls.clear()
    module = ModuleType("fake_tool")
    module.job, module.more = job, more
    monkeypatch.setitem(sys.modules, "tools.fake_tool", module)
    monkeypatch.setattr(
        cli,
        "VERBS",
        {
            "job": cli.Verb("fake_tool:job", "does a thing"),
            "more": cli.Verb("fake_tool:more", "passes on"),
            "family one": cli.Verb("fake_tool:job", "first"),
            "family two": cli.Verb("fake_tool:job", "second"),
        },
    )


def test_values_arrive_with_their_types(capsys):
    words = ["job", "2024", "--times", "3", "--rate=1", "--deep", "--shares", "0.7,0.3", "--name", "1e3"]
    assert cli.main(words) == 0
    assert calls == [("2024", 3, 1.0, True, (0.7, 0.3), "1e3")]
    assert capsys.readouterr().out == ""


def test_dashes_words_and_families():
    assert cli.main(["family", "two", "--out", 'a b\'s "c" #1']) == 0
    assert cli.main(["job", "x", "--deep", "false", "--name", "None", "--times", "-2"]) == 0
    assert calls[0][0] == 'a b\'s "c" #1'
    assert calls[1] == ("x", -2, 0.5, False, (1.0,), None)


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["jb", "--out", "x"], "unknown verb 'jb'; did you mean job?"),
        (["job", "--out", "x", "--tmies", "2"], "unknown flag --tmies; did you mean --times?"),
        (["job", "--out", "x", "--tmies"], "unknown flag --tmies; did you mean --times?"),
        (["job"], "--out is missing"),
        (["job", "--out"], "--out needs a value"),
        (["job", "--out", "x", "--times", "two"], "--times: 'two' is not a whole number"),
        (["job", "--out", "x", "--times", "1.5"], "--times: '1.5' is not a whole number"),
        (["job", "--out", "x", "--times", "True"], "--times: 'True' is not a whole number"),
        (["job", "--out", "x", "--rate", "nan"], "--rate: 'nan' is not a number"),
        (["job", "--out", "x", "--deep=maybe"], "--deep: 'maybe' is not True or False"),
        (["job", "--out", "x", "--shares", "1,a"], "--shares: '1,a' is not a list of a number"),
        (["job", "--out", "x", "--out", "y"], "--out is given twice: 'x' and 'y'"),
        (["job", "x", "1", "1", "True", "1", "n", "seven"], "'seven' is one too many"),
        (["job", "-o", "x"], "'-o' is one too many; flags begin with --"),
        (["family", "three"], "unknown verb 'family three'"),
        (["family", "--out", "x"], "say what: family one, family two"),
    ],
)
def test_mistakes_start_nothing(words, text, capsys):
    assert cli.main(words) == 1
    out, err = capsys.readouterr()
    assert text in err
    assert "Traceback" not in err
    assert out == ""
    assert calls == []


def test_help(capsys):
    assert cli.main(["job", "--help"]) == 0
    text = capsys.readouterr().out
    for wanted in (
        "More about it.",
        "--out (text, required): where it goes, told on two lines.",
        "--times (a whole number, default 1): how often.",
        "python -m tools job --out x",
    ):
        assert wanted in text
    assert cli.main(["--help"]) == 0
    assert "family two" in capsys.readouterr().out
    assert cli.main(["family", "--help"]) == 0
    assert "  job" not in capsys.readouterr().out
    assert calls == []


def test_exit_codes(capsys):
    assert cli.main(["job", "fail"]) == 1
    assert capsys.readouterr().err == "x.png: broken\n"
    assert cli.main(["job", "stop"]) == 130
    assert cli.main([]) == 1


def test_overrides_are_passed_on():
    assert cli.main(["more", "--out", "x", "--epochs", "3", "--early_stopping#patience", "5", "--lr", "1e-3"]) == 0
    assert calls == [("x", {"epochs": 3, "early_stopping#patience": 5, "lr": 1e-3})]


def test_union_prefers_the_narrow_type():
    assert convert("3", int | str) == 3
    assert convert("a", int | str) == "a"
    assert convert("null", float | None) is None


def test_ctrl_c_while_a_verb_is_imported_is_one_line(monkeypatch, capsys):
    """The packages behind a verb take seconds to import."""

    def stop(name, package):
        raise KeyboardInterrupt

    monkeypatch.setattr(cli.importlib, "import_module", stop)
    assert cli.main(["job", "--out", "x"]) == 130
    assert capsys.readouterr().err == "interrupted\n"
