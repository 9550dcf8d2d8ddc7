from __future__ import annotations

import pytest
import torch

from medbundles.errors import ConfigError
from medbundles.inferers import AutocastInferer, resolve_amp
from medbundles.losses import ClassificationLoss, MultitaskLoss, SegmentationLoss
from medbundles.networks import MultitaskUNet


@pytest.mark.parametrize(
    ("amx", "avx512", "chosen", "why"),
    [
        (True, True, True, "the CPU has AMX and AVX512-BF16"),
        (False, True, True, "the CPU has AVX512-BF16"),
        (False, False, False, "the CPU has neither AMX nor AVX512-BF16"),
    ],
)
def test_auto_on_a_cpu_asks_for_hardware(monkeypatch, amx, avx512, chosen, why):
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: avx512)
    assert resolve_amp("auto", "cpu") == (chosen, f"auto: {why}")
    name = "bfloat16 autocast" if chosen else "float32"
    assert AutocastInferer("auto", "cpu").precision == f"{name} on cpu (auto: {why})"


@pytest.mark.parametrize(
    ("amp", "device", "chosen"),
    [
        (True, "cpu", True),
        (False, "cpu", False),
        ("bf16", "cpu", True),
        ("fp32", "cuda", False),
        ("auto", "cuda:1", True),
    ],
)
def test_the_other_choices(amp, device, chosen):
    assert resolve_amp(amp, device)[0] is chosen


@pytest.mark.parametrize("amp", ["false", "none", 3, None])
def test_anything_else_is_refused(amp):
    with pytest.raises(ConfigError, match='it must be True, False or "auto"'):
        AutocastInferer(amp=amp)


@pytest.mark.parametrize(
    ("amp", "device", "coarse"), [(True, "cpu", True), (False, "cpu", False), (True, "cuda", False)]
)
def test_autocast_is_on_only_on_a_cpu_and_what_it_gives_is_float32(amp, device, coarse):
    network = MultitaskUNet(base_filters=4, depth=3).eval()
    image = torch.randn(2, 1, 24, 20)
    out = AutocastInferer(amp=amp, device=device)(image, network)  # no CUDA is touched: the network is on the CPU
    assert out["seg"].dtype == out["cls"].dtype == torch.float32
    exact = network(image)
    assert torch.equal(out["seg"], out["seg"].bfloat16().float()) is coarse
    assert torch.equal(out["seg"], exact["seg"]) is not coarse
    assert (out["seg"].float() - exact["seg"]).abs().mean() < 0.05


def test_gradients_through_autocast_are_those_of_float32_up_to_rounding():
    torch.manual_seed(0)
    network = MultitaskUNet(base_filters=4, depth=3, cls_dropout=0.0)
    # pooled features of four images of noise hardly differ: divided by their spread, rounding would be all that is left
    network.head.norm.eval()
    loss = MultitaskLoss(SegmentationLoss(), ClassificationLoss())
    image, mask = torch.randn(4, 1, 32, 32), torch.randint(0, 2, (4, 1, 32, 32))
    target = {"mask": mask, "cls": torch.tensor([0, 1, 0, 1]), "has_mask": torch.tensor([True, True, False, True])}
    gradients = []
    for amp in (False, True):
        network.zero_grad()
        loss(AutocastInferer(amp, "cpu")(image, network), target).backward()
        gradients.append(torch.cat([p.grad.flatten() for p in network.parameters()]))
        assert gradients[-1].dtype == torch.float32
    assert (
        torch.nn.functional.cosine_similarity(*gradients, dim=0) > 0.9
    )  # a small network on noise; bfloat16 has 8 bits


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_outputs_of_the_engines_own_amp_become_float32_too(dtype):
    given = {"seg": torch.ones(1, 1, 2, 2, dtype=dtype), "levels": [torch.ones(2, dtype=dtype), torch.ones(2).long()]}
    out = AutocastInferer(False, "cpu")(torch.zeros(1), lambda image: given)
    assert (out["seg"].dtype, out["levels"][0].dtype) == (torch.float32, torch.float32)
    assert out["levels"][1].dtype == torch.int64
