"""Images side by side in one picture."""

from pathlib import Path, PurePath

import numpy as np
from PIL import Image, ImageDraw

from medbundles.atomic_files import replace_atomic
from medbundles.data.reading.volumes import axial_slices
from medbundles.reports.panels import LINE, font

LONGEST = 384  # pixels of an image's longer side
PER_ROW, GAP = 8, 4


class ContactSheet:
    """Collects small copies of images, and writes them in rows of eight; a volume's middle axial slice.

    Below each image stands the name of its file.
    """

    def __init__(self) -> None:
        self.tiles: dict[str, Image.Image] = {}

    def add(self, name: str, image: np.ndarray) -> None:
        """Add an image (C, H, W) or (C, X, Y, Z) with values from 0 to 1; what is outside is cut. Names are unique."""
        pixels = image
        if image.ndim == 4:
            slices = axial_slices(image[0])
            pixels = slices[None, len(slices) // 2]
        bytes_ = np.rint(np.clip(pixels, 0, 1) * 255).astype(np.uint8)
        tile = Image.fromarray(np.ascontiguousarray(bytes_[0] if len(bytes_) != 3 else np.moveaxis(bytes_, 0, -1)))
        tile.thumbnail((LONGEST, LONGEST))
        self.tiles[name] = tile

    def write(self, path: Path) -> None:
        """Write the sheet as PNG, in the order of the names, headed by its own."""
        labelled = [(PurePath(name).name, self.tiles[name]) for name in sorted(self.tiles)]
        rows = [labelled[start : start + PER_ROW] for start in range(0, len(labelled), PER_ROW)]
        width = GAP + max(max(tile.width, round(font().getlength(name))) for name, tile in labelled)
        height = GAP + LINE + max(tile.height for _, tile in labelled)
        whole = max(width * len(rows[0]), GAP + round(font().getlength(path.stem)))
        sheet = Image.new(labelled[0][1].mode, (GAP + whole, LINE + height * len(rows)), "white")
        draw = ImageDraw.Draw(sheet)
        draw.text((GAP, 0), path.stem, fill="black", font=font())
        for y, row in enumerate(rows):
            for x, (name, tile) in enumerate(row):
                left, top = GAP + x * width, LINE + y * height
                sheet.paste(tile, (left, top))
                draw.text((left, top + tile.height), name, fill="black", font=font())
        with replace_atomic(path) as temporary:
            sheet.save(temporary, format="PNG")
