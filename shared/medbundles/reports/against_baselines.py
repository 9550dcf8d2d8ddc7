"""Whether a network is better than what costs nothing, in words."""

from collections.abc import Mapping
from typing import Any

from medbundles.reports.tables import with_interval

# a paired difference -> what it is to, what is compared, unit, decimals
DIFFERENCES = {
    "psnr_over_bicubic": ("bicubic", "PSNR", " dB", 2),
    "psnr_over_pca": ("the PCA of blocks", "PSNR", " dB", 2),
    "dice_over_constant": ("one mask for all images", "Dice", "", 3),
    "dice_over_logistic": ("a logistic regression on each pixel", "Dice", "", 3),
    "acc_over_constant": ("always answering the most frequent class of the training part", "accuracy", "", 3),
    "auc_over_logistic": ("a logistic regression on mean, spread and size", "AUC", "", 3),
}
NOTHING_LEARNT = "A model that does not beat bicubic has learnt nothing that shrinking does not give."


def against_baselines(metrics: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """A sentence for each paired difference that is measured and defined.

    Better is a model whose 95 % interval of the paired difference lies above 0. Where there is no interval, which of
    the two scores is higher here is all that is said.

    Args:
        metrics: score -> what `PatientBootstrap.measure` gives, of "psnr_over_bicubic" and the like.
    """
    sentences = []
    for name, (what, score, unit, decimals) in DIFFERENCES.items():
        over = metrics.get(name)
        if over is None or over["value"] is None:
            continue
        text = f"{score} of the model minus its: {with_interval(over, decimals, '+')}{unit}"
        higher = (over["value"] if over["low"] is None else over["low"]) > 0
        if over["low"] is None:
            so = "a higher" if higher else "no higher"
            sentence = (
                f"Here the model has {so} {score} than {what} ({text}); without an interval that says little of other "
                "images."
            )
        else:
            sentence = f"The model is {'' if higher else 'not '}better than {what} ({text})."
        sentences.append(sentence if higher or name != "psnr_over_bicubic" else f"{sentence} {NOTHING_LEARNT}")
    return sentences
