"""Writes what inference with an autoencoder finds: reconstructions, latents, and how good each is."""

import logging
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ignite.engine import Engine, Events
from PIL import Image

from medbundles.atomic_files import replace_atomic, write_text_atomic
from medbundles.metrics.measures import Reconstruction
from medbundles.metrics.overlap import with_case_scores
from medbundles.reports.tables import csv_text

logger = logging.getLogger("medbundles")
SCORES = ("l1", "mse", "psnr", "ssim")


class ReconstructionWriter:
    """Writes the result of every input; each file is whole or not there.

        <output>/reconstructions/<name>.png   as large as the picture, with its range of values
        <output>/latents/<name>.npz           mean and sigma (L, ...) of the latent
        <output>/reconstructions.csv          L1, MSE, PSNR and SSIM of each (values from 0 to 1), the worst first

    Args:
        output: folder to write to, made when the first result is there.
        latents: whether to write them.
    """

    phase = "end"

    def __init__(self, output: str | Path, latents: bool = True):
        self.output, self.latents, self.measure = Path(output), latents, Reconstruction()
        self.rows: list[dict[str, Any]] = []

    def attach(self, engine: Engine) -> None:
        """Wire it to the evaluator that runs the inference."""
        engine.add_event_handler(Events.STARTED, self.start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self)
        engine.add_event_handler(Events.COMPLETED, self.finish)

    def start(self, engine: Engine) -> None:
        """Forget an earlier run."""
        self.rows = []

    def __call__(self, engine: Engine) -> None:
        batch: Any = engine.state.batch
        output: Any = engine.state.output
        columns = with_case_scores({name: values.cpu().numpy() for name, values in self.measure(output).items()})
        for i, name in enumerate(batch["name"]):
            pred = {key: value[i].float().cpu() for key, value in output["pred"].items()}
            self._picture(self.output / "reconstructions" / f"{name}.png", pred["reconstruction"], batch["value_range"][i])
            if self.latents:
                with replace_atomic(self.output / "latents" / f"{name}.npz") as temporary, temporary.open("wb") as file:
                    np.savez(file, mean=pred["mean"].numpy(), sigma=pred["sigma"].numpy())
            scores = {score: float(columns[score][i]) for score in SCORES}
            self.rows.append({"file": batch["image_path"][i], "name": name, **scores})

    def _picture(self, path: Path, made: torch.Tensor, value_range: torch.Tensor) -> None:
        low, high = value_range.tolist()
        pixels = np.rint(np.clip(made.numpy(), 0, 1) * (high - low) + low).astype(np.uint8)
        with replace_atomic(path) as temporary:
            Image.fromarray(pixels[0] if len(pixels) == 1 else np.moveaxis(pixels, 0, -1)).save(temporary, format="PNG")

    def finish(self, engine: Engine) -> None:
        """Write the table."""
        rows = sorted(self.rows, key=lambda row: row["psnr"])
        header = ["file", "name", *SCORES]
        write_text_atomic(self.output / "reconstructions.csv", csv_text(header, [[r[key] for key in header] for r in rows]))
        mean = np.mean([row["psnr"] for row in rows])
        logger.info("inputs done: %d, mean PSNR %.2f dB; results in %s", len(rows), mean, self.output)
