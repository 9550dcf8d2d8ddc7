"""The verb: whole bundles, folders and zips, ours and a stranger's."""

from __future__ import annotations

import json
import shutil
import stat
import zipfile
from pathlib import Path

import pytest

from medbundles.errors import MedbundlesError
from tools.cli import main
from tools.verify import CHECKS, outcomes, overlays
from tools.verify.directory import PACKAGE
from tools.verify.opened import opened
from tools.verify.outcome import OK, SKIPPED

BUNDLES = Path(__file__).parents[3] / "bundles"


def packed(folder: Path, to: Path, **more: bytes) -> Path:
    """A zip with one folder at its top."""
    with zipfile.ZipFile(to, "w") as archive:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                archive.write(path, path.relative_to(folder.parent).as_posix())
        for name, content in more.items():
            archive.writestr(name, content)
    return to


def status_of(bundle: Path, trust: bool = False) -> dict[str, str]:
    return {line.name: line.status for line in outcomes(str(bundle), trust)}


def test_every_check_accepts_the_toy(toy):
    found = outcomes(str(toy.folder))
    assert [str(line) for line in found if line.status not in (OK, SKIPPED)] == []
    assert [line.name for line in found if line.status == SKIPPED] == ["archive", "package", "checksum", "weights"]
    assert [line.name for line in found] == list(CHECKS)


@pytest.mark.parametrize("name", sorted(path.name for path in BUNDLES.iterdir()))
def test_what_is_read_of_each_bundle_is_accepted(name, monkeypatch):
    """The network of the grading bundle alone takes seconds; `make test` does not run all of them for this."""
    monkeypatch.setattr("sys.argv", ["test"])
    slow = {"imports", "shapes", "torchscript", "overlays"}
    monkeypatch.setattr("tools.verify.CHECKS", {k: check for k, check in CHECKS.items() if k not in slow})
    assert [str(line) for line in outcomes(name) if line.status not in (OK, SKIPPED)] == []


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(path.name for path in BUNDLES.iterdir()))
def test_every_check_accepts_each_bundle(name, monkeypatch):
    monkeypatch.setattr("sys.argv", ["test"])
    assert [str(line) for line in outcomes(name) if line.status not in (OK, SKIPPED)] == []


def test_a_zip_that_carries_its_weights_and_the_package(toy, tmp_path):
    toy.publish()
    shutil.copytree(PACKAGE, toy.folder / "medbundles", ignore=shutil.ignore_patterns("__pycache__"))
    found = status_of(packed(toy.folder, tmp_path / "toy.zip"))
    assert {name: status for name, status in found.items() if status != OK} == {}


def test_a_copy_of_the_package_that_is_another_is_named(toy):
    shutil.copytree(PACKAGE, toy.folder / "medbundles", ignore=shutil.ignore_patterns("__pycache__"))
    (toy.folder / "medbundles/lines.py").unlink()
    assert toy.said("package").what == "its copy of medbundles lacks lines.py"
    (toy.folder / "medbundles/errors.py").write_text("evil = 1\n")
    assert "other or more: errors.py" in toy.said("package").what
    assert toy.said("shapes").status == "skipped"


def test_a_changed_byte_in_a_zip_is_named(toy, tmp_path):
    file = toy.publish()
    place = packed(toy.folder, tmp_path / "toy.zip")
    content, byte = bytearray(place.read_bytes()), file.read_bytes()[1000:1100]
    content[content.index(byte)] ^= 1
    place.write_bytes(content)
    found = {line.name: line for line in outcomes(str(place))}
    assert found["archive"].status == "FAILED"
    assert "toy/models/model.pt" in found["archive"].what
    assert found["weights"].status == "skipped"


@pytest.mark.parametrize("name", ["../evil.txt", "toy/../../evil.txt", "/tmp/evil.txt", "C:\\evil.txt"])
def test_a_zip_that_leaves_its_folder_is_not_unpacked(toy, tmp_path, name):
    place = packed(toy.folder, tmp_path / "toy.zip", **{name: b"x"})
    for trust in (False, True):
        with pytest.raises(MedbundlesError, match="is not unpacked"):
            outcomes(str(place), trust)
    assert not list(tmp_path.parent.rglob("evil.txt"))


