"""What the datalists of a start cost with many images: `python -m tools.benchmarks.many_images 1000 10000 100000`.

Each number is a dataset of that many made squares of noise with masks (synthetic; written to a temporary folder and
removed): listed, checked for leaks, and written down as a run does it, at a first start and at a second one.
"""

import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from medbundles.atomic_files import write_json_atomic
from medbundles.data import checked_parts, multitask_datalist
from medbundles.data.lists.fingerprint import fingerprint
from medbundles.data.lists.split_file import split_record

EACH, SIDE = 5, 32  # images of a patient, pixels of a side


def write_squares(folder: Path, images: int) -> None:
    """Images and masks in the prepared layout, nine patients of ten in train."""
    noise = np.random.default_rng(0)
    for patient in range(images // EACH):
        part = folder / ("val" if patient % 10 == 9 else "train")
        for kind in ("images", "masks"):
            (part / kind / f"p{patient:06d}").mkdir(parents=True)
        for number in range(EACH):
            name = f"p{patient:06d}/s{number}.png"
            pixels = noise.integers(0, 256, (SIDE, SIDE), dtype=np.uint8)
            Image.fromarray(pixels).save(part / "images" / name, compress_level=1)
            Image.fromarray((pixels > 250).astype(np.uint8) * 255).save(part / "masks" / name, compress_level=1)


def start(data: Path, cache: Path) -> dict[str, float]:
    """Seconds of CPU of this process and its workers for each part of a start."""
    seconds: dict[str, float] = {}

    def timed(what: str, action: Callable[[], Any]) -> Any:
        begin = _cpu_seconds()
        result = action()
        seconds[what] = _cpu_seconds() - begin
        return result

    classes = ["no", "yes"]
    lists = timed("lists", lambda: [multitask_datalist(str(data / part), None, classes) for part in ("train", "val")])
    parts = timed("checks", lambda: checked_parts(train=lists[0], val=lists[1], cache_dir=cache))
    timed("fingerprint", lambda: [fingerprint(items) for items in parts.values()])
    record = timed("split.json", lambda: split_record(parts, parts.pairs, parts.thumbnails))

    def write() -> None:
        write_json_atomic(cache / "split.json", record)
        parts.record()

    timed("written", write)
    return seconds


def _cpu_seconds() -> float:
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def main() -> None:
    """A line for each start."""
    for images in map(int, sys.argv[1:] or ("1000", "10000")):
        with tempfile.TemporaryDirectory(prefix="many_images_") as folder:
            write_squares(Path(folder, "data"), images)
            for which in ("first", "second"):
                found = start(Path(folder, "data"), Path(folder, "cache"))
                shown = ", ".join(f"{name} {value:.2f}" for name, value in found.items())
                print(f"{images} images, {which} start: {sum(found.values()):.2f} s ({shown})", flush=True)
        print(f"  largest memory so far {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000:.0f} MB")


if __name__ == "__main__":
    main()
