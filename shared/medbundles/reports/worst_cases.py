"""The worst and the best cases of an evaluation: which they are, and their pictures."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ignite.engine import Engine

from medbundles.metrics.cases import Cases
from medbundles.metrics.measures import class_indices, entry_of
from medbundles.metrics.overlap import with_case_scores
from medbundles.metrics.scores import class_count
from medbundles.metrics.weighted import mean_of_defined
from medbundles.reports.pictures import comparison, overlay
from medbundles.reports.planes import reconstruction_planes, shown_plane, sides_of

Case = dict[str, Any]
Columns = Mapping[str, np.ndarray]


def _class(columns: Columns) -> np.ndarray:
    of_truth = columns["prob"][np.arange(len(columns["label"])), columns["label"]]
    return np.where(columns["label"] != columns["predicted"], of_truth, np.nan)


# kind -> (column it needs, value of each case (n,): the lowest is the worst, NaN is not among them)
KINDS: dict[str, tuple[str, Callable[[Columns], np.ndarray]]] = {
    "dice": ("dice", lambda columns: mean_of_defined(list(np.atleast_2d(columns["dice"].T)[: class_count(columns)]))),
    "class": ("prob", _class),
    "reconstruction": ("mse", lambda columns: -columns["mse"]),
}
BEST = 2  # pictures of the best cases beside those of the worst ones, of what has a score: they show what is possible
SCORED = ("dice", "reconstruction")


class WorstCases:
    """Keeps the arrays of the worst cases so far while an evaluation runs.

    Args:
        count: how many of each kind; 0: none, and no batch is looked at.

    Attributes:
        kept: kind ("dice", "class", "reconstruction") -> cases, worst first, and "best_dice", "best_reconstruction" ->
            the best ones, best first: value (lowest first in each), place (source and name), sides (see
            `planes.sides_of`), and image, mask, truth, reconstruction (H, W), where there are such.
    """

    def __init__(self, count: int):
        self.count = count
        self.forget()

    def forget(self) -> None:
        """Start anew."""
        self.kept: dict[str, list[Case]] = {kind: [] for kind in (*KINDS, *(f"best_{kind}" for kind in SCORED))}

    def add(self, engine: Engine, cases: Cases) -> None:
        """Look at a batch that has been measured; only those among the worst are copied to the CPU whole."""
        if self.count <= 0:
            return
        output: Any = engine.state.output
        batch: Any = engine.state.batch
        columns = with_case_scores({name: values.detach().cpu().numpy() for name, values in cases.latest.items()})
        for kind, (needed, value_of) in KINDS.items():
            # wrong classes are shown with their masks; of a network that only classifies there is nothing to outline
            drawn = needed in columns and (kind != "class" or "dice" in columns)
            values = value_of(columns) if drawn else np.empty(0)
            for i in np.flatnonzero(~np.isnan(values)).tolist():
                places = {kind: float(values[i]), **({f"best_{kind}": -float(values[i])} if kind in SCORED else {})}
                places = {key: value for key, value in places.items() if self._is_among(key, value)}
                if not places:
                    continue
                place = (str(batch["source"][i]) if "source" in batch else "", str(batch["name"][i]))
                path, dims = str(batch["image_path"][i]) if "image_path" in batch else "", output["image"].ndim - 2
                arrays = {"sides": sides_of(path, dims), **_arrays(output, i, kind)}
                for key, value in places.items():
                    self.kept[key].append({"value": value, "place": place, **arrays})
                    self.kept[key] = sorted(self.kept[key], key=_value)[: self._most(key)]

    def _is_among(self, key: str, value: float) -> bool:
        kept, most = self.kept[key], self._most(key)
        return len(kept) < most or (most > 0 and value < kept[-1]["value"])

    def _most(self, key: str) -> int:
        return min(BEST, self.count) if key.startswith("best_") else self.count

    def merged(self, ranks: Sequence[Mapping[str, list[Case]]]) -> dict[str, list[Case]]:
        """The worst and the best of what each rank kept; a case that is among the worst is none of the best."""
        found = {
            key: sorted((case for rank in ranks for case in rank[key]), key=_value)[: self._most(key)]
            for key in self.kept
        }
        for kind in SCORED:
            worst = {case["place"] for case in found[kind]}
            found[f"best_{kind}"] = [case for case in found[f"best_{kind}"] if case["place"] not in worst]
        return found


def _value(case: Case) -> float:
    return case["value"]


def _arrays(output: Mapping[str, Any], i: int, kind: str) -> dict[str, np.ndarray]:
    """What is drawn of a case, one plane of each (H, W); of several channels of the image the mean."""
    if kind == "reconstruction":
        return dict(zip(("truth", "reconstruction"), reconstruction_planes(output, i), strict=True))
    image = output["image"][i].detach().float().cpu().mean(0)
    truth, found = (class_indices(entry_of(output, key, "mask")[i].detach().cpu()) for key in ("label", "pred"))
    return dict(zip(("image", "mask", "truth"), shown_plane([image, found, truth], [truth, found]), strict=True))


def write_worst(
    folder: Path, kept: Mapping[str, Sequence[Case]], rows: Mapping[tuple[str, str], Mapping[str, Any]],
    class_names: Sequence[str], channel_names: Sequence[str] = (),
) -> None:  # fmt: skip
    """Write the worst cases as pictures, worst_<kind>_<number>.png, and best_<kind>_<number>.png, in place of those of
    an earlier report.

    Args:
        folder: where they go.
        kept: see `WorstCases`.
        rows: (source, name) -> the case's columns.
        class_names: names of the classes, if there are any.
        channel_names: names of the channels of the masks.
    """
    written = []
    for kind, cases in kept.items():
        for number, case in enumerate(cases, start=1):
            row, path = (
                rows[case["place"]],
                folder / f"{kind if kind.startswith('best_') else f'worst_{kind}'}_{number}.png",
            )
            caption = f"{row['name']} ({row['source']})\n{_facts(row, class_names)}"
            about = {"caption": caption, "sides": case["sides"]}
            channels = list(channel_names)[: int(row.get("class_channels", len(channel_names)))]
            if "reconstruction" in case:
                written.append(comparison(case["truth"], case["reconstruction"], path, **about))
            else:
                truth = case["truth"] if row["has_mask"] else None
                written.append(
                    overlay(case["image"], path, predicted=case["mask"], truth=truth, names=channels, **about)
                )
    for old in {*folder.glob("worst_*_*.png"), *folder.glob("best_*_*.png")} - set(written):
        old.unlink()


def dice_text(dice: Any) -> str:
    """The Dice of a case, or of its channels (K,), for a caption; NaN where there is nothing in the true mask."""
    mean = float(mean_of_defined(list(np.atleast_1d(dice))))
    return "Dice not defined, the true mask is empty" if np.isnan(mean) else f"Dice {mean:.3f}"


def class_text(label: int, predicted: int, prob: Sequence[float], class_names: Sequence[str]) -> str:
    """True and predicted class of a case with the probabilities (N,), for a caption."""
    each = ", ".join(f"{name} {p:.3f}" for name, p in zip(class_names, prob, strict=True))
    return f"true class {class_names[label]}, predicted {class_names[predicted]} ({each})"


def _facts(row: Mapping[str, Any], class_names: Sequence[str]) -> str:
    dice = np.atleast_1d(row.get("dice", np.nan))
    facts = [dice_text(dice[: int(row.get("class_channels", len(dice)))])] if "dice" in row and row["has_mask"] else []
    if "mse" in row:
        facts.append(f"MSE {row['mse']:.4g}, PSNR {row['psnr']:.1f} dB")
        facts += [f"SSIM {row['ssim']:.3f}"] if not np.isnan(row.get("ssim", np.nan)) else []
    if "prob" in row:
        facts.append(class_text(row["label"], row["predicted"], row["prob"], class_names))
    return "; ".join(facts)
