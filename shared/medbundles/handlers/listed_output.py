"""Lets MONAI's own handlers, which expect decollated output, read that of a trainer with `decollate: false`."""

from typing import Any

from ignite.engine import Engine, Events


class Listed(list):
    """A batch's output as the one item of a list; its entries can still be read by their names."""

    def __getitem__(self, key: Any) -> Any:
        return super().__getitem__(0)[key] if isinstance(key, str) else super().__getitem__(key)


class ListedOutput:
    """Makes the output of an iteration a list for the handlers that come after this one.

    `--tracking mlflow` appends an MLFlowHandler that reads the loss with `from_engine(['loss'], first=True)`: of a list
    of dicts that gives a number, of the dict of a whole batch a tuple, on which MLflow fails. Stands last.

    Example::

        {"_target_": "medbundles.handlers.ListedOutput"}
    """

    phase = "end"

    def attach(self, engine: Engine) -> None:
        """Wire it to the trainer, as the last handler."""
        engine.add_event_handler(Events.ITERATION_COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        engine.state.output = Listed([engine.state.output])  # type: ignore[assignment]
