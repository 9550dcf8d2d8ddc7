"""The command line of the tools: python-fire, behind a check of all flags.

Fire calls a function before it notices a flag that the function does not have. So everything that was typed is held
against the function's signature first; a misspelt flag starts nothing.
"""

import importlib
import inspect
import re
import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, get_args, get_origin

from medbundles.errors import MedbundlesError, nearest

from .values import convert, describe


class Verb(NamedTuple):
    """Where a verb's function is (`module:function` beside this file, loaded only when used) and one line about it."""

    target: str
    summary: str


VERBS = {
    "sample-data": Verb("sample_data:sample_data", "write a small synthetic dataset (phantoms)"),
    "prepare brats2d": Verb("prepare.brats2d:prepare_brats2d", "BraTS volumes to 2D slices, split by patient"),
    "prepare lgg": Verb("prepare.lgg:prepare_lgg", "LGG MRI segmentation (kaggle_3m), split by patient"),
    "prepare lgg3d": Verb("prepare.lgg3d:prepare_lgg3d", "LGG MRI segmentation (kaggle_3m), a volume per patient"),
    "prepare yesno": Verb("prepare.yesno:prepare_yesno", "yes/no picture folders, copies kept together"),
    "prepare pairs": Verb("prepare.pairs:prepare_pairs", "own images and masks, volumes too, split by patient"),
    "check-data": Verb("check_data:check_data", "read every file of a dataset and list what is wrong"),
    "verify": Verb("verify:verify", "check a bundle as the MONAI model zoo does, and more"),
    "stages": Verb("stages:run", "train a bundle in stages and compare them"),
    "kfold": Verb("kfold:kfold", "cross-validate a bundle: all folds, then the out-of-fold figures"),
    "collect": Verb("kfold_collect:collect", "the report of a cross-validation whose folds were jobs of their own"),
    "find-lr": Verb("find_lr:find_lr", "look for a learning rate"),
    "report": Verb("report:report", "write one HTML page of a run, of several side by side, or of a cross-validation"),
    "runs": Verb("run_table:list_runs", "list runs with their state, best score, time and settings; remove some"),
    "compare-networks": Verb("benchmarks.compare_networks:compare_networks", "train all networks for the same time"),
    "bench": Verb("benchmarks:bench", "measure training and inference speed"),
    "audit": Verb("audit:audit", "look through a bundle for what would run code or leave its folder"),
    "export": Verb("export:export", "write a bundle with its trained model, to be shared; runs alone"),
    "import": Verb("import_bundle:import_bundle", "unpack a shared bundle once it has been looked through"),
    "settings": Verb("settings:settings", "write the table of settings into a bundle's docs"),
}
LISTED = ""  # where the words stand that have no flag
HELP, EMPTY = {"--help", "-h"}, inspect.Parameter.empty
IN_A_CLONE = "python -m tools"
TYPED = IN_A_CLONE if __package__ == "tools" else "medbundles"  # the command of the wheel, where this is no `tools`


