"""Splits keep patients whole and proportions close; leaks are found."""

import random

import pytest

from medbundles.data import check_no_leak, split_by_patient
from medbundles.data.lists.near_identical import Pair
from medbundles.data.lists.splits import leaks
from medbundles.data.reading.files import content_id
from medbundles.errors import DataError


@pytest.mark.parametrize("trial", range(60))
def test_properties(trial):
    rng = random.Random(trial)
    groups = {f"p{i}": rng.choice("abc") for i in range(rng.randint(1, 120))}
    ratios = rng.choice([(0.7, 0.15, 0.15), (0.8, 0.1, 0.1), (0.5, 0.5, 0.0), (1 / 3, 1 / 3, 1 / 3)])
    parts = split_by_patient(groups, ratios, seed=trial)
    everyone = [patient for members in parts.values() for patient in members]
    assert sorted(everyone) == sorted(groups)  # nobody twice, nobody lost
    shuffled = dict(rng.sample(sorted(groups.items()), len(groups)))
    assert split_by_patient(shuffled, ratios, seed=trial) == parts
    live = [part for part, share in zip(parts, ratios, strict=True) if share > 0]
    assert all(not parts[part] for part in parts if part not in live)
    if len(groups) >= len(live):
        assert all(parts[part] for part in live)
    for stratum in "abc":
        members = {patient for patient in groups if groups[patient] == stratum}
        counts = {part: len(members & set(parts[part])) for part in parts}
        if len(members) >= len(live):
            assert all(counts[part] for part in live)
    for part, share in zip(parts, ratios, strict=True):
        assert abs(len(parts[part]) - share * len(groups)) <= 3  # one per stratum at most


def test_proportions_seed_and_names():
    groups = {f"p{i:03d}": i % 2 for i in range(200)}
    parts = split_by_patient(groups, {"train": 0.8, "val": 0.2}, seed=0)
    assert {part: len(members) for part, members in parts.items()} == {"train": 160, "val": 40}
    assert sum(groups[patient] for patient in parts["val"]) == 20
    assert split_by_patient(groups, {"train": 0.8, "val": 0.2}, seed=1) != parts


@pytest.mark.parametrize("ratios", [(0.7, 0.2, 0.2), (1.2, -0.1, -0.1), (0.5, 0.5, 0.5)])
def test_wrong_ratios(ratios):
    with pytest.raises(DataError, match="must add up to 1"):
        split_by_patient({"a": 0}, ratios, 0)


def item(path, patient, name=None, source="slices"):
    return {"image": str(path), "patient": patient, "name": name or f"{patient}/{path.stem}", "source": source}


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def test_leaks(tmp_path):
    one, two, same = (write(tmp_path / f"{n}.png", c * 9000) for n, c in (("1", b"a"), ("2", b"b"), ("3", b"a")))
    check_no_leak({"train": [item(one, "p1")], "val": [item(two, "p2")]})
    with pytest.raises(DataError, match=r"patient p1 \(slices\): is in train and val"):
        check_no_leak({"train": [item(one, "p1")], "val": [item(two, "p1")]})
    with pytest.raises(DataError, match=r"1\.png: \(train\) is byte-identical to .*3\.png \(test\)"):
        check_no_leak({"train": [item(one, "p1")], "val": [item(two, "p2")], "test": [item(same, "p3")]})
    with pytest.raises(DataError, match=r"1\.png: is in train and val"):
        check_no_leak({"train": [item(one, "1", "1")], "val": [item(one, "1", "1")]})


def test_a_patient_in_two_sets_is_one_leak_with_all_its_images(tmp_path):
    """Also where the images are one file, or copies; a copy of another patient's is a leak of its own."""
    files = [write(tmp_path / f"{n}.png", c * 9000) for n, c in enumerate((b"a", b"b", b"a", b"b", b"a"))]
    train, val = [item(files[0], "p1"), item(files[1], "p1")], [item(files[1], "p1"), item(files[2], "p1")]
    val[1] |= {"content": content_id(files[0])}
    pair = Pair(train[1], item(files[3], "p1"), 0.99)
    found = leaks({"train": train, "val": [*val, pair.second]}, [pair])
    assert found.found == [("patient p1 (slices)", "is in train and val")]
    found = leaks({"train": train, "val": [*val, item(files[4], "p2")]})
    assert [what.partition(" ")[0] for what, _ in found.found] == ["patient", str(files[0])]
    with pytest.raises(DataError, match=r"(?s)^1 leak\(s\).*Put all images of a patient, and all copies"):
        check_no_leak({"train": train, "val": val})


def test_of_pictures_that_look_alike_the_advice_says_how_to_tell(tmp_path):
    one, two = (item(write(tmp_path / f"{n}.png", bytes([n]) * 90), str(n), str(n)) for n in range(2))
    with pytest.raises(DataError, match=r"(?s)likeness 0\.88.*likeness below 0\.95.*name them in different_pictures"):
        check_no_leak({"train": [one], "val": [two]}, [Pair(one, two, 0.88)])


def test_what_is_no_leak(tmp_path):
    one, two = write(tmp_path / "train/1.png", b"a" * 50), write(tmp_path / "val/1.png", b"b" * 50)
    # images without a known patient that happen to have the same name
    check_no_leak({"train": [item(one, "1", "1")], "val": [item(two, "1", "1")]})
    # the same id in two sources
    check_no_leak({"train": [item(one, "p")], "val": [item(two, "p", source="images")]})
    # copies inside one part
    copy = write(tmp_path / "train/2.png", b"a" * 50)
    check_no_leak({"train": [item(one, "p"), item(copy, "p")], "val": [item(two, "q")]})


def test_lists_of_files_leak_by_any_of_them(tmp_path):
    files = [write(tmp_path / f"{n}.nii", bytes([n]) * 50) for n in range(4)]
    first, second = item(files[0], "p"), item(files[2], "q")
    first["image"], second["image"] = [str(files[0]), str(files[1])], [str(files[2]), str(files[3])]
    check_no_leak({"train": [first], "val": [second]})
    files[3].write_bytes(files[0].read_bytes())
    with pytest.raises(DataError, match=r"0\.nii: \(train\) is byte-identical to .*3\.nii \(val\)"):
        check_no_leak({"train": [first], "val": [second]})
