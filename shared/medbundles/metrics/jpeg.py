"""The best JPEG of an image that a number of bytes allows."""

import io

import numpy as np
import torch
from PIL import Image

QUALITIES = range(1, 96)  # above 95 files grow and hardly get better (Pillow's handbook)


def best_jpeg(image: torch.Tensor, most_bytes: int) -> tuple[torch.Tensor, float]:
    """The image as its best JPEG of at most so many bytes gives it back, and the size of this file.

    Args:
        image: (1, H, W) or (3, H, W) float, 0 to 1, stored with 8 bits.
        most_bytes: the file's header counts.

    Returns:
        The image (C, H, W) and the bytes; all NaN where the lowest quality has more.
    """
    pixels = np.rint(255 * image.cpu().numpy().clip(0, 1)).astype(np.uint8)
    picture = Image.fromarray(pixels[0] if len(pixels) == 1 else np.moveaxis(pixels, 0, -1))
    low, high, best = QUALITIES.start, QUALITIES.stop, b""
    while low < high:  # better qualities make larger files
        quality = (low + high) // 2
        file = io.BytesIO()
        picture.save(file, "JPEG", quality=quality, optimize=True)
        if file.tell() <= most_bytes:
            low, best = quality + 1, file.getvalue()
        else:
            high = quality
    if not best:
        return torch.full_like(image, torch.nan), np.nan
    made = np.atleast_3d(np.asarray(Image.open(io.BytesIO(best)), dtype=np.float32) / 255)
    return torch.from_numpy(np.moveaxis(made, -1, 0)).to(image), float(len(best))
