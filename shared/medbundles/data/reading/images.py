"""Reads one image, one mask or one volume from any of the files found in practice, or says what is wrong with it.

PNG, JPEG, TIFF, BMP (Pillow; the content decides, not the ending), .npy and NIfTI. A rotation in EXIF is not applied:
pixels come as stored, because masks are drawn on the stored array.
"""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
from PIL import Image

from medbundles.data.reading.files import VOLUME_ENDINGS, check_file
from medbundles.data.reading.nifti import VolumeInfo, load_canonical, load_header
from medbundles.errors import DataError

# What matters in them comes as an exception too; a context manager would not be safe in the cache's threads.
warnings.filterwarnings("ignore", module=r"PIL\.")

_DEEP = ("I;16", "I;16B", "I;16L", "I;16N", "I", "F")  # modes that Pillow's convert() would cut to 8 bits
_WHOLE_TUMOUR = ({0, 1, 2, 3, 4}, {0, 255})


def read_image(path: str | Path, channels: int) -> np.ndarray:
    """Pixels of a 2D image.

    Transparency is composited on black. RGB becomes luminance (ITU-R 601) for one channel, gray is repeated for three.
    A 2D NIfTI is turned like a slice cut from a volume (see `axial_slices`).

    Args:
        path: image file.
        channels: C, the number of channels wanted.

    Returns:
        float32 (C, H, W).

    Raises:
        DataError: the file is missing, a git-lfs pointer, broken, 3D or 4D, holds NaN or Inf, is constant, or has
            channels that do not fit.
    """
    kind = _kind(path)
    if kind == "nifti":
        array = _nifti_slice(path)[None]
    elif kind == "npy":
        array = _numpy_array(path)
        array = array[None] if array.ndim == 2 else array
    else:
        with _open(path) as picture:
            array = _colours(picture, path, channels)
    if array.shape[0] == 1 and channels == 3:
        array = np.repeat(array, 3, axis=0)
    _check_channels(path, array.shape[0], channels)
    array = _finite(path, array)
    if all(channel.min() == channel.max() for channel in array):
        raise DataError(f"{path}: the image is constant (every pixel is {array.flat[0]:g})")
    return array


def read_mask(path: str | Path, classes: int) -> np.ndarray:
    """Class index per pixel.

    With at most two classes the tumour is value > 0, and the values must be among {0, 1}, {0, 255} or BraTS's {0..4}.
    With more classes they must be 0 .. classes - 1. A palette that is not gray counts as indices.

    Args:
        path: mask file, the same kinds as images.
        classes: segmentation channels of the network (1: whole tumour by sigmoid).

    Returns:
        uint8 (1, H, W).

    Raises:
        DataError: as `read_image` (a constant mask is fine), or values outside the rule.
    """
    kind = _kind(path)
    if kind == "nifti":
        array = _nifti_slice(path)
    elif kind == "npy":
        array = _single_channel(path, _numpy_array(path))
    else:
        with _open(path) as picture:
            array = _single_channel(path, _mask_pixels(picture, path))
    values = np.unique(_finite(path, array))
    allowed = _WHOLE_TUMOUR if classes <= 2 else (set(range(classes)),)
    if not any(set(values.tolist()) <= rule for rule in allowed):
        shown = ", ".join(f"{value:g}" for value in values[:8]) + (", ..." if len(values) > 8 else "")
        wanted = "0/1, 0/255 or BraTS labels 0-4" if classes <= 2 else f"whole numbers 0 to {classes - 1}"
        raise DataError(f"{path}: mask holds the values {shown}; {wanted} are wanted for {classes} class(es)")
    index = array > 0 if classes <= 2 else array
    return np.ascontiguousarray(index, dtype=np.uint8)[None]


def read_volume(path: str | Path, allow_constant: bool = False) -> tuple[np.ndarray, VolumeInfo]:
    """Voxels of a 3D NIfTI with canonical axes (x to the right, y to the front, z up).

    Args:
        path: .nii or .nii.gz, its scale slope is applied.
        allow_constant: accept a volume with one value only (an empty mask).

    Returns:
        float32 (X, Y, Z), and what brings it back: `info.to_original(array)`, `write_volume(path, array, info)`.

    Raises:
        DataError: missing, git-lfs pointer, truncated, broken, 4D, NaN or Inf, constant.
    """
    volume, info = load_canonical(path)
    _finite(path, volume)
    if not allow_constant and volume.min() == volume.max():
        raise DataError(f"{path}: the volume is constant (every voxel is {volume.flat[0]:g})")
    return volume, info


def check_header(path: str | Path, channels: int | None = None) -> tuple[int, int]:
    """Size (H, W) of a 2D image, from its header: no pixels are decoded.

    Args:
        path: image or mask file.
        channels: also check that so many channels can be had; None: do not.

    Raises:
        DataError: what `read_image` would raise, as far as the header shows it.
    """
    kind = _kind(path)
    if kind == "nifti":
        held, size = 1, _plane(path, load_header(path)[1])
    elif kind == "npy":
        shape = _numpy_header(path)
        held, size = (shape[0] if len(shape) == 3 else 1), (shape[-2], shape[-1])
    else:
        with _open(path) as image:
            held = channels if channels in (1, 3) else (1 if len(image.getbands()) < 3 else 3)
            size = (image.height, image.width)
    if channels is not None and (held, channels) != (1, 3):
        _check_channels(path, held, channels)
    return size


