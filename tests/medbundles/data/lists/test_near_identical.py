"""Copies of a picture are found whatever was done to them; different pictures are not."""

import time
from itertools import pairwise

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw
from scipy import ndimage

from medbundles.data.lists.likeness import _correlation, _laid_on, _local_contrast, alike
from medbundles.data.lists.near_identical import Pair, joined, near_identical, owner_of, table_of, without_different
from medbundles.data.problems import Problems
from medbundles.data.reading.files import list_images
from medbundles.data.reading.thumbnails import content, packed, read_thumbnails, thumbnail, unpacked
from medbundles.errors import ConfigError


def picture(seed: int, height: int = 200, width: int = 300) -> np.ndarray:
    """(H, W) texture of many sizes, 30 to 220."""
    rng = np.random.default_rng(seed)
    layers = [ndimage.gaussian_filter(rng.normal(size=(height, width)), sigma) * sigma for sigma in (3, 6, 15)]
    total = sum(layers)
    return (30 + 190 * (total - total.min()) / np.ptp(total)).astype(np.uint8)


def with_text(x):
    image = Image.fromarray(x)
    draw = ImageDraw.Draw(image)
    draw.text((20, 20), "PATIENT 12 L", fill=255)
    draw.line((100, 80, 150, 110), fill=255, width=3)
    return np.asarray(image)


