"""MONAI's AutoencoderKL with named outputs, for images of any size."""

import logging
from collections.abc import Mapping, Sequence
from functools import partial

import torch
from monai.networks.nets import AutoencoderKL
from torch import nn

from medbundles.errors import ConfigError, DataError, refuse
from medbundles.networks.padding import cropped, padded
from medbundles.rules import EVERYWHERE, Rule, has_rules

logger = logging.getLogger("medbundles")
_GROUPS = "network_def#norm_num_groups"
_LEVELS = "network_def#attention_levels"
_CHANNELS = "network_def#channels"
_PATCHES = ("patch_size", "final_patch_size")


def dividing_groups(channels: Sequence[int]) -> list[int]:
    """The numbers of groups that divide all numbers of channels, ascending."""
    return [groups for groups in range(1, min(channels) + 1) if all(count % groups == 0 for count in channels)]


def _groups_divide(groups: int, channels: Sequence[int]) -> str | None:
    fitting = dividing_groups(channels)
    if groups in fitting:
        return None
    return f"{_GROUPS}: {groups} does not divide the channels {list(channels)}; use one of {fitting}."


def _one_per_level(name: str, values: Sequence, channels: Sequence[int]) -> str | None:
    if len(values) != len(channels):
        return f"{name}: {list(values)} has {len(values)} levels, {_CHANNELS} has {len(channels)}; give as many."
    return None


def _attention_per_level(levels: Sequence[bool], channels: Sequence[int]) -> str | None:
    return _one_per_level(_LEVELS, levels, channels)


def _blocks_per_level(blocks: int | Sequence[int], channels: Sequence[int]) -> str | None:
    return None if isinstance(blocks, int) else _one_per_level("network_def#num_res_blocks", blocks, channels)


def _same_channels(given: int, wanted: int) -> str | None:
    if given != wanted:
        return f"network_def#out_channels: {wanted} differs from in_channels, {given}; a reconstruction has as many."
    return None


def _same_dimensions(of_network: int, dims: int) -> str | None:
    if of_network != dims:
        return f"network_def#spatial_dims: {of_network} differs from spatial_dims, {dims}; set --spatial_dims alone."
    return None


def _fits(name: str, patch: Sequence[int] | None, dims: int, channels: Sequence[int]) -> str | None:
    if not patch:
        return None
    if len(patch) != dims:
        return f"{name}: {list(patch)} has {len(patch)} numbers; spatial_dims is {dims}, so {dims} are wanted."
    factor = 2 ** (len(channels) - 1)
    if any(side % factor for side in patch):
        return (
            f"{name}: {list(patch)} must be multiples of {factor}, by which the network shrinks an image "
            f"({len(channels)} levels)."
        )
    return None


def _more_than_one_position(name: str, patch: Sequence[int] | None, channels: Sequence[int], groups: int) -> str | None:
    factor = 2 ** (len(channels) - 1)
    if patch and max(patch) <= factor and groups == channels[-1]:
        return (
            f"{name}: {list(patch)} is one value of each channel of the latent, which cannot be normalised: give a "
            f"side above {factor}, or fewer groups ({_GROUPS})."
        )
    return None


def latent_factor(network: nn.Module) -> int:
    """How many times an autoencoder shrinks each side of an image.

    Raises:
        ConfigError: the network has not what inferers and baselines use of an `Autoencoder`.
    """
    missing = [name for name in ("encode", "decode", "padded", "factor") if not hasattr(network, name)]
    if missing:
        raise ConfigError(
            f"network_def: {type(network).__name__} has no {', '.join(missing)}; use medbundles.networks.Autoencoder, "
            "which is MONAI's AutoencoderKL, or a class that has all of its encode, decode, padded and factor."
        )
    return int(network.factor)  # type: ignore[arg-type]


