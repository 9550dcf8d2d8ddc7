"""The preflight, through MONAI's own workflow, on the brain tumour bundle."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from monai.bundle import ConfigWorkflow
from PIL import Image

from medbundles.errors import ConfigError
from medbundles.preflight.command_line import readable

BUNDLE = Path(__file__).resolve().parents[3] / "bundles" / "brain_tumor_multitask_unet"
ALONE = [{"_target_": "medbundles.preflight.Preflight", "workflow": "train"}]

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")


@pytest.fixture
def workflow(tmp_path, monkeypatch):
    """workflow({id: value}, overlays): the bundle's training with these overrides, in a folder of empty parts."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["monai.bundle"])
    for part in ("train", "val", "kaggle/train", "kaggle/val"):
        (tmp_path / "data" / part).mkdir(parents=True, exist_ok=True)

    def build(changes=None, overlays=(), **more):
        paths = {
            "bundle_root": str(BUNDLE),
            "dataset_dir": str(tmp_path / "data"),
            "output_dir": str(tmp_path / "runs"),
        }
        return ConfigWorkflow(
            config_file=[str(BUNDLE / "configs" / f"{name}.json") for name in ("train", *overlays)],
            meta_file=None,
            logging_file=False,
            workflow_type="train",
            **{**paths, **(changes or {}), **more},
        )

    return build


@pytest.fixture
def refused(workflow, tmp_path):
    """refused({id: value}, overlays): the message of the preflight, once it is sure that nothing was written."""

    def run(changes, overlays=()):
        before = sorted(tmp_path.rglob("*"))
        running = workflow(changes, overlays)
        running.initialize()
        with pytest.raises(RuntimeError) as caught:
            running.run()
        assert sorted(tmp_path.rglob("*")) == before
        message = readable(caught.value)
        assert message is not None, caught.value
        return message

    return run


@pytest.fixture
def accepted(workflow):
    def run(changes, overlays=()):
        running = workflow({"run": ALONE, **changes}, overlays)
        running.initialize()
        running.run()
        return running.parser.get_parsed_content("run_dir")

    return run


