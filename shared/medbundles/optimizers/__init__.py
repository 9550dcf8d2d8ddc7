"""Optimizers and learning-rate schedules by short name."""

from __future__ import annotations

from .build_optimizer import build_optimizer
from .build_scheduler import build_scheduler
from .schedulers import ClosedFormScheduler, EpochScheduler, PlateauScheduler

__all__ = ["ClosedFormScheduler", "EpochScheduler", "PlateauScheduler", "build_optimizer", "build_scheduler"]
