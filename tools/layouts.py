"""How the data in a folder are laid out: which bundle trains on them, or which verb makes them into such."""

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from medbundles.data import checked_parts
from medbundles.data.lists.brats import brats_cases, check_cases
from medbundles.data.lists.class_folders import find_class_images
from medbundles.data.lists.dataset_json import FILE, IGNORED, read_dataset_json
from medbundles.data.lists.mask_names import masks_among
from medbundles.data.lists.pairs import find_pairs
from medbundles.data.lists.slices import find_slices
from medbundles.data.lists.splits import PARTS
from medbundles.data.problems import Problems
from medbundles.data.reading.files import is_volume, list_images, name_below, stem, subfolders
from medbundles.errors import DataError, first_few
from medbundles.rules import AUTO

from .bundle import BUNDLES, bundle_folder, read_config
from .graded_layout import check_graded, graded_place
from .prepare.lgg_files import lgg_slices

BRAIN, GRADING, AUTOENCODER = "brain_tumor_multitask_unet", "glioma_grading_resnet50_3d", "dental_vae_autoencoder"
SEGMENTATION = "medical_segmentation"
KAGGLE = "kaggle_3m"
WANTED = {
    BRAIN: "{train,val}/images and {train,val}/masks and, unless --kaggle_dir False, kaggle/{train,val}/{no,yes}",
    GRADING: "a folder for each class (LGG, HGG) with folders of cases, or cases.csv with path,label[,patient]",
    SEGMENTATION: "images/ and labels/, or a dataset.json; with --bundle also masks/, or x.png beside x_mask.png",
    AUTOENCODER: "folders of images without masks, such as edente/ and dente/",
    "": "what 'python -m tools prepare --help' lists: BraTS, kaggle_3m, no/ and yes/, images/ and masks/, nnU-Net",
}


