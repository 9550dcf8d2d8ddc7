"""Settings of the network, the loss, the optimizer and the schedule."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from unittest.mock import patch

import torch
from monai.bundle import ConfigWorkflow
from monai.networks.blocks import SpatialAttentionBlock
from monai.networks.nets.autoencoderkl import AEKLResBlock
from torch import nn

from tests.bundles.common_settings import model as common
from tests.bundles.setting_bench import Bench, network
from tests.bundles.setting_check import Check

IMAGE = torch.linspace(-1, 1, 2 * 32 * 48).reshape(2, 1, 32, 48).sin()
LATENT = torch.linspace(-1, 1, 2 * 4 * 8 * 8).reshape(2, 4, 8, 8)
PRED = {"reconstruction": IMAGE.cos(), "mean": LATENT, "sigma": LATENT.exp()}


def modules(kind: type[nn.Module], part: str = "") -> Callable[[ConfigWorkflow], list[Any]]:
    """The network's modules of a kind, in the encoder or decoder or in both."""

    def look(workflow: ConfigWorkflow) -> list[Any]:
        net = network(workflow)
        return [module for module in (net.get_submodule(part) if part else net).modules() if isinstance(module, kind)]

    return look


def count(kind: type[nn.Module], part: str = "") -> Callable[[ConfigWorkflow], int]:
    return lambda workflow: len(modules(kind, part)(workflow))


def blocks(workflow: ConfigWorkflow) -> list[int]:
    """Features of the residual blocks of the encoder's levels."""
    return [block.out_channels for block in modules(AEKLResBlock, "encoder")(workflow)][:2]


def groups(workflow: ConfigWorkflow) -> set[int]:
    return {norm.num_groups for norm in modules(nn.GroupNorm)(workflow)}


def eps(workflow: ConfigWorkflow) -> set[float]:
    return {norm.eps for norm in modules(nn.GroupNorm)(workflow)}


def projections(workflow: ConfigWorkflow) -> set[str]:
    return {type(block.attn.out_proj).__name__ for block in modules(SpatialAttentionBlock)(workflow)}


def last_convolution(workflow: ConfigWorkflow) -> nn.Module:
    return modules(nn.Conv2d, "decoder")(workflow)[-1]


def spatial_dims(bench: Bench, **turned: Any) -> dict[str, Any]:
    """What is built for so many dimensions, in training and inference."""

    def look(workflow: ConfigWorkflow) -> tuple[int, int]:
        first = next(network(workflow).parameters())
        step = workflow.parser.get_parsed_content("preprocessing").transforms[0]
        return first.ndim - 2, getattr(step, "load", step).spatial_dims

    def finds_volumes(*file: str) -> bool:
        """Whether the folder of pictures is refused, as there are no volumes in it."""
        try:
            bench.get("data", *file, **turned)
        except RuntimeError:  # MONAI's around a DataError
            return True
        return False

    parse = bench.workflow(**turned).parser.get_parsed_content
    return {
        **common.everywhere(bench, look, "spatial_dims", **turned),
        "augmentation": parse("augmentation").spatial_dims,
        "perceptual": parse("perceptual").spatial_dims,
        "wants volumes": (finds_volumes(), finds_volumes("inference")),
    }


def dims_of_network(bench: Bench, **turned: Any) -> list[int]:
    nets = [bench.get("network_def", *file, **turned) for file in ((), ("inference",))]
    return [next(net.parameters()).ndim - 2 for net in nets]


def in_channels(bench: Any, **turned: Any) -> dict[str, Any]:
    """Channels of the first layer and of a prepared picture; and whether pictures of three channels are read."""

    def look(workflow: ConfigWorkflow) -> tuple[int, int]:
        prepared = workflow.parser.get_parsed_content("preprocessing")({"image": bench.image})
        return next(network(workflow).parameters()).shape[1], len(prepared["image"])

    def reads(*file: str) -> bool:
        place = str(bench.three_channels)
        colours = {"dataset_dir": place, "input": place, "data_source": "colour", "test_split": 0.0}
        try:
            bench.get("data", *file, **colours, **turned)
        except RuntimeError:  # MONAI's around a DataError
            return False
        return True

    found = common.everywhere(bench, look, "network_def#in_channels", **turned)
    return {**found, "training reads": reads(), "inference reads": reads("inference")}


