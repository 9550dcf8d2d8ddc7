"""Writes what inference with an autoencoder makes: images in the form of their inputs, latents and figures."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ignite.engine import Engine

from medbundles.atomic_files import replace_atomic, write_text_atomic
from medbundles.data.reading.image_form import ImageForm, volume_info
from medbundles.data.reading.latents import Latent
from medbundles.metrics.baselines import Baselines
from medbundles.metrics.latent import Latent as LatentMeasure
from medbundles.metrics.measures import Reconstruction
from medbundles.metrics.overlap import with_case_scores
from medbundles.metrics.scores import score
from medbundles.metrics.weighted import value_of
from medbundles.ranks import gathered, is_rank_0, wait_for_all
from medbundles.reports.contact_sheet import ContactSheet
from medbundles.reports.result_writer import ResultWriter
from medbundles.reports.tables import csv_text

logger = logging.getLogger("medbundles")
SCORES = ("l1", "mse", "psnr", "ssim", "psnr_bicubic", "kl")
COLUMNS = ("file", "name", *SCORES, "reconstruction", "latent", "outside")


class ReconstructionWriter(ResultWriter):
    """Writes the result of every item; each file is whole or not there.

        <output>/<folder>/<name>.png, ...     the image, in the format, range, depth and geometry of its input (a JPEG
                                              becomes a PNG, see `ImageForm`); <folder> is the item's
        <output>/<folder>/<sheet>.png         the images of a row side by side, of samples and of an interpolation
        <output>/latents/<name>.npz           see `Latent`; of reconstructions
        <output>/reconstructions.csv          L1, MSE, PSNR, SSIM (values from 0 to 1), KL and the PSNR of a bicubic
                                              reconstruction of as many numbers, of each, the worst first
        <output>/predictions.json             the same, and the weights' file; by it `existing: "skip"` goes on

    An image is written after its latent, so where it is, the input is done.

    Args:
        output: folder to write to, made when the first result is there.
        latents: whether to write them.
        checkpoint: file whose weights are used, known again by a hash of its content.
        existing: what the datalist does with inputs that have results; "skip" keeps their rows.
        factor: how many times the network shrinks each side, for the bicubic reconstruction.

    Raises:
        ConfigError: under torchrun, or when the rows to be kept come from other weights.
    """

    def __init__(
        self,
        output: str | Path,
        latents: bool = True,
        checkpoint: str | Path = "",
        existing: str = "overwrite",
        factor: int = 4,
        **options: Any,
    ):
        super().__init__(output, None, (), checkpoint, existing=existing, **options)
        self.latents, self.factor, self.sheets = latents, factor, dict[Path, ContactSheet]()
        self.measure = Reconstruction(similarities=["ssim"], clip=True)

    def start(self, engine: Engine) -> None:
        """Forget the pictures of an earlier run, too."""
        super().start(engine)
        self.sheets, self.images = {}, 0

    def write(self, batch: Any, output: Any, i: int, prob: list[float] | None, heat: torch.Tensor | None) -> None:
        """Write the image of item `i`; where it is a reconstruction, its latent before and its row after."""
        item = {key: batch[key][i] for key in ("name", "image_path", "folder", "sheet")}
        value_range = batch["value_range"][i].tolist()
        pred = {name: value[i : i + 1].float().cpu() for name, value in output["pred"].items()}
        image = None if output["label"] is None else output["label"][i : i + 1].float().cpu()
        on_sheet = bool(item["sheet"]) and self.is_shown(batch, i)
        self.later(item["image_path"] or item["name"], lambda: self._finish(item, pred, image, value_range, on_sheet))

    def _finish(
        self, item: dict[str, str], pred: dict[str, torch.Tensor], image: torch.Tensor | None,
        value_range: tuple[float, float], on_sheet: bool,
    ) -> None:  # fmt: skip
        name, source, made = item["name"], item["image_path"], pred["reconstruction"][0].numpy()
        of_file = self._form_of_latent if source.endswith(".npz") else ImageForm.of
        form = of_file(source) if source else drawn(made)
        low, high = form.value_range or value_range
        path = Path(item["folder"], f"{name}{form.ending}")
        columns = {} if image is None else self._measured(pred, image)
        latent = Path("latents", f"{name}.npz") if image is not None and self.latents else None
        if latent:
            scale = value_of(score("latent_scale", columns), 1)
            mean, std = (pred[key][0].numpy() for key in ("mean", "sigma"))
            weights = self.head["checkpoint_id"]
            Latent(mean, std, made.shape[1:], (low, high), form, scale, weights).write(self.output / latent)
        with replace_atomic(self.output / path) as temporary:
            form.write(temporary, made, (low, high), self.note())
        self.images += 1
        if on_sheet:
            sheet = self.output / path.parts[0] / f"{item['sheet']}.png"
            self.sheets.setdefault(sheet, ContactSheet()).add(name, made)
        if image is not None:
            scores = {measured: float(columns[measured][0]) for measured in SCORES}
            files = {"reconstruction": path.as_posix(), "latent": latent.as_posix() if latent else None}
            self.add({"file": source, "name": name, **scores, **files})

    def _form_of_latent(self, source: str) -> ImageForm:
        """The form in which a latent's image is written; says it when other weights made the latent."""
        latent = Latent.read(source)
        if latent.weights not in ("", self.head["checkpoint_id"]):
            logger.warning("%s: was made by other weights than these, so its image becomes another.", source)
        return latent.form

    def _measured(self, pred: dict[str, torch.Tensor], image: torch.Tensor) -> dict[str, np.ndarray]:
        """What is measured of the reconstruction of an image (1, C, ...), (1,) or (1, L) each."""
        bicubic = Baselines(self.factor, pred["mean"].shape[1]).bicubic(image[0])[None]
        beside = self.measure({"pred": bicubic, "label": image})
        measured = self.measure({"pred": pred, "label": image}) | LatentMeasure()({"pred": pred})
        measured |= {f"{name}_bicubic": value for name, value in beside.items()}
        return with_case_scores({name: value.cpu().numpy() for name, value in measured.items()})

    def save(self, rows: list[dict[str, Any]], failed: Mapping[str, str]) -> None:
        """Write the tables of all reconstructions; where there are none, those of an earlier run stay.

        So decoding leaves them alone, and what failed is listed beside them.
        """
        if rows:
            super().save(rows, failed)
        elif failed:
            head, earlier = self.record.read()
            whys = [{"file": path, "reason": what} for path, what in failed.items()]
            self.record.finish(head or self.head, [row for row in earlier if row["file"] not in failed], whys)

    def write_csv(self, rows: list[dict[str, Any]]) -> None:
        """Write reconstructions.csv, the worst first."""
        lines = [[row.get(name) for name in COLUMNS] for row in sorted(rows, key=lambda row: row["psnr"])]
        write_text_atomic(self.output / "reconstructions.csv", csv_text(COLUMNS, lines))

    def finish(self, engine: Engine) -> None:
        """Write the contact sheets, too."""
        self.background.wait()
        wait_for_all()
        sheets: dict[Path, ContactSheet] = {}
        for part in gathered(self.sheets):
            for path, sheet in part.items():
                sheets.setdefault(path, ContactSheet()).tiles |= sheet.tiles
        self.written = sum(gathered(self.images))
        for path, sheet in sheets.items() if is_rank_0() else ():
            sheet.write(path)
        super().finish(engine)

    def say(self, rows: list[dict[str, Any]], done: int) -> None:
        """Tell how many images there are now, and where."""
        mean = f", mean PSNR {np.mean([row['psnr'] for row in rows]):.2f} dB" if done else ""
        logger.info("images written: %d%s; results in %s", self.written, mean, self.output)


def drawn(image: np.ndarray) -> ImageForm:
    """The form of an image (C, ...) that has no input: PNG of 8 bits, or a NIfTI of float32 with voxels of 1 mm."""
    if image.ndim == 3:
        return ImageForm(".png", "uint8", image.shape if len(image) == 3 else image.shape[1:])
    import nibabel

    header = nibabel.Nifti1Header()
    header.set_xyzt_units("mm")
    return ImageForm(".nii.gz", "float32", image.shape[1:], volume_info(image.shape[1:], np.eye(4), header))
