"""Every kind of file that is found in practice, and everything that is wrong with some of them."""

import builtins
import os
import subprocess
import sys

import nibabel
import numpy as np
import pytest
from PIL import Image

from medbundles.data import check_header, read_image, read_mask, read_volume
from medbundles.data.reading.files import list_images
from medbundles.errors import DataError


@pytest.fixture
def gray():
    return np.random.default_rng(0).integers(0, 256, (20, 30)).astype(np.uint8)


@pytest.fixture
def colour():
    return np.random.default_rng(1).integers(0, 256, (20, 30, 3)).astype(np.uint8)


def luminance(rgb):
    """ITU-R 601, as a formula."""
    return rgb.astype(float) @ [0.299, 0.587, 0.114]


@pytest.mark.parametrize("ending", ["png", "tif", "bmp", "PNG"])
def test_gray_is_exact_and_repeated_for_three_channels(tmp_path, gray, ending):
    path = tmp_path / f"a.{ending}"
    Image.fromarray(gray).save(path)
    assert np.array_equal(read_image(path, 1), gray[None].astype(np.float32))
    three = read_image(path, 3)
    assert three.dtype == np.float32
    assert np.array_equal(three, np.repeat(gray[None], 3, axis=0))
    assert check_header(path) == (20, 30)


def test_rgb_keeps_its_channels_or_becomes_luminance(tmp_path, colour):
    path = tmp_path / "a.png"
    Image.fromarray(colour).save(path)
    assert np.array_equal(read_image(path, 3), colour.transpose(2, 0, 1))
    assert np.abs(read_image(path, 1)[0] - luminance(colour)).max() < 1


def test_transparent_pixels_are_composited_on_black(tmp_path, colour):
    rgba = np.dstack([colour, np.full((20, 30), 255, np.uint8)])
    rgba[:5, :, 3] = 0
    rgba[5:10, :, 3] = 128
    Image.fromarray(rgba).save(tmp_path / "a.png")
    wanted = colour * (rgba[..., 3:] / 255.0)
    assert np.abs(read_image(tmp_path / "a.png", 3) - wanted.transpose(2, 0, 1)).max() <= 1
    gray_alpha = Image.fromarray(np.dstack([colour[..., 0], rgba[..., 3]]))
    gray_alpha.save(tmp_path / "la.png")
    assert np.abs(read_image(tmp_path / "la.png", 1)[0] - wanted[..., 0]).max() <= 1


def test_palette_is_resolved_to_its_colours(tmp_path, colour):
    image = Image.fromarray(colour).convert("P")
    image.save(tmp_path / "a.png")
    assert np.array_equal(read_image(tmp_path / "a.png", 3), np.asarray(image.convert("RGB")).transpose(2, 0, 1))


def test_content_decides_not_the_ending(tmp_path, gray):
    Image.fromarray(gray).save(tmp_path / "a.png")
    (tmp_path / "a.png").rename(tmp_path / "a.jpg")
    assert np.array_equal(read_image(tmp_path / "a.jpg", 1)[0], gray)


@pytest.mark.parametrize("dtype", [np.uint16, np.int32, np.float32])
def test_deep_tiff_keeps_its_range(tmp_path, gray, dtype):
    deep = gray.astype(dtype) * 200
    Image.fromarray(deep).save(tmp_path / "a.tif")
    assert np.array_equal(read_image(tmp_path / "a.tif", 1)[0], deep.astype(np.float32))


def test_one_bit_image(tmp_path, gray):
    Image.fromarray(gray > 100).save(tmp_path / "a.png")
    assert np.array_equal(read_image(tmp_path / "a.png", 1)[0], (gray > 100) * np.float32(255))
    assert np.array_equal(read_mask(tmp_path / "a.png", 1)[0], gray > 100)


def test_numpy_arrays_with_channels(tmp_path, gray):
    np.save(tmp_path / "a.npy", np.stack([gray, gray + 0.5]).astype(np.float16))
    assert read_image(tmp_path / "a.npy", 2).shape == (2, 20, 30)
    with pytest.raises(DataError, match=r"a\.npy: holds 2 channel\(s\), 1 are wanted"):
        read_image(tmp_path / "a.npy", 1)
    with pytest.raises(DataError, match="holds 2"):
        check_header(tmp_path / "a.npy", 1)
    assert check_header(tmp_path / "a.npy", 2) == (20, 30)


