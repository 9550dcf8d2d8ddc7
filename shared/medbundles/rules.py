"""What a rule about a combination of settings is; components carry theirs, the preflight applies them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

Component = TypeVar("Component", bound=Callable[..., Any])

GIVEN = "given"  # stands among a rule's settings for the ids that the user gave, be it with their defaults
TYPED = "typed"  # likewise for those on the command line alone, without overlays
AUTO = "auto"  # a setting that is left to the data, the weights or the machine
TRAINING = ("train", "find_lr")
EVERYWHERE = (*TRAINING, "evaluate", "inference")


@dataclass(frozen=True)
class Rule:
    """A combination of settings that cannot work.

    A class or function has the rules that concern it as its attribute `rules` (see `has_rules`). They count wherever it
    is a `_target_` of the config, and for a bundle that has all of these settings.

    Args:
        settings: ids that it looks at; `GIVEN` and `TYPED` stand for those that the user gave, as far as it is known.
        broken: gets their values in this order, and gives a line that says what is wrong, or None.
        workflows: where it counts.
    """

    settings: tuple[str, ...]
    broken: Callable[..., str | None]
    workflows: tuple[str, ...] = TRAINING

    def line(self, values: Mapping[str, Any], workflow: str) -> str | None:
        """What is wrong with these values, or None; also where the rule does not count."""
        values = {GIVEN: frozenset(), TYPED: frozenset(), **values}
        if workflow not in self.workflows or not all(name in values for name in self.settings):
            return None
        return self.broken(*(values[name] for name in self.settings))


def ignored(group: str, used_by: Mapping[str, tuple[str, ...]]) -> Rule:
    """The rule that a setting of a group is not typed for nothing: the group's `name` decides which it uses.

    In an overlay it may stand, which serves several names.

    Args:
        group: of the settings, such as "optimizer".
        used_by: setting in the group -> the names that use it; all others are used by every name.
    """

    def broken(typed: frozenset[str], name: str) -> str | None:
        idle = [key for key, names in used_by.items() if f"{group}#{key}" in typed and name not in names]
        lines = [f"{group}#{key}: {name} has none; it is a setting of {', '.join(used_by[key])}." for key in idle]
        return "\n".join(f"{line} Leave it out, or give --{group}#name." for line in lines) or None

    return Rule((TYPED, f"{group}#name"), broken)


def idle_without(switch: str, *settings: str, workflows: tuple[str, ...] = TRAINING) -> Rule:
    """The rule that settings are not typed for nothing while the one that they belong to is off (0, False or none).

    Args:
        switch: the one that must be on, such as "scheduler#warmup_epochs".
        settings: that do nothing without it.
        workflows: where it counts.
    """

    def broken(typed: frozenset[str], value: Any) -> str | None:
        lines = [
            f"{name}: does nothing while {switch} is off; give --{switch}, too." for name in settings if name in typed
        ]
        return None if value else "\n".join(lines) or None

    return Rule((TYPED, switch), broken, workflows)


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