CHANGES = {
    "half": lambda x: np.asarray(Image.fromarray(x).resize((x.shape[1] // 2, x.shape[0] // 2))),
    "darker": lambda x: (255 * (x / 255) ** 2).astype(np.uint8),
    "text": with_text,
    "frame": lambda x: np.pad(np.pad(x, 30), 12, constant_values=255),
    "cut left": lambda x: x[:, x.shape[1] // 10 :],
    "cut bottom": lambda x: x[: -x.shape[0] // 10],
    "cut corner": lambda x: x[x.shape[0] // 10 :, : -x.shape[1] // 10],
    "cut a little at a corner": lambda x: x[x.shape[0] // 20 :, x.shape[1] // 20 :],
    "cut left and right": lambda x: x[:, x.shape[1] // 10 : -x.shape[1] // 10],
    "cut top and bottom": lambda x: x[x.shape[0] // 10 : -x.shape[0] // 10],
    "flipped": lambda x: x[:, ::-1],
    "inverted": lambda x: 255 - x,
}


def small(*pictures):
    return [packed(thumbnail(x[None].astype(np.float32))) for x in pictures]


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_copy_is_found_among_others(change):
    originals = [picture(seed) for seed in range(6)]
    found = alike(small(*originals, CHANGES[change](originals[2])), range(7))
    assert [pair[:2] for pair in found] == [(2, 6)]
    assert found[0][2] > 0.87


def test_changed_copies_are_found_among_more_pictures_than_components():
    originals = [picture(seed, 80, 120) for seed in range(300)]
    copies = [change(originals[number]) for number, change in enumerate(CHANGES.values())]
    found = {pair[:2] for pair in alike(small(*originals, *copies), range(300 + len(copies)))}
    assert found == {(number, 300 + number) for number in range(len(copies))}


def test_the_order_of_the_files_decides_nothing(real_data):
    """Copies at the border of being found: a look from the other one of a pair may see more."""
    paths = sorted((real_data / "lgg_kaggle3m").rglob("*_mask.tif"))[::12]
    images = [np.asarray(Image.open(str(path).replace("_mask", "")))[..., 1] for path in paths]
    both = images + [np.clip(128 + 1.5 * (image - 128.0), 0, 255).astype(np.uint8) for image in images]
    pictures, seen = small(*both), []
    for seed in range(3):
        order = np.random.default_rng(seed).permutation(len(both))
        found = alike([pictures[place] for place in order], list(range(len(both))))
        seen.append({(frozenset((int(order[i]), int(order[j]))), round(value, 3)) for i, j, value in found})
    assert len(seen[0]) > 5
    assert seen[0] == seen[1] == seen[2]


def test_pictures_of_one_owner_are_not_compared():
    assert alike(small(picture(0), picture(0)), [5, 5]) == []
    assert [pair[:2] for pair in alike(small(picture(0), picture(0)), [5, 6])] == [(0, 1)]


def test_content_is_what_is_inside_even_borders():
    gray = np.full((256, 512), 255, dtype=np.float32)
    gray[32:224, 64:448] = 0
    gray[64:192, 128:384] = picture(1, 128, 256)
    rows, columns = content(gray)
    assert abs(rows.start - 64) <= 2
    assert abs(rows.stop - 192) <= 2
    assert abs(columns.start - 128) <= 4
    assert abs(columns.stop - 384) <= 4


def test_a_thumbnail_is_an_average_and_survives_as_text():
    x = np.kron(np.random.default_rng(0).integers(0, 256, (64, 64)), np.ones((4, 4)))[None]
    wanted = (x[0, ::4, ::4] - x.min()) * 255 / np.ptp(x)
    assert np.abs(thumbnail(x).astype(float) - wanted).max() <= 0.5001
    assert np.array_equal(unpacked(packed(thumbnail(x))), thumbnail(x))
    with pytest.raises(ValueError, match="no thumbnail"):
        unpacked("bm9uZQ==")


def test_correlation_is_pearsons_inside():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 8, 8)), rng.normal(size=(2, 8, 8))
    inside = rng.random((2, 8, 8)) > 0.3
    wanted = [np.corrcoef(a[n][inside[n]], b[n][inside[n]])[0, 1] for n in range(2)]
    got = _correlation(*(torch.tensor(x).float() for x in (a, b, inside)))
    assert np.allclose(got, wanted, atol=1e-6)


def test_local_contrast_does_not_change_with_brightness_and_contrast():
    x = torch.tensor(picture(3, 64, 64)[None] / 255).float()
    assert torch.allclose(_local_contrast(x, 2), _local_contrast(0.3 * x + 0.4, 2), atol=1e-3)


def test_scale_and_shift_are_found():
    """A map squeezed by 6 % and shifted by 3 % of a side is laid on the original."""
    line = (2 * np.arange(64) + 1) / 64 - 1
    wave = lambda x, y: np.sin(7 * x + 2 * y) + np.cos(9 * y - 3 * x) + np.sin(4 * x * y + 1)  # noqa: E731
    x, y = np.meshgrid(line, line)
    fixed, moving = wave(x, y), wave(x / 0.94 - 0.06 / 0.94, y)  # moving at 0.94 x + 0.06 is fixed at x
    tensors = [torch.tensor(each[None]).float() for each in (fixed, moving)]
    where, likeness = _laid_on(*tensors, torch.tensor([[1.0, 0, 1, 0]]), steps=8)
    assert torch.allclose(where, torch.tensor([[0.94, 0.06, 1, 0]]), atol=0.01)
    assert likeness > 0.99


def items_of(folder, pictures):
    found = []
    for name, x in pictures.items():
        path = folder / name
        Image.fromarray(x).save(path)
        found.append({"image": str(path), "name": path.stem, "patient": path.stem, "source": "x"})
    return found, read_thumbnails([item["image"] for item in found], 1, Problems())


def test_all_of_many_copies_are_joined(tmp_path):
    """More of them than are looked at for each picture, in two kinds of which each is nearest to its own."""
    halved = CHANGES["half"](picture(0))
    kinds = {f"a{n}.png": picture(0) for n in range(5)} | {f"b{n}.jpg": halved for n in range(5)}
    items, thumbnails = items_of(tmp_path, kinds | {"c.png": picture(1)})
    heads = joined(near_identical(items, thumbnails), map(owner_of, items))
    assert len({heads[owner_of(item)] for item in items if item["name"] != "c"}) == 1
    assert len(set(heads.values())) == 2


def test_of_patients_with_many_pictures_those_without_copies_are_compared_once(tmp_path):
    """Each round compares all that is given to it, which takes minutes of many pictures."""
    pictures = {f"{n}.png": picture(n) for n in range(10)} | {"copy.jpg": picture(0)}
    items, thumbnails = items_of(tmp_path, pictures)
    for n, item in enumerate(items):
        item["patient"] = f"p{n % 2}" if n < 10 else "p2"
    rounds = []
    near_identical(items, thumbnails, lambda small, owners: rounds.append(len(small)) or alike(small, owners))
    assert rounds == [11, 6]  # the second time those of p0, who has a copy


def test_a_pair_can_be_accepted_as_different(tmp_path):
    items, thumbnails = items_of(tmp_path, {"a.png": picture(0), "b.jpg": picture(0), "c.png": picture(1)})
    pairs, names = near_identical(items, thumbnails), [item["name"] for item in items]
    (row,) = table_of(pairs)
    assert (row["first"], row["second"]) == ("a", "b")
    assert row["likeness"] > 0.95
    assert without_different(pairs, [["b", "a"]], names) == []
    assert without_different(pairs, [["a", "c"]], names) == pairs
    table = tmp_path / "different.csv"
    table.write_text(f"first,second,likeness\na,b,{row['likeness']}\n")
    assert without_different(pairs, str(table), names) == []
    for wrong in ([["a", "d"]], [["a"]], ["ab"]):
        with pytest.raises(ConfigError, match=r"different_pictures: .* must be two names of images"):
            without_different(pairs, wrong, names)


def test_a_broken_picture_is_noted(tmp_path):
    (tmp_path / "bad.png").write_bytes(b"x")
    Image.fromarray(np.full((9, 9), 7, dtype=np.uint8)).save(tmp_path / "even.png")
    problems = Problems()
    assert read_thumbnails([str(tmp_path / "bad.png"), str(tmp_path / "even.png")], 1, problems) == {}
    assert "bad.png: not a readable image" in problems.text()
    assert "even.png: the image is constant" in problems.text()


def real_items(*folders):
    paths = [path for folder in folders for path in list_images(folder) if not path.stem.endswith("_mask")]
    return [{"image": str(p), "name": f"{p.parent.name}/{p.name}", "patient": p.parent.name} for p in paths]


def of_themselves(items):
    return [item | {"patient": item["name"]} for item in items]


def pairs_of(items):
    return near_identical(items, read_thumbnails([item["image"] for item in items], 1, Problems()))


def test_the_known_copies_of_real_pictures(real_data):
    items = of_themselves(real_items(real_data / "kaggle_yesno"))
    heads = joined(pairs_of(items), map(owner_of, items))
    group = {item["name"].split("/")[1].split(".")[0]: heads[owner_of(item)] for item in items}
    for same in (["Y92", "Y20"], ["no 94", "1 no", "no 1", "49 no"], ["no 4", "N3", "8 no", "38 no"], ["Y21", "Y91"]):
        assert len({group[name] for name in same}) == 1, same
    dental = real_data / "dental_panoramic"
    items = of_themselves(real_items(dental / "full/images", dental / "small512/images"))
    items = [item | {"name": item["image"], "patient": item["image"]} for item in items]
    found = {tuple(sorted(name.split("/")[-1] for name in pair.names)) for pair in pairs_of(items)}
    assert found == {(path.name, path.name) for path in list_images(dental / "full/images")}


def test_no_pair_among_different_real_pictures(real_data):
    for folder in ("dental_panoramic/small512/images", "jsrt_lungs/images"):
        assert pairs_of(of_themselves(real_items(real_data / folder))) == []
    assert pairs_of(real_items(real_data / "lgg_kaggle3m")) == []


def test_a_long_chain_of_copies_is_joined_in_one_go():
    """Each joined to the next, the last first: without shortening the way this took 25 s for 20,000."""
    items = [{"image": f"{i:06d}", "name": str(i), "patient": str(i)} for i in range(20_000)]
    pairs = [Pair(first, second, 1.0) for first, second in pairwise(items)]
    begin = time.process_time()
    assert len(set(joined(reversed(pairs), map(owner_of, items)).values())) == 1
    assert time.process_time() - begin < 3
