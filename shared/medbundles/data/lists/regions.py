"""What is said of classes and regions: by the settings, and by a dataset.json."""

from collections.abc import Sequence

from medbundles.data.lists.dataset_json import IGNORED, DatasetJson
from medbundles.rules import AUTO

Regions = Sequence[Sequence[int]] | str | bool | None  # the labels of each; those of the dataset.json; none


def one_channel_each(regions: Regions, out_channels: int) -> str | None:
    """What is wrong with the number of regions, or None."""
    count = len(regions) if isinstance(regions, (list, tuple)) else out_channels
    if count == out_channels:
        return None
    return f"out_channels: {out_channels}, but there are {count} regions, one channel each; use --out_channels {count}."


def contradiction(about: DatasetJson, out_channels: int, ignored: int | None, regions: Regions) -> str | None:
    """What is wrong with classes or regions beside the labels of a dataset.json, or None."""
    marked = next((value for value, name in about.labels.items() if name == IGNORED), None)
    if marked is not None and marked != ignored:
        return f"ignore_label: the dataset.json says that {marked} is not labelled; use --ignore_label {marked}."
    names = {value: name for value, name in about.labels.items() if value != ignored}
    listed = ", ".join(f"{value} {name}" for value, name in sorted(names.items()))
    if about.regions and not regions:
        named = ", ".join(f"{name} {labels}" for name, labels in about.regions.items())
        return f"regions: the dataset.json names {named}; use --regions auto --out_channels {len(about.regions)}."
    if regions == AUTO and not about.regions:
        return "regions: 'auto' are those of a dataset.json, and it has none; give them: --regions \"[[1,2],[2]]\"."
    if regions:
        labels, _ = regions_of(about, regions)
        unknown = sorted({label for region in labels for label in region}.difference(names))
        if names.keys() - {0} and unknown:
            return f"regions: {unknown} are no labels of the dataset.json, which names {listed}."
        return one_channel_each(labels, out_channels)
    classes = max(names, default=out_channels - 1) + 1
    if out_channels == classes or (out_channels, classes) == (1, 2):
        return None
    return f"out_channels: {out_channels}, but the dataset.json names {listed}; use --out_channels {classes}."


def other_channels(about: DatasetJson, dims: int, channels: int) -> str | None:
    """What is wrong with in_channels beside the channels of a dataset.json, or None; a name may stand for the three
    colours of a picture."""
    count = len(about.modalities)
    if dims == 2 or count in (0, channels):
        return None
    named = ", ".join(about.modalities)
    return f"in_channels: {channels}, but the dataset.json names {count} ({named}); use --in_channels {count}."


def regions_of(about: DatasetJson, regions: Regions) -> tuple[list[list[int]], list[str]]:
    """The labels of each region, and its name: that of the dataset.json, else those of its labels, as edema+core, or
    their numbers, as 1+2."""
    chosen = regions if isinstance(regions, (list, tuple)) else [*about.regions.values()] if regions == AUTO else []
    named = {frozenset(labels): name for name, labels in about.regions.items()}
    names = [named.get(frozenset(region), "+".join(about.labels.get(n, str(n)) for n in region)) for region in chosen]
    return [list(region) for region in chosen], names
