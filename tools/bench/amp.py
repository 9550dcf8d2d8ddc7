"""What mixed precision gains, and whether the network learns as much with it."""

from __future__ import annotations

from typing import Any

from tools.bench.parts import Setting, Training, ratios, spread, take_turns, tell

SEEDS = (0, 1, 2)
EPOCHS = 5  # of the short training behind each Dice
LR = 1e-3
VARIANTS: dict[str, bool | str] = {"auto": "auto", "float32": False}


def measure(setting: Setting) -> dict[str, Any]:
    """Epochs of steps with amp auto and False in turn; then Dice on the validation part after a short training."""
    data = setting.data()
    trainings = {
        name: Training.build(setting, setting.all_knobs(dataset_dir=data, amp=amp)) for name, amp in VARIANTS.items()
    }
    chosen = "mixed precision" if trainings["auto"].inferer.amp else "float32"
    batches = trainings["auto"].batches()
    seconds = take_turns({name: _Epoch(t, batches) for name, t in trainings.items()}, setting.pairs)
    result: dict[str, Any] = {"auto_is": chosen, "seconds": seconds, "batches": len(batches)}
    result["float32_over_auto"] = ratios(seconds["float32"], seconds["auto"])
    print(f"auto is {chosen} on this machine")
    tell("epoch of steps in float32", spread(seconds["float32"]), " s")
    tell("float32 / auto (above 1: auto is quicker)", result["float32_over_auto"])
    result["dice"] = {name: [_dice(setting, data, amp, seed) for seed in SEEDS] for name, amp in VARIANTS.items()}
    result["dice_epochs"] = EPOCHS
    for name, dice in result["dice"].items():
        print(f"Dice after {EPOCHS} epochs, {name}: " + ", ".join(f"{value:.3f}" for value in dice))
    differences = [a - b for a, b in zip(result["dice"]["auto"], result["dice"]["float32"], strict=True)]
    noise = max(result["dice"]["float32"]) - min(result["dice"]["float32"])
    result["dice_differences"], result["dice_noise"] = differences, noise
    print(
        "auto - float32 at the same seed: " + ", ".join(f"{d:+.3f}" for d in differences)
        + f"; between seeds float32 itself differs by {noise:.3f}"
    )  # fmt: skip
    return result


class _Epoch:
    def __init__(self, training: Training, batches: list):
        self.training, self.batches = training, batches

    def __call__(self, number: int) -> float:
        return self.training.epoch(self.batches)


def _dice(setting: Setting, data: str, amp: bool | str, seed: int) -> float:
    """Mean Dice on the validation part after a short training."""
    knobs = setting.all_knobs(dataset_dir=data, amp=amp, seed=seed, lr=LR, encoder_lr=LR)
    training = Training.build(setting, knobs)
    for epoch in range(EPOCHS):
        training.loaded_epoch(epoch + 1)
    validator = training.config.get_parsed_content("validate#evaluator")
    validator.run()
    return float(validator.state.metrics["val_dice"])
