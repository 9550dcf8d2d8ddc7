"""Files that run code when they are loaded, unpacked or imported, whatever they are called."""

from __future__ import annotations

import gzip
import io
import json
import os
import pickle
import pickletools
import shutil
import stat
import subprocess
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from medbundles.errors import MedbundlesError
from tools.audit import audit, findings_of
from tools.cli import main

PACKAGE = Path(__file__).parents[3] / "shared/medbundles"


class Evil:
    def __init__(self, *call):
        self.call = call

    def __reduce__(self):
        return self.call[0], self.call[1:]


def zipped(files: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return stream.getvalue()


def tarred(name: str, content: bytes = b"x", kind: bytes = tarfile.REGTYPE, mode: str = "w") -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode=mode) as archive:
        entry = tarfile.TarInfo(name)
        entry.type, entry.size, entry.linkname = kind, len(content) if kind == tarfile.REGTYPE else 0, "/etc/passwd"
        archive.addfile(entry, io.BytesIO(content))
    return stream.getvalue()


def saved(content: object, **kwargs: object) -> bytes:
    stream = io.BytesIO()
    torch.save(content, stream, **kwargs)
    return stream.getvalue()


def object_array() -> bytes:
    stream = io.BytesIO()
    np.save(stream, np.array([Evil(os.system, "id")], dtype=object), allow_pickle=True)
    return stream.getvalue()


def with_last_names_hidden() -> bytes:
    """os.system is called, while harmless names lie on the stack just before and are dropped again."""
    put = b"\x8c\x02os\x8c\x06system\x8c\x0bcollections\x8c\x0bOrderedDict00"
    return b"\x80\x04" + put + b"\x93\x8c\x02id\x85R."


BAD = pickle.dumps(Evil(os.system, "id"))
WEIGHTS = {
    "conv.weight": torch.ones(2, 2, dtype=torch.bfloat16),
    "steps": torch.tensor(3),
    "norm": torch.nn.Parameter(torch.ones(1)),
}
FILES = {
    "models/model.pt": (saved({"x": Evil(os.system, "id")}), "pickle"),
    "models/old.pt": (saved({"x": Evil(os.system, "id")}, _use_new_zipfile_serialization=False), "pickle"),
    "models/whole.pt": (saved(torch.nn.Linear(1, 1)), "pickle"),
    "models/protocol0.pkl": (pickle.dumps(Evil(os.system, "id"), protocol=0), "pickle"),
    "models/protocol4.bin": (BAD, "pickle"),
    "models/subprocess.pth": (pickle.dumps(Evil(subprocess.Popen, ["id"])), "pickle"),
    "models/eval.ckpt": (pickle.dumps(Evil(eval, "1")), "pickle"),
    "models/optimised.pkl": (pickletools.optimize(BAD), "pickle"),
    "models/hidden.pkl": (with_last_names_hidden(), "pickle"),
    "models/broken.pkl": (BAD[:-1] + b"\xff\xff", "pickle"),
    "models/second.pkl": (pickle.dumps({}) + BAD, "pickle"),
    "docs/picture.png": (BAD, "unknown"),
    "docs/no_suffix": (BAD, "unknown"),
    "docs/text.dat": (pickle.dumps(Evil(os.system, "id"), protocol=0), "unknown"),
    "data/array.npy": (object_array(), "pickle"),
    "data/arrays.npz": (zipped({"x.npy": object_array()}), "pickle"),
    "data/packed.pkl.gz": (gzip.compress(BAD), "unknown"),
    "data/inner.zip": (zipped({"a/b.zip": zipped({"x.pkl": BAD})}), "pickle"),
    "data/tarred.tar": (tarred("x.pkl", BAD), "pickle"),
    "data/tarred.tar.gz": (tarred("x.pkl", BAD, mode="w:gz"), "pickle"),
    "docs/picture_and_zip.png": (b"\x89PNG\r\n\x1a\n" + zipped({"x.pkl": BAD}), "archive"),
    "data/link.tar": (tarred("x", kind=tarfile.SYMTYPE), "link"),
    "data/up.tar": (tarred("../x"), "path"),
    "data/up.zip": (zipped({"../x": b""}), "path"),
    "data/root.zip": (zipped({"/etc/x": b""}), "path"),
    "data/windows.zip": (zipped({"..\\x": b""}), "path"),
    "data/drive.zip": (zipped({"C:/x": b""}), "path"),
    "data/twice.zip": (zipped({"a": b"", "A": b""}), "archive"),
    "data/bomb.zip": (b"", "archive"),
    "data/broken.zip": (b"PK\x03\x04 and nothing", "archive"),
    "scripts/__init__.py": (b"", "program"),
    "torch.py": (b"import os", "program"),
    "medbundles/handlers/run.py": (b"import os", "program"),
    "scripts/x.so": (b"\x7fELF", "program"),
    "docs/readme.txt": (b"#!/bin/sh\nid", "program"),
    "run.sh": (b"id", "unknown"),
    "docs/example.ipynb": (b"{}", "unknown"),
    "__pycache__/x.cpython-311.pyc": (b"\xa7\r\r\n", "unknown"),
    ".gitattributes": (b"*.pt filter=evil\n", "unknown"),
    ".git/hooks/post-checkout": (b"id", "unknown"),
    "setup.cfg": (b"[metadata]", "unknown"),
    "configs/logging.conf": (b"[handler_x]\nclass=StreamHandler\nargs=(__import__('os').system('id'),)", "logging"),
    "configs/class.conf": (b"[handler_x]\nclass=eval\nargs=('1',)", "logging"),
    "configs/log_path.conf": (b"[handler_x]\nclass=FileHandler\nargs=('/etc/cron.d/x', 'a')", "path"),
    "configs/http.conf": (b"[handler_x]\nclass=handlers.HTTPHandler\nargs=('example.org', '/')", "logging"),
    "configs/broken.conf": (b"class=eval", "unreadable"),
    "configs/train.JSON": (b'{"x": "$eval(1)"}', "expression"),
    "models/model.onnx": (b"\x08\x08\n\x08location\x12\x0b/etc/passwd", "path"),
    "docs/deep/hidden.json": (b'{"x": {"_target_": "os.system"}}', "target"),
}


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_does_harm_is_found(name, tmp_path):
    content, rule = FILES[name]
    if name == "data/bomb.zip":
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("x", bytes(200 * 2**20))
        content = stream.getvalue()
    path = tmp_path / "bundle" / name
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    (tmp_path / "bundle.zip").write_bytes(zipped({f"bundle/{name}": content}))
    for place in (tmp_path / "bundle", tmp_path / "bundle.zip"):
        found = findings_of(place)
        assert rule in {finding.rule for finding in found}, found
        assert all(name in finding.file for finding in found), found


