"""Images in folders are shared among training, validation and test; one picture is in one part."""

import json
import logging
from types import SimpleNamespace

import nibabel
import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from medbundles.data import image_parts, split_of
from medbundles.errors import ConfigError, DataError


def picture(path, seed, size=(120, 80)):
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    x = sum(ndimage.gaussian_filter(rng.normal(size=(80, 120)), sigma) * sigma for sigma in (2, 5, 9))
    Image.fromarray((255 * (x - x.min()) / np.ptp(x)).astype(np.uint8)).resize(size).save(path, quality=60)
    return path


@pytest.fixture
def folder(tmp_path):
    """Twelve pictures in each of two folders; a re-sized copy of edente/3 in dente/."""
    for n in range(12):
        picture(tmp_path / f"edente/{n:02}.png", n)
        picture(tmp_path / f"dente/{n:02}.png", 100 + n)
    picture(tmp_path / "dente/copy.jpg", 3, size=(90, 60))
    return tmp_path


def names(parts):
    return {part: [item["name"] for item in items] for part, items in parts.items()}


def part_of(parts, name):
    return next(part for part, items in names(parts).items() if name in items)


def test_each_source_gives_its_share_and_copies_stay_together(folder, caplog):
    with caplog.at_level(logging.INFO, "medbundles"):
        for seed in range(6):
            parts = image_parts(folder, "both", test_split=0.25, train_split=2 / 3, seed=seed)
            assert part_of(parts, "edente/03") == part_of(parts, "dente/copy")
            assert sorted(item["name"] for items in parts.values() for item in items) == sorted(
                [f"{source}/{n:02}" for source in ("dente", "edente") for n in range(12)] + ["dente/copy"]
            )
            for source in ("edente", "dente"):
                for part, share in (("test", 3), ("val", 3), ("train", 6)):
                    count = sum(item["source"] == source for item in parts[part])
                    assert abs(count - share) <= 1
    assert "1 pair(s) of near-identical pictures count as one patient each: " in caplog.text
    assert "edente/03" in caplog.text


def test_masks_beside_the_images_are_left_out(folder, caplog):
    """They were trained on, as if they were pictures."""
    for n in range(3):
        picture(folder / f"edente/{n:02}_mask.png", 500 + n)
        picture(folder / f"dente/labels/{n:02}.png", 600 + n)
    picture(folder / "dente/roi_77.png", 700)  # the mask of no image there
    found = sorted(name for some in names(image_parts(folder, "both")).values() for name in some)
    assert [name for name in found if "mask" in name or "labels" in name or "roi" in name] == ["dente/roi_77"]
    assert "edente: left out are 3 masks by their names, beside images that they could be the masks of" in caplog.text


def test_results_of_an_inference_that_lie_among_the_images_are_left_out(folder, caplog):
    """They were trained on: blurred copies of the pictures."""
    for n in range(3):
        picture(folder / f"edente/reconstructions/{n:02}.png", 500 + n)
    assert any("reconstructions" in name for some in names(image_parts(folder)).values() for name in some)
    (folder / "edente/predictions.json").write_text("{}")
    found = names(image_parts(folder))
    assert sorted(name for some in found.values() for name in some) == [f"edente/{n:02}" for n in range(12)]
    assert "left out are 3 results of earlier runs (reconstructions/00.png, " in caplog.text


def test_copies_are_one_patient_in_every_interval(folder):
    parts = image_parts(folder, "both", test_split=0.25)
    patients = {item["name"]: item["patient"] for items in parts.values() for item in items}
    assert patients["edente/03"] == patients["dente/copy"]
    assert len(set(patients.values())) == len(patients) - 1


def test_another_train_split_leaves_the_test_part(folder):
    tests = [names(image_parts(folder, "both", test_split=0.2, train_split=share))["test"] for share in (0.9, 0.5)]
    assert tests[0] == tests[1]
    assert names(image_parts(folder, "both", test_split=0.2, seed=1))["test"] != tests[0]