def test_a_link_in_a_zip_is_not_unpacked(toy, tmp_path):
    place = packed(toy.folder, tmp_path / "toy.zip")
    with zipfile.ZipFile(place, "a") as archive:
        link = zipfile.ZipInfo("toy/x")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(MedbundlesError, match="is a link"):
        outcomes(str(place))


def test_a_zip_has_one_folder_at_its_top(toy, tmp_path):
    with pytest.raises(MedbundlesError, match="one folder, the bundle's, at its top"):
        outcomes(str(packed(toy.folder, tmp_path / "toy.zip", **{"README.md": b"x"})))


def test_a_zip_that_does_not_fit_on_the_disk_is_not_unpacked(toy, tmp_path, monkeypatch):
    place = packed(toy.folder, tmp_path / "toy.zip")
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 1000})())
    with pytest.raises(MedbundlesError, match="has only 1,000 free"):
        outcomes(str(place))


def test_nothing_is_built_of_what_the_audit_finds_unless_it_is_trusted(toy, tmp_path, monkeypatch):
    ran = tmp_path / "ran"
    (toy.folder / "scripts").mkdir()
    code = f"import pathlib, torch\npathlib.Path({str(ran)!r}).touch()\nclass Net(torch.nn.Identity): pass\n"
    (toy.folder / "scripts/net.py").write_text(code)
    toy.change("inference", network_def={"_target_": "scripts.net.Net"})
    monkeypatch.syspath_prepend(toy.folder)  # as Python does where one types `python -m` in it
    found = status_of(toy.folder)
    assert found["audit"] == "FAILED"
    assert {found[name] for name in ("used ids", "overlays", "shapes", "torchscript")} == {"skipped"}
    assert not ran.exists()
    found = status_of(toy.folder, trust=True)
    assert found["audit"] == "FAILED"
    assert found["shapes"] == "ok"
    assert ran.exists()


def test_what_use_leaves_in_the_folder_is_looked_through_only_where_a_config_reads_it(toy):
    (toy.folder / "runs").mkdir()
    (toy.folder / "runs/x.json").write_text('{"lr": "$__import__(\\"os\\").getcwd()"}')
    assert status_of(toy.folder)["audit"] == "ok"
    toy.change("inference", more="\u0025runs/x.json::lr")
    found = status_of(toy.folder)
    assert (found["audit"], found["shapes"]) == ("FAILED", "skipped")


def test_the_command_line_ends_with_1_and_names_what_failed(toy, capsys):
    toy.change("metadata", version="9")
    assert main(["verify", str(toy.folder)]) == 1
    out, err = capsys.readouterr()
    assert "FAILED   version: configs/metadata.json: version 9 is missing" in out
    assert "1 failed (version)" in err
    assert len(out.splitlines()) == len(CHECKS)


def test_json_is_json(toy, capsys):
    assert main(["verify", str(toy.folder), "--format", "json"]) == 0
    checks = json.loads(capsys.readouterr().out)["checks"]
    assert [check["name"] for check in checks] == list(CHECKS)


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        (["no_such_bundle"], "is no bundle's folder or name"),
        ([__file__], "is no folder and no zip"),
        (["toy", "--format", "xml"], "--format: 'xml' is none of text, json"),
        (["toy", "--trusted", "True"], "did you mean --trust?"),
    ],
)
def test_what_is_typed_wrong_is_said(words, answer, capsys):
    assert main(["verify", *words]) == 1
    assert answer in capsys.readouterr().err


def test_another_collections_bundle_has_no_settings_to_check(tmp_path):
    (tmp_path / "other/configs").mkdir(parents=True)
    config = {"bundle_root": ".", "network_def": {"_target_": "BasicUNet", "features": [4] * 6}}
    (tmp_path / "other/configs/inference.json").write_text(json.dumps(config))
    found = {line.name: line for line in outcomes(str(tmp_path / "other"))}
    assert found["directory"].what == "lacks LICENSE, configs/metadata.json, docs/README.md"
    assert {found[name].status for name in ("documented ids", "used ids", "overlays")} == {"skipped"}


@pytest.mark.parametrize(
    "folder", sorted(p.parents[1] for p in BUNDLES.glob("*/configs/deploy.json")), ids=lambda p: p.name
)
def test_what_a_host_merges_is_checked_with_what_it_reads(folder):
    with opened(str(folder), False) as bundle:
        assert (["inference", "deploy"], "inference") in overlays.combinations(bundle)
        overlays._check(bundle, ["inference", "deploy"], "inference")
