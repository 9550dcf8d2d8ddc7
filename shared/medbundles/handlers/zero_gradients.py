"""The layers through which no gradient comes in an epoch."""

import torch
from ignite.engine import Engine, Events
from monai.engines import SupervisedTrainer
from monai.engines.utils import IterationEvents

from medbundles.errors import first_few
from medbundles.handlers.gradient_clip import is_stepping
from medbundles.networks import bare_network


class ZeroGradients:
    """Finds the layers whose gradients were 0 or missing in all steps of an epoch: they learn nothing.

    A layer is a module with parameters of its own; those that are frozen do not count. All are looked at in the first
    step of an epoch, in the others only those that had no gradient until then: in a sound network none, so that it
    costs one pass over the gradients an epoch.
    """

    def __init__(self) -> None:
        self.without: dict[str, list[torch.nn.Parameter]] = {}
        self.layers = 0
        self.is_first = True

    def attach(self, engine: Engine) -> None:
        """Wire it to the trainer; BACKWARD_COMPLETED comes just before the optimizer's step."""
        engine.add_event_handler(Events.EPOCH_STARTED, self.start_epoch)
        engine.add_event_handler(IterationEvents.BACKWARD_COMPLETED, self.look)

    def start_epoch(self, engine: SupervisedTrainer) -> None:
        """Look at all layers again."""
        self.is_first = True

    def look(self, engine: SupervisedTrainer) -> None:
        """Keep the layers that still have had no gradient."""
        if not is_stepping(engine) or not (self.is_first or self.without):
            return
        if self.is_first:
            self.is_first, self.without = False, trained_layers(engine.network)
            self.layers = len(self.without)
        grads = {name: [p.grad for p in those if p.grad is not None] for name, those in self.without.items()}
        has_any = [torch.stack([grad.any() for grad in those]).any() for those in grads.values() if those]
        # one stack, so that one answer is waited for, not one for each layer
        answers = iter(torch.stack(has_any).tolist() if has_any else ())
        self.without = {name: self.without[name] for name, those in grads.items() if not (those and next(answers))}

    def found(self) -> str | None:
        """What the epoch has shown, with the layers' names; None: every layer had a gradient."""
        if not self.without:
            return None
        return (
            f"{len(self.without)} of {self.layers} layers had no gradient in any step of an epoch, so they learn "
            f"nothing: {first_few(self.without)}"
        )


def trained_layers(network: torch.nn.Module) -> dict[str, list[torch.nn.Parameter]]:
    """Name of each module with parameters of its own that are not frozen -> these."""
    layers = {
        name: [parameter for parameter in module.parameters(recurse=False) if parameter.requires_grad]
        for name, module in bare_network(network).named_modules()
    }
    return {name: parameters for name, parameters in layers.items() if parameters}