def _kind(path: str | Path) -> str:
    check_file(path)
    if str(path).lower().endswith(VOLUME_ENDINGS):
        return "nifti"
    with open(path, "rb") as file:
        return "npy" if file.read(6) == b"\x93NUMPY" else "picture"


def _check_channels(path: str | Path, held: int, wanted: int) -> None:
    if held != wanted:
        raise DataError(f"{path}: holds {held} channel(s), {wanted} are wanted (in_channels)")


def _finite(path: str | Path, array: np.ndarray) -> np.ndarray:
    """float32 copy, or the error for NaN and Inf."""
    with np.errstate(over="ignore"):
        array = np.ascontiguousarray(array, dtype=np.float32)
    bad = array.size - np.count_nonzero(np.isfinite(array))
    if bad:
        raise DataError(f"{path}: {bad} of {array.size} pixels are NaN or Inf")
    return array


# --- pictures


def _open(path: str | Path) -> Image.Image:
    try:
        image = Image.open(path)
        frames = getattr(image, "n_frames", 1)
    except Exception as error:
        raise DataError(f"{path}: {_why_no_picture(path, error)}") from error
    if frames > 1 and image.format != "MPO":  # MPO: a JPEG with a preview behind it
        raise DataError(f"{path}: holds {frames} pages, one 2D image is wanted")
    return image


def _why_no_picture(path: str | Path, error: Exception) -> str:
    if Path(path).read_bytes().count(b"\xef\xbf\xbd") > 3:
        return "its bytes were mangled (saved as UTF-8 text instead of binary); fetch the file again"
    if isinstance(error, Image.DecompressionBombError):
        return f"too large ({error})"
    return "not a readable image (PNG, JPEG, TIFF, BMP, .npy, NIfTI): another format, or its content is broken"


def _decode(image: Image.Image, path: str | Path) -> None:
    try:
        image.load()
    except Exception as error:
        raise DataError(f"{path}: the image is truncated or broken ({error})") from error


def _colours(image: Image.Image, path: str | Path, channels: int) -> np.ndarray:
    """(C, H, W) with C 1 or 3."""
    _decode(image, path)
    if image.mode in _DEEP:
        return np.asarray(image, dtype=np.float32)[None]
    if image.has_transparency_data:
        black = Image.new("RGBA", image.size, (0, 0, 0, 255))
        image = Image.alpha_composite(black, image.convert("RGBA")).convert("RGB")
    elif image.mode not in ("1", "L"):
        image = image.convert("RGB")
    array = np.asarray(image.convert("RGB" if channels == 3 else "L"))
    return np.moveaxis(array, -1, 0) if array.ndim == 3 else array[None]


def _mask_pixels(image: Image.Image, path: str | Path) -> np.ndarray:
    """(H, W) or (C, H, W), without alpha."""
    _decode(image, path)
    if image.mode in ("P", "PA"):
        palette = np.asarray(image.getpalette("RGB"), dtype=np.uint8).reshape(-1, 3)
        index = np.asarray(image if image.mode == "P" else image.getchannel("P"))
        used = palette[np.unique(index)]
        return palette[index, 0] if (used == used[:, :1]).all() else index
    array = np.asarray(image)
    if array.ndim == 2:
        return array
    return np.moveaxis(array[..., : len(image.getbands()) - image.mode.endswith(("A", "a"))], -1, 0)


def _single_channel(path: str | Path, array: np.ndarray) -> np.ndarray:
    if array.ndim == 3 and not (array == array[:1]).all():
        raise DataError(f"{path}: mask has {array.shape[0]} channels that differ; a mask of one channel is wanted")
    return array if array.ndim == 2 else array[0]


# --- numpy


def _numpy_header(path: str | Path) -> tuple[int, ...]:
    try:
        with open(path, "rb") as file:
            major, _ = np.lib.format.read_magic(file)
            read = np.lib.format.read_array_header_1_0 if major == 1 else np.lib.format.read_array_header_2_0
            shape, _, dtype = read(file)
            missing = dtype.itemsize * int(np.prod(shape)) - (Path(path).stat().st_size - file.tell())
    except Exception as error:
        raise DataError(f"{path}: not a readable .npy file ({error})") from error
    if dtype.kind not in "biuf":
        raise DataError(f"{path}: holds {dtype} instead of numbers; save a plain array of numbers")
    if len(shape) not in (2, 3) or 0 in shape:
        raise DataError(f"{path}: has shape {shape}; (H, W) or (C, H, W) is wanted")
    if missing > 0:
        raise DataError(f"{path}: is truncated: {missing} bytes are missing")
    return shape


def _numpy_array(path: str | Path) -> np.ndarray:
    _numpy_header(path)
    return np.load(path, allow_pickle=False)


# --- NIfTI


def _plane(path: str | Path, shape: tuple[int, ...]) -> tuple[int, int]:
    """(H, W) of the one slice that a NIfTI of this stored shape holds, after turning it like `axial_slices`."""
    if 1 not in shape:
        raise DataError(f"{path}: is a 3D volume {shape}, a 2D image is wanted")
    from nibabel.orientations import io_orientation

    image, _ = load_header(path)
    axes = np.argsort(io_orientation(image.affine)[:, 0])
    plane = [shape[int(axis)] for axis in axes]
    plane.remove(1)
    return plane[1], plane[0]


def _nifti_slice(path: str | Path) -> np.ndarray:
    volume, info = load_canonical(path)
    _plane(path, info.shape)
    plane = volume.squeeze(axis=int(np.argwhere(np.asarray(volume.shape) == 1)[0, 0]))
    return plane[::-1, ::-1].T
