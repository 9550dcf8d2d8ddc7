"""The network takes the inputs and gives the outputs that metadata.json describes, also several of them.

MONAI's `verify_net_in_out` knows one input, `image`, and one output, `pred`, of which it compares channels and type;
the zoo lists bundles with more as exempt.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from monai.bundle.scripts import _get_fake_spatial_shape  # how MONAI reads "*" and "2**p*n"
from monai.utils import get_equivalent_dtype

from medbundles.errors import MedbundlesError

from .opened import Opened
from .outcome import Skipped

MAIN = "pred"  # what hosts call the network's output, or the first of several
SIZES = ({"p": 1, "n": 1, "any": 1}, {"p": 2, "n": 3, "any": 33})  # of a pattern, such as "*"; the first is MONAI's


def described(bundle: Opened, part: str) -> dict[str, dict[str, Any]]:
    """The tensors in metadata.json, by name: its `inputs` or `outputs`.

    Raises:
        Skipped: there are none.
    """
    entries = bundle.metadata.get("network_data_format", {}).get(part, {})
    found = {name: entry for name, entry in entries.items() if isinstance(entry, dict)}
    if not found:
        raise Skipped(f"metadata.json describes no tensors as {part} of the network")
    return found


def some_inputs(bundle: Opened, size: Mapping[str, int] = SIZES[0]) -> list[torch.Tensor]:
    """Random tensors as metadata.json describes them, one of each, in their order."""
    made = []
    for about in described(bundle, "inputs").values():
        shape = (1, about["num_channels"], *_get_fake_spatial_shape(about["spatial_shape"], **size))
        made.append(torch.rand(shape).to(_dtype(about)))
    return made


def tensors(output: Any) -> dict[str, torch.Tensor]:
    """What a network gives, by name: one tensor is `pred`; of several the first is, and others have their number."""
    if torch.is_tensor(output):
        return {MAIN: output}
    pairs = (
        output.items() if isinstance(output, Mapping) else ((str(k) if k else MAIN, v) for k, v in enumerate(output))
    )
    return {name: value for name, value in pairs if torch.is_tensor(value)}


def shapes(bundle: Opened) -> str:
    """Run the network, and compare channels, spatial shape and type of every output."""
    bundle.may_be_built()
    outputs = described(bundle, "outputs")
    patterns = [dim for part in ("inputs", "outputs") for about in described(bundle, part).values()
                for dim in about["spatial_shape"]]  # fmt: skip
    sizes = SIZES if any(isinstance(dim, str) for dim in patterns) else SIZES[:1]
    network, lines = bundle.network, []
    for size in sizes:
        given = some_inputs(bundle, size)
        shown = ", ".join(_shape(tensor) for tensor in given)
        try:
            with torch.no_grad():
                made = tensors(network(*given))
        except Exception as error:  # whatever a network raises when it is given what it cannot take
            raise MedbundlesError(f"the network does not take {shown}: {type(error).__name__}: {error}") from error
        wrong = _wrong(_named(made, outputs), outputs, size)
        if wrong:
            raise MedbundlesError(f"of {shown} the network gives {'; '.join(wrong)}")
        lines.append(f"{shown} gives " + ", ".join(f"{name} {_shape(value)}" for name, value in made.items()))
    return "; ".join(lines)


def _named(made: dict[str, torch.Tensor], outputs: dict[str, dict[str, Any]]) -> dict[str, torch.Tensor]:
    """An output without an entry of its own is the one that the entry `pred` describes, if it is alone in that."""
    nameless = [name for name in made if name not in outputs]
    if len(nameless) == 1 and MAIN in outputs and MAIN not in made:
        return {MAIN if name in nameless else name: value for name, value in made.items()}
    return made


def _wrong(made: dict[str, torch.Tensor], outputs: dict[str, dict[str, Any]], size: Mapping[str, int]) -> list[str]:
    wrong = [f"{name} {_shape(value)}, of which metadata.json has no entry" for name, value in made.items()
             if name not in outputs]  # fmt: skip
    for name, about in outputs.items():
        if name not in made:
            wrong.append(f"no {name}, which metadata.json describes (it gives {', '.join(made)})")
            continue
        value = made[name]
        if value.shape[1] != about["num_channels"] or not _fits(value.shape[2:], about["spatial_shape"], size):
            wrong.append(f"{name} {_shape(value)}; metadata.json says num_channels {about['num_channels']}, "
                         f"spatial_shape {about['spatial_shape']}")  # fmt: skip
        elif value.dtype != _dtype(about):
            wrong.append(f"{name} of {value.dtype}; metadata.json says dtype {about['dtype']}")
    return wrong


def _fits(space: Sequence[int], pattern: Sequence[int | str], size: Mapping[str, int]) -> bool:
    """Whether a spatial shape is what a pattern says; [1] is said of the numbers of a whole image, too."""
    if not space and list(pattern) == [1]:
        return True
    wanted = _get_fake_spatial_shape(pattern, **size)
    pairs = zip(space, wanted, pattern, strict=False)
    return len(space) == len(wanted) and all(a == b or sign == "*" for a, b, sign in pairs)


def _dtype(about: dict[str, Any]) -> torch.dtype:
    return get_equivalent_dtype(about["dtype"], torch.Tensor)


def _shape(value: torch.Tensor) -> str:
    return f"({', '.join(map(str, value.shape))})"
