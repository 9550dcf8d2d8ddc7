"""An image comes back as its file held it: format, numbers, colours, geometry."""

from __future__ import annotations

import nibabel
import numpy as np
import pytest
from PIL import Image

from medbundles.data.reading.files import list_images
from medbundles.data.reading.image_form import ImageForm
from medbundles.data.reading.images import check_header
from medbundles.errors import DataError
from medbundles.transforms import LoadWholeImage

RNG = np.random.default_rng(0)
GRAY8 = RNG.integers(10, 60, (9, 14), dtype=np.uint8)
GRAY16 = RNG.integers(100, 4096, (9, 14), dtype=np.uint16)
RGB = RNG.integers(0, 256, (9, 14, 3), dtype=np.uint8)
FLOAT = RNG.normal(size=(9, 14)).astype(np.float32)


def stored(path):
    if path.suffix == ".npy":
        return np.load(path)
    with Image.open(path) as picture:
        return np.asarray(picture), picture.mode, picture.format


def there_and_back(path, folder, channels=1, form=None):
    """The file as the network would see it, written again without a change."""
    item = LoadWholeImage(2, channels, "luminance")({"image": path})
    form = form or ImageForm.of(path)
    made = folder / f"made{form.ending}"
    form.write(made, item["image"].numpy(), tuple(item["value_range"].tolist()))
    return made


@pytest.mark.parametrize(
    ("array", "name", "channels"),
    [
        (GRAY8, "a.png", 1), (GRAY8, "a.bmp", 1), (GRAY8, "a.tif", 1), (GRAY8, "a.TIFF", 1),
        (GRAY16, "a.png", 1), (GRAY16, "a.tif", 1), (FLOAT, "a.tif", 1), (GRAY16.astype(np.int32), "a.tif", 1),
        (RGB, "a.png", 3), (RGB, "a.tif", 3),
        (GRAY8, "a.png", 3), (GRAY16, "a.tif", 3),  # gray in a network of colours stays gray
    ],
)  # fmt: skip
def test_pictures_come_back_equal(tmp_path, array, name, channels):
    path = tmp_path / name
    Image.fromarray(array).save(path)
    made = there_and_back(path, tmp_path, channels)
    assert made.suffix == path.suffix.lower()
    (mine, mode, kind), (theirs, their_mode, their_kind) = stored(made), stored(path)
    assert (mode, kind) == (their_mode, their_kind)
    assert mine.dtype == theirs.dtype
    np.testing.assert_allclose(mine, theirs, atol=0 if mine.dtype.kind in "ui" else 1e-6)


@pytest.mark.parametrize("array", [GRAY8, GRAY16, FLOAT, FLOAT.astype(np.float64)[None], FLOAT > 0])
def test_arrays_come_back_equal(tmp_path, array):
    np.save(tmp_path / "a.npy", array)
    made = stored(there_and_back(tmp_path / "a.npy", tmp_path))
    assert (made.dtype, made.shape) == (array.dtype, array.shape)
    np.testing.assert_allclose(made, array, atol=1e-6)


def test_colours_of_a_palette_or_with_transparency_come_back_as_the_network_saw_them(tmp_path):
    alpha = np.full((9, 14, 1), 255, dtype=np.uint8)
    Image.fromarray(np.concatenate([RGB, alpha], axis=2)).save(tmp_path / "a.png")
    Image.fromarray(RGB).quantize(256).save(tmp_path / "p.png")
    np.testing.assert_array_equal(stored(there_and_back(tmp_path / "a.png", tmp_path, 3))[0], RGB)
    seen = np.asarray(Image.open(tmp_path / "p.png").convert("RGB"))
    np.testing.assert_array_equal(stored(there_and_back(tmp_path / "p.png", tmp_path, 3))[0], seen)
    array, mode, _ = stored(there_and_back(tmp_path / "a.png", tmp_path, 1))  # a network of one channel gives gray
    assert (array.shape, mode) == ((9, 14), "L")


def test_what_loses_becomes_png_and_the_content_decides_on_the_format(tmp_path):
    Image.fromarray(GRAY8).save(tmp_path / "a.jpg")
    Image.fromarray(GRAY8).save(tmp_path / "b.jpg", format="PNG")
    assert [ImageForm.of(tmp_path / name).ending for name in ("a.jpg", "b.jpg")] == [".png", ".png"]
    array, _, kind = stored(there_and_back(tmp_path / "b.jpg", tmp_path))
    assert kind == "PNG"
    np.testing.assert_array_equal(array, GRAY8)


def test_what_the_network_makes_beyond_black_and_white_is_cut(tmp_path):
    form = ImageForm(".png", "uint8", (1, 3))
    form.write(tmp_path / "a.png", np.array([[[-0.5, 0.502, 1.5]]]), (0.0, 255.0))
    np.testing.assert_array_equal(stored(tmp_path / "a.png")[0], [[0, 128, 255]])


