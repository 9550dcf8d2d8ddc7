"""Further forms of the network: what they give, and what they take."""

from __future__ import annotations

import io
import json
import logging
import sys
import zipfile
from importlib import import_module

import pytest
import torch
from monai.bundle import load
from torch import nn

from medbundles.errors import MedbundlesError
from medbundles.networks import SegmentationNetwork
from tests.tools.export.made_runs import ALL
from tools.audit import findings_of
from tools.bundle import bundle_folder, read_config
from tools.cli import main
from tools.export.compare import ALLOWED, largest_difference
from tools.export.configs import baked
from tools.export.exported_program import program
from tools.export.model import of_run
from tools.export.network import Built, build_network, outputs_of
from tools.export.onnx_file import _quiet, onnx_file
from tools.export.torchscript import torchscript

FORMS = ("pt", "ts", "pt2")
MACHINE = (b"site-packages/", b"shared/medbundles/")  # of source files, as stack traces name them


@pytest.fixture(scope="module")
def built_of(run_of):
    def built(name: str) -> Built:
        folder = bundle_folder(ALL[name].name)
        model = of_run(folder, run_of(name))
        config = baked(folder, model.trained).files["inference"]
        return build_network(config, read_config(folder, "metadata"), model, "the weights")

    return built


@pytest.mark.parametrize(
    ("name", "how"), [("brain", "scripted"), ("glioma", "scripted"), ("dental", "traced"), ("medical", "traced")]
)
def test_torchscript_of_images_of_other_sizes(built_of, name, how):
    built = built_of(name)
    content, said = torchscript(built, {"metadata": {"version": "1"}, "inference": {"a": 1}})
    assert said.startswith(f"{how}; differs from the network by at most ")
    extra = {"metadata.json": "", "inference.json": ""}
    read = torch.jit.load(io.BytesIO(content), _extra_files=extra)
    assert json.loads(extra["inference.json"]) == {"a": 1}
    image = built.example(tuple(side + 3 for side in built.size), 1)  # neither traced nor compared
    found = read(image)
    for key, value in outputs_of(built.network, image).items():
        assert torch.allclose(found[key] if isinstance(found, dict) else found, value, atol=1e-6)
    assert not any(words in content for words in MACHINE)


@pytest.mark.parametrize(
    ("name", "sides"), [("medical", "multiples of 4 x 4"), ("glioma", "of 9 or more")], ids=["medical", "glioma"]
)
def test_the_program_has_named_outputs_and_dynamic_sizes(built_of, name, sides):
    built = built_of(name)
    content, said = program(built)
    assert f"takes sides {'that are ' if 'multiples' in sides else ''}{sides}; differs" in said
    read = torch.export.load(io.BytesIO(content))
    image = built.example(tuple(side + 8 for side in built.size), 5)
    assert torch.allclose(read.module()(image)["pred"], outputs_of(built.network, image)["pred"], atol=1e-6)
    assert not any(words in content for words in MACHINE)


class Fixed(nn.Module):
    """Takes images of 8 x 8 alone, as a transformer with positions."""

    def __init__(self):
        super().__init__()
        self.positions = nn.Parameter(torch.rand(1, 1, 8, 8))

    def forward(self, x):
        return x + self.positions


def test_a_network_of_one_size_is_exported_for_that():
    built = Built(Fixed().eval(), 1, (8, 8))
    content, said = program(built)
    assert said.startswith("takes images of 8 x 8 alone; differs")
    assert torch.export.load(io.BytesIO(content)).module()(torch.zeros(4, 1, 8, 8))["pred"].shape == (4, 1, 8, 8)


class Counted(nn.Module):
    """Takes images of any size, but a trace of it has that of its example, as the windows of swin_unetr."""

    def forward(self, x):
        height, width = map(int, x.shape[2:])
        return 2 * x.reshape(-1, 1, height, width)


def test_a_trace_that_refuses_other_sizes_is_for_one():
    content, said = torchscript(Built(Counted().eval(), 1, (8, 8)), {"metadata": {"version": "1"}})
    assert said.startswith("traced, takes images of 8 x 8 alone; differs")
    assert torch.jit.load(io.BytesIO(content))(torch.zeros(4, 1, 8, 8)).shape == (4, 1, 8, 8)


@pytest.mark.parametrize("place", ["sizes.outputs_of", "torchscript.largest_difference"])
def test_a_size_for_which_memory_lacks_is_no_fixed_size(place, monkeypatch):
    def full(*args):
        raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes.")

    module, _, name = place.partition(".")
    monkeypatch.setattr(import_module(f"tools.export.{module}"), name, full)
    with pytest.raises(RuntimeError, match="can't allocate memory"):
        torchscript(Built(Counted().eval(), 1, (8, 8)), {"metadata": {"version": "1"}})


def test_the_loggers_of_onnx_are_as_before():
    logger = logging.getLogger("onnxscript")
    before = logger.level
    with _quiet("onnxscript"):
        assert logger.level == logging.ERROR
    assert logger.level == before != logging.ERROR


