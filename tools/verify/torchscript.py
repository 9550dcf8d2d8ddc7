"""The network becomes TorchScript, as MONAI's ckpt_export makes it, and models/model.ts is that network."""

import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from monai.networks.utils import convert_to_torchscript

from medbundles.errors import MedbundlesError

from .opened import Opened
from .shapes import SIZES, some_inputs, tensors

CLOSE = 1e-4  # of an output's range


def torchscript(bundle: Opened) -> str:
    """Script it; where its code cannot be scripted, trace it, which the zoo asks the docs to say."""
    bundle.may_be_built()
    given = some_inputs(bundle, SIZES[-1])
    with _quiet():
        try:
            made, how = convert_to_torchscript(bundle.network), "can be scripted"
        except Exception as error:  # torch.jit raises what it likes
            reason = next((line.strip(" :") for line in str(error).splitlines() if line.strip()), type(error).__name__)
            # strict: a network may not give a dict
            made = convert_to_torchscript(bundle.network, use_trace=True, inputs=given, strict=False, check_trace=False)
            how = f"cannot be scripted ({reason}), so the zoo would have to list it as exempt; it can be traced"
            page = bundle.folder / "docs/README.md"
            text = page.read_text(encoding="utf-8") if page.is_file() else ""
            if not re.search("torchscript|traced", text, re.IGNORECASE):
                raise MedbundlesError(f"network_def {how}, which docs/README.md must say") from error
        shown = f"network_def {how}"
        _compare(bundle, made, given, "its TorchScript")
        return f"{shown}; {_provided(bundle, given)}"


def _provided(bundle: Opened, given: list[torch.Tensor]) -> str:
    file = bundle.folder / "models/model.ts"
    if not file.is_file():
        return "there is no models/model.ts"
    try:
        made = torch.jit.load(file, map_location="cpu").eval()
    except RuntimeError as error:
        raise MedbundlesError(f"models/model.ts: cannot be loaded: {error}") from error
    if not bundle.has_weights:
        return "models/model.ts can be loaded"
    _compare(bundle, made, given, "models/model.ts")
    return "models/model.ts gives what model.pt gives"


def _compare(bundle: Opened, made: Any, given: list[torch.Tensor], called: str) -> None:
    with torch.no_grad():
        wanted, found = tensors(bundle.network(*given)), tensors(made(*given))
    if wanted.keys() != found.keys():
        raise MedbundlesError(f"{called} gives {', '.join(found)}; the network {', '.join(wanted)}")
    for name, value in wanted.items():
        scale = float(value.max() - value.min()) or 1.0
        if value.shape != found[name].shape or float((value - found[name]).abs().max()) > CLOSE * scale:
            raise MedbundlesError(f"{called}: its {name} is not that of the network with model.pt")


@contextmanager
def _quiet() -> Iterator[None]:
    """torch calls TorchScript deprecated, and tracing warns of each comparison of sizes."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
