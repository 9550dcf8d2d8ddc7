"""The page: what its template is given, and the file."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from medbundles.atomic_files import write_text_atomic
from medbundles.errors import DataError
from medbundles.lines import duration
from medbundles.reports.against_baselines import against_baselines
from medbundles.reports.curves import in_words, parts_of
from medbundles.reports.page import charts
from medbundles.reports.page.cases import best_and_worst
from medbundles.reports.page.comparison import comparison
from medbundles.reports.page.pictures import SIDE, SMALL, pictures
from medbundles.reports.page.run_files import RunFiles, Scored, as_text, read_run
from medbundles.reports.page.scores import BASELINES, headline, measured, named, score_table, title_of
from medbundles.reports.page.template import PAGE
from medbundles.reports.tables import number, with_interval

WHOLE = 4_800_000  # bytes of the page: what its pictures may take is what the rest leaves of that
PICTURES = 3_000_000  # and no more than this
DIGITS = 3
MEMORY = {"most_memory": "most memory at once", "most_gpu_memory": "most memory of the GPU"}


def write_page(folders: Sequence[str | Path], path: str | Path) -> Path:
    """Write one HTML file that needs nothing else, of one run or of several side by side.

    Args:
        folders: of runs, or of cross-validations.
        path: the file to write.

    Returns:
        `path`.

    Raises:
        DataError: a folder is none of a run, is given twice, or a file in it is broken or a link out of it.
        MedbundlesError: the file cannot be written.
    """
    places = [Path(folder).resolve() for folder in folders]
    twice = next((folder for folder in places if places.count(folder) > 1), None)
    if twice is not None:
        raise DataError(f"{twice}: is given twice; give each run once.")
    write_text_atomic(Path(path), page_of([read_run(Path(folder)) for folder in folders]))
    return Path(path)


def page_of(runs: Sequence[RunFiles]) -> str:
    """The HTML text of the page.

    Args:
        runs: one, or several.
    """
    import jinja2

    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )  # fmt: skip
    names = _distinct(runs)
    sections = [_section(run, name) for run, name in zip(runs, names, strict=True)]
    page, told = environment.from_string(PAGE), {
        "title": names[0] if len(runs) == 1 else f"{len(runs)} runs side by side",
        "sections": sections, "comparison": comparison(runs, names) if len(runs) > 1 else None,
    }  # fmt: skip
    text = page.render(**told)
    for section in reversed(sections):  # of many long runs the charts alone are too much
        if len(text.encode()) > WHOLE and len(sections) > 1:
            section["without"] = bool(section["curves"])
            section["curves"] = []
            text = page.render(**told)
    room = min(PICTURES, max(0, WHOLE - len(text.encode()))) // len(runs)
    for run, section in zip(runs, sections, strict=True):
        section["pictures"], section["left"] = pictures(run.folder, room, SIDE if len(runs) == 1 else SMALL)
    return page.render(**told)


def _distinct(runs: Sequence[RunFiles]) -> list[str]:
    """The runs' names, which are those of their experiments where each has its own; and those of the same name with
    their folder, as far as the folders of all runs differ."""
    names, folders = [run.name for run in runs], [run.folder.resolve() for run in runs]
    experiments = [name.partition("/")[0] for name in names]
    if len(set(experiments)) == len(runs) > 1:
        return experiments
    root = os.path.commonpath([folder.parent for folder in folders])
    return [
        name if names.count(name) == 1 else folder.relative_to(root).as_posix()
        for name, folder in zip(names, folders, strict=True)
    ]


def _section(run: RunFiles, name: str) -> dict[str, Any]:
    return {
        "title": name,
        "first": _first_lines(run),
        "synthetic": run.synthetic,
        "hints": run.history.get("hints", []),
        "curves": charts.curves(run),
        "without": False,
        "scored": [
            {
                "part": f"{scored.part}{scored.how and f', {scored.how}'}",
                "table": score_table(scored),
                "sentences": [*_against(scored), *([scored.left] if scored.left else [])],
                "charts": charts.of_classes(scored),
                "cases": best_and_worst(scored),
                "counted": _counted(scored),
            }
            for scored in run.scored
        ],
        "folds": _folds(run),
        "pictures": [],
        "left": [],
        "facts": _facts(run),
        "weights": _weights_and_data(run),
        "command": run.command,
        "settings": "Settings of the command" if run.folds or run.kind == "evaluation"
        else "Settings that differ from the defaults",
        "changed": None if run.changed is None else _entries(run.changed, not run.folds),
        "defaults": not run.folds,
        "trained_with": _entries(run.trained_with, True),
        "parts": [(part, *counts[:2], ", ".join(counts[2])) for part, counts in run.parts.items()],
        "versions": list(run.environment.get("versions", {}).items()),
    }  # fmt: skip


def _entries(settings: Mapping[str, Mapping[str, Any]], defaults: bool) -> list[list[str]]:
    """Setting, value and default."""
    return [
        [name, as_text(entry["value"]), *([as_text(entry["default"])] if defaults else [])]
        for name, entry in settings.items()
    ]


def _against(scored: Scored) -> list[str]:
    """What costs nothing, in sentences; where no paired difference was measured, both values beside each other."""
    found = scored.about.get("against_baselines") or against_baselines(scored.metrics)
    if found:
        return list(found)
    for name, measure in scored.metrics.items():
        _, quantity, variant = parts_of(name)
        own = scored.metrics.get(quantity)
        if variant in BASELINES and own and None not in (own["value"], measure["value"]):
            beside = f"of the {BASELINES[variant]} {measured(quantity, measure, scored.about)}"
            text = f"{title_of(quantity)} {measured(quantity, own, scored.about)}; {beside}"
            found.append(f"{text}. Whether they differ by more than chance was not measured.")
    return found


def _weights_and_data(run: RunFiles) -> list[tuple[str, str]]:
    """What an evaluation was of, or how many cases were divided among folds."""
    if not run.scored or run.kind == "training":
        return []
    about, scored = run.scored[0].about, run.scored[0]
    of_run = {
        "weights": about.get("checkpoint"), "their checksum": about.get("checkpoint_id"),
        "data": about.get("dataset_dir") or about.get("settings", {}).get("dataset_dir"),
        "part": scored.part if run.kind == "evaluation" else None, "cases": _counted(scored),
        "folds": len(run.folds) or None,
    }  # fmt: skip
    lists = {what: value if isinstance(value, list) else [value] for what, value in of_run.items() if value}
    return [(what, ", ".join(map(as_text, values))) for what, values in lists.items()]


def _first_lines(run: RunFiles) -> list[str]:
    """What it was and what came out, in a sentence or two."""
    lines = [f"{run.kind.capitalize()}{f' of {run.bundle}' if run.bundle else ''}."]
    if run.kind == "training" and not run.epochs:
        lines.append("It ended before its first epoch was done, so there are no scores.")
    if run.asked is not None:
        lines.append(f"It is not finished: {len(run.epochs)} of {run.asked} epochs are done.")
    if run.summary:
        best, name = run.summary.get("best_epoch"), named(run.summary.get("monitor") or "")
        value = run.summary.get("best_value")
        epochs = f"{run.summary['epochs']} epoch{'' if run.summary['epochs'] == 1 else 's'}"
        lines.append(
            f"{epochs}; the best one by {name} is {best} ({number(value, DIGITS)})."
            if best is not None
            else f"{epochs}; none of them is best by {name}."
        )
    for scored in run.scored[:1]:
        shown = [
            f"{in_words(name)} {measured(name, scored.metrics[name], scored.about)}"
            for name in headline(scored.metrics, 3)
        ]
        lines += [f"{scored.part}: {', '.join(shown)}."] if shown else []
    return lines


def _counted(scored: Scored) -> str:
    """How many cases the scores stand on."""
    patients = scored.about.get("n_patients")
    if scored.images is None:
        return ""
    return f"{scored.images} images" + (f" of {patients} patients" if patients is not None else "")


def _folds(run: RunFiles) -> dict[str, Any] | None:
    if not run.folds:
        return None
    names = list(dict.fromkeys(name for fold in run.folds.values() for name in fold))
    over = run.scored[0].about.get("over_folds", {})
    rows = [
        [named(name), *([_over(over, name)] if over else []),
         *(number(fold.get(name), DIGITS) for fold in run.folds.values())]
        for name in names
    ]  # fmt: skip
    means = ["mean ± standard deviation over folds"] if over else []
    return {"header": ["score", *means, *(f"fold {fold}" for fold in run.folds)], "rows": rows}


def _over(over: Mapping[str, Any], name: str) -> str:
    if name not in over:
        return ""
    text = with_interval({**over[name], "value": over[name]["mean"]}, DIGITS)
    spread = over[name].get("std")
    return text if spread is None else f"{text} ± {number(spread, DIGITS)}"


def _facts(run: RunFiles) -> list[tuple[str, str]]:
    """Time, memory and machine."""
    summary, machine = run.summary, run.environment
    last = run.epochs[-1] if run.epochs else {}
    facts = {
        "time": duration(summary["seconds"]) if "seconds" in summary else "",
        "seconds of an epoch": number(summary.get("seconds_per_epoch"), 1),
        "training images a second": number(last.get("samples_per_second"), 1),
        **{title: f"{summary[key] / 1e6:,.0f} MB" for key, title in MEMORY.items() if summary.get(key)},
        "device": " ".join(filter(None, (machine.get("device"), machine.get("device_name")))),
        "threads, processes": ", ".join(str(machine[key]) for key in ("threads", "processes") if key in machine),
        "seed": str(machine.get("seed", "")),
        "system": machine.get("system", ""),
        "python": machine.get("python", ""),
        "git commit": machine.get("git_commit") or "",
        "folder": str(run.folder),
    }
    return [(name, text) for name, text in facts.items() if text.strip("-")]
