"""Optimizers and learning-rate schedules by short name."""

from __future__ import annotations

from .epoch_schedulers import ClosedFormScheduler, EpochScheduler, PlateauScheduler
from .optimizer import build_optimizer
from .scheduler import build_scheduler

__all__ = ["ClosedFormScheduler", "EpochScheduler", "PlateauScheduler", "build_optimizer", "build_scheduler"]