class UsageError(MedbundlesError):
    """What was typed does not fit the verb."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run what was typed.

    Args:
        argv: words after `python -m tools`; None: those of this process.

    Returns:
        Exit code: 0 when all was done, 1 with a message on stderr when it was not, 130 after Ctrl-C.
    """
    try:
        name, rest = _find_verb(list(sys.argv[1:] if argv is None else argv))
        if name not in VERBS:  # a family such as "prepare", or nothing
            print(_as_typed(_overview(name)))
            return 0 if rest else 1
        verb = _load(name)
        if HELP & set(rest):
            print(_as_typed(_help(name, verb)))
        else:
            _call(name, verb, rest)
        return 0
    except MedbundlesError as error:
        print(_as_typed(str(error)), file=sys.stderr)
        return 1
    except OSError as error:
        if error.filename is None:
            raise
        print(f"{error.filename}: {error.strerror}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130


def _find_verb(words: list[str]) -> tuple[str, list[str]]:
    """The verb that the words begin with, or a family of verbs ("": all of them) to be shown; and the other words."""
    if not words or words[0] in (*HELP, "help"):
        return "", words
    first, both = (" ".join(words[:count]).replace("_", "-") for count in (1, 2))
    for name, others in ((both, words[2:]), (first, words[1:])):
        if name in VERBS:
            return name, others
    family = [verb for verb in VERBS if verb.startswith(f"{first} ")]
    if family and (both == first or HELP & set(words)):
        return first, words[1:]
    if family and words[1].startswith("-"):
        raise UsageError(f"say what: {', '.join(family)}")
    name, known = (both, family) if family else (first, list(VERBS))
    raise UsageError(f"unknown verb {name!r}{_did_you_mean(name, known)}; there are: {', '.join(known)}")


def _as_typed(text: str) -> str:
    """A text that names commands, with the command that this installation has."""
    return text.replace(IN_A_CLONE, TYPED)


def _load(name: str) -> Callable[..., Any]:
    module, _, function = VERBS[name].target.partition(":")
    return getattr(importlib.import_module(f".{module}", __package__), function)


def _call(name: str, function: Callable[..., Any], words: Sequence[str]) -> None:
    import fire

    # repr: fire reads the value back as the type it was checked to be ('2024' stays text)
    given = _bind(name, function, words)
    listed = [repr(word) for word in given.pop(LISTED, ())]
    flags = [*listed, *(f"--{flag}={value!r}" for flag, value in given.items())]
    # What a verb returns is for Python callers; it prints what people should read.
    fire.Fire(function, flags, name=name, serialize=lambda result: None)


def _bind(name: str, function: Callable[..., Any], words: Sequence[str]) -> dict[str, Any]:
    """Flag -> value of the type that the function's annotation asks for."""
    flags, more, listed = _flags(function)
    given: dict[str, Any] = {LISTED: []} if listed else {}
    switches = [key for key, parameter in flags.items() if parameter.annotation is bool]
    lists = [key for key, parameter in flags.items() if _is_list(parameter.annotation)]
    for flag, text in _typed(words, switches, lists):
        if not flag and listed and not re.match(r"-(?!\d)", text or ""):
            given[LISTED].append(text)
            continue
        if not flag:
            flag = next((key for key in flags if key not in given), "")
            if not flag or re.match(r"-(?!\d)", text or ""):
                raise UsageError(f"{name}: {text!r} is one too many; flags begin with --")
        parameter = flags.get(flag, more)
        if parameter is None:
            hint = _did_you_mean(flag, list(flags), "--")
            raise UsageError(f"{name}: unknown flag --{flag}{hint}; it has: {', '.join(f'--{key}' for key in flags)}")
        if text is None:
            raise UsageError(f"{name}: --{flag} needs a value")
        if flag in given:
            raise UsageError(f"{name}: --{flag} is given twice: {given[flag]!r} and {text!r}")
        try:
            given[flag] = convert(text, parameter.annotation)
        except ValueError as error:
            raise UsageError(f"{name}: --{flag}: {error}") from None
    missing = [f"--{key}" for key, parameter in flags.items() if parameter.default is EMPTY and key not in given]
    missing += [listed] if listed and not given[LISTED] else []
    if missing:
        raise UsageError(f"{name}: {', '.join(missing)} is missing; see 'python -m tools {name} --help'")
    return given


def _flags(function: Callable[..., Any]) -> tuple[dict[str, inspect.Parameter], inspect.Parameter | None, str]:
    """The function's flags, what stands for any further ones (None: it has no others), and what the words without a
    flag are called, of which it takes one or more (empty: there are none)."""
    parameters = inspect.signature(function, eval_str=True).parameters
    more = next((parameter for parameter in parameters.values() if parameter.kind is parameter.VAR_KEYWORD), None)
    listed = next((key for key, each in parameters.items() if each.kind is each.VAR_POSITIONAL), "")
    flags = {key: each for key, each in parameters.items() if each is not more and key != listed}
    return flags, more, listed


def _typed(
    words: Sequence[str], switches: Sequence[str], lists: Sequence[str] = ()
) -> Iterator[tuple[str, str | None]]:
    """Flag and text as typed; a value without a flag has the flag "", a flag without a value the text None.

    Args:
        words: what stands behind the verb.
        switches: flags that may stand alone, which means True.
        lists: flags that take all words up to the next flag.
    """
    rest = deque(words)
    while rest:
        word = rest.popleft()
        flag, equals, text = word.removeprefix("--").partition("=")
        flag = flag.replace("-", "_")
        if not word.startswith("--"):
            yield "", word
        elif equals:
            yield flag, text
        elif flag in switches and not (rest and rest[0].lower() in ("true", "false")):
            yield flag, "True"
        elif flag in lists and rest and not rest[0].startswith("--"):
            yield flag, repr([*_up_to_a_flag(rest)])
        else:
            yield flag, None if not rest or rest[0].startswith("--") else rest.popleft()


def _is_list(annotation: Any) -> bool:
    return any(get_origin(one) is list for one in (annotation, *get_args(annotation)))


def _up_to_a_flag(rest: deque[str]) -> Iterator[str]:
    while rest and not rest[0].startswith("--"):
        yield rest.popleft()


def _did_you_mean(typed: str, known: list[str], prefix: str = "") -> str:
    near = nearest(typed, known)
    return f"; did you mean {prefix}{near}?" if near else ""


def _overview(family: str) -> str:
    lines = [f"  {name:<16} {verb.summary}" for name, verb in VERBS.items() if name.startswith(family)]
    head, foot = "python -m tools VERB --flag value ...", "python -m tools VERB --help says more."
    return "\n".join([head, "", *lines, "", foot])


def _help(name: str, function: Callable[..., Any]) -> str:
    """The function's docstring (Google style) with its flags instead of its arguments."""
    about, *rest = re.split(r"\n\n(\w+):\n", inspect.getdoc(function) or VERBS[name].summary)
    sections = dict(zip(rest[::2], rest[1::2], strict=True))
    described = re.findall(r"^ {4}\**(\w+): *(.*(?:\n {5,}.*)*)", sections.get("Args", ""), re.MULTILINE)
    text = {key: " ".join(lines.split()) for key, lines in described}
    lines = [f"python -m tools {name}", "", about, "", "Flags:"]
    flags, more, listed = _flags(function)
    lines += [f"  {listed.upper()} (one or more, required): {text.get(listed, '')}"] if listed else []
    for key, parameter in flags.items():
        default = "required" if parameter.default is EMPTY else f"default {parameter.default!r}"
        lines.append(f"  --{key} ({describe(parameter.annotation)}, {default}): {text.get(key, '')}".rstrip(": "))
    if more:
        lines.append(f"  --...: {text.get(more.name, 'more flags')}")
    if "Example" in sections:
        lines += ["", "Example:", *(f"  {line.strip()}" for line in sections["Example"].splitlines())]
    return "\n".join(lines)
