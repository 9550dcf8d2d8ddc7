from __future__ import annotations

import numpy as np
from PIL import Image

from tools.phantoms.jaws import draw_jaw, make_jaws
from tools.sample_data import sample_data


def test_the_same_seed_gives_the_same_pictures(tmp_path):
    for name in ("a", "b"):
        make_jaws(tmp_path / name, seed=3, jaws=(1, 2), size=32)
    files = sorted(path.relative_to(tmp_path / "a") for path in (tmp_path / "a").rglob("*.png"))
    assert [file.as_posix() for file in files] == ["dente/jaw_002.png", "dente/jaw_003.png", "edente/jaw_001.png"]
    for file in files:
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()
    picture = Image.open(tmp_path / "a" / files[0])
    assert (picture.size, picture.mode) == ((64, 32), "L")


def test_only_teeth_tell_the_kinds_apart():
    """Where the teeth are, edges stand; gray levels as a whole say nothing."""
    pictures = [[draw_jaw(teeth, 64, np.random.default_rng(i)).astype(float) for i in range(12)] for teeth in (0, 1)]
    for figure in (np.mean, np.std):
        without, there = (np.array([figure(p) for p in kind]) for kind in pictures)
        assert abs(without.mean() - there.mean()) < 0.5 * without.std()
    edges = [np.mean([np.abs(np.diff(p[24:44, 30:98], axis=1)).mean() for p in kind]) for kind in pictures]
    assert edges[1] > 2 * edges[0]


def test_the_verb_writes_them(tmp_path, capsys):
    assert sample_data(str(tmp_path / "out"), kind="jaws", jaws=(2, 1), size=32) == {
        "edente": {"pictures": 2}, "dente": {"pictures": 1},
    }  # fmt: skip
    assert "synthetic" in capsys.readouterr().out
    assert "2 jaws without teeth" in (tmp_path / "out/SYNTHETIC.txt").read_text()
