"""Which sizes of images a network takes, and which ones its exported forms are tried on."""

import torch
from torch import nn

from medbundles.preflight.command_line import out_of_memory

from .network import Built, outputs_of

Sides = tuple[int, ...]


def side_multiples(network: nn.Module, dimensions: int) -> Sides:
    """What a network pads each side to a multiple of; 1 where it does not say so."""
    found = next((getattr(network, name) for name in ("multiples", "multiple", "factor") if hasattr(network, name)), 1)
    return tuple(found) if isinstance(found, (list, tuple)) else (int(found),) * dimensions


def without_padding(built: Built) -> Sides:
    """The trained size, enlarged to sides that need no padding, twice the multiple at least."""
    multiples = side_multiples(built.network, len(built.size))
    return tuple(max(2 * m, side + -side % m) for side, m in zip(built.size, multiples, strict=True))


def larger(built: Built, step: Sides) -> Sides | None:
    """Another size, each side larger by a different number of steps; None where the network, or whatever can be made of
    it ("one_size" of a part of it), takes one size alone.

    Args:
        built: the network.
        step: what each side grows by.
    """
    if any(getattr(part, "one_size", False) for part in built.network.modules()):
        return None
    sides = tuple(side + (i + 1) * by for i, (side, by) in enumerate(zip(without_padding(built), step, strict=True)))
    try:
        outputs_of(built.network, built.example(sides))
    except Exception as error:  # whatever a network raises that was built for one size
        if out_of_memory(error):
            raise
        return None
    return sides


def tried(built: Built, other: Sides | None) -> list[torch.Tensor]:
    """Inputs of the size that is traced and of one that is not, each with another number of images."""
    return [built.example(without_padding(built), 2), built.example(other or without_padding(built), 3)]
