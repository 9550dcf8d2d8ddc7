from __future__ import annotations

import pytest
import torch

from medbundles.errors import ConfigError, DataError
from medbundles.inferers import AutocastInferer, AutoencoderInferer, WindowInferer
from medbundles.inferers.forward import forward


class Mine(torch.nn.Module):
    """As someone writes one: for three channels."""

    factor = 1

    def __init__(self, error=None):
        super().__init__()
        self.error, self.conv = error, torch.nn.Conv2d(3, 1, 1)

    def forward(self, image):
        if self.error:
            raise self.error
        return self.conv(image)

    def encode(self, image):
        return self(image), self(image)

    def padded(self, image):
        return image


IMAGE = torch.zeros(2, 1, 8, 8)


@pytest.mark.parametrize("inferer", [AutocastInferer("fp32"), WindowInferer("fp32"), AutoencoderInferer("fp32")])
def test_a_network_that_raises_is_named_with_its_input_and_its_own_message(inferer):
    with pytest.raises(ConfigError) as error:
        inferer(IMAGE, Mine())
    text = str(error.value)
    assert text.startswith("network_def: Mine cannot work on an input of shape (2, 1, 8, 8): RuntimeError in ")
    assert f"test_forward.py:{Mine.forward.__code__.co_firstlineno + 3}: " in text  # not a line of torch's
    assert text.endswith("expected input[2, 1, 8, 8] to have 3 channels, but got 1 channels instead")
    assert isinstance(error.value.__cause__, RuntimeError)


@pytest.mark.parametrize(
    "error",
    [DataError("x"), MemoryError(), torch.OutOfMemoryError("x"), RuntimeError("[...] can't allocate memory: 9 bytes")],
)
def test_what_is_said_otherwise_stays(error):
    with pytest.raises(type(error)) as found:
        forward(Mine(error), IMAGE)
    assert found.value is error
