"""What costs nothing, by hand on small arrays, and on the real protocol."""

from __future__ import annotations

import io
import logging

import numpy as np
import pytest
import torch
from PIL import Image

from medbundles.data import SeededDataset
from medbundles.metrics import Baselines
from medbundles.metrics.block_pca import BlockPCA
from medbundles.metrics.jpeg import best_jpeg
from medbundles.metrics.overlap import with_case_scores
from medbundles.metrics.shrinking import shrunk_and_enlarged


def smooth(channels: int, *sides: int, seed: int = 0) -> torch.Tensor:
    """An image 0 to 1 with structure, (C, ...)."""
    rng = np.random.default_rng(seed)
    grid = np.meshgrid(*(np.arange(n) for n in sides), indexing="ij")
    waves = [sum(np.sin(rng.uniform(0.1, 0.6) * g + rng.uniform(0, 6)) for g in grid) for _ in range(channels)]
    image = np.stack(waves) + 0.05 * rng.normal(size=(channels, *sides))
    return torch.from_numpy((image - image.min()) / np.ptp(image)).float()


@pytest.mark.parametrize(
    ("size", "numbers", "small"), [((50, 37), 460, (25, 18)), ((40, 64), 279, (13, 21)), ((50, 104), 1352, (25, 54))]
)
def test_bicubic_is_pillows_at_no_more_numbers(size, numbers, small):
    image = smooth(1, *size)
    picture = Image.fromarray(image[0].numpy())
    wanted = picture.resize(small[::-1], Image.Resampling.BICUBIC).resize(size[::-1], Image.Resampling.BICUBIC)
    assert shrunk_and_enlarged(image, numbers)[0].numpy() == pytest.approx(np.asarray(wanted).clip(0, 1), abs=1e-5)


def test_a_volume_becomes_area_means_between_which_lines_are_drawn():
    image = torch.tensor([[[[0.0, 0.4, 0.6, 1.0]]]]).expand(1, 4, 4, 4)
    made = shrunk_and_enlarged(image, 8)  # two means a side, .2 and .8, at 0.5 and 2.5
    assert made[0, 1, 2].tolist() == pytest.approx([0.2, 0.35, 0.65, 0.8], abs=1e-6)


def test_an_image_that_the_latent_could_hold_whole_stays():
    image = smooth(1, 9, 12)
    assert shrunk_and_enlarged(image, image.numel()) == pytest.approx(image, abs=1e-6)


def test_where_the_latent_is_no_smaller_than_the_image_there_is_no_baseline(caplog):
    image = smooth(1, 16, 24)[None]
    columns = Baselines(factor=2, latent_channels=8)({"pred": image, "label": image})
    assert not [name for name in columns if name.endswith(("bicubic", "pca"))]
    assert "nothing is compressed" in caplog.text


