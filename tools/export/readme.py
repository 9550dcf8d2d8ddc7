"""README.md of an exported bundle: what the model is, how it is run, and what binds it; stands alone."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from medbundles.reports.tables import markdown_table

from ..staging import WARNING
from .model import Model

PACKAGES = {"monai": "monai_version", "torch": "pytorch_version", "numpy": "numpy_version"}  # name -> id in metadata
OWN_LICENCE, OWN_AUTHORS = "The weights you train are bound by the licence of the data", "The medbundles authors"
LEAVING = re.compile(r"\[([^\]]*)\]\((?:\.\./)+[^)]*\)")  # a Markdown link to a page outside the bundle
TEXT = """# {title}

{description}.

{intended_use}.

## The model

Weights of {source}, version {version} of the bundle. `models/trained.json` holds the settings that they were trained
with, which also stand in `configs/train.json` and `configs/inference.json`; `models/model.json` says where they come
from, with a checksum and that of the file they were exported from, which the results of the time before name.

{metrics}

| | channels | shape | |
| --- | --- | --- | --- |
{formats}

## Run it

The folder needs no other code than these packages: `medbundles/` in it is a copy of the package that the configs name.

    pip install {packages}

In the unpacked folder `{name}`:

    python -m monai.bundle run --config_file configs/inference.json --input /data/new_scans
    python -m monai.bundle run --config_file configs/train.json --dataset_dir /data/train --init_from models/model.pt
    python -m monai.bundle run --config_file "['configs/train.json','configs/evaluate.json']" --dataset_dir /data/test

From Python, with the folder that holds `{name}` as FOLDER:

    import sys
    from monai.bundle import load

    sys.path.insert(0, "FOLDER/{name}")
    network = load("{name}", bundle_dir="FOLDER").eval()

`docs/README.md` describes data, settings and results of the bundle.
{left}
## Licence

The code: see `LICENSE`. The weights are bound by the licence of the data that they were trained on:

{data_license}
"""


def readme(name: str, metadata: Mapping[str, Any], model: Model, said: Sequence[str]) -> str:
    """The text.

    Args:
        name: of the bundle's folder.
        metadata: of the exported bundle.
        model: what is exported.
        said: what was changed or left off, and of each further form of the network how it was made.
    """
    packages = {package: metadata[key] for package, key in PACKAGES.items()} | metadata["required_packages_version"]
    described = metadata["network_data_format"]
    formats = [(kind, *pair) for kind in ("inputs", "outputs") for pair in described[kind].items()]
    notes = [f"- {text}" for text in said]
    licence = str(model.about.get("data_license", "")).strip() or "Nothing is known of it."
    return TEXT.format(
        title=metadata["name"],
        description=metadata["description"],
        intended_use=metadata["intended_use"].rstrip("."),
        source=model.source,
        version=metadata["version"],
        metrics=_metrics(model),
        formats="\n".join(_line(*each) for each in formats),
        packages=" ".join(f"{package}=={version}" for package, version in packages.items()),
        name=name,
        left="\n".join(["", "## About this export", "", *notes, ""]) if notes else "",
        data_license=licence,
    )


def yours_to_write(metadata: Mapping[str, Any], model: Model) -> list[str]:
    """A sentence for each text that goes along and is still the bundle's own, which speaks of no model."""
    notes = []
    if OWN_LICENCE in " ".join(str(model.about.get("data_license", "")).split()):
        notes.append(
            "docs/data_license.txt: is still that of the bundle, which lists public data sets. Write the licence of "
            "your data there before the training, which keeps it with the weights."
        )
    if metadata.get("authors") == OWN_AUTHORS:
        notes.append(
            f"configs/metadata.json: authors are still {OWN_AUTHORS!r}; say there whose model it is, and in "
            "data_source what it was trained on."
        )
    return notes


def without_leaving_links(text: str) -> str:
    """A Markdown text whose links to pages outside the bundle are plain text."""
    return LEAVING.sub(r"\1", text)


def _metrics(model: Model) -> str:
    if not model.metrics:
        return "Nothing is known of how good it is."
    table = markdown_table(["on the validation data", ""], [[f"`{k}`", f"{v:.4g}"] for k, v in model.metrics.items()])
    return "\n".join([*([WARNING, ""] if model.synthetic else []), *table])


def _line(kind: str, name: str, entry: Mapping[str, Any]) -> str:
    shape = " x ".join(map(str, entry["spatial_shape"]))
    channels = ", ".join(entry["channel_def"].values())
    return f"| {kind.removesuffix('s')} `{name}` | {entry['num_channels']} ({channels}) | {shape} | {entry['format']} |"
