"""model.ts: the network as TorchScript, as MONAI's ckpt_export writes it."""

import io
import warnings
import zipfile
from collections.abc import Mapping
from functools import partial
from typing import Any

import torch

from .compare import Run, largest_difference
from .contents import as_json
from .network import Built, outputs_of
from .sizes import larger, tried, without_padding

SOURCES = ".debug_pkl"  # parts of the archive that name the source files of this machine


def torchscript(built: Built, configs: Mapping[str, Any]) -> tuple[bytes, str]:
    """The file, and how it was made: scripted, or traced where TorchScript cannot read the network's code.

    A trace holds what was done for one image; those of our networks do the same for images of any size, or end in an
    error for another one, which is said.

    Args:
        built: the network.
        configs: content by the name of its file, which go into the archive; "metadata" among them.
    """
    from monai.data import save_net_with_metadata

    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # torch.jit says that it is old, and a trace that it is a trace
        try:
            module, how = torch.jit.script(built.network), "scripted"
        except Exception:  # its compiler raises whatever it meets
            example = built.example(without_padding(built), 2)
            module, how = torch.jit.trace(built.network, example, strict=False, check_trace=False), "traced"
        stream = io.BytesIO()
        extra = {f"{name}.json": as_json(config) for name, config in configs.items() if name != "metadata"}
        save_net_with_metadata(
            module, stream, include_config_vals=False, meta_values=dict(configs["metadata"]), more_extra_files=extra
        )
        content = _without_sources(stream.getvalue())
        read = read_torchscript(content)
        other = larger(built, tuple(range(1, len(built.size) + 1)))  # of sides that need padding
        try:
            said = largest_difference(read, built, tried(built, other), "models/model.ts")
        except RuntimeError:  # sizes are written into the trace
            other, said = None, largest_difference(read, built, tried(built, None), "models/model.ts")
    if other is None:
        how += f", takes images of {' x '.join(map(str, without_padding(built)))} alone"
    return content, f"{how}; {said}"


def read_torchscript(content: bytes) -> Run:
    """The network in the file, on the CPU."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch.jit says that it is old
        return partial(outputs_of, torch.jit.load(io.BytesIO(content), map_location="cpu"))


def _without_sources(content: bytes) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as source, zipfile.ZipFile(made, "w", zipfile.ZIP_STORED) as target:
        for entry in source.infolist():
            if not entry.filename.endswith(SOURCES):
                target.writestr(zipfile.ZipInfo(entry.filename), source.read(entry))
    return made.getvalue()
