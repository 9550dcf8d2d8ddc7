from medbundles.transforms.augmentation import Augmentation as Augmentation
from medbundles.transforms.batches import PrepareMaskBatch as PrepareMaskBatch
from medbundles.transforms.batches import PrepareMultitaskBatch as PrepareMultitaskBatch
from medbundles.transforms.elastic import elastic_field as elastic_field
from medbundles.transforms.geometry import CropToHead as CropToHead
from medbundles.transforms.geometry import ResizeSquare as ResizeSquare
from medbundles.transforms.geometry import to_original as to_original
from medbundles.transforms.head import head_mask as head_mask
from medbundles.transforms.load_inference import (
    LoadInferenceSlice as LoadInferenceSlice,
)
from medbundles.transforms.load_volume import LoadVolume as LoadVolume
from medbundles.transforms.loading import LoadSlice as LoadSlice
from medbundles.transforms.normalise import BACKGROUND as BACKGROUND
from medbundles.transforms.normalise import VOLUME_BACKGROUND as VOLUME_BACKGROUND
from medbundles.transforms.normalise import HeadNormalise as HeadNormalise
from medbundles.transforms.predictions import Predictions as Predictions
from medbundles.transforms.resize_volume import ResizeVolume as ResizeVolume
from medbundles.transforms.volume_augmentation import VolumeAugmentation as VolumeAugmentation
