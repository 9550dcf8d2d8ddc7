"""Whether the network learns as much with mixed precision."""

from collections.abc import Mapping
from typing import Any

from .bundles import MeasuredBundle
from .variants import AMP

SEEDS = (0, 1, 2)
EPOCHS = 5  # of the short training behind each score


def measure(bundle: MeasuredBundle) -> dict[str, Any]:
    """The score on the validation set after a short training with amp auto and False, for each seed."""
    score = bundle.score.removeprefix("val_")
    scores = {name: [_score(bundle, {**amp, "seed": seed}) for seed in SEEDS] for name, amp in AMP.items()}
    for name, values in scores.items():
        print(f"{score} after {EPOCHS} epochs, {name}: " + ", ".join(f"{value:.3f}" for value in values))
    differences = [a - b for a, b in zip(scores["auto"], scores["float32"], strict=True)]
    noise = max(scores["float32"]) - min(scores["float32"])
    print("auto - float32 at the same seed: " + ", ".join(f"{difference:+.3f}" for difference in differences))
    print(f"between seeds float32 itself differs by {noise:.3f}")
    return {score: scores, "epochs": EPOCHS, "differences": differences, "noise": noise}


def _score(bundle: MeasuredBundle, settings: Mapping[str, Any]) -> float:
    """The bundle's score on the validation set after a short training."""
    training = bundle.training({**settings, **bundle.learning_settings})
    for _ in range(EPOCHS):
        training.loaded_epoch()
    validator = training.config.get_parsed_content("validate#evaluator")
    validator.run()
    return float(validator.state.metrics[bundle.score])
