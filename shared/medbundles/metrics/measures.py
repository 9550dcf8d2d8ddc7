"""What is measured of every case: a batch's output becomes columns of plain numbers, from which all scores follow.

A measure takes an engine's batched output and gives name -> tensor, (B,) or (B, K), on the device that the output is
on. Nothing is copied to the CPU here, so no iteration waits for a GPU. Columns of a measure that says `in_reports =
False` are in no report.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from monai.metrics import MultiScaleSSIMMetric, SSIMMetric

from medbundles.errors import ConfigError, one_of
from medbundles.losses.per_image import per_sample
from medbundles.metrics.pick import Pick
from medbundles.metrics.thresholds import counts_at_thresholds

Output = Mapping[str, Any]
Regions = Mapping[str, Sequence[int]]
UNTRAINED = "untrained"  # entry of an output that names the network's outputs which no training has touched
AT_THRESHOLDS = ("overlap_at_thresholds", "predicted_pixels_at_thresholds")
SMALLEST_IN_WINDOWS = {"ssim": 1, "ms_ssim": 16}  # side of the smallest image, in windows: MONAI refuses less


class Classes:
    """label, predicted (B,) int64 and prob (B, N): true class, predicted class and probability of each class.

    Reads pred["class"], pred["prob"] and label["cls"].
    """

    picked = Pick("label.cls", "pred.class", "pred.prob")

    def __call__(self, output: Output) -> dict[str, torch.Tensor]:
        """The columns of a batch; none of an untrained head."""
        if "cls" in output.get(UNTRAINED, ()):
            return {}
        label, predicted, prob = self.picked(output)
        return {"label": label.flatten().long(), "predicted": predicted.long(), "prob": prob.detach()}


class Masks:
    """Pixels (or voxels) of the predicted and the true mask, and of both together.

    has_mask (B,) bool, pixels (B,): size of a mask; overlap, predicted_pixels, true_pixels (B,), or (B, K) with several
    channels; and right_pixels (B,) where several channels exclude each other: those that have the true class, be it
    the background. Reads pred["mask"] (B, K, ...), set where it is above 0; label["mask"] (B, K, ...) likewise, or
    class indices (B, 1, ...), where index c + 1 is channel c of several and any index above 0 is the only channel; and
    label["has_mask"] (B,), all True where the labels have no such entry. Both masks may stand alone as tensors.

    Regions are further channels behind those of the classes, and class_channels (B,) says how many come before them:
    scores over all channels are means over these.

    Args:
        ignore_label: value of the true mask that stands for "not labelled", in any of its channels: such pixels count
            in nothing. None or False: there is none.
        regions: name -> classes, by their numbers from 1 on, that it unites; None: there are none.
    """

    def __init__(self, ignore_label: int | bool | None = None, regions: Regions | None = None):
        self.ignore_label, self.regions = ignore_label, regions

    def __call__(self, output: Output) -> dict[str, torch.Tensor]:
        """The columns of a batch; none of an untrained decoder."""
        if "seg" in output.get(UNTRAINED, ()):
            return {}
        channels = mask_channels(output, "mask", self.ignore_label, self.regions)
        found, truth, labelled = (x.flatten(2) for x in channels)
        found = found > 0
        sums = {"overlap": (found & truth).sum(2), "predicted_pixels": found.sum(2), "true_pixels": truth.sum(2)}
        columns = {"has_mask": has_mask(output, found), "pixels": labelled.sum((1, 2))}
        if entry_of(output, "label", "mask").shape[1] < found.shape[1]:
            columns["right_pixels"] = ((found == truth).all(1) & labelled[:, 0]).sum(1)
        if self.regions:
            columns["class_channels"] = torch.full_like(columns["pixels"], found.shape[1] - len(self.regions))
        return columns | {name: value[:, 0] if value.shape[1] == 1 else value for name, value in sums.items()}


class MaskThresholds:
    """overlap_at_thresholds, predicted_pixels_at_thresholds (B, T) or (B, K, T): as `Masks`, at every mask threshold.

    Reads pred["mask_prob"] (B, K, ...) and the labels as `Masks` does, which must be measured, too. It serves to choose
    the threshold (`medbundles.metrics.chosen`), so it is in no report.

    Args:
        ignore_label: see `Masks`.
    """

    in_reports = False

    def __init__(self, ignore_label: int | bool | None = None):
        self.ignore_label = ignore_label

    def __call__(self, output: Output) -> dict[str, torch.Tensor]:
        """The columns of a batch; none of an untrained decoder."""
        if "seg" in output.get(UNTRAINED, ()):
            return {}
        prob, truth, _ = mask_channels(output, "mask_prob", self.ignore_label)
        found = counts_at_thresholds(prob.flatten(0, 1), truth.flatten(0, 1))
        each = {name: counts.unflatten(0, prob.shape[:2]) for name, counts in zip(AT_THRESHOLDS, found, strict=True)}
        return {name: values[:, 0] if values.shape[1] == 1 else values for name, values in each.items()}


class Reconstruction:
    """How far a reconstruction is from its target: absolute_error, squared_error (sums), size, data_range (B,), and how
    alike they look: ssim, ms_ssim (B,), NaN where the image is too small for it.

    Reads pred and label, tensors (B, C, H, W) or (B, C, H, W, D) or dicts with the entry "reconstruction"; where there
    is no label the image itself is the target. SSIM (Wang et al. 2004) and MS-SSIM (five scales; Wang et al. 2003) are
    MONAI's, means over pixels and channels.

    Args:
        data_range: largest minus smallest value that an image can have; PSNR and SSIM depend on it.
        win_size: side of SSIM's Gaussian window, in pixels. SSIM needs images as large, MS-SSIM of 16 times as many
            pixels a side (176 for 11).
        similarities: which of "ssim" and "ms_ssim" to measure; they take longer than all else, so a training has none.
        clip: clip the reconstruction to 0 to data_range first, as it is when it is written.

    Raises:
        ConfigError: data_range is not above 0, or an unknown similarity.
    """

    def __init__(
        self,
        data_range: float = 1.0,
        win_size: int = 11,
        similarities: Sequence[str] = tuple(SMALLEST_IN_WINDOWS),
        clip: bool = False,
    ):
        if not data_range > 0:
            raise ConfigError(f"data_range is {data_range!r}; it must be greater than 0")
        for name in similarities:
            one_of("similarities", name, SMALLEST_IN_WINDOWS)
        self.data_range, self.win_size, self.similarities = float(data_range), win_size, list(similarities)
        self.clip = clip

    def __call__(self, output: Output) -> dict[str, torch.Tensor]:
        """The columns of a batch."""
        made, target = reconstruction(output)
        made = made.clamp(0, self.data_range) if self.clip else made
        difference = (made.double() - target.double()).flatten(1)
        return {
            "absolute_error": difference.abs().sum(1),
            "squared_error": difference.square().sum(1),
            **{name: self._similarity(name, made, target) for name in self.similarities},
            "size": torch.full((len(made),), difference.shape[1], device=made.device),
            "data_range": torch.full((len(made),), self.data_range, device=made.device),
        }

    def _similarity(self, name: str, made: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        if min(made.shape[2:]) < self.win_size * SMALLEST_IN_WINDOWS[name]:
            return torch.full((len(made),), torch.nan, device=made.device)
        dims = made.ndim - 2
        metric: Any = (
            SSIMMetric(dims, self.data_range, win_size=self.win_size)
            if name == "ssim"
            else MultiScaleSSIMMetric(dims, self.data_range, kernel_size=self.win_size)
        )
        return torch.as_tensor(metric(made, target)).flatten()


class Losses:
    """Loss of each sample, and its weight (0: does not count), of every term.

    A loss of one term gives values and weights (see `medbundles.losses.per_image.per_sample`, which takes any loss),
    which become loss, loss_weight (B,). One of several gives a dict term -> (values, weights), which become
    <term>_loss, <term>_loss_weight and <term>_loss_factor (the loss's lambda_<term>, that the term counts with in the
    sum). What the loss does at the moment, such as deferred re-weighting, counts. In no report: it belongs to the
    training.

    Args:
        loss: takes prediction and target.
        entry: key of pred and label that the loss takes, such as "cls"; None: it takes them whole.
    """

    in_reports = False

    def __init__(self, loss: Any, entry: str | None = None):
        self.loss = loss
        self.picked = Pick(*(f"{key}.{entry}" if entry else key for key in ("pred", "label")))

    def __call__(self, output: Output) -> dict[str, torch.Tensor]:
        """The columns of a batch."""
        pred, target = self.picked(output)
        found = per_sample(self.loss, pred, target)
        if not isinstance(found, Mapping):
            return {"loss": found[0], "loss_weight": found[1]}
        columns: dict[str, torch.Tensor] = {}
        for term, (values, weights) in found.items():
            if term in output.get(UNTRAINED, ()):
                continue
            factor = torch.full_like(values, getattr(self.loss, f"lambda_{term}"))
            columns |= {f"{term}_loss": values, f"{term}_loss_weight": weights, f"{term}_loss_factor": factor}
        return columns


def reconstruction(output: Output) -> tuple[torch.Tensor, torch.Tensor]:
    """Reconstruction and target (B, C, ...) of an engine's output, see `Reconstruction`."""
    made = entry_of(output, "pred", "reconstruction")
    target = output["image"] if output.get("label") is None else entry_of(output, "label", "reconstruction")
    return made.detach(), target


