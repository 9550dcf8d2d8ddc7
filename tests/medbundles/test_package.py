from __future__ import annotations

import shutil

from medbundles.package import PACKAGE, other_package, package_files


def test_a_copy_is_the_imported_package_or_is_named(tmp_path):
    assert other_package(tmp_path) is None
    shutil.copytree(PACKAGE, tmp_path / "medbundles", ignore=shutil.ignore_patterns("__pycache__"))
    assert package_files(tmp_path / "medbundles") == package_files()
    assert other_package(tmp_path) is None
    file = tmp_path / "medbundles/ranks.py"
    file.write_text(file.read_text() + "\n# changed\n")
    assert f"another one, version {_version()}, in {tmp_path / 'medbundles'}" in (other_package(tmp_path) or "")
    (tmp_path / "medbundles/__init__.py").write_text('__version__ = "9.1"\n')
    line = other_package(tmp_path) or ""
    assert f"version {_version()} from {PACKAGE} is imported here" in line
    assert "another one, version 9.1" in line
    assert line.endswith(f"PYTHONPATH={tmp_path}")


def test_what_lies_about_is_no_part_of_the_package(tmp_path):
    shutil.copytree(PACKAGE, tmp_path / "medbundles", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "medbundles/notes.json").write_text("{}")
    (tmp_path / "medbundles/runs/.ipynb_checkpoints").mkdir()
    (tmp_path / "medbundles/runs/.ipynb_checkpoints/directory.py").write_text("")
    assert package_files(tmp_path / "medbundles") == package_files()
    assert "preflight/settings.json" in package_files()


def test_the_copy_that_is_imported_itself_is_no_other():
    assert other_package(PACKAGE.parent) is None


def _version():
    import medbundles

    return medbundles.__version__
