"""What mixed precision gains, and whether the network learns as much with it."""

from __future__ import annotations

from typing import Any

from tools.bench.parts import Epoch, Setting, Training, ratios, spread, take_turns, tell

SEEDS = (0, 1, 2)
EPOCHS = 5  # of the short training behind each score
VARIANTS: dict[str, bool | str] = {"auto": "auto", "float32": False}


def measure(setting: Setting) -> dict[str, Any]:
    """Epochs of steps with amp auto and False in turn; then the score on the validation part after a short training."""
    data = setting.data()
    trainings = {
        name: Training.build(setting, setting.all_knobs(dataset_dir=data, amp=amp)) for name, amp in VARIANTS.items()
    }
    chosen = "mixed precision" if trainings["auto"].inferer.amp else "float32"
    batches = trainings["auto"].batches()
    seconds = take_turns({name: Epoch(t, batches) for name, t in trainings.items()}, setting.pairs)
    result: dict[str, Any] = {"auto_is": chosen, "seconds": seconds, "batches": len(batches)}
    result["float32_over_auto"] = ratios(seconds["float32"], seconds["auto"])
    print(f"auto is {chosen} on this machine")
    tell("epoch of steps in float32", spread(seconds["float32"]), " s")
    tell("float32 / auto (above 1: auto is quicker)", result["float32_over_auto"])
    score = setting.subject.score.removeprefix("val_")
    scores = {name: [_score(setting, data, amp, seed) for seed in SEEDS] for name, amp in VARIANTS.items()}
    for name, values in scores.items():
        print(f"{score} after {EPOCHS} epochs, {name}: " + ", ".join(f"{value:.3f}" for value in values))
    differences = [a - b for a, b in zip(scores["auto"], scores["float32"], strict=True)]
    noise = max(scores["float32"]) - min(scores["float32"])
    result |= {score: scores, f"{score}_epochs": EPOCHS}
    result |= {f"{score}_differences": differences, f"{score}_noise": noise}
    print(
        "auto - float32 at the same seed: " + ", ".join(f"{d:+.3f}" for d in differences)
        + f"; between seeds float32 itself differs by {noise:.3f}"
    )  # fmt: skip
    return result


def _score(setting: Setting, data: str, amp: bool | str, seed: int) -> float:
    """The bundle's score on the validation part after a short training."""
    knobs = setting.all_knobs(dataset_dir=data, amp=amp, seed=seed, **setting.subject.training)
    training = Training.build(setting, knobs)
    for epoch in range(EPOCHS):
        training.loaded_epoch(epoch + 1)
    validator = training.config.get_parsed_content("validate#evaluator")
    validator.run()
    return float(validator.state.metrics[setting.subject.score])
