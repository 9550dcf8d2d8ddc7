"""What is measured of each case, the scores of it, and intervals around them."""

from medbundles.metrics.baselines import Baselines as Baselines
from medbundles.metrics.calibration import CalibrationError as CalibrationError
from medbundles.metrics.cases import Cases as Cases
from medbundles.metrics.class_baselines import ClassBaselines as ClassBaselines
from medbundles.metrics.classification import class_report as class_report
from medbundles.metrics.epoch_score import Score as Score
from medbundles.metrics.key import key_metric as key_metric
from medbundles.metrics.latent import Latent as Latent
from medbundles.metrics.lpips import Lpips as Lpips
from medbundles.metrics.mask_baselines import MaskBaselines as MaskBaselines
from medbundles.metrics.measures import Classes as Classes
from medbundles.metrics.measures import Losses as Losses
from medbundles.metrics.measures import Masks as Masks
from medbundles.metrics.measures import MaskThresholds as MaskThresholds
from medbundles.metrics.measures import Reconstruction as Reconstruction
from medbundles.metrics.patch_against_whole import PatchAgainstWhole as PatchAgainstWhole
from medbundles.metrics.patient_bootstrap import PatientBootstrap as PatientBootstrap
from medbundles.metrics.pick import Pick as Pick
from medbundles.metrics.pick import PickMasks as PickMasks
from medbundles.metrics.scores import score as score
from medbundles.metrics.surfaces import Surfaces as Surfaces
