"""Says in the log what is wrong with a training, such as that it overfits, and what to try."""

import logging
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from ignite.engine import Engine, Events

from medbundles.handlers.advice import advice
from medbundles.handlers.history import history_of
from medbundles.handlers.resume import how_finished
from medbundles.handlers.run import run_of, settings_of
from medbundles.handlers.stateful import stateful
from medbundles.handlers.troubles import learning_nothing, oscillation, overfitting, underfitting
from medbundles.handlers.zero_gradients import ZeroGradients
from medbundles.metrics.cases import Cases, Columns
from medbundles.ranks import is_rank_0

logger = logging.getLogger("medbundles")
NEVER = 5  # validations in a row in which a class is not predicted: in the first epochs that is usual
STARTS = ("init_from", "pretrained_path")  # settings that name weights to start from


class Hints:
    """Gives each hint once in a run, with its figures and what to try (`medbundles.handlers.advice`).

    After each epoch it looks at the history's curves (overfitting, oscillation) and for layers without gradients, after
    each validation at what is never predicted, and when the run ends at what the training has learned (underfitting).
    See `medbundles.handlers.troubles` for the thresholds. The hints stand in metrics.json, too ("hints"). A resumed run
    gives those that it had not given yet.

    Args:
        cases: what measures the validator's cases; None: what is predicted is not looked at.
        class_names: names of the N classes, where images are classified.
        channel_names: names of the K channels of the masks.

    Example::

        {"_target_": "medbundles.handlers.Hints", "cases": "@validate#cases", "class_names": "@class_names"}
    """

    phase = "decide"

    def __init__(self, cases: Cases | None = None, class_names: Sequence[str] = (), channel_names: Sequence[str] = ()):
        self.cases, self.names = cases, {"class": list(class_names), "mask": list(channel_names)}
        self.gradients = ZeroGradients()
        self.never: dict[str, int] = {}  # what is not predicted -> in how many validations in a row

    def attach(self, engine: Engine) -> None:
        """Wire it to the trainer."""
        stateful(engine)["hints"] = self
        self.gradients.attach(engine)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self)
        engine.add_event_handler(Events.COMPLETED, self.end)

    def state_dict(self) -> dict[str, Any]:
        """In how many validations in a row something was not predicted."""
        return {"never": dict(self.never)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on counting."""
        self.never = dict(state["never"])

    def __call__(self, engine: Engine) -> None:
        run, epochs = run_of(engine), history_of(engine).epochs
        for trouble, found in (("overfits", overfitting), ("oscillates", oscillation)):
            self.give(engine, trouble, found(epochs, run.monitor))
        self.give(engine, "no gradient", self.gradients.found(), self.gradients.without)
        if self.cases is None or run.validation(engine) is None:
            return
        missed = never_predicted(self.cases.columns(), self.names)  # by all ranks: they see the same cases
        self.never = {text: self.never.get(text, 0) + 1 for text in missed}
        lasting = [text for text, times in self.never.items() if times >= NEVER]
        self.give(engine, "predicts", f"in {NEVER} validations in a row {' and '.join(lasting)}", lasting)

    def end(self, engine: Engine) -> None:
        """Judge what the training itself has learned; of a run that goes on, such as after a time limit, later."""
        if not how_finished(engine):
            return
        run, epochs = run_of(engine), history_of(engine).epochs
        from_weights = any(settings_of(engine).get(name) for name in STARTS)
        nothing = learning_nothing(epochs, run.monitor, from_weights)
        self.give(engine, "learns nothing", nothing)
        self.give(engine, "underfits", None if nothing else underfitting(epochs, run.monitor))

    def give(self, engine: Engine, trouble: str, found: str | None, of: Iterable[str] = ("",)) -> None:
        """Say what was found (None: nothing), unless the run has said it before of all that it is found `of`."""
        run, history = run_of(engine), history_of(engine)
        hints = history.sections.get("hints", {})
        said = set(hints.get(trouble, {}).get("of", ()))
        if not found or said >= {*of}:
            return
        hint = {"epoch": engine.state.epoch, "text": f"{found}. {advice(trouble, settings_of(engine))}"}
        history.sections["hints"] = {**hints, trouble: {**hint, "of": sorted({*of, *said})}}
        history.write(run)
        if is_rank_0():
            logger.warning("hint (epoch %d): %s", hint["epoch"], hint["text"])


def never_predicted(columns: Columns, names: dict[str, list[str]]) -> list[str]:
    """What some cases have and none is predicted to have: a line for masks and one for each class.

    Args:
        columns: of the cases, see `medbundles.metrics.measures`.
        names: of classes ("class") and of the masks' channels ("mask").
    """
    lines = []
    if "predicted_pixels" in columns:
        true, found = (columns[name].reshape(len(columns[name]), -1) for name in ("true_pixels", "predicted_pixels"))
        missed = np.flatnonzero(true.any(0) & ~found.any(0)).tolist()
        named = [name_of(names["mask"], number, "channel") for number in missed]
        if len(missed) == len(found.T):
            lines.append("nothing but background is predicted")
        elif named:
            lines.append(f"no pixel of {' and '.join(named)} is predicted")
    if "predicted" in columns:
        for number in sorted(set(columns["label"].tolist()) - set(columns["predicted"].tolist())):
            lines.append(f"no image is predicted as {name_of(names['class'], number, 'class')}")
    return lines


def name_of(names: Sequence[str], number: int, kind: str) -> str:
    """The name of a class or channel, or its number."""
    return repr(names[number]) if number < len(names) else f"{kind} {number}"
