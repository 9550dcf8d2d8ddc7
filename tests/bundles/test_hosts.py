"""Hosts other than our command lines, such as a federated client, run `initialize` and `finalize` as they please."""

from __future__ import annotations

import pytest
import torch
from monai.bundle import ConfigParser
from torch import distributed as dist

from tests.bundles.setting_cases import CASES


@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_process_group_may_be_initialised_and_finalised_twice(case, monkeypatch):
    place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "0", "RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "0"}
    for name, value in place.items():
        monkeypatch.setenv(name, value)
    overlay = case.config("multi_gpu_train")
    for step, there in (("initialize", True), ("initialize", True), ("finalize", False), ("finalize", False)):
        ConfigParser({"seed": 3, step: overlay[step]}).get_parsed_content(step)
        assert dist.is_initialized() == there


@pytest.mark.parametrize("case", CASES, ids=str)
def test_initialize_seeds_and_leaves_what_is_no_seed_to_the_preflight(case):
    initialize = case.config("train")["initialize"]
    ConfigParser({"seed": 3, "initialize": initialize}).get_parsed_content("initialize")
    drawn = torch.rand(3)
    torch.manual_seed(3)
    assert torch.equal(drawn, torch.rand(3))
    for wrong in ("abc", 1.5, None, [3]):
        ConfigParser({"seed": wrong, "initialize": initialize}).get_parsed_content("initialize")
