"""What inference with an autoencoder runs on: images to reconstruct, latents to decode, draws, or two images."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from medbundles.data.lists.dicom_inputs import found_inputs
from medbundles.data.lists.earlier_results import check_existing, say_others, unfinished
from medbundles.data.lists.failed_inputs import with_failed
from medbundles.data.lists.image_parts import volumes_advice
from medbundles.data.lists.inference_inputs import input_names, unique_names
from medbundles.data.lists.input_files import BETWEEN, DECODED, RECONSTRUCTIONS, SAMPLES
from medbundles.data.problems import Problems
from medbundles.data.reading.case_files import check_image_file
from medbundles.data.reading.files import (
    IMAGE_ENDINGS,
    VOLUME_ENDINGS,
    check_file,
    is_image,
    name_below,
    stem,
)
from medbundles.errors import ConfigError, DataError, refuse
from medbundles.rules import Rule, has_rules, idle_without

Off = Literal[False] | None


def _one_mode(decode: str | Off, sample: int, interpolate: Sequence[str] | Off) -> str | None:
    modes = {"decode": decode, "sample": sample, "interpolate": interpolate}
    given = [name for name, value in modes.items() if value]
    return f"{' and '.join(given)}: are different tasks; use one of them at a time." if len(given) > 1 else None


def _nothing_to_map(dicom_mapping: str | Path | Off, decode: str | Off, sample: int, interpolate: Any) -> str | None:
    if not dicom_mapping or not (decode or sample or interpolate):
        return None
    return "dicom_mapping: with decode, sample or interpolate no DICOM is read, so there is nothing to write to it."


@has_rules(
    Rule(("decode", "sample", "interpolate"), _one_mode, ("inference",)),
    Rule(("dicom_mapping", "decode", "sample", "interpolate"), _nothing_to_map, ("inference",)),
    idle_without("interpolate", "interpolate_steps", workflows=("inference",)),
    idle_without("sample", "sample_size", workflows=("inference",)),
)
def autoencoder_inputs(
    inputs: str | Path,
    spatial_dims: int = 2,
    channels: int = 1,
    *,
    decode: str | Path | Off = None,
    sample: int = 0,
    interpolate: Sequence[str | Path] | Off = None,
    interpolate_steps: int = 7,
    output: str | Path | None = None,
    existing: str = "overwrite",
    dicom_mapping: str | Path | bool | None = None,
) -> list[dict]:
    """The items of one of four tasks; existence and headers of all files are checked at once.

    Args:
        inputs: an image, or a folder of them, or of DICOM, to reconstruct; not looked at in the other tasks.
        spatial_dims: 2 (pictures) or 3 (NIfTI volumes).
        channels: C that pictures must give.
        decode: a latent (.npz), or a folder of them, to make images of.
        sample: how many latents to draw.
        interpolate: two images, to show what lies between their latents.
        interpolate_steps: how many images that makes, the two ends among them; 2 or more.
        output: folder of the results; what is no input is said in `input_files`.
        existing: inputs whose results are in `output`: "overwrite" them, "skip" them (of reconstructions alone), or
            refuse with an "error".
        dicom_mapping: of DICOM, a file that says which series each input is, see `found_inputs`.

    Returns:
        One dict per image to make, with folder (of the results), name (unique in it), sheet (name of the contact sheet
        that shows it, or ""), and: image (path); latent (path); sample (its number); or image, other (paths) and weight
        (0 to 1, of the other). Empty only when everything is skipped.

    Raises:
        ConfigError: two tasks at once, no input, or unknown `existing`.
        DataError: nothing there, no usable one (all are listed), or results that are already there.
    """
    check_existing(existing)
    refuse(
        [
            _one_mode(decode or None, sample, interpolate or None),  # type: ignore[arg-type]
            _nothing_to_map(dicom_mapping, decode, sample, interpolate),  # type: ignore[arg-type]
        ]
    )
    if sample:
        width = len(str(sample - 1))
        items = [{"sample": i, "name": f"sample_{i:0{width}}", "sheet": "samples"} for i in range(sample)]
        return _into(items, SAMPLES, output, existing)
    if interpolate:
        first, last = (Path(path) for path in interpolate)
        problems = Problems()
        for path in (first, last):
            check_image_file(path, spatial_dims, channels, problems)
        problems.settle("interpolate", advice="")  # both are needed
        sheet = f"{stem(first)}_to_{stem(last)}"
        pair = {"image": str(first), "other": str(last), "sheet": sheet}
        weights = [i / (interpolate_steps - 1) for i in range(interpolate_steps)]
        items = [{**pair, "weight": weight, "name": f"{sheet}/{i:02d}"} for i, weight in enumerate(weights)]
        return _into(items, BETWEEN, output, existing)
    if decode:
        return _into(_latents(Path(str(decode))), DECODED, output, existing)
    endings, planes = (IMAGE_ENDINGS, True) if spatial_dims == 2 else (VOLUME_ENDINGS, False)
    problems = Problems()
    root, paths = found_inputs(
        inputs, output, problems, endings, planes=planes, existing=existing, mapping=dicom_mapping
    )
    names = unique_names(input_names(paths, root))
    names = unfinished(names, output, existing, result="reconstruction")
    items = _checked(names, root, spatial_dims, channels, problems) if names or problems else []
    return [{**item, "folder": RECONSTRUCTIONS, "sheet": ""} for item in items]


def _checked(names: dict[Path, str], root: Any, dims: int, channels: int, problems: Problems) -> list[dict]:
    """Items of the images whose headers are fine."""
    items = []
    for path, name in names.items():
        if check_image_file(path, dims, channels, problems):
            items.append({"image": str(path), "name": name})
    return with_failed(items, problems, root, instead=volumes_advice(dims, names), done=not names)


def _latents(root: Path) -> list[dict]:
    paths = [root] if root.is_file() else sorted(root.rglob("*.npz"))
    if not paths:
        raise DataError(f"decode: {root} has no latents (.npz); give those that an inference wrote")
    problems, items = Problems(), []
    for path in paths:
        with problems.noted(path):
            check_file(path)
            name = name_below(path, root) if path != root else stem(path)
            items.append({"latent": str(path), "name": name, "sheet": ""})
    return with_failed(items, problems, root)


def _into(items: list[dict], folder: str, output: str | Path | None, existing: str) -> list[dict]:
    """The items, with the folder of their results.

    A result here hangs on more than its name (weights, seed, the other image), so none is skipped.

    Raises:
        ConfigError: `existing` is "skip".
        DataError: `existing` is "error", and one is there.
    """
    if existing == "skip":
        raise ConfigError("existing: 'skip' goes on with reconstructions alone; give 'overwrite' or another output.")
    place = Path(output or "", folder)
    there = {name_below(path, place) for path in place.rglob("*") if is_image(path)} if output else set()
    done = [item["name"] for item in items if item["name"] in there]
    if done and existing == "error":
        raise DataError(
            f"{output}: already has {len(done)} of the {len(items)} images in {folder}/, {done[0]} for one. "
            "Give another output folder, or existing 'overwrite'."
        )
    say_others([item[key] for item in items for key in ("name", "sheet")], output, (folder,))
    return [{**item, "folder": folder} for item in items]
