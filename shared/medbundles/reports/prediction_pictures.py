"""Pictures of predictions: image, true and predicted outline side by side, or image, reconstruction and difference."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image

from medbundles.metrics.measures import Masks, class_indices
from medbundles.metrics.overlap import with_case_scores
from medbundles.reports.pictures import compared, outlined
from medbundles.reports.planes import reconstruction_planes, shown_plane, sides_of
from medbundles.reports.worst_cases import class_text, dice_text

PANEL, TEXT = 256, 22  # pixels: least long side of a panel, letters that are read where TensorBoard shrinks it


class PredictionPictures:
    """Chooses cases of a validation while it runs, and draws them when it has ended.

    First come cases with something in the true mask, then others with a true mask, then the rest, each in the order of
    the data: so the same cases are shown after every epoch. A reconstruction, pred["reconstruction"], is shown beside
    its image, with the difference; of a network that only classifies the image alone. Of a volume the slice with most
    of the true mask is shown (else of the predicted one, else the middle), axial and nose up for volumes in RAS.

    Args:
        count: how many cases.
        class_names: names of the classes for the captions; empty: their numbers.
    """

    def __init__(self, count: int, class_names: Sequence[str] = ()):
        self.count, self.class_names = count, list(class_names)
        self.forget()

    def forget(self) -> None:
        """Start anew."""
        self.cases: list[dict[str, Any]] = []

    def add(self, output: Any, batch: Any = None) -> None:
        """Look at a batch; only what will be shown is copied to the CPU.

        Args:
            output: an evaluator's batched output: "image" (B, C, H, W) or (B, C, X, Y, Z), of which the first channel
                is shown; "label" and "pred", each with a "mask" or one itself: (B, 1, ...) class indices or
                (B, K, ...), a channel for each class but the background; "label" may say with "has_mask" (B,) which
                masks are known.
                Classes are "class" (B,) and "prob" (B, N) of "pred" and "cls" (B,) of "label".
            batch: says "name" and "image_path" of each case, if it is known.
        """
        image = output.get("image") if isinstance(output, Mapping) else None
        if not isinstance(image, torch.Tensor) or self.count <= 0:
            return
        known = batch if isinstance(batch, Mapping) else {}
        for place, i, arrays in self._found(output, image):
            if len(self.cases) >= self.count and place >= self.cases[-1]["place"]:
                continue
            path = str(known["image_path"][i]) if "image_path" in known else ""
            name = str(known["name"][i]) if "name" in known else f"case {i}"
            case = {"place": place, "name": name, "sides": sides_of(path, image.ndim - 2), **arrays(i)}
            self.cases = sorted([*self.cases, case], key=lambda one: one["place"])[: self.count]

    def _found(self, output: Mapping[str, Any], image: torch.Tensor) -> Iterator[tuple[int, int, Any]]:
        """Place in the order (0 first), number in the batch and the function that gives the arrays of each case."""
        pred, label = output.get("pred"), output.get("label")
        if isinstance(pred, Mapping) and "reconstruction" in pred:
            yield from ((0, i, lambda i: {"planes": reconstruction_planes(output, i)}) for i in range(len(image)))
            return
        found, truth = (_masks(value, image) for value in (pred, label))
        classes = self._classes(pred, label)
        if found is None and not classes:
            return
        has_truth, dice = torch.zeros(len(image), dtype=torch.bool), np.empty(0)
        if found is not None and truth is not None:
            has_truth = torch.ones_like(has_truth)
            if isinstance(label, Mapping) and "has_mask" in label:
                has_truth = label["has_mask"].bool().cpu()
            columns = {name: value.cpu().numpy() for name, value in Masks()(output).items()}
            dice = with_case_scores(columns)["dice"]
        filled = has_truth if truth is None else has_truth & (truth > 0).flatten(1).any(1).cpu()

        def arrays(i: int) -> dict[str, Any]:
            pair = {"truth": truth if has_truth[i] else None, "predicted": found}
            masks = {name: class_indices(mask[i].cpu()) for name, mask in pair.items() if mask is not None}
            planes = shown_plane([image[i, 0].detach().float().cpu(), *masks.values()], list(masks.values()))
            named = dict(zip(("image", *masks), planes, strict=True))
            return {**named, "dice": dice_text(dice[i]) if has_truth[i] else "", "class": classes[i] if classes else ""}

        yield from ((2 - int(has_truth[i]) - int(filled[i]), i, arrays) for i in range(len(image)))

    def _classes(self, pred: Any, label: Any) -> list[str]:
        """What the caption says of each case's class; empty where there are none."""
        there = isinstance(pred, Mapping) and "prob" in pred and isinstance(label, Mapping) and "cls" in label
        if not there:
            return []
        names = self.class_names or [str(n) for n in range(pred["prob"].shape[1])]
        rows = zip(label["cls"].flatten().tolist(), pred["class"].tolist(), pred["prob"].tolist(), strict=True)
        return [class_text(*row, names) for row in rows]

    def pictures(self, about: str = "") -> list[tuple[str, Image.Image]]:
        """Name and picture of each chosen case; none when the outputs held neither masks, classes nor
        reconstructions.

        Args:
            about: what the caption says beside the case's name, such as "epoch 3".
        """
        found = []
        for case in self.cases:
            caption = ", ".join(filter(None, [case["name"], about, case.get("dice", "")]))
            caption = f"{caption}\n{case.get('class', '')}".strip()
            if "planes" in case:
                target, made = case["planes"]
                drawn = compared(target, made, caption, case["sides"], TEXT)
            else:
                truth, predicted, sides = case.get("truth"), case.get("predicted"), case["sides"]
                laid: dict[str, Any] = {"caption": caption, "sides": sides, "side": PANEL, "text": TEXT}
                drawn = outlined(case["image"], truth=truth, predicted=predicted, **laid)
            found.append((case["name"], drawn))
        return found


def _masks(value: Any, image: torch.Tensor) -> torch.Tensor | None:
    """Masks (B, K, ...) of the image's size, or None when the value is something else."""
    value = value.get("mask") if isinstance(value, Mapping) else value
    if not isinstance(value, torch.Tensor) or value.shape[2:] != image.shape[2:]:
        return None
    if value.is_floating_point() and bool((value != value.round()).any()):
        return None  # not whole numbers: a reconstruction, no mask
    return value.detach()
