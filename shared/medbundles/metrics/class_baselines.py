"""What costs nothing beside every class: the larger class, and a logistic regression on mean, spread and size."""

import logging
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from medbundles.data.batches.dataset import PlainItems
from medbundles.errors import DataError
from medbundles.json_files import read_json
from medbundles.metrics.measures import UNTRAINED, Output

logger = logging.getLogger("medbundles")
FILE = "class_baselines.json"
FITTED = ("mean", "std", "weights", "bias")
ADVICE = "A training writes it beside its weights; take theirs, or weights of another run."


def simple_features(images: torch.Tensor) -> torch.Tensor:
    """Of prepared images (B, C, ...) per channel: mean and standard deviation inside the head, and its share (B, 3C).

    The head is what differs from the value in the first corner, the background. A channel without any has 0, 0, 0.
    """
    pixels = images.detach().as_subclass(torch.Tensor).flatten(2).double()
    head = pixels != pixels[:, :, :1]
    count = head.sum(2).clamp(min=1)
    mean = (pixels * head).sum(2) / count
    spread = (((pixels - mean[..., None]) * head).square().sum(2) / count).sqrt()
    return torch.cat([mean, spread, head.double().mean(2)], dim=1)


class ClassBaselines:
    """Classes without a network: what the network's own are to be compared with.

    - constant: the most frequent class of the training part
    - logistic: scikit-learn's logistic regression on the standardised `simple_features`, fitted on the training part

    Columns: constant (B,) float64 class, logistic (B, N) float64 probabilities; NaN where neither a training part nor
    a file is given, and logistic where the training part has one class. Reads the prepared "image" and pred["prob"].

    Args:
        dataset: the training part (`medbundles.data.SeededDataset`), whose items have "image" (C, ...) and "label";
            what it augments does not count. Read when first needed.
        run_dir: the run directory, in whose config/class_baselines.json they are kept (`records` of
            `medbundles.handlers.Run`).
        file: that of an earlier run, in place of a training part; of several, as of an ensemble, the most frequent of
            their constants and the mean of their probabilities count.
        most: of how many training images at most, evenly spread.

    Example::

        {"_target_": "medbundles.metrics.ClassBaselines", "dataset": "@train#dataset", "run_dir": "@run_dir"}
    """

    def __init__(
        self, dataset: Any = None, run_dir: Any = None, file: str | Sequence[str] | None = None, most: int = 1000
    ):
        self.dataset, self.run_dir, self.file, self.most = dataset, run_dir, file, most

    def record(self) -> tuple[Path, dict[str, Any]] | None:
        """Their file and what belongs in it: asked by one process when a run starts (see `handlers.Run`)."""
        return None if self.run_dir is None else (self.run_dir.folder("config") / FILE, self.fitted)

    @cached_property
    def every(self) -> list[dict[str, Any]]:
        """What `fitted` gives, or of each file what is in it.

        Raises:
            DataError: a file is none of these.
        """
        files = [self.file] if isinstance(self.file, str) else self.file
        return [read_json(f, DataError, ("constant", "classes", *FITTED), ADVICE) for f in files or ()] or [self.fitted]

    @cached_property
    def fitted(self) -> dict[str, Any]:
        """constant (class), images (number), classes, mean, std (F,), weights (N, F) and bias (N,) of the training
        part; {} without one."""
        if self.dataset is None or not len(self.dataset):
            return {}
        if hasattr(self.dataset, "prepare"):  # fills its cache, which the training then finds
            self.dataset.prepare()
        items = PlainItems(self.dataset, self.most)
        features, labels = [], []
        for item in items:
            features.append(simple_features(torch.as_tensor(item["image"])[None]))
            labels.append(int(item["label"]))
        found = _fit(torch.cat(features).numpy(), np.array(labels))
        if len(found["classes"]) == 1:
            logger.warning(
                "All %d training images are of class %d: nothing can be learned of the class, whose scores are N/A.",
                len(items), found["constant"],
            )  # fmt: skip
        logger.info(
            "Baselines: of %d training images class %d is the most frequent; they fit a logistic regression.",
            len(items), found["constant"],
        )  # fmt: skip
        return found

    def __call__(self, output: Output) -> dict[str, torch.Tensor]:
        """The columns of a batch."""
        if "cls" in output.get(UNTRAINED, ()):
            return {}  # there is no class to compare with
        prob = output["pred"]["prob"]
        each = [_of_fitted(found, output["image"], prob) for found in self.every]
        constant, logistic = (torch.stack(columns) for columns in zip(*each, strict=True))
        return {"constant": constant.mode(dim=0).values, "logistic": logistic.mean(dim=0)}


def _of_fitted(found: Mapping[str, Any], images: torch.Tensor, prob: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Constant (B,) and logistic (B, N) of images (B, C, ...) and their probabilities (B, N)."""
    constant = torch.full((len(prob),), found.get("constant", torch.nan), dtype=torch.float64, device=prob.device)
    logistic = torch.full_like(prob, torch.nan, dtype=torch.float64)
    if len(found.get("classes", ())) > 1:
        mean, std, weights, bias = (torch.tensor(found[key], dtype=torch.float64, device=prob.device) for key in FITTED)
        logits = ((simple_features(images) - mean) / std) @ weights.T + bias
        logistic = torch.zeros_like(logistic).index_copy(
            1, torch.tensor(found["classes"], device=prob.device), logits.softmax(1)
        )
    return constant, logistic


def _fit(features: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
    """See `ClassBaselines.fitted`."""
    from sklearn.linear_model import LogisticRegression

    classes, counts = np.unique(labels, return_counts=True)
    mean, std = features.mean(0), features.std(0)
    std[std == 0] = 1
    constant = int(classes[counts.argmax()])
    if (features[:, -(features.shape[1] // 3) :] > 0.999).all():  # noise: nothing shows where the head is
        classes = classes[:0]
    found = {"constant": constant, "images": len(labels), "classes": classes.tolist()}
    weights, bias = np.zeros((len(classes), len(mean))), np.zeros(len(classes))
    if len(classes) > 1:
        model = LogisticRegression(max_iter=1000).fit((features - mean) / std, labels)
        rows = slice(-len(model.coef_), None)  # of two classes scikit-learn gives the second one's, against 0
        weights[rows], bias[rows] = model.coef_, model.intercept_
    values = zip(FITTED, (mean, std, weights, bias), strict=True)
    return found | {key: value.tolist() for key, value in values}