REFUSED = [
    ({"batchsize": 4}, "unknown id 'batchsize'; did you mean 'batch_size'?"),
    ({"early_stopping#patiense": 4}, "unknown id 'early_stopping#patiense'; did you mean 'early_stopping#patience'?"),
    ({"train#handlers#0#_disable_": True}, "unknown id 'train#handlers#0#_disable_'"),
    ({"train#_disabled_": True}, "unknown id 'train#_disabled_'"),
    ({"train#dataloader#num_worker": 1}, "unknown id 'train#dataloader#num_worker'; did you mean"),
    ({"preprocessing#transforms#0#chanels": 1}, "did you mean 'preprocessing#transforms#0#channels'?"),
    ({"wandb": False}, "wandb: is a group of ids, not a value; give one of them, such as wandb#enabled."),
    ({"dataset": "/data"}, "dataset: is a group of ids, not a value; give one of them, such as dataset_dir."),
    ({"train": 3}, "train: is a group of ids, not a value"),
    ({"experiment": {}}, "experiment: was replaced as a whole and now lacks experiment#name, experiment#description"),
    ({"optimizer": {}}, "Give its ids one by one, as in --optimizer#name VALUE."),
    ({"loss#seg_loss": {"name": "bce"}}, "loss#seg_loss: was replaced as a whole and now lacks loss#seg_loss#dice"),
    ({"output": "/results"}, "output: nothing would use it here; did you mean 'output_dir'?"),
    ({"overlays": False}, "overlays: nothing would use it here"),
    ({"amp": "false"}, "amp: 'false' is text. Write False with a capital: --amp False."),
    ({"resume": "True"}, "resume: 'True' is text. Write True with a capital"),
    ({"grad_clip": "null"}, "grad_clip: 'null' is text. To switch it off write --grad_clip False."),
    ({"init_from": "None"}, "init_from: 'None' is text."),
    ({"train#trainer#decollate": "false"}, "train#trainer#decollate: 'false' is text; write False"),
    ({"lr": "abc"}, "lr: 'abc' is not allowed; allowed: number above 0."),
    ({"lr": float("nan")}, "lr: nan is not allowed"),
    ({"lr": {"_target_": "a.b"}}, "lr: is a value, not a group; allowed: number above 0."),
    ({"seed": "abc"}, "seed: 'abc' is not allowed; allowed: integer at least 0."),
    ({"epochs": 2.5}, "epochs: 2.5 is not allowed; allowed: integer at least 1."),
    ({"epochs": True}, "epochs: True is not allowed"),
    ({"image_size": (256, 256)}, "image_size: (256, 256) is not allowed; allowed: integer at least 16."),
    ({"cache": "ram"}, "cache: 'ram' is not allowed; allowed: one of 'none', 'memory', 'disk'."),
    ({"mixing#sampling": 5}, "allowed: one of 'balanced', 'weighted'."),
    ({"frozen": ["stem"]}, "allowed: list of one of 'encoder', 'decoder', 'head'."),
    ({"experiment#name": 2024}, "2024 is a number, text is meant: write --experiment#name \"'2024'\"."),
    ({"checkpoint": ""}, "checkpoint: a text is empty; allowed: text or list of text not empty. (weights"),
    ({"init_from": " "}, "init_from: a text is empty; allowed: text or False"),
    ({"experiment#tags": ["a", ""]}, "experiment#tags: a text is empty"),
    ({"experiment#tags": ("a", "")}, "experiment#tags: a text is empty"),
    ({"init_from": 2024}, "write --init_from \"'2024'\""),
    ({"output_dir": 5}, "output_dir: 5 is a number, text is meant"),
    ({"experiment#name": "a/b"}, "experiment#name: 'a/b' is not allowed"),
    ({"experiment#name": ".."}, "experiment#name: '..' is not allowed"),
    ({"dataset_dir": "/scans#1"}, "dataset_dir: '/scans::1' is what MONAI makes of a text with '#'."),
    ({"lr": "@learning"}, "unknown id 'learning', referred to by lr; give it, or correct the name."),
    ({"lr": "$1/0"}, "lr: '$1/0' cannot be worked out: ZeroDivisionError: division by zero"),
    ({"mixing#brats_ratio": 0.5}, "add up to 1.2; they must add up to 1."),
    ({"early_stopping#patience": 2, "val_interval": 3}, "2 epochs are less than one validation (val_interval 3)"),
    ({"early_stopping#monitor": "val_loss"}, "use --early_stopping#mode min"),
    ({"optimizer#name": "sgd", "optimizer#momentum": 0}, "give --optimizer#nesterov False with momentum 0."),
    ({"scheduler#eta_min": 0.5}, "scheduler#eta_min: 0.5 is above lr 0.0003"),
    ({"encoder_lr": 1e-8}, "scheduler#eta_min: 1e-07 is above encoder_lr 1e-08"),
    ({"scheduler#name": "plateau", "scheduler#patience": 3, "val_interval": 5, "early_stopping#patience": 9},
     "scheduler#patience: 3 epochs are fewer than those between two validations (val_interval 5)"),
    ({"loss#seg_loss#_target_": "medbundles.losses.SegmentationLos"},
     "medbundles.losses.SegmentationLos is unknown; did you mean medbundles.losses.SegmentationLoss?"),
    ({"train#inferer": {"_target_": "nowhere.Inferer"}}, "nowhere.Inferer is unknown; the package 'nowhere' is not"),
    ({"image_size": 16}, "image_size: 16 is too small for depth 4"),
    ({"checkpoint_dir": "../shared"}, "checkpoint_dir: ../shared leads out of the run's folder"),
    ({"device": "cuda:99"}, "device: 'cuda:99' is not in this machine"),
    ({"bundle_root": "/nowhere"}, "bundle_root: /nowhere is not a bundle's folder (no configs/schema.json)."),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "message"), REFUSED, ids=[str(changes) for changes, _ in REFUSED])
def test_a_mistake_is_refused_with_what_would_be_right(refused, changes, message):
    assert message in refused(changes)


