"""Steps the learning-rate schedule after each epoch."""

import math

from ignite.engine import Engine, Events

from medbundles.handlers.monitor import check_metric
from medbundles.handlers.run import run_of


class LrSchedule:
    """Steps the run's schedule, that of `medbundles.optimizers.build_scheduler` or one of torch's.

    A schedule with the attribute `monitor` follows that validation metric: it gets its value after each validation, and
    None in other epochs and where it is NaN. Torch's own step once per epoch.

    MONAI's LrScheduleHandler is not used: it needs the metric as a function in the config, and prints one rate only.
    """

    phase = "decide"

    def attach(self, engine: Engine) -> None:
        """Wire it to the trainer."""
        engine.add_event_handler(Events.EPOCH_COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        run = run_of(engine)
        metrics, name = run.validation(engine), getattr(run.scheduler, "monitor", None)
        if not hasattr(run.scheduler, "monitor"):
            run.scheduler.step()
        elif metrics is None or name is None:
            run.scheduler.step(None)
        else:
            check_metric("scheduler#monitor", name, metrics)
            run.scheduler.step(None if math.isnan(metrics[name]) else metrics[name])
