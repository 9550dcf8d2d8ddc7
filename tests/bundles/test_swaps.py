"""Someone else's network, loss, optimizer, augmentation by overlay: really trained for two steps, and validated."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from monai.bundle import ConfigWorkflow
from monai.networks.nets import DenseNet121

from medbundles.preflight.command_line import readable
from tests.bundles.glioma_settings.bench import REAL
from tests.bundles.setting_bench import Bench, quick
from tests.bundles.setting_cases import BRAIN, DENTAL, GLIOMA, MEDICAL, Case

OPTIMIZERS = [
    {"_target_": "monai.optimizers.Novograd", "params": "$@network.parameters()", "lr": "@lr"},
    {"_target_": "torch.optim.RMSprop", "params": "$@network.parameters()", "lr": "@lr", "momentum": 0.5},
]
DENSENET = {
    "_target_": "monai.networks.nets.DenseNet121",
    "spatial_dims": 3,
    "in_channels": {"_target_": "medbundles.data.channel_count", "modality": "@modality"},
    "out_channels": "$len(@class_names)",
}


def randomly(*more: dict[str, Any]) -> dict[str, Any]:
    noise = {"_target_": "RandGaussianNoised", "keys": "image", "prob": 0.5, "std": 0.02}
    return {"_target_": "Compose", "transforms": [*more, noise]}


BOTH = {"keys": ["image", "mask"], "allow_missing_keys": True}
FLIPS = [{"_target_": "RandFlipd", **BOTH, "prob": 0.5, "spatial_axis": 0}]
CROP = {"_target_": "RandSpatialCropd", "keys": "image", "roi_size": [16, 16], "random_size": False}
SCALE = {"logit_scale": 30}  # is that of the loss unless set, which another loss does not have
PLAIN = {**SCALE, "drw_start_epoch": False}  # a loss of someone else's cannot weigh classes from an epoch on
BASIC = {
    **{"_target_": "monai.networks.nets.BasicUNet", "spatial_dims": "@spatial_dims", "in_channels": "@in_channels"},
    **{"out_channels": "@out_channels", "features": [4, 4, 4, 8, 8, 4]},
}
MULTICLASS = {"to_onehot_y": True, "softmax": True}
NOISE = {"_target_": "RandGaussianNoised", "keys": "image", "prob": 0.5, "std": 0.02}
REGIONS = {"regions": [[1, 2], [2]], "out_channels": 2}
STEPS = {"_target_": "torch.optim.lr_scheduler.StepLR", "optimizer": "@optimizer", "step_size": 1}


class MeanSquares(torch.nn.Module):
    """A loss as anybody writes one: of logits and masks."""

    def forward(self, logits: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return (logits.sigmoid()[:, -1:] - (mask == mask.max()).float()).square().mean()


OWN_LOSS = {"_target_": f"{__name__}.MeanSquares"}
SWAPS: list[tuple[Case, dict[str, Any]]] = [
    (MEDICAL, {"loss": {"_target_": "monai.losses.DiceCELoss", **MULTICLASS}}),
    (MEDICAL, {"loss": {"_target_": "monai.losses.GeneralizedDiceLoss", **MULTICLASS}}),
    (MEDICAL, {"loss": {"_target_": "monai.losses.FocalLoss", "reduction": "none", "to_onehot_y": True}}),
    (MEDICAL, {"loss": OWN_LOSS}),
    (MEDICAL, {"loss": {"_target_": "monai.losses.DiceFocalLoss", "sigmoid": True}, **REGIONS}),
    (MEDICAL, {"network_def": BASIC, "trained#network_def": {}}),
    *[(MEDICAL, {"optimizer": optimizer}) for optimizer in OPTIMIZERS],
    (MEDICAL, {"scheduler": STEPS}),
    (MEDICAL, {"patches#augmentation": NOISE}),
    (MEDICAL, {"patches": {"_target_": "RandFlipd", **BOTH, "prob": 0.5, "spatial_axis": 0}}),
    (BRAIN, {"loss#seg_loss": {"_target_": "monai.losses.TverskyLoss", "sigmoid": True, "reduction": "none"}}),
    (BRAIN, {"loss#seg_loss": {"_target_": "monai.losses.DiceCELoss", "sigmoid": True}}),
    (BRAIN, {"loss#cls_loss": {"_target_": "torch.nn.CrossEntropyLoss", "reduction": "none"}}),
    *[(BRAIN, {"optimizer": optimizer}) for optimizer in OPTIMIZERS],
    (BRAIN, {"augmentation": randomly(*FLIPS)}),
    (GLIOMA, {"loss": {"_target_": "torch.nn.CrossEntropyLoss", "label_smoothing": 0.1}, **PLAIN}),
    (GLIOMA, {"loss": {"_target_": "torch.nn.CrossEntropyLoss", "reduction": "none"}, **PLAIN}),
    (GLIOMA, {"network_def": DENSENET}),
    *[(GLIOMA, {"optimizer": optimizer}) for optimizer in OPTIMIZERS],
    (GLIOMA, {"augmentation": randomly()}),
    (DENTAL, {"loss#recon_loss": {"_target_": "torch.nn.SmoothL1Loss", "beta": 0.1}}),
    (DENTAL, {"loss#recon_loss": {"_target_": "monai.losses.SSIMLoss", "spatial_dims": 2}}),
    *[(DENTAL, {"optimizer": optimizer}) for optimizer in OPTIMIZERS],
    (DENTAL, {"augmentation": randomly({"_target_": "RandFlipd", "keys": "image", "prob": 0.5, "spatial_axis": 1})}),
    (DENTAL, {"patches": {"_target_": "Compose", "transforms": [CROP]}}),
]


def started(bench: Bench, overlay: dict[str, Any], folder: Path, **settings: Any) -> ConfigWorkflow:
    """The bundle's training with an overlay in a file of its own."""
    file = folder / "overlay.json"
    file.write_text(json.dumps(overlay))
    small = {k: v for k, v in {**bench.small, "cache": "none", **settings}.items() if v is not ...}
    small = {k: v for k, v in small.items() if k.split("#")[0] not in overlay}
    files = [str(bench.bundle / "configs/train.json"), str(file)]
    places = {"output_dir": str(folder / "runs"), **bench.own_folds()}
    workflow = ConfigWorkflow(
        files, meta_file=None, logging_file=False, workflow_type="train", **{**small, "epochs": 1, **places}
    )
    workflow.initialize()
    return workflow