def test_where_the_data_lies_does_not_change_the_split(folder, tmp_path_factory):
    moved = tmp_path_factory.mktemp("0") / "other"
    before = names(image_parts(folder, "both", test_split=0.2))
    folder.rename(moved)
    assert names(image_parts(moved, "both", test_split=0.2)) == before


def test_a_pair_that_is_accepted_as_different_is_two_patients(folder):
    pair = [["dente/copy", "edente/03"]]
    homes = [image_parts(folder, "both", train_split=0.5, different_pictures=pair, seed=seed) for seed in range(8)]
    assert not homes[0].pairs
    assert any(part_of(parts, "edente/03") != part_of(parts, "dente/copy") for parts in homes)
    with pytest.raises(ConfigError, match=r"different_pictures: .*nobody"):
        image_parts(folder, "both", different_pictures=[["dente/copy", "nobody"]])


def test_folders_of_their_own(folder):
    picture(folder / "val/a.png", 200)
    picture(folder / "more/a.png", 201)
    parts = image_parts(folder, "edente", val_dir=folder / "val", test_dir=folder / "more", train_split=0.5)
    assert names(parts) == {"train": [f"edente/{n:02}" for n in range(12)], "val": ["val/a"], "test": ["more/a"]}


@pytest.mark.parametrize("part", ["val", "test"])
def test_a_copy_in_a_folder_of_its_own_is_a_leak(folder, part):
    copy = picture(folder / "own/other.jpg", 5, size=(240, 160))
    given = {f"{part}_dir": folder / "own"}
    with pytest.raises(
        DataError, match=rf"05\.png: \((train|val)\) shows the same picture as .*other\.jpg \({part}\), "
    ):
        image_parts(folder, "edente", **given)
    image_parts(folder, "edente", **given, different_pictures=[["edente/05", f"own/{copy.stem}"]])


def test_the_split_is_kept_and_a_later_test_set_is_compared_with_it(folder, tmp_path):
    parts = image_parts(folder, "edente", test_split=0.2, run_dir=SimpleNamespace(folder=lambda name: tmp_path / name))
    path, content = parts.record()
    assert path == tmp_path / "config/split.json"
    assert {part: [row["name"] for row in rows] for part, rows in content["parts"].items()} == names(parts)
    assert content["near_identical"] == []
    file = tmp_path / "split.json"
    file.write_text(json.dumps(content))
    image_parts(folder, "edente", test_split=0.2, train_split=0.5, earlier_split=file)  # the same test part
    seen = int(names(parts)["train"][0][-2:])
    for n in range(20):
        picture(folder / f"fresh/{n:02}.png", 300 + n)
    picture(folder / "later/copy.jpg", seen, size=(90, 60))
    for path in (folder / "edente").iterdir():
        path.unlink()  # the pictures of the training are gone, their thumbnails are not
    with pytest.raises(
        DataError,
        match=r"later/copy\.jpg: \(test\) shows the same picture as .* \(the training\), likeness 0\.9",
    ):
        image_parts(folder, "fresh", test_dir=folder / "later", earlier_split=file)
    assert image_parts(folder, "fresh").record() is None
    file.write_text("{}")
    with pytest.raises(DataError, match=r"split\.json: is no file of a split"):
        image_parts(folder, "fresh", earlier_split=file)


def test_sources_whose_last_folders_have_one_name_are_told_apart(tmp_path):
    for n in range(6):
        picture(tmp_path / f"a/images/{n}.png", n)
        picture(tmp_path / f"b/images/{n}.png", 50 + n)
    parts = names(image_parts(tmp_path, ["a/images", "./b/images"], train_split=0.5))
    assert sorted(name for part in parts.values() for name in part) == [
        f"{source}/images/{n}" for source in "ab" for n in range(6)
    ]


@pytest.mark.parametrize("sources", [["all", "all/in"], ["all", "."]])
def test_sources_that_lie_in_each_other_are_refused(tmp_path, sources):
    for n in range(4):
        picture(tmp_path / f"all/in/{n}.png", n)
    with pytest.raises(
        ConfigError,
        match=r"data_source: .*0\.png is one file in '.*' and in '.*', by a link",
    ):
        image_parts(tmp_path, sources)


