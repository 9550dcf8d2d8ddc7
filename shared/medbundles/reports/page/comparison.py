"""Several runs beside each other: what each scored, whether that is more than chance, and what they differ in."""

from collections.abc import Mapping, Sequence
from typing import Any

from medbundles.lines import duration
from medbundles.reports.page.charts import side_by_side
from medbundles.reports.page.paired import are_equal, difference, leading, same_images
from medbundles.reports.page.run_files import RunFiles, Scored, as_text
from medbundles.reports.page.scores import BASELINES, headline, measured, title_of
from medbundles.reports.tables import with_interval

DIGITS = 3
CAUTION = (
    "A difference whose interval holds 0 may be chance. The best one was picked on these very images, which flatters "
    "it, and each run is one training: another seed may change the order."
)


def comparison(runs: Sequence[RunFiles], names: Sequence[str]) -> dict[str, Any]:
    """What the page says of several runs at its top.

    Args:
        runs: at least two.
        names: of each.

    Returns:
        `sentences`; `warnings`; `header` and `rows` of a table with a row for each run; `settings`, those in which they
        differ, as a table with a column for each run; `charts`.
    """
    scored = [run.scored[0] for run in runs if run.scored]
    scores = list(dict.fromkeys(name for each in scored for name in headline(each.metrics)))
    name = leading(scored) if len(scored) == len(runs) and same_images(scored) else None
    sentences, warnings, over = _against_the_best(runs, names, name)
    rows: list[dict[str, str]] = []
    for run in runs:
        about, metrics = (run.scored[0].about, run.scored[0].metrics) if run.scored else ({}, {})
        rows.append(
            {
                "bundle": run.bundle,
                "data": str(about.get("dataset_dir", "")),
                **{
                    title: text
                    for score in scores
                    for title, text in {
                        title_of(score): measured(score, metrics[score], about) if score in metrics else "",
                        **({f"{title_of(score)} minus that of the best": over[len(rows)]} if score == name else {}),
                    }.items()
                },
                "part": run.scored[0].part if run.scored else "",
                "images": str((run.scored[0].images if run.scored else "") or ""),
                "best epoch": str(run.summary.get("best_epoch") or ""),
                "time": duration(run.summary["seconds"]) if "seconds" in run.summary else "",
            }
        )
    equal = {key for key in ("bundle", "data") if len({row[key] for row in rows}) == 1}
    shown = [key for key in rows[0] if key not in equal and any(row[key] for row in rows)]
    return {
        "sentences": sentences,
        "warnings": warnings,
        "synthetic": any(run.synthetic for run in runs),
        "header": ["run", *shown],
        "rows": [[own, *(row[key] for key in shown)] for own, row in zip(names, rows, strict=True)],
        "settings": {"header": ["setting", *names], "rows": _settings(runs)},
        "charts": side_by_side(runs, names),
    }


def _against_the_best(
    runs: Sequence[RunFiles], names: Sequence[str], name: str | None
) -> tuple[list[str], list[str], list[str]]:
    """What is said of the comparison, what is wrong with it, and the difference of each run to the best one."""
    without = [own for own, run in zip(names, runs, strict=True) if not run.scored]
    warnings = [f"Without scores, because it has not come to its end: {own}." for own in without]
    if name is None:
        if len(runs) > len(without) + 1:
            warnings.append("Not all were scored on the same images, so the scores are no comparison of the runs.")
        return [], warnings, []
    scored = [run.scored[0] for run in runs]
    best = max(range(len(runs)), key=lambda i: scored[i].metrics[name]["value"])
    twice = {str(each.about.get("checkpoint_id")) for each in scored if each.about.get("checkpoint_id")}
    if len(twice) < sum(1 for each in scored if each.about.get("checkpoint_id")):
        warnings.append("Some of these are evaluations of the same weights.")
    over = [_minus(name, each, scored[best]) if i != best else "(the best)" for i, each in enumerate(scored)]
    first = scored[0]
    free = [
        f"{BASELINES[kind]} {measured(name, first.metrics[f'{name}_{kind}'], first.about)}"
        for kind in BASELINES
        if f"{name}_{kind}" in first.metrics
    ]
    patients = len(set(first.columns["patient"].tolist()))
    sentences = [
        f"All were scored on the same {len(first.columns['name'])} images of {patients} patients. {title_of(name)} is "
        f"highest in {names[best]}.",
        *([f"What costs nothing has on these images: {', '.join(free)}."] if free else []),
        CAUTION,
    ]
    return sentences, warnings, over


def _minus(name: str, one: Scored, best: Scored) -> str:
    return "equal" if are_equal(name, one, best) else with_interval(difference(name, one, best), DIGITS, "+")


def _settings(runs: Sequence[RunFiles]) -> list[list[str]]:
    """A row for each setting in which the runs differ: its name, and its value in each run."""
    changed = [{**run.trained_with, **(run.changed or {})} for run in runs]
    defaults = {name: entry["default"] for each in changed for name, entry in each.items()}
    rows = []
    for name, default in defaults.items():
        values = [_value(run, own.get(name), default) for run, own in zip(runs, changed, strict=True)]
        if len(set(values)) > 1:
            rows.append([name, *values])
    return rows


def _value(run: RunFiles, entry: Mapping[str, Any] | None, default: Any) -> str:
    if entry is not None:
        return as_text(entry["value"])
    if run.changed is None:
        return "not kept"
    return "not given" if run.folds else as_text(default)