@pytest.mark.parametrize(("case", "overlay"), SWAPS, ids=lambda x: str(x)[:90])
def test_it_trains_and_validates(case, overlay, bench_of, tmp_path):
    size = {"spatial_size": [32, 32, 32], **REAL} if case is GLIOMA and "network_def" in overlay else {}
    workflow = started(bench_of(case), overlay, tmp_path, **size)
    trainer = workflow.parser.get_parsed_content("train::trainer")
    before = {name: value.clone() for name, value in trainer.network.state_dict().items() if "weight" in name}
    trainer.state.epoch_length = 2
    with quick():
        workflow.run()
    after = trainer.network.state_dict()
    assert any(not torch.equal(value, after[name]) for name, value in before.items())
    folder = workflow.parser.get_parsed_content("run_dir").path
    [epoch] = json.loads((folder / "metrics/metrics.json").read_text())["epochs"]
    assert math.isfinite(epoch["val_loss"])
    assert (folder / "checkpoints/last.pt").is_file()


def test_the_loss_multiplies_by_its_scale_what_the_network_has_not_multiplied(bench_of, tmp_path):
    bench = bench_of(GLIOMA)
    workflow = started(bench, {"network_def": DENSENET}, tmp_path, spatial_size=[32] * 3, **{**REAL, "loss#s": 12})
    assert isinstance(workflow.parser.get_parsed_content("network_def"), DenseNet121)
    loss = workflow.parser.get_parsed_content("loss")
    logits, label = torch.tensor([[0.2, -0.1]], dtype=torch.float64), torch.tensor([1])
    other, true = 12 * 0.2, 12 * (-0.1 - loss.margins[1].item())
    assert loss(logits, label).item() == pytest.approx(math.log(1 + math.exp(other - true)), rel=1e-6)


def test_a_metric_of_ones_own_may_be_followed(bench_of, tmp_path):
    mine = {"_target_": "medbundles.metrics.Score", "name": "auc", "cases": "@validate#cases"}
    overlay = {"+validate#metrics#val_mine": mine, "early_stopping#monitor": "val_mine"}
    workflow = started(bench_of(GLIOMA), overlay, tmp_path)
    workflow.parser.get_parsed_content("train::trainer").state.epoch_length = 2
    with quick():
        workflow.run()
    folder = workflow.parser.get_parsed_content("run_dir").path
    assert "val_mine" in json.loads((folder / "metrics/metrics.json").read_text())["epochs"][0]


