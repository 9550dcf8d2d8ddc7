"""Several runs beside each other: what each scored, whether that is more than chance, and what they differ in."""

from collections.abc import Mapping, Sequence
from typing import Any

from medbundles.lines import duration
from medbundles.reports.page.charts import side_by_side
from medbundles.reports.page.paired import are_equal, difference, leading, p_value, same_images
from medbundles.reports.page.run_files import RunFiles, Scored, as_text
from medbundles.reports.page.scores import BASELINES, headline, measured, title_of
from medbundles.reports.tables import number, with_interval

DIGITS = 3
NO_DIFFERENCE = ("checkpoint", "publish", "experiment#name", "experiment#description", "experiment#notes")  # no method
LEVEL = 0.05
CAUTION = (
    "The best one was picked on these very images, which flatters it, and each run is one training: another seed may "
    "change the order."
)
WILCOXON = (
    "p: of Wilcoxon's signed-rank test on the patients' differences, times the number of comparisons; an interval of "
    "such a difference needs more patients."
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
    first = {own: run.scored[0] for own, run in zip(names, runs, strict=True) if run.scored}
    warnings = [f"Without scores, because it has not come to its end: {own}." for own in names if own not in first]
    name, sentences, over = None, list[str](), dict[str, str]()
    if len(first) > 1 and same_images(list(first.values())):
        name = leading(list(first.values()))
        weights = [str(each.about["checkpoint_id"]) for each in first.values() if each.about.get("checkpoint_id")]
        warnings += ["Some of these are evaluations of the same weights."] * (len(set(weights)) < len(weights))
    elif len(first) > 1:
        warnings.append("Not all were scored on the same images, so the scores are no comparison of the runs.")
    if name is not None:
        sentences, over = _against_the_best(first, name)
    scores = list(dict.fromkeys(name for each in first.values() for name in headline(each.metrics)))
    rows = []
    for own, run in zip(names, runs, strict=True):
        about = first[own].about if own in first else {}
        row = {"bundle": run.bundle, "data": str(about.get("dataset_dir", ""))}
        for score in scores:
            measure = first[own].metrics.get(score) if own in first else None
            row[title_of(score)] = measured(score, measure, about) if measure else ""
            if score == name:
                row[f"{title_of(score)} minus that of the best"] = over.get(own, "")
        row |= {"part": first[own].part, "images": str(first[own].images or "")} if own in first else {}
        row["best epoch"] = str(run.summary.get("best_epoch") or "")
        row["time"] = duration(run.summary["seconds"]) if "seconds" in run.summary else ""
        rows.append(row)
    titles = list(dict.fromkeys(title for row in rows for title in row))
    equal = {title for title in ("bundle", "data") if len({row[title] for row in rows}) == 1}
    shown = [title for title in titles if title not in equal and any(row.get(title) for row in rows)]
    return {
        "sentences": sentences,
        "warnings": warnings,
        "synthetic": any(run.synthetic for run in runs),
        "header": ["run", *shown],
        "rows": [[own, *(row.get(title, "") for title in shown)] for own, row in zip(names, rows, strict=True)],
        "settings": {"header": ["setting", *names], "rows": _settings(runs)},
        "charts": side_by_side(runs, names),
    }


def _against_the_best(scored: Mapping[str, Scored], name: str) -> tuple[list[str], dict[str, str]]:
    """What is said of a score on the same images, and its difference to the best run's."""
    best = max(scored, key=lambda own: scored[own].metrics[name]["value"])
    others = [own for own in scored if own != best]
    found = {own: _minus(name, scored[own], scored[best], len(others)) for own in others}
    over = {best: "(the best)"} | {own: text for own, (text, _) in found.items()}
    kinds = {
        "by more than chance than in": [own for own in others if found[own][1]],
        "by no more than chance than in": [own for own in others if found[own][1] is False],
        "without knowing whether by chance than in": [own for own in others if found[own][1] is None],
    }
    verdict = "; ".join(f"{how} {', '.join(some)}" for how, some in kinds.items() if some)
    first = next(iter(scored.values()))
    free = [
        f"{BASELINES[kind]} {measured(name, first.metrics[f'{name}_{kind}'], first.about)}"
        for kind in BASELINES
        if f"{name}_{kind}" in first.metrics
    ]
    patients = len(set(first.columns["patient"].tolist()))
    return [
        f"All were scored on the same {len(first.columns['name'])} images of {patients} patients. {title_of(name)} is "
        f"highest in {best}: {verdict}.",
        *([f"What costs nothing has on these images: {', '.join(free)}."] if free else []),
        *([WILCOXON] if any(" p " in text for text in over.values()) else []),
        CAUTION,
    ], over


def _minus(name: str, one: Scored, best: Scored, comparisons: int) -> tuple[str, bool | None]:
    """The difference of a run to the best one, and whether it is more than chance; None: not known."""
    if are_equal(name, one, best):
        return "equal", False
    found = difference(name, one, best)
    text = with_interval(found, DIGITS, "+")
    if found["high"] is not None:
        return text, found["high"] < 0
    p = p_value(name, one, best)
    if p is None:
        return text, None
    p = min(1.0, p * comparisons)
    return f"{text}, p {'below 0.001' if p < 0.001 else number(p, 3)}", p < LEVEL


def _settings(runs: Sequence[RunFiles]) -> list[list[str]]:
    """A row for each setting in which the runs differ: its name, and its value in each run."""
    changed = [
        {
            name: entry
            for name, entry in {**run.trained_with, **(run.changed or {})}.items()
            if name not in NO_DIFFERENCE
        }
        for run in runs
    ]
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
