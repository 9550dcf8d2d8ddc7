"""Slices and volumes are exact inverses, whatever the axes of the file."""

import itertools
import logging

import nibabel
import numpy as np
import pytest
from nibabel.orientations import axcodes2ornt, inv_ornt_aff, ornt_transform

from medbundles.data import axial_slices, from_axial_slices, inference_datalist, open_volume, read_volume, write_volume
from medbundles.data.reading.nifti import read_header
from medbundles.errors import DataError
from tools.check_data import check_data


def test_slices_follow_the_formula_and_go_back_exactly():
    volume = np.random.default_rng(0).normal(size=(4, 5, 6))
    slices = axial_slices(volume)
    assert slices.shape == (6, 5, 4)
    for z in range(6):
        assert np.array_equal(slices[z], volume[::-1, ::-1, z].T)
    assert np.array_equal(from_axial_slices(slices), volume)


def test_nose_is_up_and_the_patients_right_is_on_the_left():
    volume = np.zeros((4, 5, 1))
    volume[3, 4, 0] = 1  # the most right and most anterior voxel in RAS
    assert axial_slices(volume)[0, 0, 0] == 1


@pytest.mark.parametrize(
    "codes", ["".join(c) for p in itertools.permutations(["RL", "AP", "SI"]) for c in itertools.product(*p)]
)
def test_any_orientation_comes_in_canonical_and_goes_back_exactly(tmp_path, codes):
    canonical = np.arange(2 * 3 * 4, dtype=np.int16).reshape(2, 3, 4)
    to_file = ornt_transform(axcodes2ornt("RAS"), axcodes2ornt(codes))
    stored = nibabel.apply_orientation(canonical, to_file)
    affine = np.diag([2.0, 3.0, 4.0, 1.0]) @ inv_ornt_aff(to_file, canonical.shape)
    nibabel.save(nibabel.Nifti1Image(stored, affine), tmp_path / "a.nii.gz")
    assert nibabel.aff2axcodes(affine) == tuple(codes)
    volume, info = read_volume(tmp_path / "a.nii.gz")
    assert np.array_equal(volume, canonical)
    assert info.spacing == (2, 3, 4)
    prediction = from_axial_slices(axial_slices(volume) > 11)
    write_volume(tmp_path / "b.nii.gz", prediction, info)
    written = nibabel.load(tmp_path / "b.nii.gz")
    assert np.array_equal(np.asarray(written.dataobj), stored > 11)
    assert np.allclose(written.affine, affine)


def test_a_volume_of_another_file_is_refused(tmp_path):
    nibabel.save(nibabel.Nifti1Image(np.arange(24).reshape(2, 3, 4).astype(np.int16), np.eye(4)), tmp_path / "a.nii")
    _, info = read_volume(tmp_path / "a.nii")
    with pytest.raises(DataError, match=r"shape \(4, 3, 2\) does not belong to a file of shape \(2, 3, 4\)"):
        info.to_original(np.zeros((4, 3, 2)))


def test_real_volumes_as_nibabel_reads_them(real_data):
    for name in ("t2_t2.nii.gz", "mt_t1w.nii.gz", "t2s_t2s.nii.gz"):  # axes P,S,R; a scale slope; thick slices
        path = real_data / "spinal_cord" / name
        volume, info = read_volume(path)
        canonical = nibabel.as_closest_canonical(nibabel.load(path))
        assert np.array_equal(volume, canonical.get_fdata(dtype=np.float32))
        assert np.allclose(info.spacing, canonical.header.get_zooms())
        back = info.to_original(from_axial_slices(axial_slices(volume)))
        assert np.array_equal(back, nibabel.load(path).get_fdata(dtype=np.float32))


def like(image):
    """A mask in the same place."""
    mask = np.zeros(image.shape, dtype=np.uint8)
    mask[2:4, 2:4, 1:3] = 1
    return nibabel.Nifti1Image(mask, None, image.header)


@pytest.mark.parametrize(
    ("sform", "qform", "said"),
    [
        ([1, 1, 1], [1, 1, 1], []),
        ([1, 1, 1], [-1, 1, 1], ["its sform (code 2) and its qform (code 1) place a voxel up to 10 mm apart; the"]),
        ([1000, 1, 1], [1000, 1, 1], ["its voxels are 1e+03 x 1 x 1 mm; 0.05 to 50 mm are wanted. Is the unit in its"]),
        ([0.001] * 3, [0.001] * 3, ["its voxels are 0.001 x 0.001 x 0.001 mm"]),
    ],
    ids=["fine", "mirrored", "metres", "micrometres"],
)  # fmt: skip
def test_headers_that_are_doubtful(tmp_path, sform, qform, said, caplog, capsys):
    image = nibabel.Nifti1Image(np.random.default_rng(0).random((6, 7, 4), dtype=np.float32), None)
    image.set_sform(np.diag([*sform, 1]), 2)
    image.set_qform(np.diag([*qform, 1]), 1)
    path = tmp_path / "scan.nii.gz"
    nibabel.save(image, path)
    found = read_header(path)[1].doubts
    assert len(found) == len(said)
    for text, start in zip(found, said, strict=True):
        assert text.startswith(start)
        with caplog.at_level(logging.WARNING, "medbundles"):
            assert len(inference_datalist(path)) == 4  # and it is used
        assert f"1 doubtful header(s) in {path}:\n  {path}: {start}" in caplog.text
        for name in ("images", "masks"):
            (tmp_path / f"raw/{name}").mkdir(parents=True)
            nibabel.save(image if name == "images" else like(image), tmp_path / f"raw/{name}/scan.nii.gz")
        check_data(str(tmp_path / "raw"))
        printed = capsys.readouterr().out
        assert f"images/scan.nii.gz: {start}" in printed
        assert "nothing else is wrong" in printed


def test_a_volume_that_is_gone_is_named(tmp_path):
    with pytest.raises(DataError, match=r"gone.nii: cannot be opened \(No such file"):
        open_volume(tmp_path / "gone.nii")
