"""Writes the page of a run when it ends."""

import logging

from ignite.engine import Engine, Events

from medbundles.handlers.run import run_of
from medbundles.ranks import is_rank_0

NAME = "report.html"

logger = logging.getLogger("medbundles")


class RunPage:
    """Writes report.html in the run's folder when the trainer or the evaluator is done; it stands behind those handlers
    that write what it shows. When that fails a warning says why, and the run is none the worse.

    Args:
        enabled: False: nothing is written.
    """

    phase = "end"

    def __init__(self, enabled: bool = True):
        self.enabled = enabled

    def attach(self, engine: Engine) -> None:
        """Wire it to the trainer or the evaluator."""
        if self.enabled and is_rank_0():
            engine.add_event_handler(Events.COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        from medbundles.reports.page import write_page

        folder = run_of(engine).directory.path
        try:
            logger.info("the run on one page: %s", write_page([folder], folder / NAME))
        except Exception as error:  # a page is not worth a run that has ended well, whatever is wrong with it
            logger.warning("%s was not written: %s: %s", folder / NAME, type(error).__name__, error)
