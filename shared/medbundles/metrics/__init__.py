"""Metrics on the batched dict output of the engines, and intervals around them."""

from medbundles.metrics.calibration import CalibrationError as CalibrationError
from medbundles.metrics.classification import AUC as AUC
from medbundles.metrics.classification import ConfusionScore as ConfusionScore
from medbundles.metrics.classification import class_report as class_report
from medbundles.metrics.classification import confusion_score as confusion_score
from medbundles.metrics.combined import combined_metric as combined_metric
from medbundles.metrics.false_positive_area import FalsePositiveArea as FalsePositiveArea
from medbundles.metrics.key import key_metric as key_metric
from medbundles.metrics.mean_over_samples import MeanOverSamples as MeanOverSamples
from medbundles.metrics.multitask_loss_metric import MultitaskLossMetric as MultitaskLossMetric
from medbundles.metrics.patient_bootstrap import PatientBootstrap as PatientBootstrap
from medbundles.metrics.pick import Pick as Pick
from medbundles.metrics.pick import PickMasks as PickMasks
from medbundles.metrics.segmentation import MeanDice as MeanDice
from medbundles.metrics.segmentation import MeanIoU as MeanIoU
from medbundles.metrics.thresholds import ClassThreshold as ClassThreshold
from medbundles.metrics.thresholds import MaskThreshold as MaskThreshold
from medbundles.metrics.weighted_loss import WeightedLoss as WeightedLoss