def latent_channels(bench: Bench, **turned: Any) -> dict[str, Any]:
    """Those of the network, of the baselines' share, and of a latent that inference draws."""

    def look(workflow: ConfigWorkflow) -> int:
        return network(workflow).quant_conv_mu.conv.out_channels

    measures = bench.get("validate#cases", **turned).measures
    [baselines] = [measure for measure in measures if type(measure).__name__ == "Baselines"]
    drawn = bench.get("preprocessing", "inference", **turned)({"sample": 0})["latent"]
    found = common.everywhere(bench, look, "network_def#latent_channels", **turned)
    return {**found, "baselines": baselines.latent_channels, "drawn": len(drawn)}


def flags(look: Callable[[Any], Any]) -> Callable[..., list[Any]]:
    """What the networks of training and inference say."""
    return lambda bench, **turned: [look(bench.get("network_def", *file, **turned)) for file in ((), ("inference",))]


def attention(net: nn.Module) -> set[bool]:
    return {block.attn.use_flash_attention for block in net.modules() if isinstance(block, SpatialAttentionBlock)}


def losses(bench: Bench, **turned: Any) -> dict[str, float]:
    """Training and validation loss of two images; to the perceptual loss they are 2 apart."""
    parse = bench.workflow(**turned).parser.get_parsed_content
    loss = parse("train::trainer").loss_function
    if loss.perceptual:
        loss.perceptual.loss = lambda made, image: torch.tensor(2.0)
    [measure] = [measure for measure in parse("validate::cases").measures if type(measure).__name__ == "Losses"]
    columns = measure({"pred": PRED, "label": IMAGE})
    terms = [name for name in columns if name.endswith("_loss")]
    val = sum(columns[name] * columns[f"{name}_factor"] for name in terms).mean()
    return {"train": round(float(loss(PRED, IMAGE)), 6), "val": round(float(val), 6)}


def perceptually(bench: Bench) -> dict[str, float]:
    """What `losses` tells of a perceptual weight of 0.5."""
    return {name: round(value + 0.5 * 2.0, 6) for name, value in losses(bench).items()}


def perceptual(name: str) -> Callable[..., Any]:
    """An option of the perceptual loss that a training has."""
    return lambda bench, **turned: getattr(bench.get("loss", perceptual_weight=1.0, **turned).perceptual, name)


def lpips(bench: Bench, **turned: Any) -> bool:
    """Whether an evaluation measures LPIPS, where its packages and weights are."""
    with patch("medbundles.metrics.lpips.missing", return_value=None):
        measures = bench.get("validate#cases", "evaluate", **turned).measures
    [found] = [measure for measure in measures if type(measure).__name__ == "Lpips"]
    return found.enabled


def windows(bench: Bench, **turned: Any) -> dict[str, Any]:
    """How many windows of a picture of 32x48 are encoded, and the sides of one."""
    image = IMAGE[:1]

    def encoded(inferer: Any, net: Any) -> tuple[int, list[int]]:
        seen: list[list[int]] = []
        hook = net.encoder.register_forward_pre_hook(lambda module, inputs: seen.append(list(inputs[0].shape[2:])))
        inferer(image, net.eval())
        hook.remove()
        return len(seen), seen[0]

    return {
        "validate": encoded(bench.get("validate#inferer", **turned), bench.get("network_def", **turned)),
        "inference": encoded(*(bench.get(id_, "inference", **turned) for id_ in ("inferer", "network_def"))),
    }


def both_ways(number: int, sides: list[int]) -> dict[str, Any]:
    """What `windows` tells then."""
    return dict.fromkeys(("validate", "inference"), (number, sides))


def rates(bench: Bench, **turned: Any) -> list[float]:
    return [group["lr"] for group in bench.get("optimizer", **turned).param_groups]


def rates_of_four(bench: Bench, **turned: Any) -> list[float]:
    """Learning rate of the first of four processes."""
    with patch("medbundles.optimizers.optimizer.rank_and_world", return_value=(0, 4)):
        return rates(bench, lr=0.5, **turned)


