"""Warns when an autoencoder's latent says nothing any more, or grows without end."""

import logging

from ignite.engine import Engine, Events

from medbundles.handlers.run import run_of
from medbundles.metrics.cases import Cases
from medbundles.metrics.scores import score
from medbundles.metrics.weighted import value_of
from medbundles.ranks import is_rank_0

logger = logging.getLogger("medbundles")
MOST = 100.0  # of the latent's standard deviation, which the divergence pulls to 1
COLLAPSED = (
    "The latent has collapsed (epoch %d): no channel varies over images and positions, so the decoder is told nothing. "
    "Lower --kl_weight, for one to a tenth."
)
EXPLODED = (
    "The latent has exploded (epoch %d): its standard deviation is %.4g. Raise --kl_weight, for one tenfold, or lower "
    "--lr or --grad_clip."
)


class LatentWarning:
    """After each validation, warns of a collapsed latent (no active channel) and of an exploded one.

    Exploded: its standard deviation is above 100, or not finite. Each is said once, and again when it comes back after
    it was gone.

    Args:
        cases: what measures the cases of the validator, the measure `medbundles.metrics.Latent` among it.

    Example::

        {"_target_": "medbundles.handlers.LatentWarning", "cases": "@validate#cases"}
    """

    phase = "decide"

    def __init__(self, cases: Cases):
        self.cases = cases
        self.said: set[str] = set()

    def attach(self, engine: Engine) -> None:
        """Wire it to the trainer."""
        engine.add_event_handler(Events.EPOCH_COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        if run_of(engine).validation(engine) is None:
            return
        columns, epoch = self.cases.columns(), engine.state.epoch  # by all ranks: they see the same metrics
        count = len(next(iter(columns.values()), ()))
        active, std = (value_of(score(name, columns), count) for name in ("active_channels", "latent_std"))
        found: dict[str, tuple] = {COLLAPSED: (epoch,)} if active == 0 else {}
        found |= {EXPLODED: (epoch, std)} if not std <= MOST else {}
        for text in found.keys() - self.said if is_rank_0() else ():
            logger.warning(text, *found[text])
        self.said = set(found)
