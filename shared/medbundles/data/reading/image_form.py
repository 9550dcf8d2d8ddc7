"""How a file holds its image, so that another image can be written in the same way."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import Any, Self

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from medbundles.data.reading.files import is_volume
from medbundles.data.reading.images import FORMATS, ONE_AT_A_TIME
from medbundles.data.reading.nifti import VolumeInfo, read_header
from medbundles.data.reading.volumes import from_axial_slices, plane_axis, write_volume

PICTURES = {".png": "PNG", ".tif": "TIFF", ".tiff": "TIFF", ".bmp": "BMP"}  # without loss; a JPEG becomes a PNG
GRAY = ("1", "L", "LA", "La", "F", "I")


@dataclass(frozen=True)
class ImageForm:
    """Format, numbers and geometry of an image's file.

    Args:
        ending: of the file's name, with the dot: .png, .tif, .tiff, .bmp, .npy, .nii or .nii.gz.
        dtype: NumPy's name of the numbers that are written.
        shape: of the array in the file: (H, W) gray, (C, H, W) colours, (X, Y, Z) of a NIfTI as stored.
        info: geometry of a NIfTI, else None.
    """

    ending: str
    dtype: str
    shape: tuple[int, ...]
    info: VolumeInfo | None = None

    @classmethod
    def of(cls, path: str | Path) -> Self:
        """The form of a file that `read_image` or `read_volume` reads.

        A format that loses something (JPEG) becomes PNG, and a NIfTI whose numbers are scaled becomes float32.
        """
        name = Path(path).name.lower()
        if is_volume(path):
            image, info = read_header(path, None)
            scaled = (image.dataobj.slope, image.dataobj.inter) != (1, 0)
            dtype = "float32" if scaled else image.get_data_dtype().name
            return cls(".nii.gz" if name.endswith(".gz") else ".nii", dtype, info.shape, info)
        with open(path, "rb") as file:
            is_array = file.read(6) == b"\x93NUMPY"
        if is_array:
            with ONE_AT_A_TIME:
                array = np.load(path, mmap_mode="r", allow_pickle=False)
            return cls(".npy", array.dtype.name, array.shape)
        with Image.open(path, formats=FORMATS) as picture:
            return cls._of_picture(path, picture)

    @classmethod
    def _of_picture(cls, path: str | Path, picture: Image.Image) -> Self:
        ending, kind = Path(path).suffix.lower(), str(picture.format)
        if PICTURES.get(ending) != kind:  # the content decides, not the name
            ending = next((end for end, name in PICTURES.items() if name == kind), ".png")
        mode, is_deep = picture.mode, picture.mode.startswith("I;16")
        dtype = "uint16" if is_deep or (mode == "I" and kind == "PNG") else {"I": "int32", "F": "float32"}.get(mode)
        size = (picture.height, picture.width)
        return cls(ending, dtype or "uint8", size if is_deep or mode in GRAY else (3, *size))

    @property
    def value_range(self) -> tuple[float, float] | None:
        """Black and white of a picture of 8 bits; None: what the file holds does not say it."""
        return (0.0, 255.0) if self.info is None and self.dtype == "uint8" else None

    def write(self, path: str | Path, image: np.ndarray, value_range: tuple[float, float], note: str = "") -> None:
        """Write an image.

        Args:
            path: the file; its ending should be `ending`.
            image: (C, H, W), or (C, X, Y, Z) with canonical axes, as `LoadWholeImage` gives it; what is below 0 or
                above 1 is cut. Where the file is gray and C is 3, their mean is written.
            value_range: what 0 and 1 mean.
            note: with what it was made; kept in the file, where the format has a place for it (PNG, TIFF, NIfTI).
        """
        low, high = value_range
        values = np.clip(image.astype(np.float64), 0, 1) * (high - low) + low
        if self.info or len(self.shape) == 2 or self.shape[0] == 1:
            values = values.mean(axis=0, keepdims=True)
        if np.dtype(self.dtype).kind in "biu":
            values = np.rint(values)
        array = values.astype(self.dtype)
        if self.info:
            is_plane = array.ndim == 3
            volume = np.moveaxis(from_axial_slices(array), 2, plane_axis(self.info)) if is_plane else array[0]
            write_volume(path, volume, with_note(self.info, note))
        elif self.ending == ".npy":
            with open(path, "wb") as file:
                np.save(file, array.reshape(self.shape) if array.size == np.prod(self.shape) else array)
        else:
            picture = Image.fromarray(array[0] if len(array) == 1 else np.moveaxis(array, 0, -1))
            picture.save(path, format=PICTURES[self.ending], **note_of_picture(self.ending, note))

    def arrays(self) -> dict[str, Any]:
        """Everything as plain arrays, for a .npz file; see `from_arrays`."""
        found: dict[str, Any] = {"ending": self.ending, "dtype": self.dtype, "shape": np.array(self.shape)}
        if self.info:
            import nibabel

            header = nibabel.Nifti1Header.from_header(self.info.header, check=False)
            found |= {"affine": self.info.affine, "nifti_header": np.frombuffer(header.binaryblock, np.uint8)}
        return found

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> Self:
        """The form that `arrays` gave; what is wrong raises KeyError, ValueError or TypeError."""
        ending, dtype = str(arrays["ending"]), np.dtype(str(arrays["dtype"])).name
        shape = tuple(int(side) for side in arrays["shape"])
        if ending not in (*PICTURES, ".npy", ".nii", ".nii.gz"):
            raise ValueError(f"unknown ending {ending!r}")
        if not ending.startswith(".nii"):
            return cls(ending, dtype, shape)
        import nibabel

        header = nibabel.Nifti1Header.from_fileobj(BytesIO(arrays["nifti_header"].tobytes()), check=False)
        return cls(ending, dtype, shape, volume_info(shape, np.asarray(arrays["affine"], dtype=float), header))


def note_of_picture(ending: str, note: str) -> dict[str, Any]:
    """What Pillow's `save` takes to keep a note in a file; nothing where the format has no place for one."""
    if ending == ".png" and note:
        info = PngInfo()
        info.add_text("Software", note)
        return {"pnginfo": info}
    return {"software": note} if ending in (".tif", ".tiff") and note else {}


def with_note(info: VolumeInfo, note: str) -> VolumeInfo:
    """The same, with a note instead of the source's in the header's description (79 characters)."""
    header = info.header.copy()
    header["descrip"] = note[:79].encode()
    return replace(info, header=header)


def volume_info(shape: tuple[int, ...], affine: np.ndarray, header: Any) -> VolumeInfo:
    """What `write_volume` needs of a volume (X, Y, Z) that has no file."""
    from nibabel.orientations import io_orientation

    return VolumeInfo("", (shape[0], shape[1], shape[2]), affine, io_orientation(affine), header)