def test_a_metric_of_ones_own_may_be_followed_by_a_segmentation(bench_of, tmp_path):
    mine = {"_target_": "medbundles.metrics.Score", "name": "dice_patient", "cases": "@validate#cases"}
    overlay = {"+validate#metrics#val_mine": mine, "early_stopping#monitor": "val_mine"}
    workflow = started(bench_of(MEDICAL), overlay, tmp_path)
    with quick():
        workflow.run()
    folder = workflow.parser.get_parsed_content("run_dir").path
    assert "val_mine" in json.loads((folder / "metrics/metrics.json").read_text())["epochs"][0]


def test_another_loss_needs_the_networks_scale(bench_of, tmp_path):
    overlay = {"loss": {"_target_": "torch.nn.CrossEntropyLoss"}}
    message = refusal(started(bench_of(GLIOMA), overlay, tmp_path))
    assert "unknown id 'loss#s', referred to by logit_scale" in message


def refusal(workflow: ConfigWorkflow) -> str:
    with pytest.raises(RuntimeError) as error:
        workflow.run()
    return readable(error.value) or ""


OTHER = {
    "_target_": "AutoencoderKL",
    **{"spatial_dims": 2, "in_channels": 1, "out_channels": 1, "latent_channels": 4, "channels": [8, 8, 8]},
    **{"num_res_blocks": 1, "norm_num_groups": 4, "norm_eps": 1e-6, "attention_levels": [False] * 3},
    **{"with_encoder_nonlocal_attn": False, "with_decoder_nonlocal_attn": False, "include_fc": True},
}
MISFITS: list[tuple[Case, dict[str, Any], str]] = [
    (BRAIN, {"loss": {"_target_": "torch.nn.L1Loss"}}, "loss: L1Loss does not take what the network gives, {seg: "),
    (
        GLIOMA,
        {"loss": {"_target_": "torch.nn.BCEWithLogitsLoss"}, **PLAIN},
        "loss: BCEWithLogitsLoss does not take what the network gives, (2, 2), with the target (2,): ValueError in",
    ),
    (
        MEDICAL,
        {"loss": {"_target_": "torch.nn.CrossEntropyLoss"}},
        "loss: CrossEntropyLoss does not take what the network gives, (3, 3, 32, 32), with the target {mask: (3, 1,",
    ),
    (
        MEDICAL,
        {"loss": {"_target_": "monai.losses.DiceLoss", "to_onehot_y": True}},
        'loss: DiceLoss takes probabilities, the network gives logits; write "sigmoid": true',
    ),
    (
        MEDICAL,
        {"loss": OWN_LOSS, "ignore_label": 3},
        "ignore_label: MeanSquares would count the pixels with 3 as a class; use medbundles.losses.Combined",
    ),
    (
        MEDICAL,
        {"network_def": BASIC},
        "network_def: monai.networks.nets.BasicUNet lacks arguments that are kept with the weights (name, base_",
    ),
    (DENTAL, {"loss": {"_target_": "torch.nn.L1Loss"}}, "L1Loss does not take what the network gives, {reconstruction"),
    (DENTAL, {"network_def": OTHER}, "network_def: AutoencoderKL has no padded, factor; use medbundles.networks.Autoe"),
    (
        DENTAL,
        {"network_def": {"_target_": "AutoencoderKL", "spatial_dims": 2}},
        "unknown id 'network_def#in_channels', referred to by trained#network_def#in_channels, data#channels, prepro",
    ),
]


@pytest.mark.parametrize(("case", "overlay", "message"), MISFITS, ids=lambda x: str(x)[:60])
def test_what_does_not_fit_is_named(case, overlay, message, bench_of, tmp_path):
    with quick():
        assert message in refusal(started(bench_of(case), overlay, tmp_path))


def test_a_metric_that_is_not_measured_cannot_be_followed(bench_of, tmp_path):
    workflow = started(bench_of(GLIOMA), {"scheduler#monitor": "val_dice"}, tmp_path)
    assert "scheduler#monitor: 'val_dice' is no metric; validate#metrics has: val_acc" in refusal(workflow)