@dataclass
class Layout:
    """What was found in a folder.

    Args:
        name: of the layout.
        bundle: the bundle that trains on it; "": none does.
        settings: those that this training needs.
        files: names of the bundle's config files.
        verb: what makes raw data into what a bundle trains on.
        counts: what there is, by name.
        parts: set -> datalist, where these were looked through; else the training's own are taken.
        notes: what is said besides.
        one_class: settings that the training needs besides where all images that validate are of one class.
    """

    name: str
    bundle: str = ""
    settings: dict[str, Any] = field(default_factory=dict)
    files: tuple[str, ...] = ("train",)
    verb: str = ""
    counts: dict[str, int] = field(default_factory=dict)
    parts: dict[str, list[dict]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    one_class: dict[str, Any] = field(default_factory=dict)


def layout_of(place: Path, bundle: str, settings: Mapping[str, Any], problems: Problems) -> Layout:
    """The layout of a folder, or of a table.

    Args:
        place: the folder, or a .csv.
        bundle: name of the bundle that is to train on it; "": whichever does.
        settings: given for it.
        problems: gets what does not fit together.
    """
    if bundle:
        name = bundle_folder(bundle).name
        return _OF_BUNDLES[name](place, settings, problems) if name in _OF_BUNDLES else _any(place, bundle)
    folders = {path.name.lower(): path.name for path in subfolders(place)} if place.is_dir() else {}
    if place.is_file() or graded_place(place) is not None:
        return _graded(place, settings, problems)
    if {*PARTS, "kaggle"} & folders.keys():
        return _prepared(place, settings, problems)
    with suppress(DataError):  # another layout
        cases = brats_cases(place)
        problems.found += check_cases(cases, ()).found
        counts = {"cases": len(cases), "patients": len({case.patient for case in cases})}
        return Layout("brats", verb="prepare brats2d", counts=counts)
    with suppress(DataError):  # another layout
        slices, unpaired = lgg_slices(place)
        problems.found += unpaired.found
        counts = {"patients": len({item.patient for item in slices}), "slices": len(slices)}
        return Layout(KAGGLE, verb="prepare lgg", counts=counts)
    if folders.keys() == {"no", "yes"}:
        names = [folders["no"], folders["yes"]]
        pictures = _listed(find_class_images, problems, place, names)
        counts = {name: sum(item["name"].startswith(f"{name}/") for item in pictures) for name in names}
        found = Layout("class folders", verb="prepare yesno", counts=counts, parts={"all": pictures})
        return _with_copies(found, place, settings, problems)
    if (place / FILE).is_file() or {"images", "labels"} <= folders.keys():
        return _segmented(place, settings, problems)
    with suppress(DataError):  # another layout
        pairs, unpaired, _ = find_pairs(place)
        problems.found += unpaired.found
        asis = f"{SEGMENTATION} trains on them as they are; check that with --bundle {SEGMENTATION}"
        return Layout("pairs", verb="prepare pairs", counts={"images with a mask": len(pairs)}, notes=[asis])
    if not labels_among(list_images(place), place):
        return _plain(place, settings, problems)
    wanted = "".join(f"\n    {name or 'raw data'}: {text}" for name, text in WANTED.items())
    there = first_few((f"{name}/" for name in sorted(folders)), 8) or "no folders"
    what = f"no bundle trains on a folder that is laid out so ({there}), and no verb prepares it; wanted:{wanted}"
    problems.add(place, what)
    return Layout("unknown")


def labels_among(paths: Iterable[Path], root: Path) -> set[Path]:
    """Those that look like masks, by their names: masks may be constant, and empty ones are all the same."""
    names = {path: name_below(path, root) if path.is_relative_to(root) else stem(path) for path in paths}
    masks = masks_among(names.values())
    return {path for path, name in names.items() if name in masks}


def _prepared(root: Path, settings: Mapping[str, Any], problems: Problems) -> Layout:
    """As the brain bundle trains on it, and the test part as well."""
    found = Layout("prepared", BRAIN, {"dataset_dir": str(root)}, one_class={"early_stopping#monitor": "val_dice"})
    pictures = settings.get("kaggle_dir", root / "kaggle")
    if "kaggle_dir" not in settings and not Path(pictures).is_dir():
        pictures = found.settings["kaggle_dir"] = False
        found.notes.append("without pictures that have only a class (kaggle/): train with --kaggle_dir False")
    names = settings.get("class_names") or read_config(BUNDLES / BRAIN, "train")["class_names"]
    for part in PARTS:
        items: list[dict] = []
        needed = part != "test"  # an evaluation needs it, a training does not
        if needed or (root / part).is_dir():
            items += (slices := _listed(find_slices, problems, root / part))
            found.counts |= {
                f"{part} patients": len({item["patient"] for item in slices}),
                f"{part} slices": len(slices),
            }
        if pictures and (needed or Path(pictures, part).is_dir()):
            items += (some := _listed(find_class_images, problems, Path(pictures, part), names))
            found.counts[f"{part} pictures"] = len(some)
        if items:
            found.parts[part] = items
    return _with_copies(found, root, settings, problems)


def _with_copies(found: Layout, root: Path, settings: Mapping[str, Any], problems: Problems) -> Layout:
    """The layout, with what is one picture in several sets, or in several classes, noted."""
    more = {name: settings[name] for name in ("patient_pattern", "different_pictures") if name in settings}
    sets: dict[str, Any] = {"channels": settings.get("in_channels", 1), **more, **found.parts}
    with problems.noted(root):
        found.counts["pairs of near-identical pictures inside a set"] = len(checked_parts(**sets).pairs)
    return found


def _graded(root: Path, settings: Mapping[str, Any], problems: Problems) -> Layout:
    place = root if root.is_file() else graded_place(root) or root
    graded = check_graded(place, settings, problems)
    needed = {"dataset_dir": str(place), **graded.settings}
    return Layout(
        "graded cases", GRADING, needed, counts=graded.counts, parts={"all": graded.items}, notes=graded.notes
    )


def _plain(root: Path, settings: Mapping[str, Any], problems: Problems) -> Layout:
    """Images alone, in folders or in the folder itself."""
    images = list_images(root)
    inside = all(path.parent != root for path in images)
    where = root if inside else root.resolve().parent
    names = sorted({path.relative_to(root).parts[0] for path in images}) if inside else [root.resolve().name]
    needed = {"dataset_dir": str(where), "data_source": names if len(names) > 1 else names[0] if names else "edente"}
    is_volumes = bool(images) and all(map(is_volume, images))
    return Layout("plain images", AUTOENCODER, needed, ("train", "volumes") if is_volumes else ("train",))


def _segmented(root: Path, settings: Mapping[str, Any], problems: Problems) -> Layout:
    """Images with maps of classes, and what they and their dataset.json say of the training."""
    found = Layout("images with labels", SEGMENTATION, {"dataset_dir": str(root)})
    with problems.noted(root):
        about = read_dataset_json(root)
        images = [root / image for image, _ in about.training] or list_images(root)
        if images and all(map(is_volume, images)):
            found.files = ("train", "volumes")
            found.settings |= {"in_channels": count} if (count := len(about.modalities)) > 1 else {}
        ignored = next((value for value, name in about.labels.items() if name == IGNORED), None)
        found.settings |= {} if ignored is None else {"ignore_label": ignored}
        if about.regions:
            found.settings |= {"regions": AUTO, "out_channels": len(about.regions)}
        elif (highest := max((value for value in about.labels if value != ignored), default=0)) > 0:
            found.settings["out_channels"] = highest + 1
        if not about.labels:
            found.notes.append(f"'python -m tools prepare pairs' makes slices of them that {BRAIN} trains on")
    return found


def _any(root: Path, bundle: str) -> Layout:
    """Of a bundle that this file does not know."""
    return Layout("of the bundle", bundle, {"dataset_dir": str(root)})


def _listed(find: Callable[..., tuple[list[dict], Problems]], problems: Problems, folder: Path, *more: Any) -> list:
    """The good items; what is wrong with the others goes to `problems`."""
    with problems.noted(folder):
        items, bad = find(folder, *more)
        problems.found += bad.found
        problems.doubts += bad.doubts
        return items
    return []


_OF_BUNDLES = {BRAIN: _prepared, GRADING: _graded, AUTOENCODER: _plain, SEGMENTATION: _segmented}