FOLLOWED = [
    {"lr": "abc"}, {"lr": float("inf")}, {"epochs": 0}, {"output_dir": 5}, {"dataset_dir": "/scans#1"},
    {"early_stopping#monitor": "val_dcie"},
]  # fmt: skip


@pytest.mark.parametrize("changes", FOLLOWED, ids=str)
def test_settings_that_follow_a_wrong_one_are_not_blamed(refused, changes):
    (name,) = changes
    assert [line.split(":")[0] for line in refused(changes).splitlines()] == [name]


def test_all_mistakes_of_a_kind_are_told_at_once(refused):
    assert len(refused({"batchsize": 1, "epoch": 2}).splitlines()) == 2
    assert len(refused({"epochs": 0, "lr": -1, "depth": 9}).splitlines()) == 3


def test_missing_paths_name_the_command_that_makes_them(refused):
    lines = refused({"dataset_dir": "/nowhere"}).splitlines()
    assert [line.split(":")[0] for line in lines] == ["train_dir", "val_dir", "kaggle_train_dir", "kaggle_val_dir"]
    assert "train_dir: /nowhere/train does not exist. Make sample data with `python -m tools sample-data" in lines[0]
    assert "`python -m tools prepare yesno`, or go without such pictures: --kaggle_dir False." in lines[2]


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--grad_clip", "None"], "grad_clip: MONAI ignores None, the old value would stay. To switch it off write"),
        (["--grad_clip=None"], "grad_clip: MONAI ignores None"),
        (["--early_stopping::min-epochs", "None"], "early_stopping#min_epochs: MONAI ignores None"),
        (["--train#trainer#amp", "None"], "train#trainer#amp: MONAI ignores None, the old value would stay. Write"),
        (["--args_file", "args.json"], "lr: MONAI ignores None, the old value would stay. It cannot be switched off"),
        (["--args_file=args.json"], "lr: MONAI ignores None"),
    ],
)  # fmt: skip
def test_none_that_monai_would_drop_is_refused(refused, monkeypatch, tmp_path, argv, message):
    (tmp_path / "args.json").write_text(json.dumps({"lr": None, "epochs": 3}))
    monkeypatch.setattr(sys, "argv", ["monai.bundle", "run", *argv])
    assert message in refused({})


ACCEPTED = [
    {},
    {"run_name": "a", "experiment_name": "b", "tracking_uri": "c", "save_execute_config": False, "is_not_rank0": True},
    {"loss": {"_target_": "torch.nn.MSELoss", "reduction": "mean"}},
    {"network_def": {"_target_": "monai.networks.nets.UNet", "spatial_dims": 2}},
    {"lr": "$1e-3*2", "epochs": "@batch_size"},
    {"cache": "none"},
    {"grad_clip": False},
    {"grad_clip": 0},
    {"kaggle_train_dir": False, "kaggle_val_dir": False},
    {"experiment#name": "2024"},
    {"optimizer#betas": (0.9, 0.99)},
    {"train#handlers#0#_disabled_": True, "loss#_desc_": "as in the paper", "loss#_mode_": "default"},
    {"mask_threshold": 0.5},
    {"early_stopping#monitor": "val_loss", "early_stopping#mode": "min"},
    {"optimizer": {"_target_": "torch.optim.SGD", "params": "$@network.parameters()", "lr": "@lr"}},
]


@pytest.mark.parametrize("changes", ACCEPTED, ids=str)
def test_what_may_be_turned_is_accepted(accepted, changes):
    accepted(changes)


