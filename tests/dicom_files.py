"""DICOM files that tests write."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

AXIAL = (1.0, 0, 0, 0, 1, 0)
SAGITTAL = (0.0, 1, 0, 0, 0, -1)
CORONAL = (1.0, 0, 0, 0, 0, -1)
OBLIQUE = (0.9961947, 0.0, -0.0871557, 0.0151344, 0.9848078, 0.1729873)
PATIENT, NUMBER = "Secretsurname^Anna", "HIDDEN-4711"


def dataset(pixels: np.ndarray, uid: str, **more: Any) -> Any:
    """An MR image of one or several frames; `more` are further elements, None removes one."""
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, generate_uid

    made = Dataset()
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    made.file_meta.MediaStorageSOPClassUID = made.SOPClassUID = MRImageStorage
    made.file_meta.MediaStorageSOPInstanceUID = made.SOPInstanceUID = generate_uid()
    made.PatientName, made.PatientID, made.PatientBirthDate = PATIENT, NUMBER, "19700101"
    made.AccessionNumber, made.StudyDate, made.SeriesDate = "ACC99", "20200102", "20200102"
    made.SeriesInstanceUID, made.StudyInstanceUID, made.FrameOfReferenceUID = uid, f"{uid}.1", f"{uid}.2"
    made.Modality, made.SeriesDescription, made.Manufacturer = "MR", f"t1 of {uid[-1]}", "Somebody"
    made.SeriesNumber, made.InstanceNumber = 1, 1
    made.Rows, made.Columns = pixels.shape[-2:] if pixels.ndim < 4 else pixels.shape[1:3]
    made.SamplesPerPixel, made.PhotometricInterpretation = 1, "MONOCHROME2"
    made.BitsAllocated = made.BitsStored = 8 * pixels.dtype.itemsize
    made.HighBit, made.PixelRepresentation = made.BitsStored - 1, int(pixels.dtype.kind == "i")
    made.PixelData = pixels.tobytes()
    for name, value in more.items():
        if value is None:
            del made[name]
        else:
            setattr(made, name, value)
    return made


def save(made: Any, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    made.save_as(path, enforce_file_format=True)
    return path


def stack(
    folder: Path,
    voxels: np.ndarray,
    *,
    uid: str = "1.2.3.4.1",
    cosines: Sequence[float] = AXIAL,
    spacing: Sequence[float] = (0.7, 0.9),
    places: Sequence[float] | None = None,
    step: Sequence[float] | None = None,
    shuffled: bool = True,
    numbers_shuffled: bool = False,
    **more: Any,
) -> list[Path]:
    """A series of a file for each of voxels (N, H, W).

    Args:
        shuffled: the names of the files are in another order than the slices.
        numbers_shuffled: and so are their InstanceNumbers.
        places: of the slices along the normal, in mm.
        step: from a slice to the next, instead of the normal.
        more: elements; a list has one value for each slice.
    """
    order = np.random.default_rng(0).permutation(len(voxels)) if shuffled else np.arange(len(voxels))
    across, down = np.array(cosines).reshape(2, 3)
    normal = np.cross(across, down) if step is None else np.array(step)
    places = [2.5 * number for number in range(len(voxels))] if places is None else list(places)
    paths = []
    for number, pixels in enumerate(voxels):
        own = {name: value[number] if isinstance(value, list) else value for name, value in more.items()}
        position = [round(float(one), 5) for one in np.array([-30.0, 12, 5]) + places[number] * normal]
        given = {
            "ImagePositionPatient": position, "ImageOrientationPatient": list(cosines), "PixelSpacing": list(spacing),
            "SliceThickness": 9, "InstanceNumber": int(order[number] if numbers_shuffled else number) + 1, **own,
        }  # fmt: skip
        paths.append(save(dataset(pixels, uid, **given), folder / f"im{order[number]:03d}.dcm"))
    return paths


def enhanced(folder: Path, voxels: np.ndarray, slopes: Sequence[float], uid: str = "1.2.3.5.1") -> Path:
    """One file of all slices (N, H, W), in a mixed order, with a slope for each."""
    from pydicom.dataset import Dataset
    from pydicom.sequence import Sequence as Items
    from pydicom.uid import EnhancedMRImageStorage

    def item(**values: Any) -> Any:
        made = Dataset()
        for name, value in values.items():
            setattr(made, name, value)
        return made

    order = np.random.default_rng(1).permutation(len(voxels))
    frames = [
        item(
            PlanePositionSequence=Items([item(ImagePositionPatient=[-30.0, 12, 5 + 2.5 * float(z)])]),
            PixelValueTransformationSequence=Items(
                [item(RescaleIntercept=-3, RescaleSlope=slopes[z], RescaleType="US")]
            ),
            FrameContentSequence=Items(
                [item(StackID="1", InStackPositionNumber=int(z) + 1, DimensionIndexValues=[1, int(z) + 1])]
            ),
        )
        for z in order
    ]
    shared = item(
        PlaneOrientationSequence=Items([item(ImageOrientationPatient=list(AXIAL))]),
        PixelMeasuresSequence=Items([item(PixelSpacing=[0.7, 0.9], SliceThickness=9, SpacingBetweenSlices=2.5)]),
    )
    made = dataset(
        voxels[order], uid, NumberOfFrames=len(voxels), PerFrameFunctionalGroupsSequence=Items(frames),
        SharedFunctionalGroupsSequence=Items([shared]),
    )  # fmt: skip
    made.SOPClassUID = made.file_meta.MediaStorageSOPClassUID = EnhancedMRImageStorage
    return save(made, folder / "enhanced")
