"""Which MR sequences a network gets, and in which order."""

from collections.abc import Sequence

from medbundles.data.lists.brats import MODALITIES
from medbundles.errors import ConfigError, one_of
from medbundles.rules import EVERYWHERE, Rule


def wanted_modalities(modality: str | Sequence[str]) -> tuple[str, ...]:
    """The sequences that become the channels, in this order.

    Args:
        modality: "flair", "t1", "t1ce" or "t2", or several of them.

    Raises:
        ConfigError: none, an unknown one, or one twice.

    Example:
        >>> wanted_modalities("flair"), wanted_modalities(["t1ce", "flair"])
        (('flair',), ('t1ce', 'flair'))
    """
    names = (modality,) if isinstance(modality, str) else tuple(modality)
    if not names:
        raise ConfigError(f"modality: none is given; use one or several of: {', '.join(MODALITIES)}")
    for name in names:
        one_of("modality", name, MODALITIES)
    if len(set(names)) < len(names):
        raise ConfigError(f"modality: {', '.join(names)} names one twice; each becomes one channel")
    return names


def channel_count(modality: str | Sequence[str]) -> int:
    """Channels C of the image that `wanted_modalities` make."""
    return len(wanted_modalities(modality))


def _one_channel_each(modality: str | Sequence[str], in_channels: int) -> str | None:
    if isinstance(modality, str) or len(modality) in (1, in_channels):
        return None
    return f"modality: {', '.join(modality)} are {len(modality)} channels, but in_channels is {in_channels}."


ONE_CHANNEL_EACH = Rule(("modality", "in_channels"), _one_channel_each, EVERYWHERE)
