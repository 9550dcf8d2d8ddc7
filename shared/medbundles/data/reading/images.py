"""Reads one 2D image or one mask from any of the files found in practice, or says what is wrong with it.

PNG, JPEG, TIFF, BMP (Pillow; the content decides, not the ending), .npy and NIfTI. A rotation in EXIF is not applied:
pixels come as stored, because masks are drawn on the stored array.
"""

import os
import threading
import warnings
from collections.abc import Callable
from functools import partial
from io import BufferedReader
from pathlib import Path

import numpy as np
from PIL import Image

from medbundles.data.reading.files import is_volume, open_file
from medbundles.data.reading.nifti import VolumeInfo, read_header
from medbundles.data.reading.volumes import SlicedVolume, finite, plane_axis, read_volume
from medbundles.errors import DataError, first_few
from medbundles.rules import AUTO

# What matters in them comes as an exception too; a context manager would not be safe in the cache's threads.
warnings.filterwarnings("ignore", module=r"PIL\.")

# Reading a .npy file parses its header as Python, which fails at times in Python 3.11 when two threads do it at a time
# ("AST constructor recursion depth mismatch").
ONE_AT_A_TIME = threading.Lock()
FORMATS = ("PNG", "JPEG", "TIFF", "BMP")  # of Pillow; it would start Ghostscript for an EPS of any name
Image.init()  # with formats named, Pillow takes those alone that it has loaded
_DEEP = ("I;16", "I;16B", "I;16L", "I;16N", "I", "F")  # modes that Pillow's convert() would cut to 8 bits
_WHOLE_TUMOUR = ({0, 1, 2, 3, 4}, {0, 255})
LUMINANCE = "luminance"
Colour = str | int
# A picture has colours where more pixels than this share differ more than so many gray levels between the channels:
# scans of gray films (JPEG noise, a tint, a coloured arrow) stay below, sequences as channels lie far above.
_COLOURED, _LEVELS = 0.05, 32


def read_image(path: str | Path, channels: int, allow_constant: bool = False, colour: Colour = LUMINANCE) -> np.ndarray:
    """Pixels of a 2D image.

    Transparency is composited on black, gray is repeated for three channels. A 2D NIfTI is laid out like a slice cut
    from a volume (see `axial_slices`).

    Args:
        path: image file.
        channels: C, the number of channels wanted.
        allow_constant: an image of one value is no error.
        colour: what one channel is of a picture with three: "luminance" (ITU-R 601), or the first, second or third of
            them (1, 2, 3); "auto": the luminance of a gray picture that is stored in colours.

    Returns:
        float32 (C, H, W).

    Raises:
        DataError: the file is missing, a git-lfs pointer, broken, 3D or 4D, holds NaN or Inf, is constant, or has
            channels that do not fit, or that differ where `colour` is "auto".
    """
    array = _stored(path, partial(_colours, path, channels, colour))
    array = array[None] if array.ndim == 2 else array
    if array.shape[0] == 1 and channels == 3:
        array = np.repeat(array, 3, axis=0)
    _check_channels(path, array.shape[0], channels)
    array = finite(path, array)
    if not allow_constant and all(channel.min() == channel.max() for channel in array):
        raise DataError(f"{path}: the image is constant (every pixel is {array.flat[0]:g})")
    return array


def shown_channels(path: str | Path) -> int:
    """Channels in which a picture is shown: those of a .npy file, else one."""
    shape: tuple[int, ...] = np.load(path, mmap_mode="r").shape if str(path).lower().endswith(".npy") else ()
    return shape[0] if len(shape) == 3 else 1


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
    array = read_labels(path)
    values = np.unique(array)
    allowed = _WHOLE_TUMOUR if classes <= 2 else (set(range(classes)),)
    if not any(set(values.tolist()) <= rule for rule in allowed):
        shown = first_few(f"{value:g}" for value in values)
        wanted = "0/1, 0/255 or BraTS labels 0-4" if classes <= 2 else f"whole numbers 0 to {classes - 1}"
        brats = "; BraTS's own labels until 2021 need 5" if classes == 4 and set(values) <= _WHOLE_TUMOUR[0] else ""
        raise DataError(f"{path}: mask holds the values {shown}; {wanted} are wanted for {classes} class(es){brats}")
    index = array > 0 if classes <= 2 else array
    return np.ascontiguousarray(index, dtype=np.uint8)[None]