def test_swin_unetr_is_exported_for_its_windows():
    network = SegmentationNetwork("swin_unetr", image_size=64, base_channels=None, embed_dim=12).eval()
    built = Built(network, 1, (64, 64))
    assert "takes images of 64 x 64 alone; differs" in torchscript(built, {"metadata": {"version": "1"}})[1]
    assert "takes images of 64 x 64 alone; differs" in program(built)[1]


def test_a_difference_is_an_error():
    built = Built(Fixed().eval(), 1, (8, 8))
    images = [built.example()]
    assert "at most 0.0e+00" in largest_difference(lambda x: outputs_of(built.network, x), built, images, "f")
    near = outputs_of(built.network, images[0])["pred"]
    span = near.max() - near.min()
    for wrong, message in (
        (lambda x: {"pred": near + 2e-4 * span}, "differs from the network by 2.0e-04 of the range of 'pred'"),
        (lambda x: {"pred": near * float("nan")}, "differs"),
        (lambda x: {"linear_1": near}, "linear_1"),
        (lambda x: {"pred": near[:, :, 1:]}, "gives"),
    ):
        with pytest.raises(MedbundlesError, match=message):
            largest_difference(wrong, built, images, "f")


def test_nothing_is_written_when_a_form_differs(run_of, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("tools.export.compare.ALLOWED", -1.0)
    words = ["medical_segmentation", "--run", str(run_of("medical")), "--output_dir", str(tmp_path / "out")]
    assert main(["export", *words, "--formats", "zip,ts"]) == 1
    assert "Nothing was written" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_zip_with_programs_is_clean_reproducible_and_loads(run_of, tmp_path):
    for folder in ("a", "b"):
        words = ["brain_tumor_multitask_unet", "--run", str(run_of("brain")), "--output_dir", str(tmp_path / folder)]
        assert main(["export", *words]) == 0
    one, two = (tmp_path / folder / "brain_tumor_multitask_unet.zip" for folder in ("a", "b"))
    assert one.read_bytes() == two.read_bytes()
    assert findings_of(one) == []
    with zipfile.ZipFile(one) as archive:
        archive.extractall(tmp_path)
        assert "models/model.ts: scripted" in archive.read("brain_tumor_multitask_unet/README.md").decode()
    module, metadata, _ = load("brain_tumor_multitask_unet", bundle_dir=tmp_path, load_ts_module=True, device="cpu")
    assert module(torch.zeros(1, 1, 40, 32))["seg"].shape == (1, 1, 40, 32)
    assert metadata["version"]


def test_the_bench_of_the_forms_gives_sizes_differences_and_times(run_of, tmp_path, capsys):
    words = ["medical_segmentation", "--run", str(run_of("medical")), "--output_dir", str(tmp_path)]
    assert main(["export", *words]) == 0
    place, out = tmp_path / "medical_segmentation.zip", tmp_path / "bench.json"
    words = ["medical_segmentation", "--only", "formats", "--exported", str(place), "--pairs", "2", "--out", str(out)]
    assert main(["bench", *words]) == 0
    with zipfile.ZipFile(place) as archive:
        sizes = {name: archive.getinfo(f"medical_segmentation/models/model.{name}").file_size for name in FORMS}
    found = json.loads(out.read_text())["formats"]
    assert found["size"] == sizes
    assert found["difference"]["pt"] == 0 <= max(found["difference"].values()) <= ALLOWED
    assert {name: len(seconds) for name, seconds in found["seconds"].items()} == dict.fromkeys(FORMS, 2)
    assert found["ts_over_pt"]["median"] > 0
    assert f"| model.ts | {sizes['ts'] / 1e6:.2f} | " in capsys.readouterr().out


@pytest.mark.parametrize(("form", "package"), [("onnx", "onnxscript"), ("safetensors", "safetensors.torch")])
def test_a_missing_extra_is_named(run_of, tmp_path, capsys, monkeypatch, form, package):
    monkeypatch.setitem(sys.modules, package, None)
    words = ["medical_segmentation", "--run", str(run_of("medical")), "--output_dir", str(tmp_path / "out")]
    assert main(["export", *words, "--formats", form]) == 1
    assert f'pip install "medbundles[{form}]"' in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
@pytest.mark.parametrize("name", ALL)
def test_onnx_has_named_inputs_and_outputs(built_of, name):
    for package in ("onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(package, reason="the extra onnx is not installed")
    import onnxruntime

    built = built_of(name)
    content, said = onnx_file(built)
    assert "differs from the network by at most" in said
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    assert [entry.name for entry in session.get_inputs()] == ["image"]
    assert [entry.name for entry in session.get_outputs()] == list(outputs_of(built.network, built.example()))
    assert session.get_inputs()[0].shape[0] == "batch"
    assert "height" in str(session.get_inputs()[0].shape[2])
    assert not any(words in content for words in MACHINE)
