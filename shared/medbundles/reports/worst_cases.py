"""The worst and the best cases of an evaluation: which they are, and their pictures."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ignite.engine import Engine
from monai.networks.utils import eval_mode

from medbundles.metrics.cases import Cases
from medbundles.metrics.measures import class_indices, entry_of
from medbundles.metrics.overlap import with_case_scores
from medbundles.metrics.scores import class_count
from medbundles.metrics.weighted import mean_of_defined
from medbundles.reports.grad_cam import GradCam
from medbundles.reports.pictures import comparison, overlay
from medbundles.reports.planes import on_black, reconstruction_planes, shown_plane, sides_of, three_planes

Case = dict[str, Any]
Columns = Mapping[str, np.ndarray]


def _class(columns: Columns) -> np.ndarray:
    of_truth = columns["prob"][np.arange(len(columns["label"])), columns["label"]]
    return np.where(columns["label"] != columns["predicted"], of_truth, np.nan)


def _right_class(columns: Columns) -> np.ndarray:
    of_truth = columns["prob"][np.arange(len(columns["label"])), columns["label"]]
    return np.where(columns["label"] == columns["predicted"], -of_truth, np.nan)


def _dice(columns: Columns) -> np.ndarray:
    return mean_of_defined(list(np.atleast_2d(columns["dice"].T)[: class_count(columns)]))


# kind -> (column it needs, value of each case (n,): the lowest is the worst, and of best_... the best, NaN is not among
# them)
KINDS: dict[str, tuple[str, Callable[[Columns], np.ndarray]]] = {
    "dice": ("dice", _dice),
    "class": ("prob", _class),
    "reconstruction": ("mse", lambda columns: -columns["mse"]),
    "best_dice": ("dice", lambda columns: -_dice(columns)),
    "best_class": ("prob", _right_class),
    "best_reconstruction": ("mse", lambda columns: columns["mse"]),
}
BEST = 2  # pictures of the best cases beside those of the worst ones: they show what is possible


class WorstCases:
    """Keeps the arrays of the worst cases so far while an evaluation runs.

    Args:
        count: how many of each kind; 0: none, and no batch is looked at.
        grad_cam: of a network that only classifies, whose cases are shown with it; None: they are not.

    Attributes:
        kept: kind ("dice", "class", "reconstruction") -> cases, worst first, and "best_dice" ... -> the best ones, best
            first: value (lowest first in each), place (source and name), sides (see `planes.sides_of`), and image,
            mask, truth, reconstruction (H, W), where there are such; or volume (C, X, Y, Z), predicted (the class) and,
            once `heat` was called, heat (X, Y, Z).
    """

    def __init__(self, count: int, grad_cam: GradCam | None = None):
        self.count, self.grad_cam = count, grad_cam
        self.forget()

    def forget(self) -> None:
        """Start anew."""
        self.kept: dict[str, list[Case]] = {kind: [] for kind in KINDS}

    def add(self, engine: Engine, cases: Cases) -> None:
        """Look at a batch that has been measured; only those among the worst are copied to the CPU whole."""
        if self.count <= 0:
            return
        output: Any = engine.state.output
        batch: Any = engine.state.batch
        columns = with_case_scores({name: values.detach().cpu().numpy() for name, values in cases.latest.items()})
        for kind, (needed, value_of) in KINDS.items():
            # wrong classes are shown with their masks, and classes alone with what speaks for them
            by_heat = needed == "prob" and "dice" not in columns
            drawn = needed in columns and (kind != "best_class" or by_heat)
            if not drawn or (by_heat and (self.grad_cam is None or output["image"].ndim != 5)):
                continue
            values = value_of(columns)
            for i in np.flatnonzero(~np.isnan(values)).tolist():
                value, kept, most = float(values[i]), self.kept[kind], self._most(kind)
                if len(kept) >= most and not (most and value < kept[-1]["value"]):
                    continue
                place = (str(batch["source"][i]) if "source" in batch else "", str(batch["name"][i]))
                path, dims = str(batch["image_path"][i]) if "image_path" in batch else "", output["image"].ndim - 2
                if by_heat:
                    volume = output["image"][i].detach().float().cpu().numpy()
                    arrays = {"volume": volume, "predicted": int(columns["predicted"][i])}
                else:
                    arrays = _arrays(output, i, kind)
                case = {"value": value, "place": place, "sides": sides_of(path, dims), **arrays}
                self.kept[kind] = sorted([*kept, case], key=_value)[:most]

    def heat(self, engine: Any) -> None:
        """Find out what speaks for the predicted class of the volumes that are kept, with a pass of each of them.

        Args:
            engine: the evaluator, whose network and inferer are used.
        """
        for case in (case for cases in self.kept.values() for case in cases if "volume" in case):
            assert self.grad_cam is not None
            self.grad_cam.watch(*getattr(engine.inferer, "members", ()))
            image = torch.from_numpy(case["volume"])[None].to(engine.state.device)
            with eval_mode(engine.network):
                found = engine.inferer(image, engine.network)
            logits = found["cls"] if isinstance(found, Mapping) else found
            label = torch.tensor([case["predicted"]], device=logits.device)
            case["heat"] = self.grad_cam.maps(logits, label)[0].cpu().numpy()
            self.grad_cam.forget()

    def _most(self, key: str) -> int:
        return min(BEST, self.count) if key.startswith("best_") else self.count

    def merged(self, ranks: Sequence[Mapping[str, list[Case]]]) -> dict[str, list[Case]]:
        """The worst and the best of what each rank kept; a case that is among the worst is none of the best."""
        found = {
            key: sorted((case for rank in ranks for case in rank[key]), key=_value)[: self._most(key)]
            for key in self.kept
        }
        for kind in KINDS:
            if f"best_{kind}" in found:
                worst = {case["place"] for case in found[kind]}
                found[f"best_{kind}"] = [case for case in found[f"best_{kind}"] if case["place"] not in worst]
        return found


def _value(case: Case) -> float:
    return case["value"]


def _arrays(output: Mapping[str, Any], i: int, kind: str) -> dict[str, np.ndarray]:
    """What is drawn of a case, one plane of each (H, W); of several channels of the image the mean."""
    if kind.endswith("reconstruction"):
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
            if "volume" in case:
                label = class_names[case["predicted"]]
                text = f"{caption}\nheat: what speaks for {label!r}"
                written.append(three_planes(on_black(case["volume"][0]), case["heat"], path, text))
            elif "reconstruction" in case:
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
