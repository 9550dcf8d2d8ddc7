"""A bundle with a trained model in it, which runs without this repository."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from medbundles.errors import one_of
from medbundles.package import PACKAGE, package_files

from ..bundle import bundle_folder, read_config
from .archive import write_zip
from .configs import baked
from .contents import as_json, documents, model_files, weights_file, with_large_files
from .exported_program import program
from .hugging_face import card, write_folder
from .metadata import exported_metadata
from .model import of_run, published
from .network import Built, build_network, outputs_of
from .onnx_file import onnx_file
from .readme import readme, yours_to_write
from .safetensors_file import safetensors_file
from .torchscript import torchscript

# further forms of the network: name in --formats, and ending of models/model.*
FORMS: dict[str, Callable[[Built, dict[str, Any]], tuple[bytes, str]]] = {
    "safetensors": lambda built, configs: safetensors_file(built),
    "ts": torchscript,
    "pt2": lambda built, configs: program(built),
    "onnx": lambda built, configs: onnx_file(built),
}
PACKAGES = ("zip", "huggingface")
IN_TORCHSCRIPT = ("metadata", "train", "inference", "deploy")  # what hosts read out of models/model.ts


def export(
    bundle: str, run: str | None = None, output_dir: str = "export", formats: tuple[str, ...] = ("zip", "ts", "pt2")
) -> None:
    """Write a bundle with its trained model, as a zip or a folder that runs alone.

    Its configs hold the settings that the weights belong to, so that monai.bundle.load gives the trained network; it
    carries a copy of the package medbundles, and runs in an empty folder with the packages that its metadata.json
    lists. The same model gives the same zip, bit by bit. What needs a file that cannot come along is switched off, and
    said. Each further form of the network is read back and compared with the network on a size that was traced and on
    one that was not; when one differs by more than 1e-4 of an output's range, nothing is written.

    Args:
        bundle: name of a bundle in bundles/, or its folder.
        run: a run's folder, whose best.pt is exported; without it what is published in the bundle's models/.
        output_dir: folder for BUNDLE.zip and BUNDLE_huggingface.
        formats: zip or huggingface or both, zip where neither is given; and what lies in models/ beside model.pt: ts
            (TorchScript), pt2 (torch.export), onnx, safetensors. The last two need the extras of their names.

    Raises:
        MedbundlesError: there are no weights, they belong to another bundle, a form of the network gives something
            else, a package is missing, or the disk is full; nothing is written.

    Example:
        python -m tools export medical_segmentation --run runs/segmentation/run_20260101_120000 --output_dir /tmp/share
    """
    for name in formats:
        one_of("--formats", name, (*PACKAGES, *FORMS))
    packages = [name for name in PACKAGES if name in formats] or ["zip"]
    wanted = [name for name in FORMS if name in formats or (name == "safetensors" and "huggingface" in packages)]
    folder = bundle_folder(bundle)
    place = Path(output_dir)
    model = of_run(folder, Path(run)) if run else published(folder)
    configs, metadata = baked(folder, model.trained), read_config(folder, "metadata")
    built = build_network(configs.files["inference"], metadata, model, f"the weights of {model.source}")
    metadata = exported_metadata(metadata, model, built.example(), outputs_of(built.network, built.example()))
    configs.files |= {"metadata": metadata, "schema": read_config(folder, "schema")}
    into_archive = {name: configs.files[name] for name in IN_TORCHSCRIPT if name in configs.files}
    forms, said = {}, list(configs.said)
    for name in wanted:
        forms[f"models/model.{name}"], how = FORMS[name](built, into_archive)
        said.append(f"models/model.{name}: {how}")
    for sentence in said:
        print(sentence)
    text = readme(folder.name, metadata, model, said)
    contents = {
        **{f"{PACKAGE.name}/{name}": content for name, content in package_files().items()},
        **documents(folder),
        **{f"configs/{name}.json": as_json(config) for name, config in configs.files.items()},
        **model_files(weights_file(built.network), model.trained, model.about),
        **forms,
        "README.md": text.encode("utf-8"),
    }
    if "zip" in packages:
        path = place / f"{folder.name}.zip"
        write_zip(path, folder.name, with_large_files(contents))
        print(f"{path}: {path.stat().st_size / 1e6:.1f} MB, weights of {model.source}")
    if "huggingface" in packages:
        path = place / f"{folder.name}_huggingface"
        write_folder(path, {**contents, "README.md": card(text, metadata).encode("utf-8")})
        print(f"{path}: weights of {model.source}")
    for note in yours_to_write(metadata, model):
        print(f"note: {note}")
