"""From files to batches: `reading` (files to arrays), `lists` (folders to datalists), `batches` (dataset to loader)."""

from medbundles.data.batches.balance import class_batches, class_counts, foreground_batches
from medbundles.data.batches.cache import DiskCache
from medbundles.data.batches.dataset import SeededDataset
from medbundles.data.batches.inputs import InputBatches, InputDataset
from medbundles.data.batches.loader import SeededLoader
from medbundles.data.batches.samplers import EpochBatches, MixedBatches, training_batches
from medbundles.data.lists.autoencoder_inputs import autoencoder_inputs
from medbundles.data.lists.checked_parts import checked_parts
from medbundles.data.lists.class_folders import class_folder_datalist
from medbundles.data.lists.folds import GradedFolds
from medbundles.data.lists.graded_cases import graded_cases
from medbundles.data.lists.image_parts import image_parts
from medbundles.data.lists.inference_cases import inference_cases
from medbundles.data.lists.inference_inputs import inference_datalist
from medbundles.data.lists.mask_classes import mask_classes
from medbundles.data.lists.measured_settings import measured_settings
from medbundles.data.lists.modalities import channel_count, wanted_modalities
from medbundles.data.lists.multitask import multitask_datalist
from medbundles.data.lists.segmentation_inputs import segmentation_inputs
from medbundles.data.lists.segmentation_parts import segmentation_parts
from medbundles.data.lists.slices import slice_datalist
from medbundles.data.lists.split_file import SplitRecord, config_of, split_of
from medbundles.data.lists.splits import check_no_leak, split_by_patient
from medbundles.data.problems import Problems
from medbundles.data.reading.images import check_header, read_image, read_mask
from medbundles.data.reading.volumes import axial_slices, from_axial_slices, open_volume, read_volume, write_volume