@has_rules(
    Rule((_GROUPS, _CHANNELS), _groups_divide, EVERYWHERE),
    Rule((_LEVELS, _CHANNELS), _attention_per_level, EVERYWHERE),
    Rule(("network_def#num_res_blocks", _CHANNELS), _blocks_per_level, EVERYWHERE),
    Rule(("network_def#in_channels", "network_def#out_channels"), _same_channels, EVERYWHERE),
    Rule(("network_def#spatial_dims", "spatial_dims"), _same_dimensions, EVERYWHERE),
    *(Rule((name, "spatial_dims", _CHANNELS), partial(_fits, name), EVERYWHERE) for name in _PATCHES),
    *(Rule((name, _CHANNELS, _GROUPS), partial(_more_than_one_position, name), EVERYWHERE) for name in _PATCHES),
)
class Autoencoder(AutoencoderKL):
    """MONAI's AutoencoderKL (Rombach et al. 2022, with a Kullback-Leibler term), whose outputs have names.

    While it trains, the latent is drawn from the normal distribution that the encoder gives; in evaluation mode it is
    that distribution's mean, so that two calls are equal (MONAI's own `forward` draws in both). Images of any size:
    they are padded, by repeating the border, to multiples of what the network shrinks them by, and the reconstruction
    is cropped back. The tensors have MONAI's names, so weights of an AutoencoderKL load (older ones, too: `renamed`).

    Args:
        spatial_dims: 2 or 3.
        in_channels: channels C of the image.
        out_channels: channels of the reconstruction.
        latent_channels: channels L of the latent.
        channels: features of each level; each further level halves the image.
        num_res_blocks: residual blocks of each level.
        norm_num_groups: groups of the group normalisation; must divide all channels.
        norm_eps: added to the variance in the normalisation.
        attention_levels: self-attention in each level.
        with_encoder_nonlocal_attn: self-attention at the encoder's lowest level.
        with_decoder_nonlocal_attn: self-attention at the decoder's lowest level.
        use_flash_attention: torch's fused attention instead of the plain formula; equal to about 1e-5.
        use_checkpoint: compute activations again for the gradients instead of keeping them.
        include_fc: project after an attention; False for weights of monai-generative, see `renamed`.

    Raises:
        ConfigError: channels that the groups do not divide, or lists of different lengths.

    Example:
        >>> network = Autoencoder(channels=(8, 16), attention_levels=(False, False), norm_num_groups=4).eval()
        >>> out = network(torch.zeros(1, 1, 30, 41))
        >>> out["reconstruction"].shape, out["mean"].shape
        (torch.Size([1, 1, 30, 41]), torch.Size([1, 4, 15, 21]))
    """

    def __init__(
        self,
        spatial_dims: int = 2,
        in_channels: int = 1,
        out_channels: int = 1,
        latent_channels: int = 4,
        channels: Sequence[int] = (64, 128, 256),
        num_res_blocks: int | Sequence[int] = 2,
        norm_num_groups: int = 32,
        norm_eps: float = 1e-6,
        attention_levels: Sequence[bool] = (False, False, False),
        with_encoder_nonlocal_attn: bool = True,
        with_decoder_nonlocal_attn: bool = True,
        use_flash_attention: bool = True,
        use_checkpoint: bool = False,
        include_fc: bool = True,
    ):
        refuse(
            [
                _groups_divide(norm_num_groups, channels),
                _attention_per_level(attention_levels, channels),
                _blocks_per_level(num_res_blocks, channels),
            ]
        )
        super().__init__(
            spatial_dims=spatial_dims,
            in_channels=in_channels,
            out_channels=out_channels,
            latent_channels=latent_channels,
            channels=channels,
            num_res_blocks=num_res_blocks,
            norm_num_groups=norm_num_groups,
            norm_eps=norm_eps,
            attention_levels=attention_levels,
            with_encoder_nonlocal_attn=with_encoder_nonlocal_attn,
            with_decoder_nonlocal_attn=with_decoder_nonlocal_attn,
            use_flash_attention=use_flash_attention,
            use_checkpoint=use_checkpoint,
            include_fc=include_fc,
        )
        if norm_num_groups == min(channels):
            logger.warning(
                "%s: %d groups on %d channels normalise each channel alone, and what is learnt on patches then hardly "
                "holds for whole images; use fewer, such as %d.",
                _GROUPS, norm_num_groups, min(channels), max(1, norm_num_groups // 4),
            )  # fmt: skip
        self.include_fc = include_fc
        self.factor = 2 ** (len(channels) - 1)
        self.alone = norm_num_groups == channels[-1]  # what is normalised at each position of the latent

    def forward(self, image: torch.Tensor) -> dict[str, torch.Tensor]:  # type: ignore[override]
        """Image (B, C, ...) -> {"reconstruction": (B, C, ...), "mean" and "sigma": (B, L, ...) of the latent}."""
        mean, sigma = self.encode(self.padded(image))
        latent = self.sampling(mean, sigma) if self.training else mean
        return {"reconstruction": cropped(self.decode(latent), list(image.shape[2:])), "mean": mean, "sigma": sigma}

    def padded(self, image: torch.Tensor) -> torch.Tensor:
        """The image (B, C, ...) as the encoder takes it, see `medbundles.networks.padding`.

        Raises:
            DataError: the image is one position of the latent, and each channel is normalised alone.
        """
        if self.alone and max(image.shape[2:]) <= self.factor:
            raise DataError(
                f"An image of {'x'.join(map(str, image.shape[2:]))} is one value of each channel of the latent, which "
                f"cannot be normalised: it needs a side above {self.factor}, or fewer groups ({_GROUPS})."
            )
        return padded(image, self.factor)

    def renamed(self, weights: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """The weights of an AutoencoderKL under this network's names; what has them already stays as it is.

        As MONAI's `load_old_state_dict`: monai-generative (before MONAI 1.4) has other names, its `proj_attn` is the
        projection after an attention, and where there is none it becomes the identity. monai-generative's own network
        never applied `proj_attn` (its issue 503): `include_fc=False` leaves it out, as the model zoo's configs do.
        """
        made = dict(weights)
        for name, value in self.state_dict().items():
            if name in made:
                continue
            old = name.replace(".attn.to_", ".to_").replace(".attn.out_proj.", ".proj_attn.")
            old = old.replace(".postconv.", ".conv.")
            block, _, kind = name.partition(".attn.out_proj.")
            if old in made:
                made[name] = made.pop(old)
            elif kind and f"{block}.attn.to_q.weight" in made:
                made[name] = torch.eye(len(value)) if kind == "weight" else torch.zeros(len(value))
        return {name: value for name, value in made.items() if self.include_fc or ".proj_attn." not in name}