def test_a_patient_of_the_training_cannot_be_tested_from_another_folder(tmp_path):
    for n in range(6):
        picture(tmp_path / f"rest/P{n:02}_a.png", n)
    picture(tmp_path / "last/P03_b.png", 77)
    picture(tmp_path / "last/P99_b.png", 78)
    with pytest.raises(DataError, match=r"patient P03: is in test and (train|val)"):
        image_parts(tmp_path, "rest", test_dir=tmp_path / "last", train_split=0.5, patient_pattern=r"(P\d+)_")
    image_parts(tmp_path, "rest", test_dir=tmp_path / "last", train_split=0.5)  # names alone say nothing


def test_a_volume_of_the_training_is_known_again_wherever_it_lies_today(tmp_path, monkeypatch):
    for n in range(8):
        path = tmp_path / f"data/vol/{n}.nii.gz"
        path.parent.mkdir(parents=True, exist_ok=True)
        nibabel.save(nibabel.Nifti1Image(np.random.default_rng(n).normal(size=(6, 7, 8)).astype("f4"), np.eye(4)), path)
    monkeypatch.chdir(tmp_path / "data")
    run = SimpleNamespace(folder=lambda name: tmp_path / name)
    parts = image_parts(".", "vol", spatial_dims=3, test_split=0.25, run_dir=run)
    file = tmp_path / "split.json"
    file.write_text(json.dumps(parts.record()[1]))
    again = {"spatial_dims": 3, "test_split": 0.25, "earlier_split": file}
    monkeypatch.chdir(tmp_path)  # the paths that the training was given lead nowhere from here
    assert names(image_parts("data", "vol", **again)) == names(parts)
    (tmp_path / "data").rename(tmp_path / "moved")
    assert names(image_parts("moved", "vol", **again)) == names(parts)
    with pytest.raises(DataError, match=r"is byte-identical to what was .* \(the training\)"):
        image_parts("moved", "vol", **{**again, "seed": 5})


def test_a_patient_in_file_names(folder):
    for n in range(9):
        picture(folder / f"named/p{n % 3}_{n}.png", 400 + n)
    parts = image_parts(folder, "named", patient_pattern=r"(p\d)_", train_split=0.67)
    assert len({item["patient"] for item in parts["train"]} & {item["patient"] for item in parts["val"]}) == 0
    for pattern in (r"(p\d)_", r"0(x)?0"):  # not there; there, but its group is not
        with pytest.raises(ConfigError, match=r"finds no patient in 00\.png; change it"):
            image_parts(folder, "edente", patient_pattern=pattern)


def test_a_patient_of_two_sources_is_one_person_and_that_is_said(folder, caplog):
    for source in ("clinic_a", "clinic_b"):
        for n in range(4):
            picture(folder / f"{source}/p{n}_x.png", 500 + n + 10 * (source == "clinic_b"))
    parts = image_parts(folder, ["clinic_a", "clinic_b"], patient_pattern=r"(p\d)_", train_split=0.5)
    assert {item["patient"] for item in parts["train"]}.isdisjoint(item["patient"] for item in parts["val"])
    assert "4 patient(s) are in several sources, such as p0, p1, p2 and 1 more: each counts as one" in caplog.text


