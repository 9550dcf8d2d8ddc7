"""Settings of inference that bundles share: what it takes, where its results go, what it writes."""

from __future__ import annotations

from typing import Any

from tests.bundles.setting_bench import Bench, handler
from tests.bundles.setting_check import Check


def inputs(bench: Bench, **turned: Any) -> set[str]:
    return {item["image"] for item in bench.get("data", "inference", **turned)}


def writer(bench: Bench, **turned: Any) -> Any:
    return handler(bench.workflow("inference", **turned), bench.writer, "handlers")


def with_heat_maps(bench: Bench, **turned: Any) -> bool:
    return writer(bench, **turned).grad_cam is not None


def outputs(bench: Bench, **turned: Any) -> dict[str, Any]:
    """Where results go, and how many inputs have none yet."""
    tracked = bench.get("tracking_uri", "inference", **turned).removeprefix("sqlite:///")
    return {
        "writer": str(writer(bench, **turned).output),
        "tracking": tracked.removesuffix("/tracking/mlruns.db"),
        "left to do": len(bench.get("data", "inference", **turned, existing="skip", input=str(bench.inputs))),
    }


def pictured(bench: Bench, **turned: Any) -> int:
    return writer(bench, **turned).max_pictures


def results(bench: Bench) -> str:
    return str(bench.results)


def all_in_results(bench: Bench) -> dict[str, Any]:
    return {"writer": str(bench.results), "tracking": str(bench.results), "left to do": 1}


def existing(bench: Bench, **turned: Any) -> dict[str, Any]:
    given = {"output": str(bench.results), "input": str(bench.inputs)}
    left = len(bench.get("data", "inference", **turned, **given))
    return {"writer": writer(bench, **turned).existing, "left to do": left}


INFERENCE = {
    "input": Check(inputs, lambda bench: bench.image, lambda bench: {bench.image}),
    "output": Check(outputs, results, all_in_results),
    "existing": Check(existing, "skip", {"writer": "skip", "left to do": 1}),
    "max_pictures": Check(pictured, 3, 3),
}
GRAD_CAM = {"grad_cam": Check(with_heat_maps, False, False)}
