"""Hosts other than our command lines, such as a federated client, run `initialize` and `finalize` as they please."""

from __future__ import annotations

import pytest
import torch
from monai.bundle import ConfigParser
from torch import distributed as dist

from tests.bundles.setting_cases import CASES


@pytest.fixture
def torchrun(monkeypatch):
    """As in its only process."""
    place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "0", "RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "0"}
    for name, value in {**place, "TORCHELASTIC_RUN_ID": "none"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(dist, "of_medbundles", False, raising=False)
    yield
    if dist.is_initialized():
        dist.destroy_process_group()


def do(config: dict, step: str) -> bool:
    """Whether there is a process group after it."""
    ConfigParser({"seed": 3, step: config[step]}).get_parsed_content(step)
    return dist.is_initialized()


@pytest.mark.parametrize("file", ["multi_gpu_train", "inference"])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_process_group_may_be_initialised_and_finalised_twice(case, file, torchrun):
    steps = ("initialize", "initialize", "finalize", "finalize")
    assert [do(case.config(file), step) for step in steps] == [True, True, False, False]


@pytest.mark.parametrize("file", ["multi_gpu_train", "inference"])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_process_group_of_the_hosts_stays(case, file, torchrun):
    do(case.config(file), "initialize")
    do(case.config(file), "finalize")  # one that was ours before changes nothing
    dist.init_process_group("gloo")
    assert [do(case.config(file), step) for step in ("initialize", "finalize")] == [True, True]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_initialize_seeds_and_leaves_what_is_no_seed_to_the_preflight(case):
    initialize = case.config("train")["initialize"]
    ConfigParser({"seed": 3, "initialize": initialize}).get_parsed_content("initialize")
    drawn = torch.rand(3)
    torch.manual_seed(3)
    assert torch.equal(drawn, torch.rand(3))
    for wrong in ("abc", 1.5, None, [3]):
        ConfigParser({"seed": wrong, "initialize": initialize}).get_parsed_content("initialize")
