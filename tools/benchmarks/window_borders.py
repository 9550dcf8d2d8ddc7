"""Whether the windows of an autoencoder show: the error at their borders against that elsewhere.

    python -m tools.benchmarks.window_borders FOLDER_OF_PICTURES CHECKPOINT [--window 256] [--overlap 0.25]

The network's settings are those in the trained.json beside the checkpoint. What lies at the borders may be harder by
chance, so each image is measured with its windows in several places: then every part of it is at a border at times,
and elsewhere at others.
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.bundle import ConfigParser
from monai.transforms import CenterSpatialCrop

from medbundles.data.reading.files import list_images
from medbundles.inferers import AutoencoderInferer
from medbundles.networks import load_weights
from medbundles.transforms import LoadWholeImage

from .memory import _reset_peak, _resident

INFERENCE = Path(__file__).parents[1] / "bundles/dental_vae_autoencoder/configs/inference.json"
NEAR = 8  # pixels


def starts(side: int, window: int, interval: int) -> list[int]:
    """Where the windows of a side begin; the last one ends with the image."""
    if side <= window:
        return [0]
    return [*range(0, side - window, interval), side - window]


def near_borders(size: tuple[int, int], window: int, interval: int, factor: int, near: int = NEAR) -> np.ndarray:
    """Pixels (H, W) bool within `near` of windows' edges inside the image, or of the middles of their overlaps."""
    marked = []
    for side in size:
        padded = side + -side % factor
        begin = starts(padded, min(window, padded), interval)
        ends = [first + window for first in begin[:-1]]
        lines = [*begin[1:], *ends, *((a + b) / 2 for a, b in zip(begin[1:], ends, strict=True))]
        places = np.arange(side) + 0.5
        marked.append(np.abs(places[:, None] - np.array(lines or [-1e9])).min(1) <= near)
    return marked[0][:, None] | marked[1][None, :]


def measure(image: torch.Tensor, network: Any, window: int, overlap: float, shifts: int) -> dict[str, float]:
    """The figures of one image (1, C, H, W); peak_gb is the memory above what was there before."""
    inferer = AutoencoderInferer("auto", window_above=1, window_size=window, window_overlap=overlap)
    interval = int(window * (1 - overlap) / network.factor) * network.factor
    before, start, squares = _reset_peak(), time.monotonic(), []
    sums = np.zeros((2, 2))  # elsewhere and near: error, pixels
    for shift in range(shifts):
        moved = interval * shift // shifts
        seen = torch.nn.functional.pad(image, (moved, 0, moved, 0), mode="reflect")
        with torch.no_grad():
            made = inferer(seen, network)["reconstruction"]
        error = (made - seen)[0, :, moved:, moved:].abs().mean(0).numpy()
        near = near_borders((seen.shape[2], seen.shape[3]), window, interval, network.factor)[moved:, moved:]
        sums += [[error[part].sum(), part.sum()] for part in (~near, near)]
        squares.append(np.square(error, dtype=np.float64).mean())
    elsewhere, at_borders = sums[:, 0] / sums[:, 1]
    return {
        "psnr": float(-10 * np.log10(np.mean(squares))),
        "elsewhere": elsewhere,
        "at_borders": at_borders,
        "ratio": at_borders / elsewhere,
        "seconds": (time.monotonic() - start) / shifts,
        "peak_gb": (_resident("VmHWM") - (before or 0)) / 1e9,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder")
    parser.add_argument("checkpoint")
    parser.add_argument("--window", type=int, default=256)
    parser.add_argument("--overlap", type=float, default=0.25)
    parser.add_argument("--images", type=int, default=6)
    parser.add_argument("--shifts", type=int, default=4, help="places of the windows")
    parser.add_argument("--side", type=int, default=0, help="only the middle of this size, in pixels; 0: all of it")
    options = parser.parse_args()
    config = ConfigParser.load_config_files([INFERENCE, Path(options.checkpoint).with_name("trained.json")])
    network = ConfigParser(config).get_parsed_content("network_def").eval()
    load_weights(network, Path(options.checkpoint))
    load = LoadWholeImage(2, network.encoder.in_channels)
    rows = []
    for path in list_images(options.folder)[: options.images]:
        image = load({"image": str(path)})["image"][None]
        image = CenterSpatialCrop(options.side)(image[0])[None] if options.side else image
        rows.append(measure(image, network, options.window, options.overlap, options.shifts))
        print(path.name, json.dumps(rows[-1]), flush=True)
    print("mean", json.dumps({name: float(np.mean([row[name] for row in rows])) for name in rows[0]}))


if __name__ == "__main__":
    main()
