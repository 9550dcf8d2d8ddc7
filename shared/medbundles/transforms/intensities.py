"""The change of intensities in the augmentation of slices and of volumes."""

import numpy as np


def change(
    image: np.ndarray,
    head: np.ndarray,
    brightness: float,
    contrast: float,
    gamma: float,
    noise: float,
    rng: np.random.Generator,
) -> None:
    """Change an image in place: brightness, contrast, gamma, noise, in this order; what changes nothing costs nothing.

    In numpy: its sums and powers do not depend on the number of threads. MONAI's intensity transforms would change the
    background as well.

    Args:
        image: float32 (C, ...), black is 0.
        head: as large, True where intensities may change; the rest ends as 0.
        brightness: the image is multiplied by it.
        contrast: distances from the head's mean are multiplied by it.
        gamma: the image, scaled to [0, 1], is raised to this power, and scaled back.
        noise: standard deviation, as a fraction of the brightest value.
        rng: source of the noise.
    """
    if brightness != 1:
        image *= np.float32(brightness)
    if contrast != 1:
        axes = tuple(range(1, image.ndim))
        count = np.maximum(np.count_nonzero(head, axis=axes, keepdims=True), 1)
        mean = image.sum(axis=axes, keepdims=True) / count
        image += ((1 / contrast - 1) * mean).astype(np.float32)
        image *= np.float32(contrast)
        np.maximum(image, 0, out=image)
    top = np.float32(image.max())
    if gamma != 1 and top > 0:
        image /= top
        np.power(image, np.float32(gamma), out=image)
        image *= top
    if noise:
        grain = rng.standard_normal(image.shape, dtype=np.float32)
        grain *= np.float32(noise * top)
        image += grain
        np.maximum(image, 0, out=image)
    image *= head  # what contrast and noise (and a blur before) put outside the head