def test_tracking_goes_below_output_dir_and_names_the_extra_that_is_missing(workflow, tmp_path, monkeypatch):
    running = workflow({"run": ALONE}, tracking="mlflow")
    running.initialize()
    assert running.parser.get_parsed_content("tracking_uri") == f"sqlite:///{tmp_path}/runs/tracking/mlruns.db"
    assert running.parser.get_parsed_content("experiment_name") == "multitask_joint"
    assert not (tmp_path / "runs").exists()
    monkeypatch.setitem(sys.modules, "mlflow", None)
    with pytest.raises(RuntimeError) as caught:
        running.run()
    assert "tracking: mlflow is not installed: pip install" in (readable(caught.value) or "")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epochs": 3}, "epochs: nothing would use it here"),
        ({"output_dir": "/results"}, "output_dir: nothing would use it here; did you mean 'output'?"),
        ({"batch_size": 2}, None),
    ],
)
def test_inference_refuses_the_settings_of_training(monkeypatch, tmp_path, changes, message):
    monkeypatch.setattr(sys, "argv", ["monai.bundle"])
    running = ConfigWorkflow(
        config_file=str(BUNDLE / "configs/inference.json"),
        meta_file=None,
        logging_file=False,
        workflow_type="infer",
        bundle_root=str(BUNDLE),
        input=str(tmp_path),
        run=[{"_target_": "medbundles.preflight.Preflight", "workflow": "inference"}],
        **changes,
    )
    running.initialize()
    if message is None:
        running.run()
    else:
        with pytest.raises(RuntimeError) as caught:
            running.run()
        assert message in (readable(caught.value) or "")


def test_processes_that_would_each_train_on_their_own_are_refused(refused, monkeypatch):
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert "2 processes were started" in refused({})
    assert "multi_gpu_train.json" in refused({})


@pytest.mark.parametrize(
    "overlay", ["quick_test", "stage1_seg_warmup", "stage2_cls_head", "stage3_joint", "multi_gpu_train"]
)
def test_every_overlay_is_accepted_also_when_its_run_is_resumed(accepted, overlay):
    changes = {"initialize": [], "finalize": []}  # no process group here
    accepted(changes, [overlay])
    accepted({**changes, "resume": True}, [overlay])


def test_the_run_directory_gets_config_values_and_what_may_change(accepted):
    run_dir = accepted({"epochs": 7, "lr": "$1e-3*2"})
    assert run_dir.config["lr"] == "$1e-3*2"
    assert "_meta_" not in run_dir.config
    assert (run_dir.settings["epochs"], run_dir.settings["lr"]) == (7, 2e-3)
    assert run_dir.settings["scheduler#T_max"] == 7
    assert {"epochs", "num_workers", "early_stopping#patience"} <= run_dir.free_settings
    assert not {"lr", "seed", "batch_size", "base_filters"} & run_dir.free_settings
    changed = run_dir.about["changed"]
    assert changed["epochs"]["value"] == 7 != changed["epochs"]["default"]
    assert changed["lr"]["value"] == 2e-3
    assert not {"seed", "scheduler#T_max"} & changed.keys()  # what follows another setting has its default


def test_building_and_checking_the_config_creates_nothing(workflow, tmp_path):
    rng = np.random.default_rng(0)
    for part in ("train", "val"):
        for kind in ("images", "masks"):
            for name in ("0", "1"):
                folder = tmp_path / "data" / part / kind / f"{part}{name}"
                folder.mkdir(parents=True)
                pixels = rng.integers(0, 255, (20, 20)) if kind == "images" else rng.integers(0, 2, (20, 20))
                Image.fromarray(pixels.astype(np.uint8)).save(folder / "0.png")
    before = sorted(tmp_path.rglob("*"))
    small = {"image_size": 16, "base_filters": 1, "depth": 3, "batch_size": 2, "num_workers": 0, "cache": "disk",
             "kaggle_train_dir": False, "kaggle_val_dir": False, "skip_bad_files": True}  # fmt: skip
    running = workflow(small)
    running.initialize()
    assert running.check_properties() == []
    assert running.parser.get_parsed_content("train#trainer").state.epoch == 0
    assert sorted(tmp_path.rglob("*")) == before


def test_from_python_it_is_an_exception_and_only_in_a_run_list(workflow):
    running = workflow({"batchsize": 1})
    running.initialize()
    with pytest.raises(RuntimeError) as caught:
        running.run()
    assert isinstance(caught.value.__cause__, ConfigError)
    from medbundles.preflight import Preflight

    with pytest.raises(RuntimeError, match="cannot be built outside it"):
        Preflight("train")