def read_labels(path: str | Path) -> np.ndarray:
    """What a mask file holds, before any rule about its values; a palette that is not gray counts as indices.

    Args:
        path: mask file, the same kinds as images.

    Returns:
        float32 (H, W).

    Raises:
        DataError: as `read_image` (a constant mask is fine), or several channels that differ.
    """
    array = _stored(path, lambda picture: _mask_pixels(path, picture))
    if array.ndim == 3 and not (array == array[:1]).all():
        raise DataError(f"{path}: mask has {array.shape[0]} channels that differ; a mask of one channel is wanted")
    return finite(path, array if array.ndim == 2 else array[0])


def check_header(path: str | Path, channels: int | None = None) -> tuple[int, int]:
    """Size (H, W) of a 2D image, from its header: no pixels are decoded.

    Args:
        path: image or mask file.
        channels: also check that so many channels can be had; None: do not.

    Raises:
        DataError: what `read_image` would raise, as far as the header shows it.
    """
    if is_volume(path):
        held, size = 1, _plane(read_header(path)[1])
    else:
        with open_file(path) as file:
            held, size = _numpy_form(path, file) if _is_numpy(file) else _picture_form(path, file, channels)
    if channels is not None and (held, channels) != (1, 3):
        _check_channels(path, held, channels)
    return size


def _is_numpy(file: BufferedReader) -> bool:
    return file.peek(6).startswith(b"\x93NUMPY")


def _stored(path: str | Path, of_picture: Callable[[Image.Image], np.ndarray]) -> np.ndarray:
    """Pixels (H, W) or (C, H, W) of a file; `of_picture` takes them out of a picture."""
    if is_volume(path):
        volume, info = read_volume(path, allow_constant=True)
        _plane(info)
        return SlicedVolume.of(volume, info).slices[0]
    with open_file(path) as file:
        if _is_numpy(file):
            _numpy_form(path, file)
            file.seek(0)
            with ONE_AT_A_TIME:
                return np.load(file, allow_pickle=False)
        with _open(path, file) as picture:
            try:
                picture.load()
            except Exception as error:
                raise DataError(f"{path}: the image is truncated or broken ({error})") from error
            return of_picture(picture)


def _check_channels(path: str | Path, held: int, wanted: int) -> None:
    if held != wanted:
        raise DataError(f"{path}: holds {held} channel(s), {wanted} are wanted (in_channels)")


# --- pictures


def _picture_form(path: str | Path, file: BufferedReader, channels: int | None) -> tuple[int, tuple[int, int]]:
    """Channels that can be had of a picture, and its size (H, W)."""
    with _open(path, file) as image:
        held = channels if channels in (1, 3) else (1 if len(image.getbands()) < 3 else 3)
        return held, (image.height, image.width)


def _open(path: str | Path, file: BufferedReader) -> Image.Image:
    try:
        image = Image.open(file, formats=FORMATS)
        frames = getattr(image, "n_frames", 1)
    except Exception as error:
        raise DataError(f"{path}: {_why_no_picture(path, error)}") from error
    if frames > 1 and image.format != "MPO":  # MPO: a JPEG with a preview behind it
        raise DataError(f"{path}: holds {frames} pages, one 2D image is wanted")
    layouts = [str(tile[3]) for tile in getattr(image, "tile", ())]  # how the pixels lie in the file
    if image.mode not in _DEEP and any(";16" in layout for layout in layouts):
        raise DataError(f"{path}: has colours of 16 bits, which would be cut to 8; save it as 16-bit gray or 8-bit")
    return image


def _why_no_picture(path: str | Path, error: Exception) -> str:
    if Path(path).read_bytes().count(b"\xef\xbf\xbd") > 3:
        return "its bytes were mangled (saved as UTF-8 text instead of binary); fetch the file again"
    if isinstance(error, Image.DecompressionBombError):
        return f"too large ({error})"
    return "not a readable image (PNG, JPEG, TIFF, BMP, .npy, NIfTI): another format, or its content is broken"


