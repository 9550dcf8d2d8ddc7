from __future__ import annotations

import os

import numpy as np
import pytest
from PIL import Image

from medbundles.data import checked_parts
from medbundles.data.lists import known_pictures
from medbundles.data.lists.known_pictures import KnownPictures
from medbundles.data.problems import Problems


@pytest.fixture
def paths(tmp_path):
    noise = np.random.default_rng(0)
    found = []
    for name in "abc":
        Image.fromarray(noise.integers(0, 255, (40, 40), dtype=np.uint8)).save(tmp_path / f"{name}.png")
        found.append(str(tmp_path / f"{name}.png"))
    return found


@pytest.fixture
def read(monkeypatch):
    """The paths that were read, and how often pictures were compared."""
    seen, real, compare = [], known_pictures.read_thumbnails, known_pictures.alike
    monkeypatch.setattr(
        known_pictures, "read_thumbnails", lambda paths, *more: seen.extend(paths) or real(paths, *more)
    )
    monkeypatch.setattr(known_pictures, "alike", lambda *more: seen.append("compared") or compare(*more))
    return seen


def test_a_second_start_reads_and_compares_nothing(paths, read, tmp_path):
    cache = tmp_path / "cache"
    first = KnownPictures(cache, 1)
    wanted = first.thumbnails(paths, Problems())
    stack = [*wanted.values(), wanted[paths[0]]]
    pairs = first.alike(stack, [0, 1, 2, 3])
    assert [pair[:2] for pair in pairs] == [(0, 3)]
    assert not cache.exists()  # nothing is written before a run starts
    first.save()
    assert read == [*paths, "compared"]
    again = KnownPictures(str(cache), 1)
    assert again.thumbnails(paths, Problems()) == wanted
    assert again.alike(stack, [0, 1, 2, 3]) == pairs
    assert read == [*paths, "compared"]
    assert again.alike(stack, [0, 1, 2, 0]) == []  # pictures of one owner are not compared
    KnownPictures(cache, 3).thumbnails(paths, Problems())  # other channels, other pictures
    assert read == [*paths, "compared", "compared", *paths]


def test_a_changed_picture_is_read_again_and_one_that_is_gone_is_left_out(paths, read, tmp_path):
    first = KnownPictures(tmp_path, 1)
    before = first.thumbnails(paths, Problems())[paths[0]]
    first.save()
    read.clear()
    Image.fromarray(np.arange(1600, dtype=np.uint8).reshape(40, 40)).save(paths[0])
    os.remove(paths[2])
    second = KnownPictures(tmp_path, 1)
    assert second.thumbnails(paths[:2], Problems())[paths[0]] != before
    assert read == [paths[0]]
    second.save()
    assert set(KnownPictures(tmp_path, 1).pictures) == set(paths[:2])


def test_a_picture_that_became_broken_is_no_longer_known(paths, tmp_path):
    first = KnownPictures(tmp_path, 1)
    first.thumbnails(paths, Problems())
    first.save()
    (tmp_path / "a.png").write_bytes(b"broken")
    problems = Problems()
    assert set(KnownPictures(tmp_path, 1).thumbnails(paths, problems)) == set(paths[1:])
    assert "a.png: not a readable image" in problems.text()


@pytest.mark.parametrize("content", [b"", b"no zip", "cut"])
def test_a_broken_file_is_made_again(paths, read, tmp_path, content):
    first = KnownPictures(tmp_path, 1)
    first.thumbnails(paths, Problems())
    first.save()
    whole = first.file.read_bytes()
    first.file.write_bytes(whole[: len(whole) // 2] if content == "cut" else content)
    assert len(KnownPictures(tmp_path, 1).thumbnails(paths, Problems())) == 3
    assert read == [*paths, *paths]


def test_a_start_keeps_what_it_found_when_the_run_starts(paths, read, tmp_path):
    items = [{"image": path, "name": path, "patient": path, "source": "x"} for path in paths]
    parts = checked_parts(cache_dir=tmp_path / "cache", train=items[:2], val=items[2:])
    assert not (tmp_path / "cache").exists()
    parts.record()
    assert len(list((tmp_path / "cache").iterdir())) == 1
    read.clear()
    checked_parts(cache_dir=tmp_path / "cache", train=items[:2], val=items[2:])
    assert read == []


def test_a_long_comparison_is_kept_even_if_the_start_is_refused(tmp_path, monkeypatch, paths, read):
    monkeypatch.setattr(known_pictures, "MANY", 3)
    for folder in (tmp_path / "there", tmp_path / "gone"):
        known = KnownPictures(folder, 1)
        (tmp_path / "there").mkdir(exist_ok=True)
        known.alike([*known.thumbnails(paths, Problems()).values()], [0, 1, 2])
    assert len(KnownPictures(tmp_path / "there", 1).compared) == 1
    assert not (tmp_path / "gone").exists()  # a start that is refused makes no folder


def test_old_comparisons_are_left_out_and_those_of_this_start_stay(tmp_path, monkeypatch, paths):
    monkeypatch.setattr(known_pictures, "KEPT", 2)
    for start in range(4):
        known = KnownPictures(tmp_path / "cache", 1)
        found = known.thumbnails(paths, Problems())
        known.alike([*found.values()], [start, 10, 11])
        known.save()
    again = KnownPictures(tmp_path / "cache", 1)
    assert len(again.compared) == 2
    assert set(again.compared) >= set(known.asked)


def test_pictures_that_are_all_gone_leave_nothing_to_write(tmp_path, paths):
    known = KnownPictures(tmp_path / "cache", 1)
    known.thumbnails(paths, Problems())
    for path in paths:
        os.remove(path)
    known.save()
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize("place", [40, 200, -60], ids=["header", "content", "directory"])
def test_a_damaged_file_is_made_again(tmp_path, paths, place):
    known = KnownPictures(tmp_path / "cache", 1)
    wanted = known.thumbnails(paths, Problems())
    known.save()
    content = bytearray(known.file.read_bytes())
    for offset in range(8):
        content[place + offset] ^= 0xFF
    known.file.write_bytes(content)
    assert KnownPictures(tmp_path / "cache", 1).thumbnails(paths, Problems()) == wanted


def test_a_folder_that_cannot_be_written_costs_only_time(tmp_path, paths, caplog):
    (tmp_path / "file").write_text("")
    known = KnownPictures(tmp_path / "file/cache", 1)
    known.thumbnails(paths, Problems())
    known.save()
    assert "is not kept for the next start" in caplog.text
