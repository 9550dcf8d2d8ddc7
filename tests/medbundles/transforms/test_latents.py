"""Latents from files and drawn ones; what is not a latent of this network is named."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from medbundles.data.reading.image_form import ImageForm
from medbundles.data.reading.latents import Latent
from medbundles.errors import DataError
from medbundles.transforms import LoadLatent, LoadOther, LoadWholeImage, PrepareLatentBatch

LOAD = LoadLatent(channels=2, factor=4, sample_size=(9, 16), seed=3)
RNG = np.random.default_rng(0)


def a_latent(**changes):
    mean, std = RNG.normal(size=(2, 3, 4)).astype(np.float32), np.full((2, 3, 4), 0.5, np.float32)
    form = ImageForm(".tif", "uint16", (10, 13))
    return Latent(**{"mean": mean, "std": std, "size": (10, 13), "value_range": (7.0, 900.0), "form": form, **changes})


def test_a_latent_is_read_as_it_was_written(tmp_path):
    latent = a_latent()
    latent.write(tmp_path / "a.npz")
    found = Latent.read(tmp_path / "a.npz")
    np.testing.assert_array_equal(found.mean, latent.mean)
    np.testing.assert_array_equal(found.std, latent.std)
    assert (found.size, found.value_range, found.form) == (latent.size, latent.value_range, latent.form)
    item = LOAD({"latent": str(tmp_path / "a.npz"), "name": "a"})
    assert torch.equal(item["latent"], torch.from_numpy(latent.mean))
    assert (item["size"].tolist(), item["value_range"].tolist()) == ([10, 13], [7.0, 900.0])


def changed(path, **changes):
    with np.load(path) as file:
        arrays = {**file, **changes}
    np.savez(path, **{name: value for name, value in arrays.items() if value is not None})


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"mean": None}, "lacks 'mean"),
        ({"ending": None}, "lacks 'ending"),
        ({"mean": np.full((2, 3, 4), np.nan)}, "NaN or Inf"),
        ({"std": np.ones((2, 3, 5))}, "do not belong"),
        ({"size": np.array([10, 13, 4])}, "do not belong"),
        ({"size": np.array([10, 17])}, "another network"),
        ({"mean": np.zeros((3, 3, 4)), "std": np.ones((3, 3, 4))}, "another network"),
        ({"ending": "../../x.sh"}, "unknown ending"),
        ({"dtype": "nonsense"}, "is no latent"),
        ({"mean": np.array([{"a": 1}], dtype=object)}, "is no latent"),  # pickled code is not run
    ],
)
def test_what_is_no_latent_of_this_network_is_named(tmp_path, changes, words):
    a_latent().write(tmp_path / "bad.npz")
    changed(tmp_path / "bad.npz", **changes)
    with pytest.raises(DataError, match=words) as caught:
        LOAD({"latent": str(tmp_path / "bad.npz")})
    assert "bad.npz" in str(caught.value)


def test_a_broken_file_is_named(tmp_path):
    a_latent().write(tmp_path / "a.npz")
    whole = (tmp_path / "a.npz").read_bytes()
    for name, content in {"cut.npz": whole[:300], "text.npz": b"no latent", "empty.npz": b""}.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(DataError, match=name):
            LOAD({"latent": str(tmp_path / name)})


def test_draws_are_normal_and_depend_on_seed_and_number_alone():
    one, two = (LOAD({"sample": number})["latent"] for number in (0, 1))
    assert one.shape == (2, 3, 4)
    assert torch.equal(one, LOAD({"sample": 0})["latent"])
    assert not torch.equal(one, two)
    assert not torch.equal(one, LoadLatent(2, 4, (9, 16), seed=4)({"sample": 0})["latent"])
    many = LoadLatent(4, 1, (100, 100))({"sample": 0})["latent"]
    assert abs(float(many.mean())) < 0.02  # 4 standard errors of 40,000 draws
    assert float(many.std()) == pytest.approx(1, abs=0.015)


def test_another_image_becomes_as_large_and_the_range_lies_between(tmp_path):
    np.save(tmp_path / "a.npy", RNG.uniform(0, 10, (8, 12)).astype(np.float32))
    np.save(tmp_path / "b.npy", np.linspace(100, 300, 48 * 64).reshape(48, 64).astype(np.float32))
    load = LoadWholeImage()
    first = load({"image": str(tmp_path / "a.npy")})
    item = LoadOther(load)({**first, "other": str(tmp_path / "b.npy"), "weight": 0.25})
    assert item["other"].shape == item["image"].shape == (1, 8, 12)
    low, high = first["value_range"].tolist()
    assert item["value_range"].tolist() == pytest.approx([0.75 * low + 25, 0.75 * high + 75])
    assert item["other"].mean() == pytest.approx(0.5, abs=0.01)  # a slope keeps its mean
    assert LoadOther(load)(first) == first


def test_a_batch_says_what_the_inferer_is_to_do():
    prepare, image = PrepareLatentBatch(), torch.rand(1, 1, 8, 8)
    inputs, target, args, kwargs = prepare({"image": image}, "cpu")
    assert inputs is image
    assert target is image
    assert (args, kwargs) == ((), {})
    latent = {"latent": torch.rand(1, 2, 2, 2), "size": torch.tensor([[8, 7]])}
    inputs, target, _, kwargs = prepare(latent, "cpu")
    assert inputs is latent["latent"]
    assert (target, kwargs) == (None, {"size": (8, 7)})
    _, target, _, kwargs = prepare({"image": image, "other": image + 1, "weight": torch.tensor([0.5])}, "cpu")
    assert target is None
    assert kwargs["weight"] == 0.5
    assert torch.equal(kwargs["other"], image + 1)
