"""Weights from files: only tensors are read, and a load that does not fit is an error."""

import logging
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from medbundles.errors import CheckpointError, first_few
from medbundles.networks.bare import bare_network

logger = logging.getLogger("medbundles")

ENTRIES = ("network", "model", "state_dict", "model_state_dict")
WRAPPERS = ("module.", "_orig_mod.")  # what DistributedDataParallel and torch.compile put before every name


def read_file(path: str | Path) -> Any:
    """What `torch.save` wrote into a file, on the CPU: tensors and plain values. Code in the file is never run.

    Raises:
        CheckpointError: the file is missing, is cut off or broken, holds pickled code, or is a TorchScript archive.
    """
    if not Path(path).is_file():
        raise CheckpointError(f"{path}: there is no such file of weights.")
    try:
        _check_sums(Path(path))
        return torch.load(path, map_location="cpu", weights_only=True)
    except CheckpointError:
        raise
    except Exception as error:  # a broken file makes the reader raise almost anything, struct.error for one
        what = "is cut off or broken, or is no file of weights"
        if any(words in str(error).lower() for words in ("unsupported global", "unsupported class")):
            what = (
                "holds pickled code or objects, not only tensors and plain values; it was not loaded, because loading "
                "it could run anything. Ask for a file with a plain state dict"
            )
        elif "TorchScript" in str(error):
            what = "is a TorchScript archive; give the weights file (.pt) instead"
        raise CheckpointError(f"{path}: {what}.") from error


def _check_sums(path: Path) -> None:
    """torch.load does not look at the checksums that torch.save writes into its zip.

    Raises:
        CheckpointError: a part of the file does not have its checksum.
    """
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            broken = archive.testzip()
        if broken:
            raise CheckpointError(f"{path}: was damaged ({broken} in it does not have its checksum); copy it again.")


def read_weights(path: str | Path) -> dict[str, torch.Tensor]:
    """The tensors of a weights file or checkpoint, on the CPU.

    Args:
        path: a plain state dict, or a checkpoint that has it under one of "network", "model", "state_dict" or
            "model_state_dict".

    Raises:
        CheckpointError: as `read_file`, or the file holds no weights.
    """
    content = read_file(path)
    if isinstance(content, Mapping):
        content = next((content[key] for key in ENTRIES if isinstance(content.get(key), Mapping)), content)
        if content and all(isinstance(name, str) and torch.is_tensor(value) for name, value in content.items()):
            return dict(content)
    raise CheckpointError(
        f"{path}: holds no weights: expected names with tensors, or a checkpoint with these under one of "
        f"{', '.join(ENTRIES)}."
    )


def plain_name(name: str) -> str:
    """A tensor's name without what DistributedDataParallel and torch.compile put before it."""
    while name.startswith(WRAPPERS):
        name = name.split(".", 1)[1]
    return name


def load_weights(
    network: nn.Module,
    source: str | Path | Mapping[str, torch.Tensor],
    min_share: float = 0.99,
    *,
    where: object = "the given state dict",
    called: str = "network",
    advice: str = "Give the network the parameters these weights were trained with.",
    uncounted: str | tuple[str, ...] = (),
    starting: bool = False,
) -> list[str]:
    """Give a network the weights that match by name and shape; nothing is changed when too few do.

    Args:
        network: may be wrapped in DistributedDataParallel or compiled; so may the one the weights come from. A network
            with a method `renamed` gets weights (name -> tensor) of other versions of it, and gives them its names.
        source: a file (see `read_weights`) or a state dict.
        min_share: least share of the network's tensors that must match, 0 to 1.
        where: what messages call the place that a state dict comes from; of a file it is its path.
        called: what messages call the network.
        advice: what would be right, for the error.
        uncounted: endings of the names of tensors that are left alone and do not count.
        starting: a training starts from the weights. Of a network with a method `fresh`, which is given them (name ->
            tensor), the tensors that it names need not match, such as those of another number of classes.

    Returns:
        The tensors of the network that keep their values, then those that only the file has, each with the reason.

    Raises:
        CheckpointError: for an unreadable file, fewer matches, or numbers that are none; names the tensors.
    """
    if not isinstance(source, Mapping):
        source, where = read_weights(source), source
    left = {plain_name(name): value for name, value in source.items() if not name.endswith(uncounted)}
    bare: Any = bare_network(network)
    if hasattr(bare, "renamed"):
        left = bare.renamed(left)
    own = {name: value for name, value in network.state_dict().items() if not name.endswith(uncounted)}
    may_differ = bare.fresh(left) if starting and hasattr(bare, "fresh") else set()
    matched, skipped, counted = {}, [], len(own)
    for name, value in own.items():
        new = left.pop(plain_name(name), None)
        if new is None:
            skipped.append(f"{name} (missing)")
        elif new.shape != value.shape:
            skipped.append(f"{name} (shape {tuple(new.shape)}, the {called} has {tuple(value.shape)})")
        else:
            matched[name] = new
        counted -= name not in matched and plain_name(name) in may_differ
    if len(matched) < min_share * counted or not matched:
        raise CheckpointError(
            f"{where} does not fit: {len(matched)} of {counted} tensors of the {called} match, {min_share:.0%} must. "
            f"Not matching: {first_few(skipped)}. {advice}"
        )
    broken = [name for name, value in matched.items() if not value.isfinite().all()]
    if broken:
        raise CheckpointError(f"{where}: holds NaN or Inf in {first_few(broken)}; its training has diverged. {advice}")
    unused = [f"{name} (not in the {called})" for name in left]
    network.load_state_dict(matched, strict=False)
    logger.info("%s: loaded %d of %d tensors of the %s", where, len(matched), len(own), called)
    if skipped:
        logger.warning("%s: these tensors of the %s start fresh: %s", where, called, first_few(skipped))
    if unused:
        logger.warning("%s: skipped %s", where, first_few(unused))
    return skipped + unused