def _colours(path: str | Path, channels: int, colour: Colour, image: Image.Image) -> np.ndarray:
    """(H, W) or (3, H, W)."""
    if image.mode in _DEEP:
        return np.asarray(image, dtype=np.float32)
    if image.has_transparency_data:
        black = Image.new("RGBA", image.size, (0, 0, 0, 255))
        image = Image.alpha_composite(black, image.convert("RGBA")).convert("RGB")
    elif image.mode not in ("1", "L"):
        image = image.convert("RGB")
    if image.mode == "RGB" and channels == 1 and colour != LUMINANCE:
        pixels = np.asarray(image)
        if colour != AUTO:
            return pixels[..., int(colour) - 1]
        _check_gray(path, pixels)
    array = np.asarray(image.convert("RGB" if channels == 3 else "L"))
    return np.moveaxis(array, -1, 0) if array.ndim == 3 else array


def _check_gray(path: str | Path, pixels: np.ndarray) -> None:
    """Refuse (DataError) a picture (H, W, 3) whose channels differ."""
    coloured = float((pixels.max(axis=-1) - pixels.min(axis=-1) > _LEVELS).mean())
    if coloured > _COLOURED:
        flair = " (FLAIR in slices of kaggle_3m)" if Path(path).name.startswith("TCGA_") else ""
        raise DataError(
            f"{path}: its three channels differ (by more than {_LEVELS} gray levels in {coloured:.0%} of the pixels), "
            "and neither the weights nor you say which of them the network is trained with; give --colour_channel 1, "
            f"2{flair}, 3 or luminance"
        )


def _mask_pixels(path: str | Path, image: Image.Image) -> np.ndarray:
    """(H, W) or (C, H, W), without alpha; a mask that stands in the alpha alone is refused (DataError)."""
    if image.mode in ("P", "PA"):
        palette = np.asarray(image.getpalette("RGB"), dtype=np.uint8).reshape(-1, 3)
        index = np.asarray(image if image.mode == "P" else image.getchannel("P"))
        values = np.unique(index)
        if values[-1] >= len(palette):  # a palette that names not all values says nothing of them
            return index
        used = palette[values]
        return palette[index, 0] if (used == used[:, :1]).all() else index
    array = np.asarray(image)
    if array.ndim == 2:
        return array
    colours = array[..., : len(image.getbands()) - image.mode.endswith(("A", "a"))]
    if image.mode.endswith(("A", "a")) and np.ptp(array[..., -1]) and not np.ptp(colours, axis=(0, 1)).any():
        raise DataError(f"{path}: its colour is the same everywhere and only its transparency varies; save it as gray")
    return np.moveaxis(colours, -1, 0)


# --- numpy


def _numpy_form(path: str | Path, file: BufferedReader) -> tuple[int, tuple[int, int]]:
    """Channels and size (H, W) of an array's file."""
    try:
        with ONE_AT_A_TIME:
            major, _ = np.lib.format.read_magic(file)
            read = np.lib.format.read_array_header_1_0 if major == 1 else np.lib.format.read_array_header_2_0
            shape, _, dtype = read(file)
            missing = dtype.itemsize * int(np.prod(shape)) - (os.fstat(file.fileno()).st_size - file.tell())
    except Exception as error:
        raise DataError(f"{path}: not a readable .npy file ({error})") from error
    if dtype.kind not in "biuf":
        raise DataError(f"{path}: holds {dtype} instead of numbers; save a plain array of numbers")
    if len(shape) not in (2, 3) or 0 in shape:
        raise DataError(f"{path}: has shape {shape}; (H, W) or (C, H, W) is wanted")
    if missing > 0:
        raise DataError(f"{path}: is truncated: {missing} bytes are missing")
    return (shape[0] if len(shape) == 3 else 1), (shape[-2], shape[-1])


# --- NIfTI


def _plane(info: VolumeInfo) -> tuple[int, int]:
    """(H, W) of the one slice that a NIfTI holds, as `SlicedVolume` shows it."""
    if 1 not in info.shape:
        raise DataError(f"{info.path}: is a 3D volume {info.shape}, a 2D image is wanted")
    width, height = np.delete(info.canonical_shape, plane_axis(info))
    return int(height), int(width)
