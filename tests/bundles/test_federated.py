"""MONAI's own federated client trains every bundle: two clients with different data, a server that averages."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from monai.bundle import ConfigWorkflow
from monai.fl.client import MonaiAlgo, MonaiAlgoStats
from monai.fl.utils.constants import ExtraItems, FlStatistics, ModelType, WeightType
from monai.fl.utils.exchange_object import ExchangeObject
from monai.transforms import CopyItemsd, LoadImage, LoadImaged, SelectItemsd

from tests.bundles.brain_tumor_ladder import BRAIN
from tests.bundles.dental_ladder import DENTAL
from tests.bundles.glioma_ladder import GLIOMA
from tests.bundles.ladder import ENVIRONMENT, Bundle, Settings, copied, newest
from tests.bundles.medical_ladder import MEDICAL

ROUNDS, LOCAL_EPOCHS = 3, 2
# the score of the evaluation that a few epochs on phantoms change for sure, and whether more is better
BETTER = {
    BRAIN.name: ("val_dice", True),
    GLIOMA.name: ("val_auc", True),
    DENTAL.name: ("val_l1", False),
    MEDICAL.name: ("val_dice", True),
}

Weights = dict[str, torch.Tensor]


def site(bundle: Bundle, root: Path, number: int) -> Settings:
    """Data of a client's own beside a copy of the bundle, as each site has one; gives the settings of its trainings."""
    folder = root / f"site_{number}"
    copied(bundle, folder)
    (folder / "data").mkdir()
    bundle.make_data(folder / "data/here", seed=number)
    settings = bundle.tiny | bundle.places(folder / "data/here", folder / "runs")
    settings |= {"epochs": ROUNDS * LOCAL_EPOCHS, "lr": 1e-2, "tensorboard": False, "early_stopping#enabled": False}
    settings |= {"bundle_root": folder / bundle.name, "publish": True}
    return {name: str(value) if isinstance(value, Path) else value for name, value in settings.items()}


def client(settings: Settings, *overlays: str) -> MonaiAlgo:
    """MONAI's client of a site."""
    files = [f"configs/{name}.json" for name in ("train", *overlays)]
    algo = MonaiAlgo(
        bundle_root=settings["bundle_root"],
        local_epochs=LOCAL_EPOCHS,
        send_weight_diff=False,
        config_train_filename=files,
        config_evaluate_filename=[*files, "configs/evaluate.json"],
        train_kwargs=dict(settings),
        eval_kwargs={name: value for name, value in settings.items() if name != "publish"},
    )
    algo.initialize({ExtraItems.CLIENT_NAME: Path(settings["bundle_root"]).parent.name})
    return algo


def averaged(answers: list[ExchangeObject]) -> Weights:
    """The clients' weights, each as often as it stepped."""
    steps = [answer.statistics[FlStatistics.NUM_EXECUTED_ITERATIONS] for answer in answers]
    shares = [number / sum(steps) for number in steps]
    return {
        name: sum(share * each.weights[name] for share, each in zip(shares, answers, strict=True)).to(tensor.dtype)
        for name, tensor in answers[0].weights.items()
    }


