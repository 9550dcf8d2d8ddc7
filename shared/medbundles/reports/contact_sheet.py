"""Images side by side in one picture."""

from pathlib import Path

import numpy as np
from PIL import Image

from medbundles.atomic_files import replace_atomic
from medbundles.data.reading.volumes import axial_slices

LONGEST = 384  # pixels of an image's longer side
PER_ROW, GAP = 8, 4


class ContactSheet:
    """Collects small copies of images, and writes them in rows of eight; a volume's middle axial slice."""

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
        """Write the sheet as PNG, in the order of the names."""
        tiles = [self.tiles[name] for name in sorted(self.tiles)]
        rows = [tiles[start : start + PER_ROW] for start in range(0, len(tiles), PER_ROW)]
        width, height = (max(tile.size[axis] for tile in tiles) + GAP for axis in (0, 1))
        sheet = Image.new(tiles[0].mode, (width * len(rows[0]) - GAP, height * len(rows) - GAP), "white")
        for y, row in enumerate(rows):
            for x, tile in enumerate(row):
                sheet.paste(tile, (x * width, y * height))
        with replace_atomic(path) as temporary:
            sheet.save(temporary, format="PNG")
