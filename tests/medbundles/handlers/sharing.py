"""Gives a plain Ignite engine a run, as `Run` does in a trainer, without making its folder."""

from __future__ import annotations

from typing import Any

from ignite.engine import Engine

from medbundles.handlers import Monitor, Run


def share(engine: Engine, run_dir: Any = None, validator: Any = None, scheduler: Any = None, **monitor: Any) -> Run:
    """The run of an engine; `monitor` are the arguments of `Monitor` (metric "val" unless said otherwise)."""
    run = Run(run_dir, validator=validator, scheduler=scheduler, monitor=Monitor(**{"metric": "val", **monitor}))
    run.share(engine)
    return run