def class_indices(mask: torch.Tensor) -> torch.Tensor:
    """A mask of K channels (K, ...) as one of class indices (...): 0, or 1 + the last channel that is set."""
    if len(mask) == 1:
        return mask[0]
    found = torch.zeros(mask.shape[1:], dtype=torch.int64, device=mask.device)
    for number, channel in enumerate(mask, start=1):  # at once they would take eight bytes for each class and voxel
        found[channel > 0] = number
    return found


def entry_of(output: Output, key: str, name: str) -> torch.Tensor:
    """output[key][name], or output[key] where that is the tensor itself."""
    return output[key] if torch.is_tensor(output.get(key)) else Pick(f"{key}.{name}")(output)


def mask_channels(
    output: Output, name: str, ignore_label: int | bool | None, regions: Regions | None = None
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """pred[name] (B, K, ...), 0 where nothing is labelled; the true masks (B, K, ...) bool, which `Masks` describes;
    and where they are labelled, (B, 1, ...) bool. Of masks the regions are among the K.

    Raises:
        ConfigError: the labels have another number of channels.
    """
    found, truth = entry_of(output, "pred", name), entry_of(output, "label", "mask")
    if truth.shape[1] not in (1, found.shape[1]):
        raise ConfigError(f"the prediction has {found.shape[1]} mask channels, the labels have {truth.shape[1]}")
    labelled = torch.ones_like(truth[:, :1], dtype=torch.bool)
    if ignore_label not in (None, False):
        labelled = (truth != ignore_label).all(1, keepdim=True)
        found = found * labelled
    if truth.shape[1] < found.shape[1]:
        numbers = torch.arange(1, found.shape[1] + 1, device=truth.device).view(-1, *[1] * (truth.ndim - 2))
        truth = truth == numbers  # no class has the ignored label
    else:
        truth = (truth > 0) & labelled
    for classes in (regions or {}).values():
        places = [number - 1 for number in classes]
        found, truth = (torch.cat([x, x[:, places].amax(1, keepdim=True)], dim=1) for x in (found, truth))
    return found, truth, labelled


def has_mask(output: Output, like: torch.Tensor) -> torch.Tensor:
    """Which images have a mask, (B,) bool."""
    label = output["label"]
    if isinstance(label, Mapping) and "has_mask" in label:
        return label["has_mask"].bool()
    return torch.ones(len(like), dtype=torch.bool, device=like.device)
