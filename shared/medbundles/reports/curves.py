"""Learning curves of a run: a panel for each kind of quantity, a colour for each quantity, the same in every run."""

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from zlib import crc32

from medbundles.metrics.scores import CLASS_COLUMNS, SCORES
from medbundles.reports.figures import COLOURS, figure_of

Records = Sequence[Mapping[str, Any]]
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
MOST_MARKERS = 12  # on a curve
# In 0..1 too, but too small, or of another kind.
ERRORS = ("l1", "mse", "lpips", "l1_gap", "active_channels", "latent_mean", "latent_std", "latent_scale")
OF_BOTH = ("recall", "precision")  # may be of images' classes or of masks
NO_CURVE = ("epoch", "epoch_seconds", "samples_per_second")
# What is drawn for a quantity beside itself: end of the name -> what the legend says, line. Training is dashed,
# validation solid.
VARIANTS = {
    "at_half": ("at threshold 0.5", "-."), "constant": ("constant answer", ":"),
    "logistic": ("logistic regression", ":"), "patch": ("centre patch", "-."), "bicubic": ("bicubic", ":"),
    "pca": ("PCA", (0, (3, 1, 1, 1, 1, 1))), "jpeg": ("JPEG", (0, (1, 3))),
}  # fmt: skip
PARTS = {"train": ("training", "--"), "val": ("validation", "-")}
# Words in the names of quantities as people write them; the other words stay.
WORDS = {
    "l1": "L1", "mse": "MSE", "psnr": "PSNR", "ssim": "SSIM", "ms": "multi-scale", "lpips": "LPIPS", "kl": "KL",
    "dice": "Dice", "auc": "AUC", "f1": "F1", "iou": "IoU", "fp": "false-positive", "acc": "accuracy",
    "lr": "learning rate", "grad": "gradient", "recon": "reconstruction", "seg": "segmentation",
    "cls": "classification", "pca": "PCA", "jpeg": "JPEG", "ece": "expected calibration error", "brier": "Brier score",
    "hd95": "95th percentile Hausdorff distance", "macro": "(macro)", "std": "standard deviation",
}  # fmt: skip
UNITS = {"psnr": "dB", "kl": "nats", "jpeg_bytes": "bytes"}  # by the quantity or its first word
# Quantities that have a panel each, and what their words do not say: title and unit.
PANELS = {
    "l1": ("L1", "absolute error"), "mse": ("MSE", "squared error"),
    "l1_gap": ("L1 of whole images minus that of patches", "difference of L1"),
    "kl": ("KL divergence of the latent", "nats"), "kl_per_element": ("KL divergence per number of the latent", "nats"),
    "active_channels": ("Active channels of the latent", "channels"), "latent_mean": ("Mean of the latent", "mean"),
    "latent_std": ("Standard deviation of the latent", "standard deviation"),
    "latent_scale": ("Scale of the latent", "1 / standard deviation"),
}  # fmt: skip
# Places in COLOURS: what stands in one panel differs, and a name that is not here has the place that its letters give.
PLACES = {
    "loss": 0, "seg_loss": 1, "cls_loss": 2, "recon_loss": 1, "perceptual_loss": 2, "kl_loss": 3,
    "dice_loss": 1, "ce_loss": 2, "focal_loss": 3, "boundary_loss": 4,
    "dice": 0, "iou": 1, "dice_patient": 2, "accuracy": 3, "combined": 6,
    "acc": 0, "balanced_acc": 3, "sensitivity": 2, "specificity": 5, "auc": 6, "f1": 1, "precision": 4, "recall": 7,
    "ssim": 0, "ms_ssim": 1, "lr": 0, "lr_encoder": 0, "lr_rest": 1, "grad_norm_mean": 0, "grad_norm_max": 1,
    "mask_threshold": 0, "class_threshold": 1, "volume_threshold": 2,
}  # fmt: skip


def learning_curves(epochs: Records, path: str | Path, *, best_epoch: int | None = None, title: str = "") -> Path:
    """Write losses, scores, other metrics, learning rates and gradient norms over the epochs, a panel each.

    Training is dashed and validation solid; what a score is compared with (its value at 0.5, a constant answer) has
    the score's colour and a dotted line.

    Args:
        epochs: one record per epoch, as metrics.json has them: "epoch", train_..., val_..., lr..., grad_norm_...
        path: the picture to write (.png).
        best_epoch: marked by a line.
        title: above the panels.

    Returns:
        `path`.
    """
    panels = panels_of(epochs)
    columns = min(3, max(1, len(panels)))
    rows = max(1, math.ceil(len(panels) / columns))
    with figure_of(path, (6.0 * columns, 3.4 * rows + 0.3)) as figure:
        figure.suptitle(title or "Learning curves", fontweight="bold")
        figure.get_layout_engine().set(h_pad=0.1)  # inches, so that it stands apart from the panels' titles
        for i, (name, unit, curves) in enumerate(panels):
            draw_panel(figure.add_subplot(rows, columns, i + 1), epochs, (name, unit, curves), best_epoch)
    return Path(path)


def draw_panel(axes: Any, epochs: Records, panel: tuple[str, str, list[str]], best_epoch: int | None) -> None:
    """Draw one of the panels that `panels_of` names, with its legend."""
    name, unit, curves = panel
    _draw(axes, epochs, curves)
    axes.set(title=name, xlabel="epoch", ylabel=unit)
    axes.xaxis.get_major_locator().set_params(integer=True)
    if unit == "rate":
        axes.set_yscale("log")
    if unit == "score":
        axes.set_ylim(-0.02, 1.02)
    if best_epoch is not None:
        axes.axvline(best_epoch, color="0.7", linewidth=1, label=f"best epoch ({best_epoch})")
    axes.legend(fontsize=9, loc="upper left", bbox_to_anchor=(1.0, 1.02), frameon=False)  # over no curve
    axes.grid(alpha=0.25)


