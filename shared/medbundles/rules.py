"""What a rule about a combination of settings is; components carry theirs, the preflight applies them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

Component = TypeVar("Component", bound=Callable[..., Any])

GIVEN = "given"  # stands among a rule's settings for the ids that the user gave, be it with their defaults
AUTO = "auto"  # a setting that is left to the data, the weights or the machine
TRAINING = ("train", "find_lr")
EVERYWHERE = (*TRAINING, "evaluate", "inference")


@dataclass(frozen=True)
class Rule:
    """A combination of settings that cannot work.

    A class or function has the rules that concern it as its attribute `rules` (see `has_rules`). They count wherever it
    is a `_target_` of the config, and for a bundle that has all of these settings.

    Args:
        settings: ids that it looks at; `GIVEN` stands for those that the user gave, as far as it is known.
        broken: gets their values in this order, and gives a line that says what is wrong, or None.
        workflows: where it counts.
    """

    settings: tuple[str, ...]
    broken: Callable[..., str | None]
    workflows: tuple[str, ...] = TRAINING

    def line(self, values: Mapping[str, Any], workflow: str) -> str | None:
        """What is wrong with these values, or None; also where the rule does not count."""
        values = {GIVEN: frozenset(), **values}
        if workflow not in self.workflows or not all(name in values for name in self.settings):
            return None
        return self.broken(*(values[name] for name in self.settings))


def has_rules(*rules: Rule) -> Callable[[Component], Component]:
    """Decorator of a class or function that a config may build: these rules go with it.

    Example::

        @has_rules(Rule(("fold", "folds"), fold_exists, EVERYWHERE))
        class GradedFolds:
    """

    def mark(component: Component) -> Component:
        component.rules = rules  # type: ignore[attr-defined]
        return component

    return mark
