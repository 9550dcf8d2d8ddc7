"""model.pt2: the network as a program of torch.export, with named dynamic sizes; model.onnx is made of it."""

import io
import warnings
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.export import Dim, ExportedProgram

from medbundles.preflight.command_line import out_of_memory

from .compare import Run, largest_difference
from .network import Built, outputs_of
from .sizes import larger, side_multiples, tried, without_padding

AXES = ("height", "width", "depth")  # what the sides of an image are called
Dims = dict[int, Any]


class NamedOutputs(nn.Module):
    """A network that always returns a dict; that of a network with a single output has the name "pred".

    Args:
        network: returns a tensor, or a dict of tensors.
    """

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network

    def forward(self, image: torch.Tensor) -> dict[str, torch.Tensor]:
        """Image (B, C, ...) -> the outputs by name."""
        found = self.network(image)
        return dict(found) if isinstance(found, Mapping) else {"pred": found}


def exported(built: Built) -> tuple[ExportedProgram, list[torch.Tensor], str]:
    """The program, images to try it on, and the sizes that it takes.

    The number of images is free. So are the sides, as multiples of what the network pads them to: the padding of other
    sizes depends on the size in a way that a program cannot hold. Of a network for one size they are fixed.
    """
    multiples = side_multiples(built.network, len(built.size))
    other = larger(built, tuple(8 * m if m == 1 else m for m in multiples))
    problem: Exception | None = None
    for dims, takes in _dims(built, multiples, other is not None):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                example = built.example(without_padding(built), 2)
                program = torch.export.export(NamedOutputs(built.network), (example,), dynamic_shapes={"image": dims})
        except (RuntimeError, ValueError) as error:  # the sizes are less free than that
            if out_of_memory(error):
                raise
            problem = error
            continue
        for module in program.graph_module.modules():
            for node in module.graph.nodes if isinstance(module, torch.fx.GraphModule) else ():
                node.meta.pop("stack_trace", None)  # names files of this machine
        is_free = len(dims) > 1
        return program, tried(built, other if is_free else None), takes
    assert problem is not None
    raise problem


def _dims(built: Built, multiples: tuple[int, ...], is_free: bool) -> Iterator[tuple[Dims, str]]:
    """Dynamic sizes, the freest first, each with what to say of them."""
    batch = {0: Dim("batch")}
    if is_free and max(multiples) > 1:
        sides = {i + 2: m * Dim(AXES[i], min=2) if m > 1 else Dim(AXES[i], min=2) for i, m in enumerate(multiples)}
        yield batch | sides, f"sides that are multiples of {' x '.join(map(str, multiples))}"
    elif is_free:
        for least in (min(built.size) // 2 + 1, min(built.size)):
            yield batch | {i + 2: Dim(AXES[i], min=least) for i in range(len(multiples))}, f"sides of {least} or more"
    yield batch, f"images of {' x '.join(map(str, without_padding(built)))} alone"


def program(built: Built) -> tuple[bytes, str]:
    """The file of torch.export, and what to say of it."""
    made, images, takes = exported(built)
    stream = io.BytesIO()
    torch.export.save(made, stream)
    said = largest_difference(read_program(stream.getvalue()), built, images, "models/model.pt2")
    return stream.getvalue(), f"takes {takes}; {said}"


def read_program(content: bytes) -> Run:
    """The program in the file."""
    return partial(outputs_of, torch.export.load(io.BytesIO(content)).module())
