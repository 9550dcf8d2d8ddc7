"""Settings of inference that bundles share: what it takes, where its results go, what it writes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from medbundles.errors import ConfigError, causes
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


def dicom_mapping(bench: Bench, **turned: Any) -> bool:
    """Whether a mapping is wanted, which inputs without DICOM refuse."""
    try:
        bench.get("data", "inference", **turned)
    except RuntimeError as error:  # of MONAI, around ours
        return any(isinstance(cause, ConfigError) and "dicom_mapping" in str(cause) for cause in causes(error))
    return False


def probabilities(bench: Bench, **turned: Any) -> bool:
    return writer(bench, **turned).probabilities


def cleaning(attribute: str, setting: str) -> Callable[..., dict[str, Any]]:
    """What cleans the masks of an evaluation and of an inference, and what they tell of it."""

    def see(bench: Bench, **turned: Any) -> dict[str, Any]:
        test, new = bench.workflow("evaluate", **turned), bench.workflow("inference", **turned)
        told, wrote = handler(test, "EvaluationReport", "validate#handlers"), handler(new, bench.writer, "handlers")
        of_inference = getattr(wrote, "components", None) or wrote.postprocessing.transforms[-1]
        steps = [*test.parser.get_parsed_content("validate::postprocessing").transforms, of_inference]
        seen = [getattr(step, attribute) for step in steps if hasattr(step, attribute)]
        return {"seen": seen, "report": told.about[setting], "writer": wrote.settings[setting]}

    return see


def flips(bench: Bench, **turned: Any) -> dict[str, bool]:
    test, new = bench.workflow("evaluate", **turned), bench.workflow("inference", **turned)
    return {
        "evaluation": test.parser.get_parsed_content("validate::inferer").flips,
        "inference": new.parser.get_parsed_content("inferer").flips,
        "report": handler(test, "EvaluationReport", "validate#handlers").about["test_time_flips"],
        "writer": handler(new, bench.writer, "handlers").settings["test_time_flips"],
    }


def surface_tolerance(bench: Bench, **turned: Any) -> dict[str, Any]:
    test = bench.workflow("evaluate", **turned)
    measures = test.parser.get_parsed_content("validate::cases").measures
    [found] = [measure.tolerance for measure in measures if type(measure).__name__ == "Surfaces"]
    report = handler(test, "EvaluationReport", "validate#handlers")
    return {"measured": found, "report": report.about["surface_tolerance"]}


INFERENCE = {
    "input": Check(inputs, lambda bench: bench.image, lambda bench: {bench.image}),
    "output": Check(outputs, results, all_in_results),
    "existing": Check(existing, "skip", {"writer": "skip", "left to do": 1}),
    "dicom_mapping": Check(dicom_mapping, "mapping.csv", True),
    "max_pictures": Check(pictured, 3, 3),
}
GRAD_CAM = {"grad_cam": Check(with_heat_maps, False, False)}
MASKS = {
    "largest_component": Check(
        cleaning("largest", "largest_component"), [2], {"seen": [[2], [2]], "report": [2], "writer": [2]}
    ),
    "min_size": Check(cleaning("min_size", "min_size"), 5.0, {"seen": [5.0, 5.0], "report": 5.0, "writer": 5.0}),
    "test_time_flips": Check(flips, True, dict.fromkeys(("evaluation", "inference", "report", "writer"), True)),
    "probabilities": Check(probabilities, True, True),
    "surface_tolerance": Check(surface_tolerance, 2.0, {"measured": 2.0, "report": 2.0}),
}
