"""Which tensors of an engine's output a metric looks at."""

from collections.abc import Mapping, Sequence
from typing import Any

from medbundles.errors import ConfigError


class Pick:
    """An `output_transform` for Ignite and MONAI metrics: picks entries out of the (nested) dict output.

    Args:
        *names: keys joined by dots. One gives the entry, more give a tuple.
        paths: the same as a list, for a config, which has no arguments without a name.

    Example:
        >>> Pick("pred.mask", "label.mask")({"pred": {"mask": 1}, "label": {"mask": 2}})
        (1, 2)
    """

    def __init__(self, *names: str, paths: Sequence[str] = ()):
        self.paths = (*names, *paths)
        if not self.paths:
            raise ConfigError('Pick needs at least one path, such as "pred.mask"')

    def __call__(self, output: Mapping[str, Any]) -> Any:
        """The entries.

        Raises:
            ConfigError: naming the path and the keys there are.
        """
        picked = tuple(self.entry(output, path) for path in self.paths)
        return picked[0] if len(picked) == 1 else picked

    def entry(self, output: Any, path: str) -> Any:
        """One of them."""
        for key in path.split("."):
            if not isinstance(output, Mapping) or key not in output:
                there = ", ".join(map(str, output)) if isinstance(output, Mapping) else type(output).__name__
                raise ConfigError(f"no {path!r} in the engine's output: {key!r} is not among: {there}")
            output = output[key]
        return output


class PickMasks(Pick):
    """As `Pick`, and every picked tensor becomes 1 where it is greater than 0: class indices become one foreground.

    Example:
        >>> PickMasks("m")({"m": torch.tensor([0, 1, 3])})
        tensor([0., 1., 1.])
    """

    def entry(self, output: Any, path: str) -> Any:
        """One of them, as a float 0/1 tensor."""
        return (super().entry(output, path) > 0).float()