def test_a_bad_picture_is_named_or_left_out(folder):
    whole = (folder / "edente/00.png").read_bytes()
    (folder / "edente/00.png").write_bytes(whole[: len(whole) // 2])  # its header is fine
    Image.fromarray(np.full((80, 120), 9, dtype=np.uint8)).save(folder / "edente/01.png")
    with pytest.raises(DataError, match=r"(?s)2 bad files:.*00\.png: the image is truncated.*01\.png: .* constant"):
        image_parts(folder, "edente")
    left = image_parts(folder, "edente", skip_bad_files=True)
    assert sum(map(len, left.values())) == 10


@pytest.mark.parametrize(
    ("change", "error", "line"),
    [
        ({"data_source": []}, ConfigError, "data_source: names no folder"),
        ({"data_source": ""}, ConfigError, "data_source: names no folder"),
        ({"data_source": "nowhere"}, DataError, "nowhere: folder not found"),
        ({"data_source": "empty"}, DataError, "empty: no images in it"),
        ({"data_source": "one"}, DataError, r"of 1 image\(s\) none is left for val"),
        ({"data_source": "two", "test_split": 0.4}, DataError, r"of 2 image\(s\) none is left for val"),
        ({"data_source": "twins"}, DataError, "copies of one picture count once"),
        ({"test_dir": "nowhere"}, DataError, "nowhere: folder not found.*Give a folder of images as --test_dir"),
        ({"patient_pattern": "(a)(b)"}, ConfigError, "has 2 groups"),
        ({"data_source": "volumes"}, DataError, r"is a 3D volume \(4, 5, 6\), .*\nVolumes need --spatial_dims 3"),
        ({"data_source": "broken"}, DataError, r"not a readable image .*\nNone of its files can be used\.$"),
    ],
)
def test_one_clear_error_each(folder, change, error, line):
    (folder / "empty").mkdir()
    picture(folder / "one/a.png", 0)
    picture(folder / "two/a.png", 0)
    picture(folder / "two/b.png", 1)
    picture(folder / "twins/a.png", 0)
    picture(folder / "twins/b.jpg", 0, size=(90, 60))
    for name in ("volumes", "broken"):
        (folder / name).mkdir()
    nibabel.save(nibabel.Nifti1Image(np.arange(120.0).reshape(4, 5, 6), np.eye(4)), folder / "volumes/a.nii")
    (folder / "broken/a.png").write_bytes(b"x")
    with pytest.raises(error, match=line):
        image_parts(folder, **change)


def test_a_test_set_is_needed_to_evaluate():
    [rule] = [rule for rule in image_parts.rules if "test_split" in rule.settings]
    for share, place, refused in ((0.0, None, True), (0.0, False, True), (0.2, None, False), (0.0, "x", False)):
        assert bool(rule.line({"test_split": share, "test_dir": place}, "evaluate")) == refused
    assert rule.line({"test_split": 0.0, "test_dir": None}, "train") is None


def test_weights_know_the_split_of_their_training(tmp_path):
    for name in ("run/checkpoints/best.pt", "run/config/split.json", "models/model.pt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    split, model = str(tmp_path / "run/config/split.json"), tmp_path / "models/model.pt"
    assert split_of(tmp_path / "run/checkpoints/best.pt") == split
    assert split_of(model) is None
    (tmp_path / "models/model.json").write_text(json.dumps({"run_directory": str(tmp_path / "run")}))
    assert split_of(model) == split
    assert split_of(model, "mine.json") == "mine.json"
    (other := tmp_path / "run_2/config/split.json").parent.mkdir(parents=True)
    other.touch()
    assert split_of([model, tmp_path / "run_2/checkpoints/best.pt"]) == [split, str(other)]  # of an ensemble


def test_pictures_of_the_training_cannot_be_tested(folder, tmp_path_factory, caplog):
    parts = image_parts(folder, "edente", test_split=0.25, run_dir=(run := SimpleNamespace(folder=lambda _: None)))
    split = tmp_path_factory.mktemp("run") / "split.json"
    run.folder = lambda _: split.parent
    split.write_text(json.dumps(parts.record()[1]))
    assert names(image_parts(folder, "edente", test_split=0.25, earlier_split=split)) == names(parts)
    with caplog.at_level(logging.WARNING, "medbundles"):
        image_parts(folder, "edente", test_split=0.15, earlier_split=split)
    assert f"the training held back {len(names(parts)['test'])} of these images ({split})" in caplog.text
    with pytest.raises(DataError, match=r"Give all settings of the split that the training had"):
        image_parts(folder, "edente", test_split=0.5, earlier_split=split)
