"""What a run must remember: handlers and others put themselves on the trainer, checkpoints take them from it."""

from typing import Any, Protocol

from ignite.engine import Engine


class Stateful(Protocol):
    """Something with a state of tensors and plain values."""

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: dict[str, Any]) -> None: ...


def stateful(engine: Engine) -> dict[str, Stateful]:
    """What of the trainer has a state that belongs in a checkpoint, by name; add yours in `attach`."""
    if not hasattr(engine, "stateful"):
        engine.stateful = {}  # type: ignore[attr-defined]
    return engine.stateful  # type: ignore[attr-defined]
