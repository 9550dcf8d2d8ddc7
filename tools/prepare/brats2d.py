"""BraTS volumes to 2D slices in the prepared layout."""

from pathlib import Path

import numpy as np

from medbundles.data import split_by_patient
from medbundles.data.lists.brats import MODALITIES, BratsCase, brats_cases, check_cases
from medbundles.data.reading.files import stem
from medbundles.errors import DataError, MedbundlesError, one_of
from medbundles.progress import progress
from medbundles.transforms.head import LEAST_HEAD

from .prepared import prepared, say_sequences
from .volume_slices import compact, labelled_slices, slices_with_content


def prepare_brats2d(
    input: str,
    out: str,
    modality: tuple[str, ...] = ("flair",),
    labels: str = "whole",
    ratios: tuple[float, ...] = (0.7, 0.15, 0.15),
    seed: int = 42,
    min_brain: float = LEAST_HEAD,
    step: int = 1,
    overwrite: bool = False,
    skip_bad_files: bool = False,
) -> dict[str, dict[str, int]]:
    """Axial slices of BraTS volumes (2015 by DeepMedic, 2017 to 2021, 2023), split by patient, stratified by grade.

    Slices are shown nose up, the patient's right on the left. Visits of one patient stay together.

    Args:
        input: folder above the cases (HGG/ and LGG/ may stand between).
        out: dataset folder to write; pictures of 'prepare yesno' may be in it already.
        modality: flair, t1, t1ce, t2 or several (flair,t1ce): they become the channels, in this order.
        labels: whole (tumour 255, else 0; the cavity of a resection is none), or classes (0 none, 1 necrotic and
            non-enhancing, 2 oedema, 3 enhancing).
        ratios: shares of train, val and test.
        seed: seed of the split.
        min_brain: slices without tumour are kept if the head fills at least this share of them.
        step: keep every step-th slice.
        overwrite: replace slices that a prepare verb wrote there before.
        skip_bad_files: leave out bad cases and list them, instead of an error.

    Returns:
        part -> counts.

    Example:
        python -m tools prepare brats2d --input /data/MICCAI_BraTS_2018 --out /data/brain2d --modality flair
    """
    for name in modality:
        one_of("--modality", name, MODALITIES)
    one_of("--labels", labels, ("whole", "classes"))
    if step < 1 or not 0 <= min_brain <= 1:
        raise MedbundlesError(f"--step {step} must be at least 1 and --min_brain {min_brain:g} between 0 and 1")
    cases = brats_cases(input)
    problems = check_cases(cases, modality)
    if not skip_bad_files:
        problems.settle(input, advice="Complete or remove them, or leave them out with --skip_bad_files True.")
    cases = [case for case in cases if case.seg and set(modality) <= case.files.keys()]
    split = split_by_patient({case.patient: case.grade for case in cases}, ratios, seed)
    about = {"seed": seed, "ratios": ratios, "input": str(Path(input).resolve())}
    about |= {"modality": modality, "labels": labels, "min_brain": min_brain, "step": step}
    with prepared(
        "brats2d", out, split, problems=problems, overwrite=overwrite, skip_bad_files=skip_bad_files, about=about
    ) as dataset:
        for case in progress(cases, "cases"):
            with problems.noted(case.name):
                images, seg = _read(case, modality)
                masks = _masks(case, seg, labels)
                for z in slices_with_content(images[0], masks, min_brain)[::step]:
                    dataset.add_slice(case.patient, f"{case.name}_z{z:03d}", images[:, z], masks[z])
    more = "" if min_brain == LEAST_HEAD else f" --min_head {min_brain:g}"
    say_sequences(modality, more + (" --seg_out_channels 4 --label_names brats" if labels == "classes" else ""))
    return dataset.counts


def _read(case: BratsCase, modality: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Channels (C, Z, H, W) and labels (Z, H, W)."""
    assert case.seg is not None  # complete cases only
    images, seg, _ = labelled_slices([case.files[name] for name in modality], case.seg)
    labels = seg.astype(np.uint8)
    if labels.max() > 4 or not np.array_equal(labels, seg):
        raise DataError(f"{case.seg}: labels {np.unique(seg)[:8].tolist()} are not those of BraTS (0 to 4)")
    return compact(images, (np.int16,)), labels


def _masks(case: BratsCase, seg: np.ndarray, labels: str) -> np.ndarray:
    classes = _classes_of(Path(case.seg or "").name.lower())
    unknown = sorted(set(np.unique(seg).tolist()) - classes.keys())
    if unknown:
        raise DataError(f"{case.seg}: holds the label {unknown[0]}, which files of this name have not: {[*classes]}")
    table = np.array([classes.get(label, 0) for label in range(5)], dtype=np.uint8)[seg]
    return (table > 0).astype(np.uint8) * 255 if labels == "whole" else table


def _classes_of(name: str) -> dict[int, int]:
    """Label -> class (1 necrotic and non-enhancing, 2 oedema, 3 enhancing), by the name of the labels' file.

    Until 2016 3 was the non-enhancing core, which is part of 1 since. From 2017 to 2021 4 is the enhancing tumour, from
    2023 on it is 3, and 4, since 2024, the cavity of a resection, which is no tumour.
    """
    if "otmulticlass" in name:
        return {0: 0, 1: 1, 2: 2, 3: 1, 4: 3}
    if stem(Path(name)).endswith("-seg"):
        return {0: 0, 1: 1, 2: 2, 3: 3, 4: 0}
    return {0: 0, 1: 1, 2: 2, 4: 3}
