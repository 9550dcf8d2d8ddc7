"""Optimizers and learning-rate schedules by short name."""

from medbundles.optimizers.optimizer import build_optimizer
from medbundles.optimizers.scheduler import build_scheduler
