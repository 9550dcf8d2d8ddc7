"""Settings of the run and of inference: what is followed, kept and drawn, and what inference makes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.bundles.common_settings.inference import INFERENCE, writer
from tests.bundles.common_settings.run import FOLDERS, RUNNING, followed, last_is_best, monitor, named, names, seeded
from tests.bundles.setting_bench import Bench, handler
from tests.bundles.setting_check import Check


def of_handler(name: str, attribute: str) -> Callable[..., Any]:
    """What a handler of the training was told."""
    return lambda bench, **turned: getattr(handler(bench.workflow(**turned), name), attribute)


def split(bench: Bench, **turned: Any) -> dict[str, list[str]]:
    parts = bench.get("data", **turned)
    return {part: [item["name"] for item in items] for part, items in parts.items()}


def drawn(bench: Bench, **turned: Any) -> float:
    """A number of a latent that inference draws."""
    return float(bench.get("preprocessing", "inference", **turned)({"sample": 0})["latent"].sum())


def given_parts(bench: Any) -> dict[str, Any]:
    """Folders for validation and test, so that nothing is shared out by chance."""
    return {"val_dir": str(bench.other_data / "edente"), "test_dir": str(bench.other_data / "dente")}


def seeded_with_given_parts(bench: Bench, **turned: Any) -> dict[str, Any]:
    return seeded(bench, **given_parts(bench), **turned)


def writes_latents(bench: Bench, **turned: Any) -> bool:
    return writer(bench, **turned).latents


def made_of(*keys: str) -> Callable[..., list[str]]:
    """The files that inference makes images of, as its items name them."""

    def see(bench: Bench, **turned: Any) -> list[str]:
        items = bench.get("data", "inference", **turned)
        return sorted({item[key] for item in items for key in keys if key in item})

    return see


def number(bench: Bench, **turned: Any) -> int:
    """How many images inference makes."""
    return len(bench.get("data", "inference", **turned))


def size_of_sample(bench: Bench, **turned: Any) -> list[int]:
    return bench.get("preprocessing", "inference", **turned)({"sample": 0})["size"].tolist()


def two(bench: Any) -> list[str]:
    return [bench.image, bench.other_image]


def between(bench: Any, **turned: Any) -> int:
    return number(bench, interpolate=two(bench), **turned)


RUN = {
    **RUNNING,
    **FOLDERS,
    **INFERENCE,
    "experiment#name": Check(names, "mine", named("mine")),
    # in place of the shared ones: smaller is better unless set
    "early_stopping#monitor": Check(monitor, "val_loss", {**last_is_best(0.2), "key metric": "val_loss"}),
    "early_stopping#mode": Check(followed, "max", last_is_best(0.4), along={"early_stopping#monitor": "val_psnr"}),
    "seed": Check(seeded_with_given_parts, 7),  # in place of the shared one: the split hangs on it too
    "seed (split)": Check(split, 7),
    "seed (inference)": Check(drawn, 7),
    "ema_decay": Check(of_handler("Ema", "decay"), 0.9, 0.9),
    "picture_interval": Check(of_handler("ReconstructionPictures", "every"), 2, 2),
    "picture_interval (TensorBoard)": Check(of_handler("TensorBoard", "image_interval"), 2, 2),
    "latents": Check(writes_latents, False, False),
    "decode": Check(made_of("latent"), lambda bench: str(bench.latent), lambda bench: [str(bench.latent)]),
    "sample": Check(number, 3, 3),
    "sample_size": Check(size_of_sample, [24, 40], [24, 40]),
    "interpolate": Check(made_of("image", "other"), two, lambda bench: sorted(two(bench))),
    "interpolate_steps": Check(between, 3, 3),
}
