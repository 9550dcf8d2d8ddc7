"""An exported form of a network held against the network itself."""

from collections.abc import Callable, Sequence

import torch

from medbundles.errors import MedbundlesError

from .network import Built, outputs_of

ALLOWED = 1e-4  # of the range of an output's values

Run = Callable[[torch.Tensor], dict[str, torch.Tensor]]


def difference(run: Run, built: Built, images: Sequence[torch.Tensor], file: str) -> float:
    """The largest difference of an output, as a share of the range of its values.

    Args:
        run: the form as it was read from its file: an image (B, C, ...) -> its outputs by name.
        built: the network.
        images: what both are given.
        file: the form's name, for messages.

    Raises:
        MedbundlesError: the outputs have other names or shapes, or differ by more than `ALLOWED` of their range.
    """
    largest = 0.0
    for image in images:
        wanted, found = outputs_of(built.network, image), run(image)
        shapes = [{name: tuple(value.shape) for name, value in outputs.items()} for outputs in (wanted, found)]
        if shapes[0] != shapes[1]:
            raise MedbundlesError(f"{file}: gives {shapes[1]} for an image {tuple(image.shape)}, not {shapes[0]}")
        for name, value in wanted.items():
            share = float((found[name] - value).abs().max() / ((value.max() - value.min()) or 1.0))
            if not share <= ALLOWED:
                raise MedbundlesError(
                    f"{file}: differs from the network by {share:.1e} of the range of {name!r}, for an image "
                    f"{tuple(image.shape)}; {ALLOWED:.0e} is allowed. Nothing was written."
                )
            largest = max(largest, share)
    return largest


def largest_difference(run: Run, built: Built, images: Sequence[torch.Tensor], file: str) -> str:
    """What to say of the `difference`, which takes and raises the same."""
    share = difference(run, built, images, file)
    shapes_tried = " and ".join("x".join(map(str, image.shape)) for image in images)
    return f"differs from the network by at most {share:.1e} of an output's range, tried on {shapes_tried}"
