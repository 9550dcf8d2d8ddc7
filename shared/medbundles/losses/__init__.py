"""Losses; all give one value per image, or the weighted sum of such."""

from medbundles.losses.autoencoder import AutoencoderLoss
from medbundles.losses.classification import ClassificationLoss
from medbundles.losses.combined_segmentation import CombinedSegmentationLoss, needs_distances
from medbundles.losses.ldam import LDAMLoss
from medbundles.losses.loss_of_masks import MaskLoss, loss_of_masks
from medbundles.losses.multitask import MultitaskLoss
from medbundles.losses.per_image import PerImage
from medbundles.losses.perceptual import Perceptual
from medbundles.losses.segmentation import SegmentationLoss