def test_weights_of_torch_are_plain(tmp_path):
    network = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.BatchNorm2d(2))
    optimizer = torch.optim.Adam(network.parameters())
    network(torch.ones(1, 1, 4, 4)).sum().backward()
    optimizer.step()
    state = {
        "network": network.state_dict(),
        "optimizer": optimizer.state_dict(),
        **WEIGHTS,
        "lr": [1e-3, None, True, (1,)],
    }
    torch.save(state, tmp_path / "model.pt")
    torch.save(state, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    torch.jit.save(torch.jit.script(network), tmp_path / "model.ts", {"metadata.json": "{}"})
    torch.jit.save(torch.jit.trace(network.eval(), torch.ones(1, 1, 4, 4)), tmp_path / "traced.ts")
    torch.export.save(torch.export.export(network.eval(), (torch.ones(1, 1, 4, 4),)), tmp_path / "model.pt2")
    np.savez(tmp_path / "x.npz", a=np.ones(3))
    assert findings_of(tmp_path) == []


def test_a_scripted_network_that_writes_is_found(tmp_path):
    class Writer(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.from_file("/etc/passwd", False, 4) + x

    torch.jit.save(torch.jit.script(Writer()), tmp_path / "model.ts")
    assert [finding.rule for finding in findings_of(tmp_path)] == ["program"]


def test_links_pipes_and_loops(tmp_path):
    folder = tmp_path / "bundle"
    folder.mkdir()
    (folder / "up").symlink_to("/etc/passwd")
    (folder / "loop").symlink_to(folder, target_is_directory=True)
    os.mkfifo(folder / "pipe")
    assert [(finding.file, finding.rule) for finding in findings_of(folder)] == [
        ("loop", "link"), ("pipe", "link"), ("up", "link"),
    ]  # fmt: skip


def test_a_link_in_a_zip_and_an_encrypted_file(tmp_path):
    entry = zipfile.ZipInfo("bundle/x")
    entry.external_attr = (stat.S_IFLNK | 0o777) << 16
    content = bytearray(zipped({"y": b"text"}))
    for place in (content.index(b"PK\x03\x04") + 6, content.index(b"PK\x01\x02") + 8):
        content[place] |= 1
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(entry, "/etc/passwd")
    (tmp_path / "b.zip").write_bytes(content)
    assert {finding.rule for finding in findings_of(tmp_path / "a.zip")} == {"link"}
    assert {finding.rule for finding in findings_of(tmp_path / "b.zip")} == {"archive"}


def test_the_package_that_an_exported_bundle_carries_is_known_byte_by_byte(tmp_path):
    for root in ("", "bundle/"):
        files = {
            f"{root}medbundles/{name}": (PACKAGE / name).read_bytes() for name in ("errors.py", "losses/__init__.py")
        }
        (tmp_path / "x.zip").write_bytes(zipped(files))
        assert findings_of(tmp_path / "x.zip") == []
    (tmp_path / "x.zip").write_bytes(zipped({"other/errors.py": (PACKAGE / "errors.py").read_bytes()}))
    assert [finding.rule for finding in findings_of(tmp_path / "x.zip")] == ["program"]


def test_the_report(tmp_path, capsys):
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs/train.json").write_text('{"a": {"_target_": "os.system"}}')
    assert main(["audit", str(tmp_path)]) == 1
    out, err = capsys.readouterr()
    assert out.startswith("configs/train.json: a#_target_: 'os.system'")
    assert "1 finding" in err
    assert main(["audit", str(tmp_path), "--format", "json"]) == 1
    assert json.loads(capsys.readouterr().out)["findings"][0]["rule"] == "target"
    (tmp_path / "configs/train.json").write_text("{}")
    assert main(["audit", str(tmp_path)]) == 0
    assert "nothing found" in capsys.readouterr().out
    assert main(["audit", str(tmp_path / "none")]) == 1
    assert "no such folder" in capsys.readouterr().err
    with pytest.raises(MedbundlesError, match="--format"):
        audit(str(tmp_path), format="xml")
    (tmp_path / "x.zip").write_text("no zip")
    with pytest.raises(MedbundlesError, match="no folder and no zip"):
        findings_of(tmp_path / "x.zip")


@pytest.mark.parametrize(
    "bundle", sorted((Path(__file__).parents[3] / "bundles").iterdir()), ids=lambda path: path.name
)
def test_our_own_bundles_come_out_clean(bundle, tmp_path):
    made_by_use = shutil.ignore_patterns("models", "runs", "data")
    assert findings_of(shutil.copytree(bundle, tmp_path / bundle.name, ignore=made_by_use)) == []
