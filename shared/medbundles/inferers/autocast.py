"""Mixed precision on a CPU, where MONAI's engines have none."""

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import torch
from ignite.utils import apply_to_tensor
from monai.inferers import Inferer

from medbundles.errors import ConfigError
from medbundles.inferers.forward import forward
from medbundles.losses.per_image import at_least_float32


def resolve_amp(amp: bool | str, device: str | torch.device) -> tuple[bool, str]:
    """Whether to use mixed precision on `device`, and why.

    Args:
        amp: True, False, or "auto": what the machine is good at. On a GPU that is mixed precision; on a CPU bfloat16
            if it multiplies it in hardware (AMX or AVX512-BF16), else float32. "bf16" is True and "fp32" is False.
        device: for example "cpu" or "cuda:0".

    Raises:
        ConfigError: for any other value of `amp`.
    """
    kind = torch.device(device).type
    named = {True: True, False: False, "bf16": True, "fp32": False}
    if amp in named:
        return named[amp], f"amp is {amp}"
    if amp == "auto" and kind == "cpu":
        units = ["AMX"] * torch.cpu._is_amx_tile_supported() + ["AVX512-BF16"] * torch.cpu._is_avx512_bf16_supported()
        return bool(units), f"auto: the CPU has {' and '.join(units) or 'neither AMX nor AVX512-BF16'}"
    if amp == "auto":
        return True, f"auto: the device is {kind}"
    raise ConfigError(f'amp is {amp!r}; it must be True, False or "auto"')


def precision_of(engine: Any) -> str:
    """What an engine computes in, as its inferer says it; those of others say nothing."""
    return getattr(getattr(engine, "inferer", None), "precision", "that of the engine")


class AutocastInferer(Inferer):
    """Runs the whole image through the network, on a CPU under bfloat16 autocast if wanted.

    MONAI's engines take their `amp` for CUDA only and switch it off on a CPU; this inferer fills that gap. On any
    other device it adds nothing, so it can stand beside the engine's own `amp`. bfloat16 has the exponents of float32,
    so it needs no gradient scaler. The weights stay float32, and the outputs become float32, under the engine's own
    `amp` too: whatever loss or metric comes after sums up in float32.

    Args:
        amp: as in `resolve_amp`.
        device: where the network runs.

    Attributes:
        engine_amp: what the engine's own `amp` should be: on on a GPU only.
        precision: the number format, the device and why, for the log.

    Raises:
        ConfigError: for an unknown `amp`.

    Example:
        >>> inferer = AutocastInferer(amp="auto", device="cpu")
        >>> out = inferer(torch.zeros(1, 1, 64, 64), torch.nn.Conv2d(1, 1, 3))
    """

    def __init__(self, amp: bool | str = "auto", device: str | torch.device = "cpu"):
        super().__init__()
        self.amp, why = resolve_amp(amp, device)
        self.enabled = self.amp and torch.device(device).type == "cpu"
        self.engine_amp = self.amp and torch.device(device).type == "cuda"
        name = ("bfloat16 autocast" if self.enabled else "mixed precision") if self.amp else "float32"
        self.precision = f"{name} on {device} ({why})"

    def __call__(self, inputs: torch.Tensor, network: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Image (B, C, H, W) -> what the network returns."""
        with torch.autocast("cpu", dtype=torch.bfloat16) if self.enabled else nullcontext():
            return apply_to_tensor(forward(network, inputs, *args, **kwargs), at_least_float32)
