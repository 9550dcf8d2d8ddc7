"""The commands of docs/own-data.md run, on files as it describes them, and leave what docs/outputs.md explains."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.bundles.ladder import BUNDLES, ENVIRONMENT, flags
from tests.bundles.outputs_page import check_columns, check_files, check_scores
from tests.small_volumes import shrink
from tests.tools.test_pairs import drawn, save
from tools.cli import main
from tools.phantoms.graded import make_graded_phantoms
from tools.phantoms.jaws import make_jaws

PAGE = BUNDLES.parent / "docs/own-data.md"
SMALL = {  # what makes the trainings of the page small
    "brain_tumor_multitask_unet": {"image_size": 32, "base_filters": 4, "depth": 3, "epochs": 1, "batch_size": 4},
    "glioma_grading_resnet50_3d": {"spatial_size": [16, 16, 16], "epochs": 2, "batch_size": 2},
    "dental_vae_autoencoder": {"network_def#channels": [8, 8, 8], "patch_size": [16, 16], "epochs": 1},
    "medical_segmentation": {"network_def#base_channels": 4, "network_def#depth": 2, "image_size": 32, "epochs": 1},
}
ELSEWHERE = ("kfold", "stages", "prepare yesno")  # have tests of their own


def make_scans(data: Path) -> None:
    for number in range(24):
        image, mask = drawn(number)
        save(data / f"scans/images/p{number // 2}_{number % 2}.png", image)
        save(data / f"scans/masks/p{number // 2}_{number % 2}.png", 255 * mask.astype("uint8"))


def make_grades(data: Path) -> None:
    make_graded_phantoms(data / "grades/made", cases=(5, 4), size=24, modalities=("flair",))
    shrink(data / "grades/made")
    rows = ["path,label,patient"]
    (data / "grades/scans").mkdir()
    for path in sorted((data / "grades/made").rglob("*_flair.nii.gz")):
        path.rename(data / "grades/scans" / f"{path.parent.name}.nii.gz")
        rows.append(f"scans/{path.parent.name}.nii.gz,{'high' if 'HGG' in path.parts else 'low'},{path.parent.name}")
    shutil.rmtree(data / "grades/made")
    (data / "grades/cases.csv").write_text("\n".join(rows))


def make_xrays(data: Path) -> None:
    make_jaws(data / "xrays", jaws=(8, 6), size=32)
    for name, other in (("edente", "clinic_a"), ("dente", "clinic_b")):
        (data / "xrays" / name).rename(data / "xrays" / other)


def make_cases(data: Path) -> None:
    make_scans(data)
    (data / "scans").rename(data / "cases")


MADE = dict(zip(SMALL, (make_scans, make_grades, make_xrays, make_cases), strict=True))


def commands(bundle: str) -> list[list[str]]:
    """The commands of the page's section about a bundle, as words."""
    (section,) = [text for text in PAGE.read_text().split("\n## ") if f"For `{bundle}`" in text]
    found = [shlex.split(line) for line in re.findall(r"python -m [^`\n]+", section)]
    return [words for words in found if not " ".join(words[3:]).startswith(ELSEWHERE)]


@pytest.fixture(scope="session", params=SMALL)
def used(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path, Path]:
    """A bundle, a copy of its folder in which all commands of its section were run, and the data."""
    bundle, root = request.param, tmp_path_factory.mktemp("own")
    data, folder = root / "data", root / "bundle"
    shutil.copytree(BUNDLES / bundle, folder, ignore=shutil.ignore_patterns("models", "runs", "data"))
    data.mkdir()
    MADE[bundle](data)
    for words in commands(bundle):
        _, _, module, *arguments = [word.replace("/data/", f"{data}/") for word in words]
        if module == "tools":
            fresh = ["--output_dir", str(root)] if arguments[0] == "check-data" else []  # not the bundle's own runs
            assert main([*arguments, *fresh]) == 0, words
            continue
        small = flags(SMALL[bundle]) if "configs/quick_test.json" in words[5] else []
        command = [sys.executable, "-m", module, *arguments, *small]
        done = subprocess.run(command, cwd=folder, env=ENVIRONMENT, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, f"{words}\n{done.stdout[-3000:]}{done.stderr[-6000:]}"
    return bundle, folder, data


def test_the_commands_of_the_page_run(used):
    bundle, folder, _ = used
    assert len(commands(bundle)) == (5 if bundle.startswith("brain") else 4)
    assert (folder / "models/model.pt").is_file()


def test_what_they_write_is_explained(used):
    bundle, folder, data = used
    (results,) = [data / name for name in ("found", "graded", "reconstructed", "segmented") if (data / name).is_dir()]
    check_files(bundle, folder, results)
    check_columns(bundle, folder, results)
    check_scores(bundle, folder)
