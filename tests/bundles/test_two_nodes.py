"""torchrun on two nodes: two network namespaces of one machine, joined by a cable, are two machines to each other."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bundles.ladder import ENVIRONMENT, command, run
from tests.bundles.medical_ladder import MEDICAL

ADDRESSES = "10.213.77.1", "10.213.77.2"
FILES = ["train", "multi_gpu_train"]


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True, text=True)


@pytest.fixture
def nodes() -> Iterator[list[str]]:
    """Two namespaces with an interface of the same name, which are removed whatever happens."""
    if not shutil.which("ip"):
        pytest.skip("needs the command ip")
    names, cables = ([f"{kind}{os.getpid()}{end}" for end in "ab"] for kind in ("mb", "mbc"))
    try:
        try:
            for name in names:
                ip("netns", "add", name)
            ip("link", "add", cables[0], "type", "veth", "peer", "name", cables[1])
        except subprocess.CalledProcessError as error:
            pytest.skip(f"needs the right to make network namespaces ({error.stderr.strip()})")
        for name, cable, address in zip(names, cables, ADDRESSES, strict=True):
            ip("link", "set", cable, "netns", name)
            ip("-n", name, "link", "set", cable, "name", "eth0")
            ip("-n", name, "addr", "add", f"{address}/24", "dev", "eth0")
            ip("-n", name, "link", "set", "eth0", "up")
            ip("-n", name, "link", "set", "lo", "up")
        yield names
    finally:
        for name in names:  # with a namespace go its interfaces
            subprocess.run(["ip", "netns", "delete", name], check=False, capture_output=True)
        subprocess.run(["ip", "link", "delete", cables[0]], check=False, capture_output=True)


def figures(output: Path) -> list[dict[str, float]]:
    """What the epochs measured, without times."""
    [file] = output.glob("*/run_*/metrics/metrics.json")
    epochs = json.loads(file.read_text())["epochs"]
    return [{k: v for k, v in row.items() if "second" not in k} for row in epochs]


@pytest.mark.slow
def test_two_nodes_train_as_two_processes_of_one(nodes, tmp_path):
    data = tmp_path / "data"
    MEDICAL.make_data(data)
    one, two = (
        {**MEDICAL.tiny, "epochs": 2, "dataset_dir": data, "output_dir": tmp_path / name} for name in ("one", "two")
    )
    run(MEDICAL, FILES, one, processes=2)
    torchrun = ["--nnodes", "2", "--nproc_per_node", "1", "--rdzv_id", "7", "--rdzv_backend", "c10d"]
    processes = []
    try:
        for number, name in enumerate(nodes):
            words = command(FILES, two, processes=2)
            begin = words.index("--standalone")
            rendezvous = ["--rdzv_endpoint", f"{ADDRESSES[0]}:29577", "--local_addr", ADDRESSES[number]]
            # torchrun knows the first node by its host name, which both namespaces have
            which = ["--rdzv_conf", f"is_host={1 - number}"]
            words[begin : begin + 3] = [*torchrun, *rendezvous, *which]
            environment = {**ENVIRONMENT, "GLOO_SOCKET_IFNAME": "eth0"}
            with (tmp_path / f"{name}.log").open("w") as log:
                processes.append(
                    subprocess.Popen(
                        ["ip", "netns", "exec", name, *words],
                        cwd=MEDICAL.folder, env=environment, stdout=log, stderr=subprocess.STDOUT,
                    )
                )  # fmt: skip
        codes = [process.wait(timeout=200) for process in processes]
    finally:
        for process in processes:
            process.terminate()
            process.wait(timeout=30)
    logs = [(tmp_path / f"{name}.log").read_text()[-3000:] for name in nodes]
    assert codes == [0, 0], "\n".join(logs)
    assert figures(tmp_path / "two") == figures(tmp_path / "one")  # bit for bit
