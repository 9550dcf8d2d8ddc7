"""Variants of one setting, measured against each other: seconds of an epoch in turns, and what memory each needs."""

from collections.abc import Mapping
from functools import partial
from typing import Any

from .bundles import MeasuredBundle
from .memory import peak_memory
from .timing import compare_in_turns, show

Variants = Mapping[str, Mapping[str, Any]]
AMP: Variants = {"auto": {"amp": "auto"}, "float32": {"amp": False}}
LAYOUTS: Variants = {name: {"layout": name} for name in ("medicalnet", "strided")}
MEMORY_FORMATS: Variants = {"channels_last": {"channels_last": True}, "channels_first": {"channels_last": False}}
COMPILED: Variants = {"compiled": {"compile_model": True}, "eager": {"compile_model": False}}
ATTENTION: Variants = {name: {"network_def#use_flash_attention": name == "flash"} for name in ("flash", "plain")}
AUGMENTATION = {"off": False, "on": True}
WORKERS = (0, 2)
CACHES = ("none", "disk", "memory")
CACHE_ROUNDS = 5  # at most: an epoch over all images is long


def amp(bundle: MeasuredBundle) -> dict[str, Any]:
    """What mixed precision gains."""
    chosen = "mixed precision" if bundle.training(AMP["auto"]).inferer.amp else "float32"
    print(f"auto is {chosen} on this machine")
    return {"auto_is": chosen, **compare(bundle, "amp", AMP, "auto")}


def layout(bundle: MeasuredBundle) -> dict[str, Any]:
    """MedicalNet's layout (dilated, three strides of 2) against MONAI's strided one."""
    return compare(bundle, "layout", LAYOUTS, "strided", memory=True)


def channels_last(bundle: MeasuredBundle) -> dict[str, Any]:
    """Channels-last weights against the usual order of axes."""
    return compare(bundle, "weights", MEMORY_FORMATS, "channels_first", memory=True)


def compiled(bundle: MeasuredBundle) -> dict[str, Any]:
    """What torch.compile gains an epoch, once it has compiled."""
    return compare(bundle, "network", COMPILED, "eager")


def attention(bundle: MeasuredBundle) -> dict[str, Any]:
    """torch's fused attention against the plain formula."""
    return compare(bundle, "attention", ATTENTION, "plain", memory=True)


def augmentation(bundle: MeasuredBundle) -> dict[str, Any]:
    """What augmentation costs an epoch, with and without worker processes."""
    result = {}
    for workers in WORKERS:
        variants = {name: {bundle.augmented: on, "num_workers": workers} for name, on in AUGMENTATION.items()}
        found = compare(bundle, f"{workers} workers, augmentation", variants, "off", loading=True)
        result[f"workers_{workers}"] = {**found.pop("seconds"), **found}
    return result


def cache(bundle: MeasuredBundle) -> dict[str, Any]:
    """What the caches gain from the second epoch on: the first, which fills them, is not counted."""
    data, reason = bundle.cache_data()
    if reason:
        print(reason)
        return {"skipped": reason}
    # an output folder of its own: a split into folds that another measurement left there belongs to other data
    folders = {name: str(bundle.temporary / f"caches_{name}") for name in ("cache_dir", "output_dir")}
    variants = {name: {"cache": name, "dataset_dir": data, **folders} for name in CACHES}
    return compare(bundle, "cache", variants, "none", loading=True, rounds=CACHE_ROUNDS)


MEASUREMENTS = (augmentation, amp, cache, compiled, layout, attention, channels_last)


def compare(
    bundle: MeasuredBundle,
    setting: str,
    variants: Variants,
    baseline: str,
    *,
    loading: bool = False,
    memory: bool = False,
    rounds: int | None = None,
) -> dict[str, Any]:
    """Measure the variants of a setting in turns.

    Args:
        bundle: what is measured.
        setting: its name in what is printed.
        variants: name -> its settings.
        baseline: the variant that the others are divided by.
        loading: whether an epoch loads its batches; otherwise they are ready before it, the same for all.
        memory: measure the peak of memory as well.
        rounds: at most so many.

    Returns:
        `seconds` of each variant, the number of `batches`, and for each other variant its ratio `VARIANT_over_BASELINE`
        to the baseline; with loading the share of the epoch spent `waiting` for data, with memory the `peak_memory` in
        bytes (None where the system gives none).
    """
    trainings = {name: bundle.training(settings) for name, settings in variants.items()}
    first = next(iter(trainings.values()))
    batches = [] if loading else first.batches()
    epochs = {name: t.loaded_epoch if loading else partial(t.epoch, batches) for name, t in trainings.items()}
    text = f"epoch, {setting}" if loading else f"epoch of steps, {setting}"
    result = compare_in_turns(text, epochs, baseline, min(bundle.pairs, rounds or bundle.pairs))
    result["batches"] = len(first.loader)
    if loading:
        result["waiting"] = {
            name: show(f"share of the epoch spent waiting for data, {name}", training.waiting[1:])
            for name, training in trainings.items()
        }
    if memory:
        result["peak_memory"] = {name: _peak(bundle, name, settings) for name, settings in variants.items()}
    return result


def _peak(bundle: MeasuredBundle, name: str, settings: Mapping[str, Any]) -> int | None:
    """Measure and print the peak of memory of one variant; its data are not kept in memory."""
    peak = peak_memory(partial(bundle.training, {**settings, "cache": "none"}))
    print(f"peak of memory, {name}: " + ("not known here" if peak is None else f"{peak / 2**20:.0f} MiB"))
    return peak
