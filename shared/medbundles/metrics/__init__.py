"""Metrics on the batched dict output of the engines, and intervals around them."""

from __future__ import annotations

from .classification import AUC, ConfusionScore, confusion_score
from .combined import combined_metric
from .false_positive_area import FalsePositiveArea
from .interval import bootstrap_interval
from .key import key_metric
from .loss_metric import LossMetric
from .mean_over_samples import MeanOverSamples
from .pick import Pick, PickMasks
from .segmentation import MeanDice, MeanIoU

__all__ = [
    "AUC",
    "ConfusionScore",
    "FalsePositiveArea",
    "LossMetric",
    "MeanDice",
    "MeanIoU",
    "MeanOverSamples",
    "Pick",
    "PickMasks",
    "bootstrap_interval",
    "combined_metric",
    "confusion_score",
    "key_metric",
]
from medbundles.metrics.thresholds import ClassThreshold as ClassThreshold
from medbundles.metrics.thresholds import MaskThreshold as MaskThreshold
from medbundles.metrics.patient_bootstrap import PatientBootstrap as PatientBootstrap
