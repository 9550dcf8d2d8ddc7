"""model.ts: the network as TorchScript, as MONAI's ckpt_export writes it."""

import io
import warnings
import zipfile
from collections.abc import Mapping
from functools import partial
from typing import Any

import torch

from medbundles.networks import Autoencoder
from medbundles.preflight.command_line import out_of_memory

from .compare import Run, largest_difference
from .contents import as_json
from .network import Built, outputs_of
from .sizes import larger, tried, without_padding

NAME = "model"  # of the file, without its ending
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
            given, how = _traced_with(built), "traced"
            module = torch.jit.trace_module(built.network, given, strict=False, check_trace=False)
        stream = io.BytesIO()
        extra = {f"{name}.json": as_json(config) for name, config in configs.items() if name != "metadata"}
        save_net_with_metadata(
            module, stream, include_config_vals=False, meta_values=dict(configs["metadata"]), more_extra_files=extra
        )
        content = _rewritten(stream.getvalue())
        read = read_torchscript(content)
        other = larger(built, tuple(range(1, len(built.size) + 1)))  # of sides that need padding
        try:
            said = largest_difference(read, built, tried(built, other), "models/model.ts")
        except RuntimeError as error:  # sizes are written into the trace
            if out_of_memory(error):
                raise
            other, said = None, largest_difference(read, built, tried(built, None), "models/model.ts")
    if other is None:
        how += f", takes images of {' x '.join(map(str, without_padding(built)))} alone"
    return content, f"{how}; {said}"


def read_torchscript(content: bytes) -> Run:
    """The network in the file, on the CPU."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch.jit says that it is old
        return partial(outputs_of, torch.jit.load(io.BytesIO(content), map_location="cpu"))


def _traced_with(built: Built) -> dict[str, torch.Tensor]:
    """What each method is traced with: of a network with a latent also the two halves, which inferers call."""
    network, image = built.network, built.example(without_padding(built), 2)
    if not isinstance(network, Autoencoder):
        return {"forward": image}
    padded = network.padded(image)
    return {"forward": image, "padded": image, "encode": padded, "decode": network.encode(padded)[0]}


def _rewritten(content: bytes) -> bytes:
    """Without what names this machine, and with the file's own name as the archive's folder, where MONAI Deploy looks
    for the configs."""
    made = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as source, zipfile.ZipFile(made, "w", zipfile.ZIP_STORED) as target:
        for entry in source.infolist():
            if not entry.filename.endswith(SOURCES):
                name = f"{NAME}/{entry.filename.partition('/')[2]}"
                target.writestr(zipfile.ZipInfo(name), source.read(entry))
    return made.getvalue()
