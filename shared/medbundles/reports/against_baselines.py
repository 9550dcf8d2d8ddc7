"""Whether a reconstruction is better than what costs nothing, in words."""

from collections.abc import Mapping
from typing import Any

from medbundles.reports.tables import with_interval

NAMES = {"bicubic": "bicubic", "pca": "the PCA of blocks"}
NOTHING_LEARNT = "A model that does not beat bicubic has learnt nothing that shrinking does not give."


def against_baselines(metrics: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """A sentence for each baseline whose difference in PSNR is measured and defined.

    Better is a model whose 95 % interval of the paired difference lies above 0; where there is no interval, the
    difference itself decides.

    Args:
        metrics: score -> what `PatientBootstrap.measure` gives, of "psnr_over_bicubic" and the like.
    """
    sentences = []
    for name, in_words in NAMES.items():
        over = metrics.get(f"psnr_over_{name}")
        if over is None or over["value"] is None:
            continue
        better = (over["value"] if over["low"] is None else over["low"]) > 0
        text = f"{with_interval(over, 2, '+')} dB{'' if over['low'] is not None else ', without an interval'}"
        sentence = (
            f"The model is {'' if better else 'not '}better than {in_words} (PSNR of the model minus its: {text})."
        )
        sentences.append(sentence if better or name != "bicubic" else f"{sentence} {NOTHING_LEARNT}")
    return sentences
