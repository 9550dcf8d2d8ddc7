"""Scores of masks and of reconstructions, from counts of pixels and sums of errors."""

from collections.abc import Mapping, Sequence

import numpy as np

from medbundles.metrics.weighted import WeightedMean

MASK_BASELINES = {  # see `medbundles.metrics.mask_baselines`
    "constant": "one mask for all images, of where the class often lies in the training part",
    "logistic": "a logistic regression on each pixel's values, their means around it and its place",
}
LEAST_ERROR = 1e-20  # of the squared range, so that a perfect reconstruction has a PSNR of 200 dB and not infinity


def with_case_scores(columns: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The columns and the scores of each case that follow from them; one that is there already stays.

    - dice, iou (n,) or (n, K): 2 * overlap / (predicted + true) and overlap / (predicted + true - overlap); NaN
      where the true mask is empty or not there
    - dice_constant, dice_logistic: the same Dice of the baselines (`medbundles.metrics.mask_baselines`)
    - mask_precision, mask_recall: overlap / predicted (0 where nothing is predicted) and overlap / true; likewise
    - fp_area: predicted / pixels, the share of the image; NaN where the true mask is not empty or not there
    - pixel_accuracy (n,): share of the pixels that have the true class, the background included; of channels that may
      overlap the mean over them of the share of pixels that are rightly in or out. NaN where there is no mask
    - l1, mse (n,): mean absolute and squared error per pixel
    - psnr (n,): 10 * log10(data_range^2 / mse), in dB, at most 200
    - l1_<baseline>, mse_<baseline>, psnr_<baseline> (n,): the same of a baseline, whose columns end so
    """
    found: dict[str, np.ndarray] = {}
    if "overlap" in columns:
        overlap, predicted, true = (columns[name] for name in ("overlap", "predicted_pixels", "true_pixels"))
        shape = (-1, *[1] * (np.ndim(overlap) - 1))
        masked, pixels = (np.reshape(columns[name], shape) for name in ("has_mask", "pixels"))
        masked = masked.astype(bool) & (pixels > 0)
        there, empty = masked & (true > 0), masked & (true == 0)
        for of in ("", *(f"_{name}" for name in MASK_BASELINES if f"overlap_{name}" in columns)):
            both = np.maximum(columns[f"predicted_pixels{of}"] + true, 1)
            found[f"dice{of}"] = np.where(there, 2 * columns[f"overlap{of}"] / both, np.nan)
        found["iou"] = np.where(there, overlap / np.maximum(predicted + true - overlap, 1), np.nan)
        found["mask_precision"] = np.where(there, overlap / np.maximum(predicted, 1), np.nan)
        found["mask_recall"] = np.where(there, overlap / np.maximum(true, 1), np.nan)
        found["fp_area"] = np.where(empty, predicted / np.maximum(pixels, 1), np.nan)
        right = pixels - predicted - true + 2 * overlap
        if "right_pixels" in columns:
            right = np.reshape(columns["right_pixels"], shape)
        accuracy = np.where(masked, right / np.maximum(pixels, 1), np.nan)
        found["pixel_accuracy"] = accuracy.mean(axis=tuple(range(1, accuracy.ndim)))
    for of in [name.removeprefix("squared_error") for name in columns if name.startswith("squared_error")]:
        mse = columns[f"squared_error{of}"] / columns[f"size{of}"]
        found |= {f"l1{of}": columns[f"absolute_error{of}"] / columns[f"size{of}"], f"mse{of}": mse}
        found[f"psnr{of}"] = -10 * np.log10(np.maximum(mse / columns[f"data_range{of}"] ** 2, LEAST_ERROR))
    return {**columns, **{name: values for name, values in found.items() if name not in columns}}


class PatientDice:
    """Dice per patient: 2 * overlap / (predicted + true) over all slices of a patient together, then the mean.

    Patients without any tumour pixel in their masks do not count; false positives on empty slices of the others do.

    Args:
        patients: (n,) patient of each image.
        overlap, predicted, truth: (n,) pixels, NaN for images without a mask.
    """

    undefined = "no patient has anything in a mask"

    def __init__(
        self, patients: Sequence[str] | np.ndarray, overlap: np.ndarray, predicted: np.ndarray, truth: np.ndarray
    ):
        _, first, place = np.unique(np.asarray(patients, dtype=str), return_index=True, return_inverse=True)
        sums = {
            name: np.bincount(place, np.nan_to_num(values), len(first))
            for name, values in {"overlap": overlap, "predicted_pixels": predicted, "true_pixels": truth}.items()
        }
        everyone = np.ones(len(first), dtype=bool)
        dice = with_case_scores({**sums, "has_mask": everyone, "pixels": everyone})["dice"]
        self.first = first  # all images of a patient have the same weight, so one of them stands for the patient
        self.counts = ~np.isnan(dice)[place] & ~np.isnan(truth)
        self._mean = WeightedMean(dice)

    def __call__(self, weights: np.ndarray) -> np.ndarray:
        """Weights (R, n) -> (R,)."""
        return self._mean(weights[:, self.first])