@pytest.mark.parametrize("shape", [(1, 16, 24), (3, 8, 16), (1, 8, 8, 16)])
def test_pca_is_the_nearest_of_all_linear_codes(shape):
    """Against the singular value decomposition of all blocks, cut out by hand."""
    side, numbers = 4, 5
    images = [smooth(*shape, seed=s) for s in range(4)]

    def blocks(image: torch.Tensor) -> tuple[np.ndarray, list]:
        corners = [np.array(c) * side for c in np.ndindex(*(n // side for n in image.shape[1:]))]
        places = [(slice(None), *(slice(c, c + side) for c in corner)) for corner in corners]
        return np.stack([image.double().numpy()[place].ravel() for place in places]), places

    samples = np.concatenate([blocks(image)[0] for image in images])
    mean = samples.mean(0)
    basis = np.linalg.svd(samples - mean, full_matrices=False)[2][:numbers]
    pca = BlockPCA(iter(images), side, numbers)
    cut, places = blocks(images[1])
    wanted = np.empty(shape)
    for place, block in zip(places, (cut - mean) @ basis.T @ basis + mean, strict=True):
        wanted[place] = block.reshape(wanted[place].shape)
    assert pca(images[1]).numpy() == pytest.approx(wanted.clip(0, 1), abs=1e-6)


def test_an_image_of_no_whole_blocks_has_its_border_repeated_and_is_cropped_back():
    images = [smooth(1, 16, 16, seed=s) for s in range(3)]
    pca, image = BlockPCA(images, 4, 6), smooth(1, 13, 18, seed=9)
    padded = torch.from_numpy(np.pad(image.numpy(), ((0, 0), (0, 3), (0, 2)), mode="edge"))
    assert torch.equal(pca(image), pca(padded)[:, :13, :18])


@pytest.mark.parametrize("channels", [1, 3])
def test_the_best_jpeg_that_fits(channels):
    image = smooth(channels, 48, 40)
    pixels = np.rint(255 * image.numpy()).astype(np.uint8)
    picture = Image.fromarray(pixels[0] if channels == 1 else np.moveaxis(pixels, 0, -1))
    sizes = []
    for quality in range(1, 96):
        file = io.BytesIO()
        picture.save(file, "JPEG", quality=quality, optimize=True)
        sizes.append(file.tell())
    limit = sorted(sizes)[60] + 1
    made, size = best_jpeg(image, limit)
    assert size == max(n for n in sizes if n <= limit)
    assert made.shape == image.shape
    assert (made - image).abs().mean() < 0.05
    none, size = best_jpeg(image, 100)  # less than a file's header
    assert none.isnan().all()
    assert np.isnan(size)


def test_the_pca_is_fitted_on_whole_training_images_as_they_are_and_each_image_is_measured_once(monkeypatch):
    class Blank:
        def set_random_state(self, seed: int) -> None: ...

        def __call__(self, item: dict) -> dict:
            return {"image": torch.zeros(1, 8, 8)}

    images = [smooth(1, 32, 24, seed=s) for s in range(4)]
    data = SeededDataset(
        [{"image": str(i)} for i in range(3)], lambda item: {"image": images[int(item["image"])]}, Blank()
    )
    measure = Baselines(factor=4, latent_channels=2, dataset=data)
    columns = measure({"pred": images[3][None], "image": images[3][None], "label": None})
    wanted = BlockPCA(images[:3], 8, 8)(images[3])
    error = (wanted - images[3]).double().square().sum().item()
    assert columns["squared_error_pca"].tolist() == pytest.approx([error])
    assert columns["size_pca"].tolist() == [32 * 24]
    monkeypatch.setattr(measure, "measure", None)  # any further measuring fails
    both = torch.stack([images[3], images[3]])
    again = measure({"pred": both, "label": both})
    found, first = ({n: v[-1].item() for n, v in batch.items()} for batch in (again, columns))
    assert found == pytest.approx(first, nan_ok=True)


def test_what_does_not_fit_is_left_out_and_the_log_says_why(caplog):
    caplog.set_level(logging.INFO, "medbundles")
    image = smooth(1, 16, 16)[None]
    assert not [n for n in Baselines(4, 4)({"pred": image, "label": image}) if "pca" in n]
    assert "no PCA, as there are no training images" in caplog.text
    large = Baselines(64, 4, SeededDataset([{"image": "a"}], lambda _: {"image": image[0]}))
    assert not [n for n in large({"pred": image, "label": image}) if "pca" in n]
    assert "no PCA, as a block has 4096 values, more than 2048" in caplog.text
    volume = smooth(1, 8, 8, 8)[None]
    assert {n.rpartition("_")[2] for n in Baselines(2, 4)({"pred": volume, "label": volume})} == {"bicubic"}


def test_real_pictures_give_the_figures_of_the_reference(real_data):
    """The last 20 in the order of names as text, the PCA fitted on the other 50."""
    files = sorted((real_data / "dental_panoramic/small512/images").glob("*.png"), key=lambda path: path.name)
    if len(files) != 70:
        pytest.skip(f"no dental_panoramic/small512 in {real_data}")

    def read(item: dict) -> dict:
        return {"image": torch.from_numpy(np.asarray(Image.open(item["image"]).convert("L")) / np.float32(255))[None]}

    items = [{"image": str(file)} for file in files]
    measure, rows = Baselines(4, 4, SeededDataset(items[:-20], read, cache="none")), []
    for item in items[-20:]:
        image = read(item)["image"][None]
        rows.append({name: value.numpy() for name, value in measure({"pred": image, "label": image}).items()})
    scores = with_case_scores({name: np.concatenate([row[name] for row in rows]) for name in rows[0]})
    for name, psnr, ssim in (("bicubic", 36.1, 0.964), ("pca", 39.5, 0.971)):
        assert scores[f"psnr_{name}"].mean() == pytest.approx(psnr, abs=0.1)
        assert scores[f"ssim_{name}"].mean() == pytest.approx(ssim, abs=0.002)
    assert (scores["jpeg_bytes"] <= 4 * 64 * 128).all()
