"""A bundle with a trained model in it, which runs without this repository."""

from collections.abc import Sequence
from pathlib import Path

from medbundles.errors import MedbundlesError, one_of

from ..bundle import bundle_folder, read_config
from .archive import write_zip
from .configs import baked
from .contents import as_json, documents, model_files, package_files, weights_file, with_large_files
from .metadata import exported_metadata
from .model import of_run, published
from .network import build_network, outputs_of
from .readme import readme

FORMATS = ("zip",)


def export(bundle: str, run: str | None = None, output_dir: str = "export", formats: tuple[str, ...] = ("zip",)) -> None:
    """Write a bundle with its trained model as a zip that runs alone.

    Its configs hold the settings that the weights belong to, so that monai.bundle.load gives the trained network; it
    carries a copy of the package medbundles, and runs in an empty folder with the packages that its metadata.json
    lists. The same model gives the same zip, bit by bit. What needs a file that cannot come along is switched off, and
    said.

    Args:
        bundle: name of a bundle in bundles/, or its folder.
        run: a run's folder, whose best.pt is exported; without it what is published in the bundle's models/.
        output_dir: folder for BUNDLE.zip.
        formats: zip.

    Raises:
        MedbundlesError: there are no weights, they belong to another bundle, or the disk is full; nothing is written.

    Example:
        python -m tools export medical_segmentation --run runs/segmentation/run_20260101_120000 --output_dir /tmp/share
    """
    for name in formats:
        one_of("--formats", name, FORMATS)
    folder = bundle_folder(bundle)
    model = of_run(folder, Path(run)) if run else published(folder)
    configs, metadata = baked(folder, model.trained), read_config(folder, "metadata")
    built = build_network(configs.files["inference"], metadata, model, f"the weights of {model.source}")
    metadata = exported_metadata(metadata, model, built.example(), outputs_of(built.network, built.example()))
    configs.files |= {"metadata": metadata, "schema": read_config(folder, "schema")}
    contents = {
        **package_files(),
        **documents(folder),
        **{f"configs/{name}.json": as_json(config) for name, config in configs.files.items()},
        **model_files(weights_file(built.network), model.trained, model.about),
        "README.md": readme(folder.name, metadata, model, configs.said).encode("utf-8"),
    }
    for sentence in configs.said:
        print(sentence)
    path = Path(output_dir) / f"{folder.name}.zip"
    write_zip(path, folder.name, with_large_files(contents))
    print(f"{path}: {path.stat().st_size / 1e6:.1f} MB, weights of {model.source}")
