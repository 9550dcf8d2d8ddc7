"""Which volumes are cases for inference, what they are called, and what is refused."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import nibabel
import numpy as np
import pytest

from medbundles.data.lists.brats import brats_cases
from medbundles.data.lists.inference_cases import inference_cases
from medbundles.errors import ConfigError, DataError


def volume(path: Path, shape: tuple[int, ...] = (6, 7, 4), affine: np.ndarray | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    data = np.random.default_rng(1).random(shape).astype(np.float32)
    nibabel.save(nibabel.Nifti1Image(data, np.eye(4) if affine is None else affine), path)
    return path


def names(items: list[dict]) -> list[str]:
    return [item["name"] for item in items]


@pytest.mark.parametrize(
    ("files", "found"),
    [
        (["HGG/Brats18_1/Brats18_1_flair.nii.gz", "HGG/Brats18_1/Brats18_1_seg.nii.gz",
          "LGG/Brats18_2/Brats18_2_flair.nii.gz", "LGG/Brats18_2/Brats18_2_t1.nii.gz"], ["Brats18_1", "Brats18_2"]),
        (["BraTS-GLI-00001-000/BraTS-GLI-00001-000-t2f.nii.gz",
          "BraTS-GLI-00001-000/BraTS-GLI-00001-000-seg.nii.gz"], ["BraTS-GLI-00001-000"]),
        (["BraTS20_Training_355/BraTS20_Training_355_flair.nii",
          "BraTS20_Training_355/W39_1998.09.19_Segm.nii"], ["BraTS20_Training_355"]),
        (["p1/Flair_subtrMeanDivStd.nii.gz", "p1/OTMultiClass.nii.gz"], ["p1"]),
        (["T-1/T-1_fla_bet.nii.gz", "T-1/T-1_t1c_bet.nii.gz", "T-1/pseudo_seg/mav.nii.gz", "T-1/x/any.nii"], ["T-1"]),
        (["p1/FLAIR.nii.gz", "p1/T1.nii.gz", "p1/seg.nii.gz", "p1/brain.nii.gz"], ["p1"]),
        (["a_flair.nii.gz", "a_t1.nii.gz", "b_flair.nii.gz", "b_seg.nii.gz"], ["a", "b"]),  # side by side
        (["one.nii", "sub/two.nii.gz", "sub/two_mask.nii.gz", "labelsTr/two.nii.gz", "two_gmseg_manual.nii.gz",
          "sub/masked.nii.gz"], ["one", "sub/masked", "sub/two"]),
        (["Brats18_1/Brats18_1_flair.nii.gz", "plain.nii.gz"], ["Brats18_1", "plain"]),
        (["A/v1/v1_flair.nii.gz", "B/v1/v1_flair.nii.gz"], ["A/v1", "B/v1"]),
        (["x.nii", "x.nii.gz"], ["x_nii", "x_nii_gz"]),
    ],
    ids=["2018", "2023", "2020", "deepmedic", "tcga", "bare", "flat", "plain", "mixed", "same name", "same stem"],
)  # fmt: skip
def test_layouts(tmp_path, files, found):
    for name in files:
        volume(tmp_path / "in" / name)
    items = inference_cases(tmp_path / "in")
    assert names(items) == found
    assert len({item["image"] for item in items}) == len(found)
    assert all(set(item) == {"image", "name", "patient", "source"} for item in items)


def test_a_case_or_a_file_alone(tmp_path, monkeypatch):
    case = tmp_path / "Brats18_2013_21_1"
    flair, t1 = volume(case / f"{case.name}_flair.nii.gz"), volume(case / f"{case.name}_t1.nii.gz")
    wanted = {"image": str(flair), "name": case.name, "patient": "Brats18_2013_21", "source": "volumes"}
    assert inference_cases(case) == [wanted]
    assert inference_cases(flair) == [wanted]
    assert inference_cases(case, ["t1", "flair"]) == [wanted | {"image": [str(t1), str(flair)]}]
    monkeypatch.chdir(case)
    assert names(inference_cases(".")) == [case.name]
    assert names(inference_cases(volume(tmp_path / "scan 1.nii"))) == ["scan 1"]
    with pytest.raises(DataError, match=r"is a t1 by its name, but flair is wanted \(modality\)"):
        inference_cases(t1)
    with pytest.raises(DataError, match="is one volume, but flair, t1 are wanted"):
        inference_cases(flair, ["flair", "t1"])


def test_what_is_left_out_is_told(tmp_path, caplog):
    for name in ("c/c_flair.nii.gz", "c/c_seg.nii.gz", "c/extra.nii.gz", "d_mask.nii.gz"):
        volume(tmp_path / name)
    with caplog.at_level(logging.INFO, "medbundles"):
        assert names(inference_cases(tmp_path)) == ["c"]
    assert "left out are 2 masks by their names (c/c_seg.nii.gz, d_mask.nii.gz)" in caplog.text
    assert "left out are 1 of no case by their names" in caplog.text
    assert "extra.nii.gz" in caplog.text


def test_bad_cases_do_not_stop_the_others_unless_all_are(tmp_path):
    for name in ("thin", "four", "short", "other"):
        for modality in ("flair", "t1ce"):
            volume(tmp_path / name / f"{name}_{modality}.nii")
    volume(tmp_path / "four/four_t1ce.nii", (6, 7, 4, 3))
    volume(tmp_path / "other/other_t1ce.nii", (6, 7, 5))
    volume(tmp_path / "thin/thin_flair.nii", (6, 7, 1))
    volume(tmp_path / "alone/alone_t1ce.nii")
    volume(tmp_path / "twice/twice_flair.nii"), volume(tmp_path / "twice/twice_flair.nii.gz")
    volume(tmp_path / "twice/twice_t1ce.nii")
    whole = (tmp_path / "short/short_flair.nii").read_bytes()
    (tmp_path / "short/short_flair.nii").write_bytes(whole[:500])
    (tmp_path / "lfs").mkdir()
    (tmp_path / "lfs/lfs_flair.nii").write_text("version https://git-lfs.github.com/spec/v1\n")
    volume(tmp_path / "lfs/lfs_t1ce.nii")
    with pytest.raises(DataError) as error:
        inference_cases(tmp_path, ["flair", "t1ce"])
    for part in (
        "7 bad files", "case alone has no flair (it has t1ce)", "four_t1ce.nii: is 4D", "is truncated", "git-lfs",
        "case twice has more than one volume of a modality: also twice_flair.nii.gz",
        "other_t1ce.nii: has the shape (6, 7, 5)", "thin_flair.nii: has the shape (6, 7, 1)",
    ):  # fmt: skip
        assert part in str(error.value)
    for modality in ("flair", "t1ce"):
        volume(tmp_path / "good" / f"good_{modality}.nii")
    good, *bad = inference_cases(tmp_path, ["flair", "t1ce"])
    assert good["name"] == "good"
    assert len({item["name"] for item in bad if item["failed"]}) == 7


def test_modalities_stored_along_other_axes_fit(tmp_path):
    turned = np.zeros((4, 4))
    turned[0, 2] = turned[1, 0] = turned[2, 1] = turned[3, 3] = 1  # stored as y, z, x
    volume(tmp_path / "c/c_flair.nii")
    volume(tmp_path / "c/c_t1.nii", (7, 4, 6), turned)
    assert names(inference_cases(tmp_path, ["flair", "t1"])) == ["c"]


def test_nothing_to_do_is_said_clearly(tmp_path):
    with pytest.raises(ConfigError, match="input: no input is given"):
        inference_cases("")
    with pytest.raises(DataError, match="nowhere does not exist"):
        inference_cases(tmp_path / "nowhere")
    with pytest.raises(DataError, match=r"input: no volumes in .*; the endings are: .nii, .nii.gz"):
        inference_cases(tmp_path)
    volume(tmp_path / "a_mask.nii")
    with pytest.raises(DataError, match=r"no volumes in .* could be an input, but 1 masks by their names \(a_mask"):
        inference_cases(tmp_path)
    volume(tmp_path / "b.nii")
    with pytest.raises(DataError, match=r"no case of flair, t1 in .* There are volumes, but 1 of no case .*b.nii"):
        inference_cases(tmp_path, ["flair", "t1"])
    (tmp_path / "b.nii").unlink()
    (tmp_path / "a.png").write_bytes(b"x")
    with pytest.raises(DataError, match=r"a.png is not a volume; the endings are: .nii, .nii.gz"):
        inference_cases(tmp_path / "a.png")
    with pytest.raises(ConfigError, match="existing: 'keep' is unknown"):
        inference_cases(tmp_path, existing="keep")
    volume(tmp_path / "b/b_t1.nii")
    with pytest.raises(DataError, match=r"1 bad file:\n.*case b has no flair"):
        inference_cases(tmp_path)


def test_results_that_are_there(tmp_path):
    first = volume(tmp_path / "in/a.nii")
    volume(tmp_path / "in/b.nii")
    output = tmp_path / "out"
    picture = output / "gradcam/a.png"
    picture.parent.mkdir(parents=True)
    picture.write_bytes(b"x")
    options = {"output": output}

    def record(row: dict) -> None:
        (output / "predictions.json").write_text(json.dumps({"results": [row]}))

    record({"file": str(first), "grade": "HGG", "grad_cam": "gradcam/a.png"})
    assert names(inference_cases(tmp_path / "in", **options)) == ["a", "b"]
    assert names(inference_cases(tmp_path / "in", **options, existing="skip")) == ["b"]
    assert inference_cases(first, **options, existing="skip") == []
    with pytest.raises(DataError, match="already has results of 1 of the 2 inputs"):
        inference_cases(tmp_path / "in", **options, existing="error")
    picture.unlink()  # a row without its picture is not done
    assert len(inference_cases(tmp_path / "in", **options, existing="skip")) == 2
    record({"file": str(first), "grade": "HGG"})  # made without heat maps
    assert names(inference_cases(tmp_path / "in", **options, existing="skip")) == ["b"]


def test_real_cases_are_those_that_training_finds(real_data):
    for folder, count in (("brats2015", 4), ("brats2018", 1), ("tcga_lgg", 1)):
        cases = {case.name: (str(case.files["flair"]), case.patient) for case in brats_cases(real_data / folder)}
        items = inference_cases(real_data / folder)
        assert len(items) == count
        assert {item["name"]: (item["image"], item["patient"]) for item in items} == cases
    assert len(inference_cases(real_data / "brats2018", ["t1", "t1ce", "t2", "flair"])[0]["image"]) == 4
    failed = [item for item in inference_cases(real_data / "spinal_cord") if "failed" in item]
    assert any(item["failed"].startswith("is 4D") for item in failed)