@pytest.mark.parametrize(
    "bundle", [BRAIN, pytest.param(GLIOMA, marks=pytest.mark.slow), DENTAL, MEDICAL], ids=lambda bundle: bundle.name
)
def test_three_rounds_of_two_clients_make_the_global_model_better(bundle, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    clients = [client(site(bundle, tmp_path, number)) for number in (0, 1)]
    weights = {name: tensor.detach().clone() for name, tensor in clients[0].trainer.network.state_dict().items()}

    def scores() -> list[float]:
        sent = ExchangeObject(weights=weights, weight_type=WeightType.WEIGHTS)
        return [algo.evaluate(sent).metrics[BETTER[bundle.name][0]] for algo in clients]

    before = scores()
    for number in range(ROUNDS):
        for algo in clients:
            algo.train(ExchangeObject(weights=weights, weight_type=WeightType.WEIGHTS))
        answers = [algo.get_weights() for algo in clients]
        assert all(algo.trainer.state.epoch == (number + 1) * LOCAL_EPOCHS for algo in clients)
        weights = averaged(answers)
    assert all((now > start) is BETTER[bundle.name][1] for start, now in zip(before, scores(), strict=True))
    for algo in clients:
        algo.finalize()
        runs = Path(algo.bundle_root).parent / "runs"
        # one run of all rounds, whose best weights were published to where the client looks for them
        assert len(list(runs.rglob("checkpoints/last.pt"))) == 1
        best = algo.get_weights({ExtraItems.MODEL_TYPE: ModelType.BEST_MODEL}).weights
        assert best.keys() == weights.keys()
        algo.model_filepaths[ModelType.FINAL_MODEL], algo.save_dict_key = str(newest(runs, "last.pt")), "network"
        final = algo.get_weights({ExtraItems.MODEL_TYPE: ModelType.FINAL_MODEL}).weights
        here = algo.get_weights().weights
        assert all(torch.equal(final[name], here[name]) for name in weights)
    assert not list(tmp_path.glob("*/models"))


RANK = """
import json, sys, torch
from monai.fl.utils.constants import WeightType
from monai.fl.utils.exchange_object import ExchangeObject
from tests.bundles.test_federated import client

if not torch.cuda.is_available():  # MONAI's client calls it wherever there is a process group
    torch.cuda.set_device = lambda rank: None
settings, weights, out = json.loads(sys.argv[1]), torch.load(sys.argv[2], weights_only=True), sys.argv[3]
algo = client(settings, "multi_gpu_train")
rank = torch.distributed.get_rank()
assert torch.distributed.get_world_size() == 2
for _ in range(2):
    algo.train(ExchangeObject(weights=weights, weight_type=WeightType.WEIGHTS))
    answer = algo.get_weights()
    weights = {name: value.clone() for name, value in answer.weights.items()}  # as they would come over a network
found = algo.evaluate(answer).metrics
steps = algo.trainer.state.iteration
algo.finalize()
assert not torch.distributed.is_initialized()
torch.save({"weights": weights, "metrics": dict(found), "steps": steps}, f"{out}/rank_{rank}.pt")
"""


@pytest.mark.parametrize(
    "bundle",
    [MEDICAL, *(pytest.param(b, marks=pytest.mark.slow) for b in (BRAIN, GLIOMA, DENTAL))],
    ids=lambda bundle: bundle.name,
)
def test_two_ranks_in_one_client_have_the_same_weights(bundle, tmp_path):
    """MONAI's client calls `initialize` twice for the training and twice for the evaluation, on each rank."""
    settings = site(bundle, tmp_path, 0)
    network = ConfigWorkflow(f"{settings['bundle_root']}/configs/train.json", logging_file=False, **settings)
    network.initialize()
    before = network.network_def.state_dict()
    torch.save(before, tmp_path / "global.pt")
    (tmp_path / "rank.py").write_text(RANK)
    path = os.pathsep.join([str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [
            *(sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"),
            *(str(tmp_path / "rank.py"), json.dumps(settings), str(tmp_path / "global.pt"), str(tmp_path)),
        ],
        cwd=tmp_path, env=ENVIRONMENT | {"PYTHONPATH": path}, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-5000:]
    first, second = (torch.load(tmp_path / f"rank_{rank}.pt", weights_only=False) for rank in (0, 1))
    assert all(torch.equal(first["weights"][name], second["weights"][name]) for name in before)
    assert any(not torch.equal(first["weights"][name], before[name]) for name in before)
    assert first["metrics"] == pytest.approx(second["metrics"], nan_ok=True)
    assert first["steps"] == second["steps"] > 0
    assert len(list(tmp_path.rglob("checkpoints/last.pt"))) == 1  # rank 0 alone writes


@pytest.mark.parametrize(
    ("bundle", "masked"), [(BRAIN, {"kaggle_dir": False}), (MEDICAL, {})], ids=lambda value: getattr(value, "name", "")
)
def test_statistics_of_a_client_with_masks(bundle, masked, tmp_path):
    """MONAI's statistics want images with a mask under "label"; ours is "mask", and both are read by the client."""
    settings = site(bundle, tmp_path, 0) | masked
    workflow = ConfigWorkflow(f"{settings['bundle_root']}/configs/train.json", logging_file=False, **settings)
    renamed = [SelectItemsd(["image", "mask"]), CopyItemsd("mask", names="label")]
    reading = [*renamed, LoadImaged(["image", "label"], ensure_channel_first=True)]
    stats = MonaiAlgoStats(settings["bundle_root"], workflow=workflow, data_stats_transform_list=reading)
    stats.initialize({ExtraItems.CLIENT_NAME: "site_0", ExtraItems.APP_ROOT: str(tmp_path)})
    found = stats.get_data_stats({FlStatistics.HIST_BINS: [8], FlStatistics.HIST_RANGE: [[0, 256]]}).statistics
    for part, dataset in (("train", workflow.train_dataset_data), ("eval", workflow.val_dataset_data)):
        assert found[part][FlStatistics.DATA_COUNT] == len(dataset) > 0
        assert found[part][FlStatistics.FAIL_COUNT] == 0
        assert len(found[part][FlStatistics.DATA_STATS]["label_stats"]["labels"]) > 1
    # of the validation alone: MONAI sums histograms in place, so that its total holds the first case more than once
    histogram = found["eval"][FlStatistics.DATA_STATS]["image_histogram"]
    images = [np.asarray(LoadImage()(item["image"])).ravel() for item in workflow.val_dataset_data]
    ((counted,),) = histogram.values()
    assert counted["counts"] == np.histogram(np.concatenate(images), 8, (0, 256))[0].tolist()
