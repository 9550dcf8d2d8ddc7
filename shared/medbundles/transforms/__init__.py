from medbundles.transforms.augmentation import Augmentation
from medbundles.transforms.background_noise import BackgroundNoise
from medbundles.transforms.batches import (
    PrepareImageBatch,
    PrepareMaskBatch,
    PrepareMultitaskBatch,
    PrepareSegmentationBatch,
)
from medbundles.transforms.boundary_distance import BoundaryDistance
from medbundles.transforms.components import Components
from medbundles.transforms.elastic import elastic_field
from medbundles.transforms.geometry import CropToHead, ResizeSquare, to_original
from medbundles.transforms.grid import OnMaskGrid, ToGrid, to_input_grid
from medbundles.transforms.head import head_mask
from medbundles.transforms.held import FromHost, ToHost
from medbundles.transforms.held_results import LabelMapToHost, ReconstructionToHost
from medbundles.transforms.held_slices import MasksToHost, SlicesFromHost
from medbundles.transforms.image_augmentation import ImageAugmentation
from medbundles.transforms.image_ranges import MarkOutside
from medbundles.transforms.labelled_augmentation import LabelledAugmentation
from medbundles.transforms.labelled_patch import LabelledPatch
from medbundles.transforms.latents import LoadLatent, LoadOther, PrepareLatentBatch
from medbundles.transforms.load_inference import LoadInferenceSlice
from medbundles.transforms.load_labelled import LoadLabelled
from medbundles.transforms.load_volume import LoadVolume
from medbundles.transforms.loading import LoadSlice
from medbundles.transforms.masks_of_regions import MasksOfRegions
from medbundles.transforms.modality_intensities import ModalityIntensities
from medbundles.transforms.normalise import BACKGROUND, VOLUME_BACKGROUND, HeadNormalise
from medbundles.transforms.patch_sides import patch_sides
from medbundles.transforms.predictions import Predictions, mask_rule
from medbundles.transforms.random_patch import RandomPatch
from medbundles.transforms.resize_volume import ResizeVolume
from medbundles.transforms.volume_augmentation import VolumeAugmentation
from medbundles.transforms.whole_image import LoadWholeImage
