"""The table of scores: each with its interval, and beside it the same of what costs nothing."""

from collections.abc import Mapping
from typing import Any

from medbundles.metrics.scores import SCORES
from medbundles.reports.curves import PARTS, VARIANTS, in_words, parts_of, unit_of
from medbundles.reports.page.run_files import Scored
from medbundles.reports.tables import with_interval

BASELINES = {name: VARIANTS[name][0] for name in ("constant", "logistic", "bicubic", "pca", "jpeg")}
DIGITS = 3
LENGTHS = ("hd95",)
DIGITS_OF = {"dB": 2, "mm": 2, "pixels": 2, "nats": 1, "bytes": 0}  # by the unit
TELLING = ("dice", "acc", "auc", "psnr", "ssim")


def score_table(scored: Scored) -> dict[str, Any]:
    """What the page shows of the scores.

    Returns:
        `baselines`: their columns; `rows`: for each score its name in words, meaning, value with interval, the reason
        where there is none, number of images and patients, and the text of each baseline.
    """
    found: dict[tuple[str, str], dict[str, Mapping[str, Any]]] = {}
    for name, measure in scored.metrics.items():
        channel = _channel_of(name, scored.about)
        _, quantity, variant = parts_of(name.removesuffix(f"_{channel}") if channel else name)
        found.setdefault((quantity, channel), {})[variant] = {**measure, "name": name}
    rows, used = [], [k for k in BASELINES if any(k in variants and "" in variants for variants in found.values())]
    for (quantity, channel), variants in found.items():
        of_line = used if "" in variants else []
        for variant, own in variants.items():
            if variant in of_line:
                continue
            known = SCORES[quantity].meaning if quantity in SCORES else ""
            meaning = scored.about.get("meaning", {}).get(own["name"], known)
            told = VARIANTS[variant][0] if variant else ""
            rows.append(
                {
                    "score": ", ".join(filter(None, [title_of(quantity), told, channel])),
                    "meaning": meaning.partition(";")[0],
                    "value": measured(quantity, own, scored.about),
                    "reason": own.get("reason", ""),
                    "images": own.get("n_images", ""),
                    "patients": own.get("n_patients", ""),
                    "baselines": [
                        measured(quantity, variants[k], scored.about) if k in variants and not variant else ""
                        for k in used
                    ],
                }
            )
    return {"baselines": [BASELINES[key] for key in used], "rows": rows}


def _channel_of(name: str, about: Mapping[str, Any]) -> str:
    """The channel of the masks that a score is of: what its meaning says, as a class may be called as a baseline is,
    and without a meaning by the end of its name; empty: all of them."""
    channels = about.get("channel_names", ())
    meaning = about.get("meaning", {}).get(name)
    if meaning is not None:
        return next((channel for channel in channels if meaning.endswith(f"; channel {channel}")), "")
    return max((c for c in channels if name.endswith(f"_{c}")), key=len, default="")  # "b_a" beside "a"


def unit_in(about: Mapping[str, Any], quantity: str) -> str:
    """The unit of a quantity in this run: lengths are in mm, or in pixels where the images are pictures."""
    return about.get("length_unit", "") if quantity in LENGTHS else unit_of(quantity)


def measured(quantity: str, measure: Mapping[str, Any], about: Mapping[str, Any]) -> str:
    """Value, interval and unit, of a run whose head is `about`."""
    unit = unit_in(about, quantity)
    return with_interval(measure, DIGITS_OF.get(unit, DIGITS)) + (
        f" {unit}" if unit and measure["value"] is not None else ""
    )


def title_of(quantity: str) -> str:
    """The name of a score as the first words of a line."""
    words = in_words(quantity)
    return words[:1].upper() + words[1:]


def named(name: str) -> str:
    """An entry of a record as people write it, with its part of the data."""
    part, quantity, variant = parts_of(name) if name else ("", "", "")
    words = ", ".join(filter(None, (in_words(quantity), VARIANTS[variant][0] if variant else "")))
    return f"{words} ({PARTS[part][0]})" if part else words


def headline(metrics: Mapping[str, Any], most: int = 5) -> list[str]:
    """The scores that tell most, of masks, classes and reconstructions alike; where there are none of these the first
    ones of the table that are no baseline and no difference to one."""
    own = [name for name in metrics if not parts_of(name)[2] and "_over_" not in name]
    return [name for name in TELLING if name in metrics] or own[:most]
