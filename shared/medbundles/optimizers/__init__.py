"""Optimizers and learning-rate schedules by short name."""

from medbundles.optimizers.epoch_schedulers import ClosedFormScheduler, EpochScheduler, PlateauScheduler
from medbundles.optimizers.optimizer import build_optimizer
from medbundles.optimizers.scheduler import build_scheduler
