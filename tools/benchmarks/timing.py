"""Times taken in turns, their spread, and the one line that shows it."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch

CLOCKS: dict[str, Callable[[], float]] = {"wall": time.perf_counter, "cpu": time.process_time}
clock = CLOCKS["wall"]
QUARTILES = {"min": 0, "q1": 25, "median": 50, "q3": 75, "max": 100}


def now(device: torch.device) -> float:
    """The time in seconds when all that was asked of the device is done."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return clock()


def take_turns(measures: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    """Seconds of each measure in every round; a round before them only warms up.

    Args:
        measures: name -> a function that does something and returns how long it took.
        rounds: how many count.
    """
    times = [{name: measure() for name, measure in measures.items()} for _ in range(rounds + 1)]
    return {name: [seconds[name] for seconds in times[1:]] for name in measures}


def compare_in_turns(
    text: str, measures: Mapping[str, Callable[[], float]], baseline: str, rounds: int
) -> dict[str, Any]:
    """Take turns, and print the seconds of each measure and their ratio to those of one of them, round by round.

    Args:
        text: what is timed, before the measures' names.
        measures: as `take_turns` takes them.
        baseline: the measure that the others are divided by.
        rounds: how many count.

    Returns:
        `seconds` of each measure, and the spread `NAME_over_BASELINE` for each but the baseline.
    """
    seconds = take_turns(measures, rounds)
    for name in measures:
        show(f"{text} {name}", seconds[name], " s")
    others = [name for name in measures if name != baseline]
    relative = {name: show(f"{text} {name} / {baseline}", ratios(seconds[name], seconds[baseline])) for name in others}
    return {"seconds": seconds, **{f"{name}_over_{baseline}": found for name, found in relative.items()}}


def ratios(above: Sequence[float], below: Sequence[float]) -> list[float]:
    """The ratio of each round."""
    return [a / b for a, b in zip(above, below, strict=True)]


def spread(values: Sequence[float]) -> dict[str, float]:
    """Median, quartiles, smallest and largest, and how many values there are."""
    found = np.percentile(values, list(QUARTILES.values())).tolist()
    return {**dict(zip(QUARTILES, found, strict=True)), "n": len(values)}


def show(text: str, values: Sequence[float], unit: str = "") -> dict[str, float]:
    """Print the spread of the values on one line, and return it."""
    found = spread(values)
    print(
        f"{text:<52} {found['median']:.3f}{unit}  quartiles {found['q1']:.3f} to {found['q3']:.3f}, "
        f"all {found['min']:.3f} to {found['max']:.3f}, n = {found['n']}",
        flush=True,
    )
    return found
