"""Speed of a bundle as ratios, each measured side by side in one run; nothing is asserted."""

import platform
import tempfile
from pathlib import Path
from typing import Any

from medbundles.atomic_files import write_json_atomic
from medbundles.errors import MedbundlesError, one_of

from ..bundle import absolute_paths, bundle_folder, check_settings


def bench(
    bundle: str = "brain_tumor_multitask_unet",
    dataset_dir: str = "",
    slices_dir: str = "",
    only: tuple[str, ...] = (),
    pairs: int = 9,
    epoch_seconds: float | None = None,
    exported: str = "",
    out: str = "bench.json",
    clock: str = "wall",
    **settings: Any,
) -> dict[str, Any]:
    """Measure a bundle's training against plain PyTorch, and what its augmentation, precision, cache and start cost.

    Ratios of times that were taken in turn, in one process where possible: median, quartiles, smallest and largest.
    The network is that of configs/quick_test.json (slices at 128 x 128 in batches of 8, volumes at 48 x 48 x 48 in
    batches of 4), unless settings say otherwise.

    Args:
        bundle: name of a bundle in bundles/, or its folder.
        dataset_dir: prepared data; empty: phantoms, as many as an epoch of --epoch_seconds needs.
        slices_dir: a raw kaggle_3m folder for the cache of slices; empty: $MEDBUNDLES_DATA/lgg_kaggle3m, else
            ../shared/data. Volumes need none.
        only: which of trainer, stock, augmentation, amp, amp_score, cache, compiled, startup, formats, for volumes
            layout, channels_last, for the autoencoder attention, channels_last, and for the seven networks that segment
            networks (precision, channels-last and memory of each) and troubles (what advice changes); empty: all.
        pairs: how often each comparison is repeated.
        epoch_seconds: how long an epoch on phantoms should take; by default 3, for volumes 14 (some 60 batches on two
            cores, about as many as 228 cases make).
        exported: for formats: a zip that export wrote, whose forms of the network are held against each other. They are
            run, so it must be one that you trust.
        out: JSON file for all times, with machine, threads and versions.
        clock: wall, or cpu: the time that this process computes, where other programs run beside it (with
            OMP_NUM_THREADS=1; startup is always measured on the wall).
        **settings: any setting of the bundle.

    Returns:
        What the JSON file holds.

    Example:
        python -m tools bench glioma_grading_resnet50_3d --only trainer,amp --pairs 9
    """
    import torch

    from medbundles.runs.environment import environment

    from . import amp_score, formats, networks, startup, timing, trainer, troubles, variants
    from .bundles import BUNDLES

    measures = {
        "trainer": trainer.measure,
        "stock": trainer.stock,
        "amp_score": amp_score.measure,
        "startup": startup.measure,
        "formats": formats.measure,
        "networks": networks.measure,
        "troubles": troubles.measure,
    }
    measures |= {measure.__name__: measure for measure in variants.MEASUREMENTS}
    folder = bundle_folder(bundle)
    if folder.name not in BUNDLES:
        raise MedbundlesError(f"bench: {folder.name} is not known here; there are: {', '.join(BUNDLES)}")
    kind = BUNDLES[folder.name]
    unknown = sorted(set(only) - set(kind.measurements))
    if unknown:
        raise MedbundlesError(
            f"bench: --only {','.join(unknown)} is unknown; there are: {', '.join(kind.measurements)}"
        )
    epoch_seconds = kind.usual_epoch_seconds if epoch_seconds is None else epoch_seconds
    if pairs < 1 or epoch_seconds <= 0:
        raise MedbundlesError("bench: --pairs and --epoch_seconds are above 0")
    one_of("clock", clock, timing.CLOCKS)
    check_settings(folder, settings, {"output_dir": "bench keeps nothing but --out", "epochs": "use --pairs"})
    timing.clock = timing.CLOCKS[clock]
    settings = absolute_paths(folder, settings)
    dataset_dir = str(Path(dataset_dir).resolve()) if dataset_dir else ""
    result: dict[str, Any] = {
        "bundle": folder.name,
        "settings": settings,
        "pairs": pairs,
        "clock": clock,
        "cpu": cpu_name(),
    }
    device = settings.get("device", "cuda" if torch.cuda.is_available() else "cpu")
    result["environment"] = environment(device, settings.get("seed", 42))
    with tempfile.TemporaryDirectory(prefix="bench_") as temporary:
        measured = kind(
            folder, Path(temporary), settings, dataset_dir, slices_dir, pairs, epoch_seconds, exported=exported
        )
        for name in [name for name in kind.measurements if name in only or not only]:
            print(f"\n=== {name} ===", flush=True)
            result[name] = measures[name](measured)
            write_json_atomic(out, result)
    print(f"\nwritten to {out}")
    return result


def cpu_name() -> str:
    """The processor's model, as far as the system gives it."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()
