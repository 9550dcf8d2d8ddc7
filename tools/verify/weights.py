"""models/model.pt: that file, undamaged, and every tensor of it fits the network."""

from pathlib import Path

import torch

from medbundles.networks.loading import load_weights, read_file
from medbundles.runs.trained import trained_with

from .directory import listed_files
from .opened import Opened
from .outcome import Skipped


def weights_file(bundle: Opened) -> Path:
    """The file.

    Raises:
        Skipped: a fresh clone has none, and the zoo's own come by large_files.yml.
    """
    file = bundle.folder / "models/model.pt"
    if not file.is_file():
        listed = " here; large_files.yml names where they are" if "models/model.pt" in listed_files(bundle) else ""
        raise Skipped(f"no weights{listed}: there is no models/model.pt")
    return file


def checksum(bundle: Opened) -> str:
    """The file has the checksums that are in it, and the one in model.json."""
    file = weights_file(bundle)
    read_file(file)
    _, run, _ = trained_with(file)
    described = file.with_name("model.json").is_file()
    return f"of {run}" if described else "its own checksums hold; no model.json says which file it should be"


def weights(bundle: Opened) -> str:
    """Every tensor fits, by name and shape; the network keeps them for the checks that follow."""
    file = weights_file(bundle)
    ignored = load_weights(bundle.network, file, min_share=1.0, called="network_def")
    bundle.has_weights = True
    count = sum(torch.numel(tensor) for tensor in bundle.network.state_dict().values())
    return f"{count:,} numbers in {len(bundle.network.state_dict())} tensors" + (f"; {ignored}" if ignored else "")
