"""Learning curves: which panels there are, and that a quantity looks alike in every run."""

from __future__ import annotations

import pytest
from matplotlib.figure import Figure
from PIL import Image

from medbundles.reports.curves import PARTS, VARIANTS, learning_curves, look_of, loss_curve, panels_of, parts_of


def readable(path) -> bool:
    with Image.open(path) as picture:
        picture.load()
        return picture.format == "PNG" and min(picture.size) > 200 and len(set(picture.convert("L").tobytes())) > 20


def epochs() -> list[dict]:
    records = [
        {"epoch": e, "train_loss": 1 / e, "train_dice": 0.5, "lr": 1e-3, "epoch_seconds": 3.0} for e in (1, 2, 3)
    ]
    records[1] |= {"val_loss": 0.7, "val_dice": 0.6, "val_auc": float("nan"), "val_psnr": 31.0, "val_fp_area": 0.01}
    return records


def test_learning_curves_have_a_panel_per_kind():
    panels = {title: curves for title, _, curves in panels_of(epochs())}
    assert panels == {
        "Loss": ["train_loss", "val_loss"],
        "Scores": ["train_dice", "val_dice"],  # an AUC that was never defined is left out
        "Learning rate": ["lr"],
        "psnr": ["val_psnr"],
        "False-positive area": ["val_fp_area"],
    }


def test_classes_and_thresholds_have_panels_of_their_own():
    record = {"epoch": 1, "val_dice": 0.8, "val_combined": 0.8, "val_combined_constant": 0.6, "val_acc": 0.9,
              "val_auc": 0.9, "val_recall": 0.8, "val_class_threshold": 0.4,
              "val_class_logit_threshold": -0.4}  # fmt: skip
    panels = {(title, unit): curves for title, unit, curves in panels_of([record])}
    assert panels["Scores", "score"] == ["val_dice", "val_combined", "val_combined_constant"]
    assert panels["Scores of the classes", "score"] == ["val_acc", "val_auc", "val_recall"]
    assert panels["Decision thresholds", "probability"] == ["val_class_threshold"]
    assert panels["Class threshold", "log-odds"] == ["val_class_logit_threshold"]  # no probability


def test_precision_and_recall_of_masks_stand_beside_their_dice():
    record = {"epoch": 1, "val_dice": 0.8, "val_accuracy": 0.9, "val_precision": 0.7, "val_recall": 0.8}
    assert panels_of([record]) == [("Scores", "score", list(record)[1:])]
    looks = {look_of(name) for name in ("loss", "dice_loss", "ce_loss", "focal_loss", "boundary_loss")}
    assert len(looks) == len({colour for colour, _ in looks}) == 5


def test_a_reconstruction_shares_its_panels_with_what_costs_nothing():
    record = {"epoch": 1, "val_l1": 0.01, "val_l1_patch": 0.02, "val_l1_gap": 0.005, "val_psnr": 30.0, "val_kl": 9e4,
              "val_psnr_bicubic": 36.0, "val_psnr_pca": 39.0, "val_psnr_over_pca": -9.0, "val_ssim": 0.9,
              "val_loss": 0.1, "val_kl_loss": 9e4, "train_kl_loss": 9e3, "val_latent_scale": 0.8}  # fmt: skip
    panels = {title: curves for title, _, curves in panels_of([record])}
    assert panels["l1"] == ["val_l1", "val_l1_patch"]
    assert panels["psnr"] == ["val_psnr", "val_psnr_bicubic", "val_psnr_pca"]
    assert panels["psnr_over_pca"] == ["val_psnr_over_pca"]
    assert (panels["l1_gap"], panels["Scores"]) == (["val_l1_gap"], ["val_ssim"])
    kl = [panels[name] for name in ("train_kl_loss", "val_kl_loss")]  # of patches and of whole images
    assert (panels["Loss"], kl) == (["val_loss"], [["train_kl_loss"], ["val_kl_loss"]])


def test_parts_of_a_name():
    assert parts_of("val_dice_at_half") == ("val", "dice", "at_half")
    assert parts_of("train_loss") == ("train", "loss", "")
    assert parts_of("lr_encoder") == ("", "lr_encoder", "")
    assert parts_of("val_psnr_over_pca") == ("val", "psnr_over_pca", "")


def drawn(records, tmp_path, monkeypatch):
    """Title of a panel -> its lines with points (colour, style), and the texts of its legend."""
    panels = {}

    def keep(figure, *args, **options):
        for axes in figure.axes:
            lines = [(line.get_color(), line.get_linestyle()) for line in axes.lines if len(line.get_xdata())]
            panels[axes.get_title()] = lines, [text.get_text() for text in axes.get_legend().get_texts()]
        return save(figure, *args, **options)

    save = Figure.savefig
    monkeypatch.setattr(Figure, "savefig", keep)
    learning_curves(records, tmp_path / "curves.png")
    return panels


def test_train_and_validation_differ_by_their_line_and_the_legend_says_it(tmp_path, monkeypatch):
    lines, legend = drawn(epochs(), tmp_path, monkeypatch)["Loss"]
    colour, _ = look_of("loss")
    assert lines == [(colour, "--"), (colour, "-")]
    assert legend == ["loss", *(told for told, _ in PARTS.values())]


def test_a_score_keeps_its_colour_whatever_stands_beside_it(tmp_path, monkeypatch):
    alone = drawn([{"epoch": 1, "val_iou": 0.5}], tmp_path, monkeypatch)["Scores"][0]
    names = ["val_dice", "val_my_own_score", "val_iou", "val_iou_at_half"]
    lines, legend = drawn([{"epoch": 1} | dict.fromkeys(names, 0.5)], tmp_path, monkeypatch)["Scores"]
    assert lines[2] == alone[0]
    assert lines[3] == (lines[2][0], VARIANTS["at_half"][1])  # the same score at another threshold
    assert lines[1][0] == look_of("my_own_score")[0]
    assert legend == ["dice", "my own score", "iou", "validation", "at threshold 0.5"]


def test_what_stands_in_one_panel_has_different_looks():
    for names in (
        ("acc", "balanced_acc", "sensitivity", "specificity", "auc", "f1", "precision", "recall"),
        ("dice", "iou", "dice_patient", "combined"), ("loss", "seg_loss", "cls_loss"),
        ("loss", "recon_loss", "perceptual_loss"), ("mask_threshold", "class_threshold", "volume_threshold"),
    ):  # fmt: skip
        assert len({look_of(name)[0] for name in names}) == len(names)


@pytest.mark.parametrize("records", [epochs(), epochs()[:1], [{"epoch": 1}], []])
def test_learning_curves_of_any_history(tmp_path, records):
    for figure in (learning_curves, loss_curve):
        path = figure(records, tmp_path / "plots" / "curves.png", best_epoch=1 if records else None)
        if records and len(records[0]) > 1:
            assert readable(path)
    assert [p.name for p in (tmp_path / "plots").iterdir()] == ["curves.png"]
