"""Handlers for MONAI's engines: plain values in __init__, `attach(engine)` wires."""

from medbundles.handlers.checkpoint_saver import CheckpointSaver
from medbundles.handlers.closing import at_end
from medbundles.handlers.configured import configured
from medbundles.handlers.early_stopping import EarlyStopping
from medbundles.handlers.ema import Ema
from medbundles.handlers.epoch_of_loss import EpochOfLoss
from medbundles.handlers.gradient_clip import GradientClip
from medbundles.handlers.hints import Hints
from medbundles.handlers.history import History
from medbundles.handlers.initial_weights import InitialWeights
from medbundles.handlers.interrupts import Interrupts
from medbundles.handlers.latent_warning import LatentWarning
from medbundles.handlers.listed_output import ListedOutput
from medbundles.handlers.loss_guard import LossGuard
from medbundles.handlers.lr_schedule import LrSchedule
from medbundles.handlers.monitor import Monitor
from medbundles.handlers.on_event import OnEvent
from medbundles.handlers.precise_batch_norm import PreciseBatchNorm
from medbundles.handlers.pretrained_backbone import PretrainedBackbone
from medbundles.handlers.progress import Progress
from medbundles.handlers.publish import Publish
from medbundles.handlers.resume import Resume
from medbundles.handlers.run import Run, run_of
from medbundles.handlers.same_buffers import SameBuffers
from medbundles.handlers.seeding import Seeding
from medbundles.handlers.tensorboard import TensorBoard
from medbundles.handlers.wandb_logger import WandB
from medbundles.handlers.weights_checkpoint_loader import WeightsCheckpointLoader
