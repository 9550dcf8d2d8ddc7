"""The iteration of an evaluator when inputs may be bad."""

from typing import Any

from ignite.engine import Engine

from medbundles.data.reading.inference_record import FAILED


class ReadableInputs:
    """An engine's `iteration_update`: MONAI's own iteration, but none on a batch of which nothing could be read.

    Example::

        "iteration_update": {"_target_": "medbundles.inferers.ReadableInputs"}
    """

    def __call__(self, engine: Engine, batch: dict[str, Any]) -> dict[str, Any]:
        """The engine's output; {} where the batch holds nothing, or nothing but "failed"."""
        return {} if set(batch) <= {FAILED} else engine._iteration(engine, batch)  # type: ignore[attr-defined]
