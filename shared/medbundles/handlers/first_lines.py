"""What a run says of itself before its first step."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from ignite.engine import Engine

from medbundles.errors import first_few
from medbundles.networks import bare_network


def datasets(engine: Engine, validator: Any = None) -> dict[str, Any]:
    """The datasets that a trainer and its validator, or an evaluator alone, run over, by the part that they are."""
    engines = {"training": engine, "validation": validator} if validator is not None else {"evaluation": engine}
    loaders = {part: getattr(one, "data_loader", None) for part, one in engines.items()}
    there = {part: getattr(loader, "dataset", None) for part, loader in loaders.items()}
    return {part: dataset for part, dataset in there.items() if dataset is not None}


def lines_about_data(parts: dict[str, Any], class_names: Sequence[str] | None = None) -> Iterator[str]:
    """One line for each part: images, patients, sources and classes, as far as its datalist says them.

    Args:
        parts: name -> dataset; those that are no lists of dicts are left out.
        class_names: in the order of the labels.

    Example::

        training: 184 images of 64 patients (slices 96, images 88), classes: no 44, yes 44, of 96 the masks say it
    """
    for part, dataset in parts.items():
        items = [item for item in getattr(dataset, "data", ()) if isinstance(item, dict)]
        if not items:
            continue
        line = f"{part}: {len(items)} image{'s' if len(items) > 1 else ''}"
        if "patient" in items[0]:
            patients = len({item["patient"] for item in items})
            line += f" of {patients} patient{'s' if patients > 1 else ''}"
        sources = Counter(item["source"] for item in items if "source" in item)
        if len(sources) > 1:
            line += f" ({first_few(f'{source} {count}' for source, count in sources.items())})"
        if class_names and "label" in items[0]:
            counts = Counter(int(item["label"]) for item in items)
            shown = [f"{name} {counts[label]}" for label, name in enumerate(class_names) if counts[label]]
            shown += [f"of {counts[-1]} the masks say it"] * bool(counts[-1])
            line += f", classes: {first_few(shown)}"
        yield line


def line_about_network(network: torch.nn.Module) -> str:
    """Its class and how many parameters it has and trains."""
    bare = bare_network(network)
    every = [parameter.numel() for parameter in bare.parameters()]
    trained = sum(parameter.numel() for parameter in bare.parameters() if parameter.requires_grad)
    frozen = "" if trained == sum(every) else f", of which {trained:,} are trained"
    return f"network: {type(bare).__name__} with {sum(every):,} parameters{frozen}"