def epochs(bench: Bench, **turned: Any) -> dict[str, Any]:
    """What hangs on the number of epochs: the schedules, the training, and when the large patches begin."""
    final = {"final_patch_epochs": 2, "final_patch_size": [24, 24]}
    return {**common.epochs(bench, **turned), "large from": bench.get("patches", **final, **turned).final_from_epoch}


def of_network(name: str, look: Callable[[ConfigWorkflow], Any], turned: Any, found: Any = None) -> dict[str, Check]:
    """A setting of the network that the weights depend on, by looking at the network."""
    setting = f"network_def#{name}"
    return {setting: Check(common.seen(look, setting), turned, common.all_five(turned, found))}


WINDOW = {"window_above": 16, "window_size": 16, "window_overlap": 0.0}
BOTH = ("training", "inference")

MODEL = {
    "training_images": common.TRAINING_IMAGES,
    "colour_channel": Check(common.colour_channel, 3, common.all_five(3, 2)),
    "spatial_dims": Check(
        spatial_dims,
        3,
        {**common.all_five(3, (3, 3)), "augmentation": 3, "perceptual": 3, "wants volumes": (True, True)},
    ),
    "network_def#spatial_dims": Check(dims_of_network, 3, [3, 3]),  # the preflight refuses another than spatial_dims
    "network_def#in_channels": Check(
        in_channels, 3, {**common.all_five(3, (3, 3)), "training reads": True, "inference reads": True}
    ),
    **of_network("out_channels", lambda workflow: last_convolution(workflow).out_channels, 3),
    "network_def#latent_channels": Check(latent_channels, 8, {**common.all_five(8), "baselines": 8, "drawn": 8}),
    **of_network("channels", blocks, [4, 8]),
    **of_network("num_res_blocks", count(AEKLResBlock, "encoder"), 2, 4 + 2),  # two beside the attention
    **of_network("norm_num_groups", groups, 1, {1}),
    **of_network("norm_eps", eps, 1e-3, {1e-3}),
    **of_network("attention_levels", count(SpatialAttentionBlock, "encoder"), [False, True], 1 + 1),
    **of_network("with_encoder_nonlocal_attn", count(SpatialAttentionBlock, "encoder"), False, 0),
    **of_network("with_decoder_nonlocal_attn", count(SpatialAttentionBlock, "decoder"), False, 0),
    **of_network("include_fc", projections, False, {"Identity"}),
    "network_def#use_flash_attention": Check(flags(attention), False, [{False}] * 2),
    "network_def#use_checkpoint": Check(flags(lambda net: net.use_checkpoint), True, [True] * 2),
    "channels_last": common.channels_last_check(
        lambda net: net.encoder.blocks[1].conv1.conv.weight, torch.channels_last, True
    ),
    "compile_model": Check(common.compiled, True, 1),
    "amp": common.amp_check(lambda inferer, net: inferer(IMAGE, net)),
    "window_above": Check(windows, 16, both_ways(6, [16, 16]), {"window_size": 16, "window_overlap": 0.0}),
    "window_size": Check(windows, [32, 24], both_ways(2, [32, 24]), {**WINDOW, "window_size": ...}),
    "window_overlap": Check(windows, 0.5, both_ways(15, [16, 16]), {**WINDOW, "window_overlap": ...}),
    "recon_loss": Check(losses, "l2"),
    "kl_weight": Check(losses, 1e-3),
    "perceptual_weight": Check(losses, 0.5, perceptually),
    "perceptual#network": Check(perceptual("network"), "alex", "alex"),
    "perceptual#fake_3d_ratio": Check(perceptual("fake_3d_ratio"), 0.25, 0.25),
    "lpips": Check(lpips, False, False),
    "lr": Check(rates, 3e-3, [3e-3]),
    **common.optimizer_checks("lr"),
    "optimizer#scale_by_processes": Check(rates_of_four, False, [0.5]),
    **common.SCHEDULE,
    "epochs": Check(epochs, 5),  # in place of the shared one
}
