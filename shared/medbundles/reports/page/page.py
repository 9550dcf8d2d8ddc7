"""The page: what its template is given, and the file."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from medbundles.atomic_files import write_text_atomic
from medbundles.lines import duration
from medbundles.reports.against_baselines import against_baselines
from medbundles.reports.curves import in_words
from medbundles.reports.page import charts
from medbundles.reports.page.cases import best_and_worst
from medbundles.reports.page.pictures import pictures
from medbundles.reports.page.run_files import RunFiles, as_text, read_run
from medbundles.reports.page.scores import headline, score_table, title_of
from medbundles.reports.page.template import PAGE
from medbundles.reports.tables import number, with_interval

PICTURES = 3_000_000  # bytes that all pictures of the page may take
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
        DataError: a folder is none of a run, or a file in it is broken.
        MedbundlesError: the file cannot be written.
    """
    text = page_of([read_run(Path(folder)) for folder in folders])
    write_text_atomic(Path(path), text)
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
    sections = [_section(run, PICTURES // len(runs)) for run in runs]
    return environment.from_string(PAGE).render(
        title=sections[0]["title"] if len(runs) == 1 else f"{len(runs)} runs side by side",
        sections=sections,
        comparison=_comparison(runs) if len(runs) > 1 else None,
    )


def _section(run: RunFiles, most: int) -> dict[str, Any]:
    shown, left = pictures(run.folder, most)
    return {
        "title": run.name,
        "first": _first_lines(run),
        "synthetic": run.synthetic,
        "hints": run.history.get("hints", []),
        "curves": charts.curves(run),
        "scored": [
            {
                "part": f"{scored.part}{scored.how and f', {scored.how}'}",
                "table": score_table(scored),
                "sentences": scored.about.get("against_baselines") or against_baselines(scored.metrics),
                "charts": charts.of_classes(scored),
                "cases": best_and_worst(scored),
                "counted": _counted(scored.about),
            }
            for scored in run.scored
        ],
        "folds": _folds(run),
        "pictures": shown,
        "left": left,
        "facts": _facts(run),
        "command": run.command,
        "changed": None
        if run.changed is None
        else [
            (k, as_text(v["value"]), "" if v["default"] is None else as_text(v["default"]))
            for k, v in run.changed.items()
        ],
        "parts": [(name, *counts[:2], ", ".join(counts[2])) for name, counts in run.parts.items()],
        "versions": list(run.environment.get("versions", {}).items()),
    }


def _first_lines(run: RunFiles) -> list[str]:
    """What it was and what came out, in a sentence or two."""
    lines = [f"{run.kind.capitalize()}{f' of {run.bundle}' if run.bundle else ''}."]
    if run.kind == "training" and not run.epochs:
        lines.append("It ended before its first epoch was done, so there are no scores.")
    if run.summary:
        best, name = run.summary.get("best_epoch"), run.summary.get("monitor")
        value = run.summary.get("best_value")
        lines.append(
            f"{run.summary['epochs']} epochs; the best one by {name} is {best} ({number(value, DIGITS)})."
            if best is not None
            else f"{run.summary['epochs']} epochs; none of them is best by {name}."
        )
    for scored in run.scored[:1]:
        shown = [
            f"{in_words(name)} {with_interval(scored.metrics[name], DIGITS)}" for name in headline(scored.metrics, 3)
        ]
        lines.append(f"{scored.part}: {', '.join(shown)}.")
    return lines


def _counted(about: Mapping[str, Any]) -> str:
    """How many cases the scores stand on."""
    images = about.get("n_images", about.get("n_cases"))
    return f"{images} images of {about['n_patients']} patients" if images is not None else ""


def _folds(run: RunFiles) -> dict[str, Any] | None:
    if not run.folds:
        return None
    names = list(next(iter(run.folds.values())))
    over = run.scored[0].about.get("over_folds", {})
    rows = [
        [title_of(name), with_interval({**over[name], "value": over[name]["mean"]}, DIGITS) if name in over else "",
         *(number(fold.get(name), DIGITS) for fold in run.folds.values())]
        for name in names
    ]  # fmt: skip
    return {"header": ["score", "mean over folds", *(f"fold {fold}" for fold in run.folds)], "rows": rows}


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


def _value(run: RunFiles, setting: str) -> str:
    """Of a run that is compared."""
    if run.changed is None:
        return "not kept"
    return as_text(run.changed[setting]["value"]) if setting in run.changed else "default"


def _comparison(runs: Sequence[RunFiles]) -> dict[str, Any]:
    """A row for each run: its scores on the most telling part, its time, and the settings in which the runs differ."""
    scores = list(dict.fromkeys(name for run in runs for s in run.scored[:1] for name in headline(s.metrics)))[:6]
    settings = {name: None for run in runs for name in run.changed or {}}
    values = {name: [_value(run, name) for run in runs] for name in settings}
    differ = [name for name, each in values.items() if len(set(each)) > 1]
    rows = []
    for i, run in enumerate(runs):
        metrics = run.scored[0].metrics if run.scored else {}
        rows.append(
            [
                run.name,
                run.scored[0].part if run.scored else "",
                str(run.summary.get("best_epoch") or ""),
                *(with_interval(metrics[name], DIGITS) if name in metrics else "" for name in scores),
                duration(run.summary["seconds"]) if "seconds" in run.summary else "",
                *(values[name][i] for name in differ),
            ]
        )
    header = ["run", "part", "best epoch", *map(title_of, scores), "time", *differ]
    return {"header": header, "rows": rows, "charts": charts.side_by_side(runs)}
