"""Handlers for MONAI's engines: plain values in __init__, `attach(engine)` wires."""

from medbundles.handlers.checkpoint_saver import CheckpointSaver as CheckpointSaver
from medbundles.handlers.closing import at_end as at_end
from medbundles.handlers.configured import configured as configured
from medbundles.handlers.deferred_reweighting import DeferredReweighting as DeferredReweighting
from medbundles.handlers.early_stopping import EarlyStopping as EarlyStopping
from medbundles.handlers.gradient_clip import GradientClip as GradientClip
from medbundles.handlers.history import History as History
from medbundles.handlers.initial_weights import InitialWeights as InitialWeights
from medbundles.handlers.interrupts import Interrupts as Interrupts
from medbundles.handlers.listed_output import ListedOutput as ListedOutput
from medbundles.handlers.lr_schedule import LrSchedule as LrSchedule
from medbundles.handlers.monitor import Monitor as Monitor
from medbundles.handlers.nan_guard import NanGuard as NanGuard
from medbundles.handlers.precise_batch_norm import PreciseBatchNorm as PreciseBatchNorm
from medbundles.handlers.pretrained_backbone import PretrainedBackbone as PretrainedBackbone
from medbundles.handlers.progress import Progress as Progress
from medbundles.handlers.publish import Publish as Publish
from medbundles.handlers.resume import Resume as Resume
from medbundles.handlers.run import Run as Run
from medbundles.handlers.run import run_of as run_of
from medbundles.handlers.seeding import Seeding as Seeding
from medbundles.handlers.tensorboard import TensorBoard as TensorBoard
from medbundles.handlers.wandb_logger import WandB as WandB
from medbundles.handlers.weights_checkpoint_loader import WeightsCheckpointLoader as WeightsCheckpointLoader