@pytest.mark.parametrize("channels", [2, 4])
def test_pictures_cannot_give_other_channels(tmp_path, gray, channels):
    Image.fromarray(gray).save(tmp_path / "a.png")
    with pytest.raises(DataError, match=f"{channels} are wanted"):
        read_image(tmp_path / "a.png", channels)
    with pytest.raises(DataError, match=f"{channels} are wanted"):
        check_header(tmp_path / "a.png", channels)


def test_nifti_slice_has_scale_slope_and_the_orientation_of_cut_slices(tmp_path, gray):
    volume = nibabel.Nifti1Image(gray.astype(np.int16)[..., None], np.diag([-1, -1, 1, 1]))  # as in BraTS: L, P, S
    volume.header.set_slope_inter(0.5, 3)
    nibabel.save(volume, tmp_path / "a.nii.gz")
    stored = nibabel.load(tmp_path / "a.nii.gz").get_fdata()[..., 0]
    assert np.allclose(read_image(tmp_path / "a.nii.gz", 1)[0], stored.T)
    assert check_header(tmp_path / "a.nii.gz") == (30, 20)


# --- masks


@pytest.mark.parametrize(
    ("values", "classes", "wanted"),
    [
        ([0, 1], 1, [0, 1]),
        ([0, 255], 1, [0, 1]),
        ([0, 1, 2, 4], 2, [0, 1, 1, 1]),
        ([0, 3], 1, [0, 1]),
        ([0, 0], 1, [0, 0]),
        ([0, 1, 2, 3], 4, [0, 1, 2, 3]),
    ],
)
def test_mask_rule(tmp_path, values, classes, wanted):
    np.save(tmp_path / "m.npy", np.array([values]))
    mask = read_mask(tmp_path / "m.npy", classes)
    assert mask.dtype == np.uint8
    assert mask.tolist() == [[wanted]]


@pytest.mark.parametrize(
    ("values", "classes"), [([0, 7], 1), ([0, 1, 255], 2), ([0, 4], 4), ([0, 0.5], 1), ([0, -1], 1)]
)
def test_other_mask_values_are_named(tmp_path, values, classes):
    np.save(tmp_path / "m.npy", np.array([values]))
    with pytest.raises(DataError, match=rf"m\.npy: mask holds the values .*{values[-1]:g}.* for {classes} class"):
        read_mask(tmp_path / "m.npy", classes)


def test_labels_of_brats_that_need_another_number_of_classes_are_known(tmp_path):
    np.save(tmp_path / "m.npy", np.array([[0, 1, 2, 4]]))
    assert read_mask(tmp_path / "m.npy", 5).tolist() == [[[0, 1, 2, 4]]]
    with pytest.raises(DataError, match="BraTS's own labels until 2021 need 5"):
        read_mask(tmp_path / "m.npy", 4)


def test_mask_palettes(tmp_path):
    index = np.array([[0, 1, 2, 1]], dtype=np.uint8)
    image = Image.fromarray(index, "P")
    image.putpalette([0, 0, 0, 128, 0, 0, 0, 128, 0])  # colours: the index is the class
    image.save(tmp_path / "m.png")
    assert np.array_equal(read_mask(tmp_path / "m.png", 3)[0], index)
    image = Image.fromarray(index % 2, "P")
    image.putpalette([255, 255, 255, 0, 0, 0])  # gray, white first: the gray value counts
    image.save(tmp_path / "m.png")
    assert np.array_equal(read_mask(tmp_path / "m.png", 1)[0], 1 - index % 2)


def test_a_mask_whose_palette_is_too_short_holds_its_values(tmp_path):
    Image.fromarray(np.array([[0, 1, 1]], dtype=np.uint8), "P").save(tmp_path / "m.png")
    assert np.array_equal(read_mask(tmp_path / "m.png", 1)[0], [[0, 1, 1]])


