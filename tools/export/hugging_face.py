"""A folder as the Hugging Face Hub takes it: README.md is the model card, with its front matter."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..staging import whole_folder
from .contents import as_json

TASKS = {"segmentation": "image-segmentation", "classes": "image-classification", "magnitude": "image-to-image"}
LARGE_FILES = "*.pt *.pt2 *.ts *.onnx *.safetensors"  # what the Hub keeps in git-lfs


def card(text: str, metadata: Mapping[str, Any]) -> str:
    """The README with the front matter of a model card (YAML; each value is written as JSON, which is YAML too).

    The licence is that of the data, in a file of its own: there is no short name for it. The Hub shows "model-index" as
    a table of the scores.
    """
    task = TASKS.get(metadata["network_data_format"]["outputs"]["pred"]["format"], "image-feature-extraction")
    front: dict[str, Any] = {
        "library_name": "monai",
        "pipeline_tag": task,
        "license": "other",
        "license_name": "licence-of-the-data",
        "license_link": "docs/data_license.txt",
        "tags": ["monai", "medical", "pytorch"],
    }
    if metrics := metadata.get("eval_metrics"):
        result = {
            "task": {"type": task},
            "dataset": {"type": "own", "name": metadata["data_source"], "split": "validation"},
            "metrics": [{"type": name, "value": value} for name, value in metrics.items()],
        }
        front["model-index"] = [{"name": metadata["name"], "results": [result]}]
    lines = [f"{name}: {as_json(value).decode().strip()}" for name, value in front.items()]
    return "\n".join(["---", *lines, "---", "", text])


def write_folder(path: Path, contents: Mapping[str, bytes]) -> None:
    """Write the files, all or none.

    Args:
        path: a folder that is not there yet.
        contents: path below it -> content.

    Raises:
        MedbundlesError: it is there, the disk is full, or it cannot be written.
    """
    attributes = "".join(f"{kind} filter=lfs diff=lfs merge=lfs -text\n" for kind in LARGE_FILES.split())
    with whole_folder(path) as partial:
        for name, content in {**contents, ".gitattributes": attributes.encode()}.items():
            file = partial / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
