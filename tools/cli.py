"""The command line of the tools: python-fire, behind a check of all flags.

Fire calls a function before it notices a flag that the function does not have. So everything that was typed is held
against the function's signature first; a misspelt flag starts nothing.
"""

from __future__ import annotations

import difflib
import importlib
import inspect
import sys
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, get_type_hints

from medbundles.errors import MedbundlesError
from tools.values import convert, describe


class Verb(NamedTuple):
    """Where a verb's function is (`module:function`, loaded only when used) and one line about it."""

    target: str
    summary: str


VERBS = {
    "sample-data": Verb("tools.sample_data:sample_data", "write a small synthetic dataset (phantoms)"),
    "prepare brats2d": Verb("tools.prepare.brats2d:prepare_brats2d", "BraTS volumes to 2D slices, split by patient"),
    "prepare lgg": Verb("tools.prepare.lgg:prepare_lgg", "LGG MRI segmentation (kaggle_3m), split by patient"),
    "prepare lgg3d": Verb(
        "tools.prepare.lgg3d:prepare_lgg3d", "LGG MRI segmentation (kaggle_3m), a volume per patient"
    ),
    "prepare yesno": Verb("tools.prepare.yesno:prepare_yesno", "yes/no picture folders, copies kept together"),
    "check-data": Verb("tools.check_data:check_data", "read every file of a dataset and list what is wrong"),
    "stages": Verb("tools.stages:run", "train a bundle in stages and compare them"),
    "kfold": Verb("tools.kfold:kfold", "cross-validate a bundle: all folds, then the out-of-fold figures"),
    "find-lr": Verb("tools.find_lr:find_lr", "look for a learning rate"),
    "bench": Verb("benchmarks:bench", "measure training and inference speed"),
    "settings": Verb("tools.settings:settings", "write the table of settings into a bundle's docs"),
}


class UsageError(MedbundlesError):
    """What was typed does not fit the verb."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run what was typed.

    Args:
        argv: words after `python -m tools`; None: those of this process.

    Returns:
        Exit code: 0 when all was done, 1 with a message on stderr when it was not, 130 after Ctrl-C.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        if not words or words[0] in ("--help", "-h", "help"):
            print(_overview())
            return 0 if words else 1
        name, rest = _find_verb(words)
        if name not in VERBS:  # a family such as "prepare"
            print(_overview(name))
            return 0 if rest else 1
        function = _load(name)
        if "--help" in rest or "-h" in rest:
            print(_help(name, function))
            return 0
        _call(name, function, rest)
        return 0
    except MedbundlesError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130


def _find_verb(words: list[str]) -> tuple[str, list[str]]:
    typed = [word.replace("_", "-") for word in words[:2] if not word.startswith("-")]
    for count in (2, 1):
        name = " ".join(typed[:count])
        if len(typed) >= count and name in VERBS:
            return name, words[count:]
    family = [verb for verb in VERBS if typed and verb.startswith(f"{typed[0]} ")]
    if family and len(typed) == 1:
        if words[1:] and not {"--help", "-h"} & set(words[1:]):
            raise UsageError(f"say what: {', '.join(family)}")
        return typed[0], words[1:]
    known = family or list(VERBS)
    name = " ".join(typed[:2] if family else typed[:1]) or words[0]
    raise UsageError(f"unknown verb {name!r}{_did_you_mean(name, known)}; there are: {', '.join(known)}")


def _load(name: str) -> Callable[..., Any]:
    module, _, function = VERBS[name].target.partition(":")
    return getattr(importlib.import_module(module), function)


def _call(name: str, function: Callable[..., Any], words: list[str]) -> None:
    import fire

    given = _bind(name, function, words)
    # repr: fire reads the value back as the type it was checked to be ('2024' stays text)
    fire.Fire(function, [f"--{flag}={value!r}" for flag, value in given.items()], name=name, serialize=_silent)


def _silent(result: Any) -> None:
    """What a verb returns is for Python callers; it prints what people should read."""


def _bind(name: str, function: Callable[..., Any], words: list[str]) -> dict[str, Any]:
    """Flag -> value of the type that the function's annotation asks for."""
    parameters = inspect.signature(function).parameters
    hints = get_type_hints(function)
    fixed = {key: p for key, p in parameters.items() if p.kind is not p.VAR_KEYWORD}
    given: dict[str, Any] = {}
    rest = list(words)
    while rest:
        flag, text = _next(name, rest, fixed, hints, given)
        if flag not in fixed and len(fixed) == len(parameters):
            hint = _did_you_mean(flag, list(fixed), "--")
            flags = ", ".join(f"--{key}" for key in fixed)
            raise UsageError(f"{name}: unknown flag --{flag}{hint}; it has: {flags}")
        if flag in given:
            raise UsageError(f"{name}: --{flag} is given twice")
        try:
            given[flag] = convert(text, hints.get(flag, Any) if flag in fixed else Any)
        except ValueError as error:
            raise UsageError(f"{name}: --{flag}: {error}") from None
    missing = [f"--{key}" for key, p in fixed.items() if p.default is p.empty and key not in given]
    if missing:
        raise UsageError(f"{name}: {', '.join(missing)} is missing; see 'python -m tools {name} --help'")
    return given