def loss_curve(epochs: Records, path: str | Path, *, best_epoch: int | None = None, title: str = "") -> Path:
    """Write training and validation loss and their parts over the epochs; arguments as for `learning_curves`."""
    kept = [{k: v for k, v in record.items() if k == "epoch" or k.endswith("loss")} for record in epochs]
    return learning_curves(kept, path, best_epoch=best_epoch, title=title or "Loss curve")


def look_of(quantity: str) -> tuple[str, str]:
    """Colour and marker of a quantity, such as "dice": they depend on its name alone."""
    number = PLACES.get(quantity, crc32(quantity.encode()))
    return COLOURS[number % len(COLOURS)], MARKERS[(PLACES.get(quantity, number // 8)) % len(MARKERS)]


def parts_of(name: str) -> tuple[str, str, str]:
    """An entry of a record as part, quantity and variant: "val_dice_at_half" -> ("val", "dice", "at_half")."""
    pattern = rf"(?:(train|val)_)?(.+?)(?:(?<!_over)_({'|'.join(VARIANTS)}))?"
    part, quantity, variant = re.fullmatch(pattern, name).groups(default="")  # type: ignore[union-attr]
    return part, quantity, variant


def in_words(quantity: str) -> str:
    """The name of a quantity as people write it.

    Example:
        >>> in_words("psnr_over_pca")
        'PSNR over PCA'
    """
    return " ".join(WORDS.get(word, word) for word in quantity.split("_"))


def unit_of(quantity: str) -> str:
    """The unit of a quantity; empty where it has none."""
    return UNITS.get(quantity, UNITS.get(quantity.partition("_")[0], "")) if "per_element" not in quantity else ""


def panels_of(epochs: Records) -> list[tuple[str, str, list[str]]]:
    """(title, unit, names of curves); metrics that leave 0..1 have a panel each."""
    names = list(dict.fromkeys(key for record in epochs for key in record if key not in NO_CURVE))
    groups: dict[tuple[str, str], list[str]] = {}
    has_classes = any(_is_of_classes(parts_of(name)[1]) for name in names)
    for name in names:
        values = [v for v in (_number(record, name) for record in epochs) if not math.isnan(v)]
        if values:
            groups.setdefault(_group(name, min(values) >= 0 and max(values) <= 1, has_classes), []).append(name)
    found = [(title, unit, curves) for (title, unit), curves in groups.items()]
    return sorted(found, key=lambda panel: (not panel[1].endswith("loss"), panel[1] != "score"))  # these first


def _is_of_classes(quantity: str) -> bool:
    needs = SCORES[quantity].needs if quantity in SCORES and quantity not in OF_BOTH else ()
    return bool(needs) and set(needs) <= set(CLASS_COLUMNS)


def _group(name: str, is_share: bool, has_classes: bool) -> tuple[str, str]:
    """Title and unit of the panel of an entry of the records."""
    part, quantity, _ = parts_of(name)
    if name == "lr" or name.startswith("lr_"):
        return "Learning rate", "rate"
    if name.startswith("grad_norm"):
        return "Gradient norm", "norm before clipping"
    if "threshold" in name:
        return ("Class threshold", "log-odds") if "logit" in name else ("Decision thresholds", "probability")
    words = in_words(quantity)
    if quantity == "kl_loss":  # a sum over the latent: far larger than other losses, in whole images than in patches
        return f"{words}, {PARTS[part][0]}" if part else words, words
    if quantity.endswith("loss"):
        return "Loss", "loss"
    if "area" in quantity:
        return words[:1].upper() + words[1:], "share of the image"
    if not is_share or quantity in ERRORS:
        return PANELS.get(quantity, (words[:1].upper() + words[1:], "dB" if quantity.startswith("psnr") else words))
    if _is_of_classes(quantity) or (has_classes and quantity in OF_BOTH):
        return "Scores of the classes", "score"
    return "Scores", "score"


def _number(record: Mapping[str, Any], name: str) -> float:
    value = record.get(name)
    return math.nan if value is None else float(value)


def _draw(axes: Any, epochs: Records, curves: list[str]) -> None:
    """Draw curves and their legend. Epochs without a value are left out, not zero."""
    quantities: dict[str, None] = {}
    styles: dict[str, Any] = {}
    for i, name in enumerate(curves):
        points = [(record["epoch"], _number(record, name)) for record in epochs]
        shown = [point for point in points if not math.isnan(point[1])]
        part, quantity, variant = parts_of(name)
        colour, marker = look_of(quantity)
        told, style = VARIANTS[variant] if variant else PARTS.get(part, ("", "-"))
        quantities[quantity] = None
        styles |= {told: style} if told else {}
        axes.plot(
            *zip(*shown, strict=True), linestyle=style, color=colour, marker=marker, markersize=4,
            markevery=max(1, len(shown) // MOST_MARKERS), linewidth=max(1.4, 2.6 - 0.3 * i),  # equal curves: both show
        )  # fmt: skip
    for quantity in quantities:
        colour, marker = look_of(quantity)
        axes.plot([], [], color=colour, marker=marker, markersize=5, label=in_words(quantity))
    for told, style in styles.items():
        axes.plot([], [], color="0.35", linestyle=style, label=told)
