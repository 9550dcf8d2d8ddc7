"""The perceptual loss: how different two images look to a network that was trained on photographs."""

import warnings
from importlib import import_module
from pathlib import Path

import torch
from monai.losses import PerceptualLoss

from medbundles.errors import CheckpointError, ConfigError, one_of
from medbundles.rules import TRAINING, Rule, has_rules

# of torchvision: the file of weights, and the least side of an image that the network can take
FILES = {"vgg": "vgg16-397923af.pth", "alex": "alexnet-owt-7be5be79.pth", "squeeze": "squeezenet1_1-b8a52dc0.pth"}
LEAST_SIDES = {"vgg": 16, "alex": 31, "squeeze": 17}
WITHOUT = "Without this loss: --perceptual_weight 0."


def weights_file(network: str) -> Path:
    """Where torchvision looks for a network's weights; the folder follows the variable TORCH_HOME."""
    return Path(torch.hub.get_dir(), "checkpoints", FILES[network])


def missing(network: str) -> str | None:
    """What a network lacks on this machine, and what would be right; None: nothing."""
    try:
        for package in ("torchvision", "lpips"):
            import_module(package)
    except (ImportError, RuntimeError) as error:  # RuntimeError: torchvision was built for another torch
        return (
            f"lpips and torchvision cannot be imported ({error}). Install them with `pip install -c constraints.txt -e "
            "'.[perceptual]'` in the repository's root; beside the CPU build of torch, torchvision must be the CPU "
            "build too."
        )
    path = weights_file(network)
    if path.is_file():
        return None
    return (
        f"the weights of the network {network} are missing, and nothing is downloaded. Put "
        f"https://download.pytorch.org/models/{path.name} there as {path}."
    )


def _can_be_built(weight: float, network: str) -> str | None:
    if weight > 0 and network in FILES and (lacking := missing(network)):
        return f"perceptual_weight: {lacking} {WITHOUT}"
    return None


def _can_take_patches(weight: float, network: str, patch: list[int]) -> str | None:
    least = LEAST_SIDES.get(network, 1)
    if weight > 0 and min(patch) < least:
        return f"patch_size: {list(patch)} is too small for the perceptual network {network}; it takes {least} or more."
    return None


@has_rules(
    Rule(("perceptual_weight", "perceptual#network"), _can_be_built, (*TRAINING, "evaluate")),
    Rule(("perceptual_weight", "perceptual#network", "patch_size"), _can_take_patches),
)
class Perceptual:
    """LPIPS (Zhang et al. 2018, arXiv:1801.03924), MONAI's PerceptualLoss: mean over the batch, a scalar.

    The network is read from its file at the first call, to the images' device, and is never downloaded. It is frozen,
    in evaluation mode, works in float32, and belongs to no module, so to no state dict. Volumes are compared slice by
    slice along each of the three axes, on a random share of the slices ("fake 3D"; the networks for real volumes would
    be downloaded).

    Args:
        spatial_dims: 2 or 3.
        network: vgg, alex or squeeze.
        fake_3d_ratio: share of the slices along each axis of a volume.

    Raises:
        ConfigError: unknown network.
        CheckpointError: at the first call: its packages or its file of weights are missing, or the file is broken.

    Example::

        {"_target_": "medbundles.losses.Perceptual", "spatial_dims": "@spatial_dims", "network": "vgg"}
    """

    def __init__(self, spatial_dims: int = 2, network: str = "vgg", fake_3d_ratio: float = 0.5):
        one_of("perceptual#network", network, FILES)
        self.spatial_dims, self.network, self.fake_3d_ratio = spatial_dims, network, fake_3d_ratio
        self.loss: torch.nn.Module | None = None

    def __call__(self, made: torch.Tensor, image: torch.Tensor) -> torch.Tensor:
        """Reconstruction and image, both (B, C, ...) with C 1 or 3 and values from 0 to 1 -> scalar."""
        if self.loss is None:
            self.loss = self._read().to(image.device)
        if self.spatial_dims == 3 and len(image) * min(image.shape[2:]) * self.fake_3d_ratio < 1:
            raise ConfigError(f"perceptual#fake_3d_ratio: {self.fake_3d_ratio} of the slices of a volume is none.")
        with torch.autocast(image.device.type, enabled=False):
            # LPIPS takes values from -1 to 1, and MONAI hands them on as they are; one channel counts as three
            return self.loss(2 * made.float() - 1, 2 * image.float() - 1)

    @torch.no_grad()
    def per_image(self, made: torch.Tensor, image: torch.Tensor) -> torch.Tensor:
        """The loss of each image alone, (B,); of a volume always on the same slices."""
        with torch.random.fork_rng(devices=[]):
            values = []
            for pair in zip(made.split(1), image.split(1), strict=True):
                torch.manual_seed(0)
                values.append(self(*pair))
        return torch.stack(values)

    def _read(self) -> torch.nn.Module:
        if lacking := missing(self.network):
            raise CheckpointError(f"perceptual_weight: {lacking}")
        try:
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", module="torchvision")  # lpips calls it by old names
                loss = PerceptualLoss(self.spatial_dims, self.network, fake_3d_ratio=self.fake_3d_ratio)
        except Exception as error:  # a broken file makes the reader raise almost anything
            raise CheckpointError(
                f"perceptual_weight: {weights_file(self.network)} is no file of weights of {self.network}, or is cut "
                f"off: {error}"
            ) from error
        return loss.eval().requires_grad_(False)