def test_a_mask_that_stands_in_the_transparency_alone_is_refused(tmp_path):
    white = np.full((1, 2), 255, dtype=np.uint8)
    Image.fromarray(np.dstack([white] * 3 + [np.array([[0, 255]], dtype=np.uint8)])).save(tmp_path / "m.png")
    with pytest.raises(DataError, match=r"m\.png: .*only its transparency varies"):
        read_mask(tmp_path / "m.png", 1)


def test_rgb_mask_with_equal_channels_is_fine_and_with_others_is_not(tmp_path):
    plane = np.array([[0, 255]], dtype=np.uint8)
    Image.fromarray(np.dstack([plane] * 3)).save(tmp_path / "m.png")
    assert read_mask(tmp_path / "m.png", 1).tolist() == [[[0, 1]]]
    Image.fromarray(np.dstack([plane, plane, plane * 0])).save(tmp_path / "m.png")
    with pytest.raises(DataError, match="3 channels that differ"):
        read_mask(tmp_path / "m.png", 1)


# --- what is wrong with files


def broken(tmp_path, name, content):
    path = tmp_path / name
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("reader", [lambda p: read_image(p, 1), lambda p: read_mask(p, 1), check_header, read_volume])
def test_things_that_can_be_wrong_with_any_file(tmp_path, reader):
    with pytest.raises(DataError, match=r"no\.nii: file not found"):
        reader(tmp_path / "no.nii")
    with pytest.raises(DataError, match="is empty"):
        reader(broken(tmp_path, "e.nii.gz", b""))
    with pytest.raises(DataError, match="git-lfs pointer"):
        reader(broken(tmp_path, "l.nii", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n"))
    with pytest.raises(DataError, match=r"x\.nii: not a readable NIfTI"):
        reader(broken(tmp_path, "x.nii", b"nonsense" * 100))
    with pytest.raises(DataError, match="is a folder"):
        reader(tmp_path)


@pytest.mark.parametrize("ending", ["png", "jpg", "tif", "bmp", "npy", "nii", "nii.gz"])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_truncated_files_are_errors(tmp_path, gray, ending, share):
    path = tmp_path / f"a.{ending}"
    if ending == "npy":
        np.save(path, gray)
    elif ending.startswith("nii"):
        nibabel.save(nibabel.Nifti1Image(gray[..., None], np.eye(4)), path)
    else:
        Image.fromarray(gray).save(path)
    read_image(path, 1)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    with pytest.raises(DataError, match=r"a\.\w+"):
        read_image(path, 1)


def test_the_user_sees_no_warnings_of_the_libraries(tmp_path, gray):
    Image.fromarray(gray).save(tmp_path / "a.tif")
    (tmp_path / "a.tif").write_bytes((tmp_path / "a.tif").read_bytes()[:60])
    volume = nibabel.Nifti1Image(gray[..., None], np.eye(4))
    volume.header["pixdim"][0] = 5  # nibabel remarks on it
    nibabel.save(volume, tmp_path / "a.nii")
    program = (
        "import sys\nfrom medbundles.data.reading.images import read_image\nfrom medbundles.errors import DataError\n"
        "read_image(sys.argv[2], 1)\n"
        "try:\n    read_image(sys.argv[1], 1)\nexcept DataError:\n    print('refused')"
    )  # a process of its own, because pytest sets the warning filters anew for each test
    command = [sys.executable, "-c", program, str(tmp_path / "a.tif"), str(tmp_path / "a.nii")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.stdout == "refused\n", done.stderr
    assert "Warning" not in done.stderr.replace("DeprecationWarning", "")
    assert "pixdim" not in done.stderr


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_nan_and_inf_are_counted(tmp_path, gray, value):
    bad = gray.astype(np.float32)
    bad[3, 4] = value
    np.save(tmp_path / "a.npy", bad)
    Image.fromarray(bad).save(tmp_path / "a.tif")
    nibabel.save(nibabel.Nifti1Image(bad[..., None], np.eye(4)), tmp_path / "a.nii")
    for name in ("a.npy", "a.tif", "a.nii"):
        with pytest.raises(DataError, match="1 of 600 pixels are NaN or Inf"):
            read_image(tmp_path / name, 1)
    with pytest.raises(DataError, match="NaN or Inf"):
        read_volume(tmp_path / "a.nii")


def test_constant_images_are_errors_constant_masks_are_not(tmp_path):
    Image.new("L", (8, 8), 7).save(tmp_path / "a.png")
    with pytest.raises(DataError, match=r"constant \(every pixel is 7\)"):
        read_image(tmp_path / "a.png", 1)
    Image.new("L", (8, 8)).save(tmp_path / "m.png")
    assert read_mask(tmp_path / "m.png", 1).sum() == 0


def test_more_dimensions_than_wanted(tmp_path, gray):
    nibabel.save(nibabel.Nifti1Image(np.zeros((4, 5, 6, 7), np.int16), np.eye(4)), tmp_path / "a.nii.gz")
    for reader in (read_volume, check_header):
        with pytest.raises(DataError, match="is 4D"):
            reader(tmp_path / "a.nii.gz")
    nibabel.save(nibabel.Nifti1Image(np.zeros((4, 5, 6), np.int16), np.eye(4)), tmp_path / "b.nii.gz")
    with pytest.raises(DataError, match=r"is a 3D volume \(4, 5, 6\), a 2D image is wanted"):
        check_header(tmp_path / "b.nii.gz")
    pages = Image.fromarray(gray)
    pages.save(tmp_path / "p.tif", save_all=True, append_images=[pages])
    with pytest.raises(DataError, match="holds 2 pages"):
        read_image(tmp_path / "p.tif", 1)
    np.save(tmp_path / "a.npy", np.zeros((1, 2, 3, 4)))
    with pytest.raises(DataError, match=r"has shape \(1, 2, 3, 4\)"):
        check_header(tmp_path / "a.npy")


def test_pickled_numpy_objects_are_never_loaded(tmp_path):
    np.save(tmp_path / "a.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(DataError, match="holds object instead of numbers"):
        read_image(tmp_path / "a.npy", 1)


def test_every_real_bad_input_is_an_error_that_says_why(real_data):
    why = {
        "gitlfs_pointer.mha": "git-lfs",
        "gitlfs_pointer.tif": "git-lfs",
        "utf8mangled_image.tif": "mangled",
        "utf8mangled_mask.tif": "mangled",
        "utf8mangled_mask_empty.tif": "mangled",
    }
    for name, text in why.items():
        with pytest.raises(DataError, match=f"{name}: .*{text}"):
            read_image(real_data / "bad_inputs" / name, 1)
        with pytest.raises(DataError, match=text):
            check_header(real_data / "bad_inputs" / name)
    with pytest.raises(DataError, match="4D"):
        read_volume(real_data / "spinal_cord" / "dmri_dmri.nii.gz")


def test_a_pipe_is_refused_and_does_not_wait(tmp_path):
    os.mkfifo(tmp_path / "a.png")
    with pytest.raises(DataError, match=r"a\.png: is no file but a pipe"):
        read_image(tmp_path / "a.png", 1)


def test_an_eps_of_another_name_starts_nothing(tmp_path, monkeypatch):
    from PIL import EpsImagePlugin

    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", lambda *_: pytest.fail("Ghostscript was started"))
    page = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\nshowpage\n%%EOF\n"
    (tmp_path / "a.png").write_bytes(page)
    with pytest.raises(DataError, match=r"a\.png: not a readable image \(PNG, JPEG, TIFF, BMP"):
        read_image(tmp_path / "a.png", 1)


@pytest.mark.skipif(sys.platform != "linux", reason="names are bytes on Linux alone")
def test_a_name_that_is_not_utf8_is_said_before_anything_is_read(tmp_path):
    with open(os.fsencode(tmp_path) + b"/r\xf6ntgen.png", "wb") as file:
        file.write(b"x")
    with pytest.raises(DataError, match=r"r\\xf6ntgen\.png: the name is not UTF-8"):
        list_images(tmp_path)


@pytest.mark.parametrize("ending", ["png", "npy"])
def test_a_header_takes_one_opening_of_the_file(tmp_path, gray, ending, monkeypatch):
    path = tmp_path / f"a.{ending}"
    np.save(path, gray) if ending == "npy" else Image.fromarray(gray).save(path)
    opened, real = [], builtins.open
    monkeypatch.setattr(
        builtins, "open", lambda file, *more, **options: opened.append(file) or real(file, *more, **options)
    )
    assert check_header(path) == gray.shape
    assert opened == [path]
