"""The table of scores: each with its interval, and beside it the same of what costs nothing."""

from collections.abc import Mapping
from typing import Any

from medbundles.metrics.scores import SCORES
from medbundles.reports.curves import in_words, parts_of
from medbundles.reports.page.run_files import Scored
from medbundles.reports.tables import with_interval

BASELINES = {
    "constant": "constant answer", "logistic": "logistic regression",
    "bicubic": "bicubic", "pca": "PCA", "jpeg": "JPEG",
}  # fmt: skip
DIGITS = 3


def score_table(scored: Scored) -> dict[str, Any]:
    """What the page shows of the scores.

    Returns:
        `baselines`: their columns; `rows`: for each score its name in words, meaning, value with interval, the reason
        where there is none, number of images and patients, and the text of each baseline.
    """
    channels = scored.about.get("channel_names", ())
    found: dict[tuple[str, str], dict[str, Mapping[str, Any]]] = {}
    for name, measure in scored.metrics.items():
        channel = max((c for c in channels if name.endswith(f"_{c}")), key=len, default="")  # "b_a" beside "a"
        _, quantity, variant = parts_of(name.removesuffix(f"_{channel}") if channel else name)
        found.setdefault((quantity, channel), {})[variant] = {**measure, "name": name}
    used = [key for key in BASELINES if any(key in variants for variants in found.values())]
    rows = []
    for (quantity, channel), variants in found.items():
        own = variants.get("")
        if own is None:
            continue
        known = SCORES[quantity].meaning if quantity in SCORES else ""
        meaning = scored.about.get("meaning", {}).get(own["name"], known)
        rows.append(
            {
                "score": title_of(quantity) + (f", {channel}" if channel else ""),
                "meaning": meaning.partition(";")[0],
                "value": with_interval(own, DIGITS),
                "reason": own.get("reason", ""),
                "images": own.get("n_images", ""),
                "patients": own.get("n_patients", ""),
                "baselines": [with_interval(variants[key], DIGITS) if key in variants else "" for key in used],
            }
        )
    return {"baselines": [BASELINES[key] for key in used], "rows": rows}


def title_of(quantity: str) -> str:
    """The name of a score as the first words of a line."""
    words = in_words(quantity)
    return words[:1].upper() + words[1:]


def headline(metrics: Mapping[str, Mapping[str, Any]], most: int = 5) -> list[str]:
    """The first scores of a table that are no baseline and no difference to one."""
    own = [name for name in metrics if not parts_of(name)[2] and "_over_" not in name]
    return own[:most]
