"""When LPIPS is there, and that it is the perceptual loss of each image; the weights are not in the tests."""

from __future__ import annotations

import logging

import pytest
import torch

from medbundles.errors import ConfigError
from medbundles.losses import perceptual
from medbundles.metrics import Lpips, lpips


class Stand(torch.nn.Module):
    """In place of MONAI's PerceptualLoss: the mean difference, so that the range shows."""

    def forward(self, made: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return (made - target).mean()


def test_without_package_or_weights_auto_leaves_it_out_and_true_is_refused(monkeypatch, tmp_path, caplog):
    caplog.set_level(logging.INFO, "medbundles")
    monkeypatch.setattr(perceptual, "import_module", lambda name: None)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    assert Lpips()({}) == {}
    assert "LPIPS is left out: the weights of the network alex are missing, and nothing is downloaded" in caplog.text
    with pytest.raises(ConfigError, match=r"lpips: .* there as .*/checkpoints/vgg16-397923af\.pth"):
        Lpips("vgg", enabled=True)
    caplog.clear()
    assert Lpips(enabled=False)({}) == {}
    assert not caplog.text


@pytest.mark.parametrize("sides", [(40, 33), (32, 34, 36)])
def test_each_image_alone_and_all_slices_of_a_volume(monkeypatch, sides):
    monkeypatch.setattr(lpips, "missing", lambda network: None)
    monkeypatch.setattr(perceptual.Perceptual, "_read", lambda self: Stand())
    measure, target = Lpips(), torch.zeros(2, 1, *sides)
    made = target + torch.tensor([0.25, 0.5]).view(2, *[1] * (1 + len(sides)))
    assert measure({"pred": made, "label": target})["lpips"].tolist() == pytest.approx([0.5, 1.0])  # on -1 to 1
    assert measure.loss.fake_3d_ratio == 1.0
    assert measure({"pred": made[..., :30], "label": target[..., :30]})["lpips"].isnan().all()
