"""Whether the network learns as much with mixed precision."""

from __future__ import annotations

from typing import Any

from benchmarks.amp import VARIANTS
from benchmarks.parts import Case, Training

SEEDS = (0, 1, 2)
EPOCHS = 5  # of the short training behind each score


def measure(case: Case) -> dict[str, Any]:
    """The score on the validation part after a short training with amp auto and False, for each seed."""
    data = case.data()
    score = case.subject.score.removeprefix("val_")
    scores = {name: [_score(case, data, amp, seed) for seed in SEEDS] for name, amp in VARIANTS.items()}
    for name, values in scores.items():
        print(f"{score} after {EPOCHS} epochs, {name}: " + ", ".join(f"{value:.3f}" for value in values))
    differences = [a - b for a, b in zip(scores["auto"], scores["float32"], strict=True)]
    noise = max(scores["float32"]) - min(scores["float32"])
    result = {score: scores, "epochs": EPOCHS, "differences": differences, "noise": noise}
    print(
        "auto - float32 at the same seed: " + ", ".join(f"{d:+.3f}" for d in differences)
        + f"; between seeds float32 itself differs by {noise:.3f}"
    )  # fmt: skip
    return result


def _score(case: Case, data: str, amp: bool | str, seed: int) -> float:
    """The bundle's score on the validation part after a short training."""
    settings = case.all_settings(dataset_dir=data, amp=amp, seed=seed, **case.subject.training)
    training = Training.build(case, settings)
    for epoch in range(EPOCHS):
        training.loaded_epoch(epoch + 1)
    validator = training.config.get_parsed_content("validate#evaluator")
    validator.run()
    return float(validator.state.metrics[case.subject.score])
