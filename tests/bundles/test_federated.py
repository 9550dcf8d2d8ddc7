"""MONAI's own federated client trains every bundle: two clients with different data, a server that averages."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from monai.fl.client import MonaiAlgo
from monai.fl.utils.constants import ExtraItems, FlStatistics, ModelType, WeightType
from monai.fl.utils.exchange_object import ExchangeObject

from tests.bundles.brain_tumor_ladder import BRAIN
from tests.bundles.dental_ladder import DENTAL
from tests.bundles.glioma_ladder import GLIOMA
from tests.bundles.ladder import Bundle, newest
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


def client(bundle: Bundle, root: Path, number: int) -> MonaiAlgo:
    """A client with data of its own, in a copy of the bundle, as each site has one."""
    site = root / f"site_{number}"
    shutil.copytree(bundle.folder, site / bundle.name, ignore=shutil.ignore_patterns("models", "runs", "data"))
    (site / "data").mkdir()
    bundle.make_data(site / "data" / "here", seed=number)
    settings = bundle.tiny | bundle.places(site / "data" / "here", site / "runs")
    settings |= {"epochs": ROUNDS * LOCAL_EPOCHS, "lr": 1e-2, "tensorboard": False, "early_stopping#enabled": False}
    settings = {name: str(value) if isinstance(value, Path) else value for name, value in settings.items()}
    settings |= {"bundle_root": str(site / bundle.name)}
    algo = MonaiAlgo(
        bundle_root=str(site / bundle.name),
        local_epochs=LOCAL_EPOCHS,
        send_weight_diff=False,
        train_kwargs=settings | {"publish": True},
        eval_kwargs=dict(settings),
    )
    algo.initialize({ExtraItems.CLIENT_NAME: f"site_{number}"})
    return algo


def averaged(answers: list[ExchangeObject]) -> Weights:
    """The clients' weights, each as often as it stepped."""
    steps = [answer.statistics[FlStatistics.NUM_EXECUTED_ITERATIONS] for answer in answers]
    shares = [number / sum(steps) for number in steps]
    return {
        name: sum(share * each.weights[name] for share, each in zip(shares, answers, strict=True)).to(tensor.dtype)
        for name, tensor in answers[0].weights.items()
    }


@pytest.mark.parametrize("bundle", [BRAIN, GLIOMA, DENTAL, MEDICAL], ids=lambda bundle: bundle.name)
def test_three_rounds_of_two_clients_make_the_global_model_better(bundle, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    clients = [client(bundle, tmp_path, number) for number in (0, 1)]
    weights = {name: tensor.detach().clone() for name, tensor in clients[0].trainer.network.state_dict().items()}

    def scores() -> list[float]:
        sent = ExchangeObject(weights=weights, weight_type=WeightType.WEIGHTS)
        return [algo.evaluate(sent).metrics[BETTER[bundle.name][0]] for algo in clients]

    before = scores()
    print("METRICS", clients[0].evaluator.state.metrics)
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