def _next(name: str, rest: list[str], fixed: dict, hints: dict, given: dict) -> tuple[str, str]:
    """Take the next flag with its value, or the next value without a flag, from the front of `rest`."""
    word = rest.pop(0)
    if not word.startswith("--"):
        free = [key for key in fixed if key not in given]
        if not free or (word.startswith("-") and not word[1:2].isdigit()):
            raise UsageError(f"{name}: {word!r} is one too many; flags begin with --")
        return free[0], word
    flag, equals, text = word[2:].partition("=")
    flag = flag.replace("-", "_")
    if equals:
        return flag, text
    if flag in fixed and hints.get(flag) is bool and (not rest or rest[0].lower() not in ("true", "false")):
        return flag, "True"
    if not rest or rest[0].startswith("--"):
        if flag not in fixed and len(fixed) == len(inspect.signature(_load(name)).parameters):
            return flag, ""  # the unknown flag is the error to tell
        raise UsageError(f"{name}: --{flag} needs a value")
    return flag, rest.pop(0)


def _did_you_mean(typed: str, known: list[str], prefix: str = "") -> str:
    close = difflib.get_close_matches(typed, known, n=1)
    return f"; did you mean {prefix}{close[0]}?" if close else ""


def _overview(family: str = "") -> str:
    verbs = {name: verb for name, verb in VERBS.items() if name.startswith(family)}
    lines = [f"  {name:<16} {verb.summary}" for name, verb in verbs.items()]
    head, foot = "python -m tools VERB --flag value ...", "python -m tools VERB --help tells more."
    return "\n".join([head, "", *lines, "", foot])


def _help(name: str, function: Callable[..., Any]) -> str:
    text = inspect.getdoc(function) or VERBS[name].summary
    hints = get_type_hints(function)
    lines = [f"python -m tools {name}", "", text.partition("\nArgs:")[0].strip(), "", "Flags:"]
    about = _argument_docs(text)
    for key, parameter in inspect.signature(function).parameters.items():
        if parameter.kind is parameter.VAR_KEYWORD:
            lines.append(f"  --...: {about.get(key, 'more flags')}")
            continue
        default = "required" if parameter.default is parameter.empty else f"default {parameter.default!r}"
        lines.append(f"  --{key} ({describe(hints.get(key, Any))}, {default}): {about.get(key, '')}".rstrip(": "))
    _, found, example = text.partition("\nExample:\n")
    if found:
        lines += ["", "Example:", *(f"  {line.strip()}" for line in example.split("\n\n")[0].splitlines())]
    return "\n".join(lines)


def _argument_docs(text: str) -> dict[str, str]:
    """Argument -> its text in a Google-style docstring."""
    section = text.partition("\nArgs:\n")[2].split("\n\n")[0]
    found: dict[str, str] = {}
    key = ""
    for line in section.splitlines():
        name, colon, rest = line.strip().partition(":")
        if colon and line.startswith("    ") and not line.startswith("     "):
            key = name.lstrip("*")
            found[key] = rest.strip()
        elif key:
            found[key] += " " + line.strip()
    return found
