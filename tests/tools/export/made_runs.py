"""Runs as a training leaves them, of tiny networks that were not trained."""

from __future__ import annotations

from pathlib import Path

import torch

from medbundles.atomic_files import write_json_atomic
from medbundles.preflight.schema import read_settings
from medbundles.runs.checkpoints import by_id, save_checkpoint
from tests.bundles.brain_tumor_ladder import BRAIN
from tests.bundles.dental_ladder import DENTAL
from tests.bundles.glioma_ladder import GLIOMA
from tests.bundles.ladder import Bundle
from tests.bundles.medical_ladder import MEDICAL
from tools.bundle import build

ALL = {"brain": BRAIN, "glioma": GLIOMA, "dental": DENTAL, "medical": MEDICAL}
MEASURED = {"training_images": [["size", 32.0, 32.0]], "class_logit_threshold": -0.25, "mask_threshold": 0.35}
OF_MEDICAL = {"modality": "xray", "ct_values": None, "spacing": None, "label_names": ["background", "organ", "lesion"]}


def make_run(bundle: Bundle, root: Path, **settings) -> Path:
    """A run's folder with config.json, best.pt and trained.json."""
    run = root / "run_20260101_120000"
    torch.manual_seed(0)
    parser = build(bundle.folder, ["train"], None, bundle.tiny | settings)
    network = parser.get_parsed_content("network_def")
    trained = by_id(parser.get_parsed_content("trained"))
    measured = MEASURED | (OF_MEDICAL if bundle is MEDICAL else {})
    trained |= {name: value for name, value in measured.items() if name in trained}
    known = [setting for setting in read_settings(bundle.folder / "configs/schema.json") if setting.key in parser]
    checkpoint = {
        "run": run.name, "epoch": 3, "trained": trained, "data": {"train": "sha256:0"}, "network": network.state_dict(),
        "settings": {k.id: None for k in known} | {"dataset_dir": str(root / "data")},
        "metrics": {"val_loss": 0.5, "val_dice": float("nan")},
    }  # fmt: skip
    save_checkpoint(run / "checkpoints/best.pt", checkpoint)
    write_json_atomic(run / "checkpoints/trained.json", trained)
    write_json_atomic(run / "config/config.json", {"checkpoint_dir": "checkpoints"})
    return run
