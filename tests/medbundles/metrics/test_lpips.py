"""When LPIPS is there, and what MONAI is asked; the weights themselves are not in the tests."""

from __future__ import annotations

import logging

import pytest
import torch
from torch import nn

from medbundles.errors import ConfigError
from medbundles.metrics import Lpips, lpips


class Stand(nn.Module):
    """In place of MONAI's PerceptualLoss: the mean difference, so that the range shows."""

    made: list[tuple] = []  # noqa: RUF012

    def __init__(self, *args: object, **options: object):
        super().__init__()
        self.made.append((*args, options))

    def forward(self, made: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return (made - target).mean()


def test_without_package_or_weights_auto_leaves_it_out_and_true_is_refused(monkeypatch, tmp_path, caplog):
    caplog.set_level(logging.INFO, "medbundles")
    monkeypatch.setattr(lpips.importlib.util, "find_spec", lambda name: None)
    assert Lpips()({}) == {}
    assert "LPIPS is left out: package lpips and torchvision missing; install the extra: pip install" in caplog.text
    with pytest.raises(ConfigError, match="lpips: package lpips and torchvision missing"):
        Lpips(enabled=True)
    monkeypatch.setattr(lpips.importlib.util, "find_spec", lambda name: object())
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    with pytest.raises(ConfigError, match=r"checkpoints/vgg16-397923af\.pth is missing; nothing is downloaded"):
        Lpips("vgg", enabled=True)
    caplog.clear()
    assert Lpips(enabled=False)({}) == {}
    assert not caplog.text


@pytest.mark.parametrize("sides", [(40, 33), (32, 34, 36)])
def test_each_image_alone_from_minus_1_to_1_and_all_slices_of_a_volume(monkeypatch, sides):
    monkeypatch.setattr(lpips, "missing_for", lambda network: None)
    monkeypatch.setattr(lpips, "PerceptualLoss", Stand)
    Stand.made.clear()
    measure, target = Lpips(), torch.zeros(2, 1, *sides)
    made = target + torch.tensor([0.25, 0.5]).view(2, *[1] * (1 + len(sides)))
    for _ in range(2):
        assert measure({"pred": made, "label": target})["lpips"].tolist() == pytest.approx([0.5, 1.0])
    assert Stand.made == [(len(sides), "alex", {"fake_3d_ratio": 1.0})]
    assert measure({"pred": made[..., :31], "label": target[..., :31]})["lpips"].isnan().all()
