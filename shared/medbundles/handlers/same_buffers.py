"""One network in all processes before it is validated."""

import torch.distributed as dist
from ignite.engine import Engine, Events
from monai.engines import SupervisedTrainer

from medbundles.networks import bare_network
from medbundles.ranks import rank_and_world


class SameBuffers:
    """Gives the network's buffers, such as the statistics of batch normalisation, of rank 0 to all processes.

    DistributedDataParallel does so before its own forward alone. The validator runs the bare network, so that after the
    last training step each process would validate with statistics of its own, and rank 0's would be saved.
    """

    phase = "guard"

    def attach(self, engine: Engine) -> None:
        """Wire it to the trainer, before the validation."""
        engine.add_event_handler(Events.EPOCH_COMPLETED, self)

    def __call__(self, engine: SupervisedTrainer) -> None:
        if rank_and_world()[1] > 1:
            for buffer in bare_network(engine.network).buffers():
                dist.broadcast(buffer, src=0)