def png_of_deep_colours(path):
    """A PNG of 16 bits per colour, which Pillow cannot write."""
    import struct
    import zlib

    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    rows = b"".join(b"\0" + RNG.integers(0, 256, 4 * 6, dtype=np.uint8).tobytes() for _ in range(3))
    head = struct.pack(">IIBBBBB", 4, 3, 16, 2, 0, 0, 0)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    )


def test_colours_of_16_bits_are_not_cut_to_8_without_a_word(tmp_path):
    png_of_deep_colours(tmp_path / "deep.png")
    with pytest.raises(DataError, match=r"deep\.png: has colours of 16 bits"):
        LoadWholeImage(2, 3)({"image": tmp_path / "deep.png"})
    with pytest.raises(DataError, match=r"deep\.png: has colours of 16 bits"):  # by its header, before a run begins
        check_header(tmp_path / "deep.png", 3)


def volume(path, array, dtype, flip=False, slope=None):
    affine = np.array([[0, -2.0, 0, 5], [0, 0, 3.0, -7], [1.5, 0, 0, 9], [0, 0, 0, 1]])
    image = nibabel.Nifti1Image(array.astype(dtype), affine)
    image.header.set_xyzt_units("mm", "sec")
    image.set_qform(affine, code=1)
    image.set_sform(affine, code=2)
    if slope:
        image.header.set_slope_inter(*slope)
    nibabel.save(image, path)


@pytest.mark.parametrize(("name", "dtype"), [("v.nii.gz", np.int16), ("v.nii", np.uint8), ("v.nii", np.float64)])
def test_a_volume_comes_back_with_its_axes_affine_codes_and_type_also_from_plain_arrays(tmp_path, name, dtype):
    array = RNG.integers(0, 200, (5, 6, 7))
    volume(tmp_path / name, array, dtype)
    item = LoadWholeImage(3)({"image": tmp_path / name})
    assert item["image"].shape == (1, 6, 7, 5)  # canonical: stored axes are S, L, A
    for number, form in enumerate((ImageForm.of(tmp_path / name), None)):
        form = form or ImageForm.from_arrays(
            {k: np.asarray(v) for k, v in ImageForm.of(tmp_path / name).arrays().items()}
        )
        made = tmp_path / f"made{number}{form.ending}"
        form.write(made, item["image"].numpy(), tuple(item["value_range"].tolist()))
        mine, theirs = nibabel.load(made), nibabel.load(tmp_path / name)
        np.testing.assert_allclose(mine.get_fdata(), array, atol=1e-4)
        np.testing.assert_array_equal(mine.affine, theirs.affine)
        assert mine.get_data_dtype() == theirs.get_data_dtype() == np.dtype(dtype)
        for field in ("qform_code", "sform_code", "xyzt_units"):
            assert mine.header[field] == theirs.header[field]


def test_a_volume_of_scaled_numbers_becomes_float32(tmp_path):
    image = nibabel.Nifti1Image(RNG.normal(size=(4, 5, 6)), np.eye(4))
    image.header.set_data_dtype(np.int16)  # nibabel finds slope and intercept
    nibabel.save(image, tmp_path / "v.nii")
    item = LoadWholeImage(3)({"image": tmp_path / "v.nii"})
    form = ImageForm.of(tmp_path / "v.nii")
    form.write(tmp_path / "made.nii", item["image"].numpy(), tuple(item["value_range"].tolist()))
    assert nibabel.load(tmp_path / "made.nii").get_data_dtype() == np.float32
    expected = nibabel.load(tmp_path / "v.nii").get_fdata()
    np.testing.assert_allclose(nibabel.load(tmp_path / "made.nii").get_fdata(), expected, atol=1e-5)


@pytest.mark.parametrize("shape", [(6, 7, 1), (1, 6, 7)])
def test_a_nifti_of_one_plane_is_a_picture_and_comes_back_in_its_place(tmp_path, shape):
    array = RNG.integers(0, 200, shape).astype(np.int16)
    nibabel.save(nibabel.Nifti1Image(array, np.diag([1, -1, 2, 1])), tmp_path / "p.nii")
    made = there_and_back(tmp_path / "p.nii", tmp_path)
    np.testing.assert_array_equal(np.asarray(nibabel.load(made).dataobj), array)


def test_a_folder_that_links_lead_to_again_is_listed_once(tmp_path):
    (tmp_path / "a/b").mkdir(parents=True)
    (tmp_path / "a/b/1.png").touch()
    (tmp_path / "a/b/again").symlink_to(tmp_path / "a")
    (tmp_path / "other").symlink_to(tmp_path / "a/b")
    assert [path.name for path in list_images(tmp_path)] == ["1.png"]
