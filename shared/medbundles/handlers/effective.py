"""What one step of the optimizer really is, with accumulation and with several processes."""

from typing import Any

from ignite.engine import Engine

from medbundles.ranks import rank_and_world


def effective(engine: Engine, scheduler: Any) -> list[str]:
    """Lines for the log: the batch and the learning rate that are not those of the settings; none where they are.

    Args:
        engine: a trainer; of an evaluator there is nothing to say.
        scheduler: has the base rates.

    Example::

        effective batch 64 = 8 x 2 accumulated x 4 processes
        effective learning rate 0.0001 = 2.5e-05 x 4 processes
    """
    optimizer, world = getattr(engine, "optimizer", None), rank_and_world()[1]
    batch = getattr(getattr(getattr(engine, "data_loader", None), "batch_sampler", None), "batch_size", None)
    accumulated, lines = getattr(engine, "accumulation_steps", 1), []
    if batch and optimizer is not None and accumulated * world > 1:
        factors = [f"x {accumulated} accumulated"] * (accumulated > 1) + [f"x {world} processes"] * (world > 1)
        lines.append(f"effective batch {batch * accumulated * world} = {batch} {' '.join(factors)}")
    scaled_by = getattr(optimizer, "scaled_by", 1)
    if scaled_by > 1:
        rates = ", ".join(f"{rate:g} = {rate / scaled_by:g} x {scaled_by} processes" for rate in scheduler.base_lrs)
        lines.append(f"effective learning rate {rates}")
    return lines
