"""Shows at each validation what the network makes of the same image."""

from typing import Any

from ignite.engine import Engine, Events

from medbundles.handlers.run import run_of
from medbundles.ranks import is_rank_0
from medbundles.reports.pictures import comparison
from medbundles.reports.planes import reconstruction_planes, sides_of


class ReconstructionPictures:
    """Writes plots/reconstruction_epoch_<n>.png: the first validation image, its reconstruction and the difference.

    Of a volume the middle axial plane. Rank 0 writes, and its first image is shown.

    Args:
        every: of every so many-th epoch, if it is validated; 0: none.
    """

    phase = "watch"

    def __init__(self, every: int = 1):
        self.every = every

    def attach(self, engine: Engine) -> None:
        """Wire it to the trainer."""
        if self.every > 0 and is_rank_0():
            engine.add_event_handler(Events.STARTED, self.start)

    def start(self, engine: Engine) -> None:
        """Listen to the validator."""
        run = run_of(engine)
        self.directory = run.directory
        if not run.validator.has_event_handler(self, Events.ITERATION_COMPLETED):  # a host may run it again
            run.validator.add_event_handler(Events.ITERATION_COMPLETED, self)

    def __call__(self, validator: Engine) -> None:
        """Write the picture, at the first batch."""
        state: Any = validator.state
        if state.iteration != 1 or state.epoch % self.every:
            return
        caption = ", ".join([*state.batch.get("name", [])[:1], f"epoch {state.epoch}"])
        path = self.directory.folder("plots") / f"reconstruction_epoch_{state.epoch}.png"
        file, dims = state.batch.get("image_path", [""])[0], state.output["image"].ndim - 2
        planes = reconstruction_planes(state.output, 0)
        comparison(*planes, path, caption=caption, sides=sides_of(file, dims))
