"""The best and the worst cases as rows of a table."""

from typing import Any

import numpy as np

from medbundles.metrics.weighted import mean_of_defined
from medbundles.reports.curves import in_words
from medbundles.reports.page.run_files import Scored
from medbundles.reports.page.scores import unit_in
from medbundles.reports.tables import number, probability

LISTED = 5
ORDERED_BY = ("dice", "psnr")  # the first that the cases have decides which are the best
SHOWN = ("dice", "iou", "hd95", "surface_dice", "psnr", "ssim", "l1")


def best_and_worst(scored: Scored) -> dict[str, Any]:
    """Header and rows of the worst and the best cases by Dice or PSNR, and of those in which something is marked that
    is not there, which have no Dice; of classes the surest wrong answers.

    Returns:
        Title -> `header` and `rows`; empty where no case has such a score.
    """
    tables: dict[str, Any] = {}
    shown = {name: values for name in SHOWN if (values := _values(scored, name)) is not None}
    by = next((name for name in ORDERED_BY if name in shown), None)
    if by is not None:
        order = [int(i) for i in np.argsort(shown[by], kind="stable") if not np.isnan(shown[by][i])]
        header = ["image", "patient", *(_header(scored, name) for name in shown)]
        few = len(order) <= 2 * LISTED
        halves = (("All", order),) if few else (("Worst", order[:LISTED]), ("Best", order[: -LISTED - 1 : -1]))
        for title, chosen in halves:
            rows = [
                [scored.columns["name"][i], scored.columns["patient"][i], *(number(v[i], 3) for v in shown.values())]
                for i in chosen
            ]
            tables[f"{title} cases by {in_words(by)}{', the worst first' if few else ''}"] = {
                "header": header,
                "rows": rows,
            }
    tables |= _false_alarms(scored)
    errors = scored.about.get("errors", [])
    if errors and "prob" in errors[0]:
        names = scored.class_names
        of_folds = all(error.get("class_threshold") is not None for error in errors)  # each fold has its own
        rows = [
            [
                *(e[key] for key in ("name", "patient", "true", "predicted")),
                probability(float(e["prob"][names.index(e["predicted"])])),
                *([probability(float(e["class_threshold"]))] if of_folds else []),
            ]
            for e in errors[: 2 * LISTED]
            if e["predicted"] in names and len(e["prob"]) == len(names)
        ]
        header = ["image", "patient", "true class", "predicted", "its probability"]
        header += [f"threshold of {names[-1]}"] if of_folds else []
        many = len(errors) > len(rows)
        which = f"The {len(rows)} surest of {len(errors)} wrong classes" if many else f"Wrong classes ({len(errors)})"
        limit = scored.about.get("class_threshold")
        decided = f"; {names[1]} from a probability of {probability(limit)} on" if limit and len(names) == 2 else ""
        tables[which + decided] = {"header": header, "rows": rows}
    return tables


def _false_alarms(scored: Scored) -> dict[str, Any]:
    """The largest ones, by the share of the image; empty where there are none."""
    channels = [name for name in scored.columns if name == "fp_area" or name.startswith("fp_area_")]
    areas = np.nan_to_num(np.array([scored.columns[name] for name in channels]))  # (K, n)
    largest = areas.max(0, initial=0.0) if channels else np.empty(0)
    order = [int(i) for i in np.argsort(-largest, kind="stable") if largest[i] > 0]
    if not order:
        return {}
    named = [name.removeprefix("fp_area").strip("_") for name in channels]
    header = ["image", "patient", *(f"share of the image{name and f', {name}'}" for name in named)]
    rows = [
        [scored.columns["name"][i], scored.columns["patient"][i], *(number(area, 4) if area else "" for area in each)]
        for i, each in ((i, areas[:, i]) for i in order[:LISTED])
    ]
    title = f"False alarms: in {len(order)} images something is marked that is not there"
    return {title + (f", the largest {LISTED}" if len(order) > LISTED else ""): {"header": header, "rows": rows}}


def _header(scored: Scored, name: str) -> str:
    unit = unit_in(scored.about, name)
    return in_words(name) + (f" ({unit})" if unit else "")


def _values(scored: Scored, name: str) -> np.ndarray | None:
    """A score of each case (n,), of several classes the mean; None where no case has it."""
    keys = [name, *(f"{name}_{channel}" for channel in scored.about.get("channel_names", ()))]
    found = [scored.columns[key] for key in keys if key in scored.columns]
    values = mean_of_defined(found) if found else np.empty(0)
    return None if np.isnan(values).all() else values
